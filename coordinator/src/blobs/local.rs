//! Bytes in a folder of this machine: written beside their place, synced, renamed, and the folder synced too, before
//! anyone may refer to them. Everything here blocks; callers run it on blocking threads.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::planted::failure;

use super::error::BlobError;

/// Where a blob or a segment lies below the root: a shard folder and a file name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    pub(super) folder: String,
    pub(super) file: String,
}

impl Place {
    pub(super) fn blob(digest: &Digest) -> Self {
        let file = digest.to_string();
        Self { folder: format!("objects/{}", &file[..2]), file }
    }

    /// Segments are spread by the hash of their key, so that a million attempts do not make a million folders.
    pub(super) fn segment(key: &str) -> Self {
        let shard = Digest::of(key.as_bytes()).as_bytes()[0];
        Self { folder: format!("segments/{shard:02x}"), file: key.replace('/', ",") }
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct Local {
    root: PathBuf,
    staging: PathBuf,
    temporaries: AtomicU64,
    /// Renamed, but their folder is not synced yet: whoever sees such a file must sync before relying on it.
    unsynced: Mutex<HashMap<Place, u32>>,
}

impl Local {
    pub(super) fn open(root: PathBuf) -> Result<Self, BlobError> {
        let staging = root.join("staging");
        for folder in [&root, &staging, &root.join("objects"), &root.join("segments")] {
            fs::create_dir_all(folder).map_err(|e| BlobError::io("create the folder", folder, e))?;
        }
        let probe = staging.join(format!("probe-{}", std::process::id()));
        File::create(&probe).map_err(|e| BlobError::io("write into the folder", &staging, e))?;
        fs::remove_file(&probe).map_err(|e| BlobError::io("remove", &probe, e))?;
        remove_temporaries(&staging);
        // A crash may have come between a rename and the sync of its folder; afterwards every file seen is durable.
        for kind in ["objects", "segments"] {
            let folder = root.join(kind);
            let shards = fs::read_dir(&folder).map_err(|e| BlobError::io("list", &folder, e))?;
            for shard in shards.flatten() {
                sync_folder(&shard.path())?;
            }
            sync_folder(&folder)?;
        }
        Ok(Self { root, staging, temporaries: AtomicU64::new(0), unsynced: Mutex::new(HashMap::new()) })
    }

    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    /// A name nothing else in this process uses.
    pub(super) fn temporary(&self) -> PathBuf {
        temporary(&self.staging, &self.temporaries)
    }

    fn path(&self, place: &Place) -> PathBuf {
        self.root.join(&place.folder).join(&place.file)
    }

    /// Size, if it is there; what is reported is durable.
    pub(super) fn size(&self, place: &Place) -> Result<Option<u64>, BlobError> {
        let path = self.path(place);
        match fs::metadata(&path) {
            Ok(found) => {
                if self.unsynced.lock().expect("no holder panics").contains_key(place) {
                    sync_folder(&self.root.join(&place.folder))?;
                }
                Ok(Some(found.len()))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BlobError::io("look at", path, e)),
        }
    }

    /// Writes `parts` to `place` whole or not at all; nothing is written when `known` and they are there already.
    pub(super) fn write(&self, place: &Place, parts: &[Bytes], known: bool) -> Result<(), BlobError> {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if known && self.size(place)? == Some(length) {
            return Ok(());
        }
        let staged = self.temporary();
        let written = (|| {
            let mut file = create(&staged)?;
            for part in parts {
                failure("blob.write")
                    .and_then(|()| file.write_all(part))
                    .map_err(|e| BlobError::io("write", &staged, e))?;
            }
            self.publish(&staged, &file, place)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&staged);
        }
        written
    }

    /// Makes a staged file the one at `place`: file synced, renamed, folder synced.
    pub(super) fn publish(&self, staged: &Path, file: &File, place: &Place) -> Result<(), BlobError> {
        failure("blob.sync").and_then(|()| file.sync_all()).map_err(|e| BlobError::io("sync", staged, e))?;
        *self.unsynced.lock().expect("no holder panics").entry(place.clone()).or_insert(0) += 1;
        if let Err(error) = self.rename(staged, place) {
            self.synced(place);
            return Err(error);
        }
        // If this fails the file has its name, but perhaps not for good: the place stays marked, and whoever finds it
        // there has to sync the folder first.
        sync_folder(&self.root.join(&place.folder))?;
        self.synced(place);
        Ok(())
    }

    fn synced(&self, place: &Place) {
        let mut unsynced = self.unsynced.lock().expect("no holder panics");
        if let Some(count) = unsynced.get_mut(place) {
            *count -= 1;
            if *count == 0 {
                unsynced.remove(place);
            }
        }
    }

    fn rename(&self, staged: &Path, place: &Place) -> Result<(), BlobError> {
        let target = self.path(place);
        let folder = self.root.join(&place.folder);
        match failure("blob.rename").and_then(|()| fs::rename(staged, &target)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&folder).map_err(|e| BlobError::io("create the folder", &folder, e))?;
                sync_folder(folder.parent().unwrap_or(&self.root))?;
                fs::rename(staged, &target).map_err(|e| BlobError::io("rename to", &target, e))
            }
            other => other.map_err(|e| BlobError::io("rename to", &target, e)),
        }
    }

    pub(super) fn open_file(&self, place: &Place) -> Result<(File, u64), BlobError> {
        let path = self.path(place);
        let file = File::open(&path).map_err(|e| BlobError::io("open", &path, e))?;
        let size = file.metadata().map_err(|e| BlobError::io("look at", &path, e))?.len();
        Ok((file, size))
    }

    pub(super) fn delete(&self, place: &Place) -> Result<(), BlobError> {
        let path = self.path(place);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(BlobError::io("delete", path, e)),
            _ => Ok(()),
        }
    }
}

/// Exactly `length` bytes at `offset`.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> Result<Bytes, BlobError> {
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, offset).map_err(|e| BlobError::io("read", "a blob", e))?;
    Ok(buffer.into())
}

pub(super) fn create(path: &Path) -> Result<File, BlobError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|e| BlobError::io("create", path, e))
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    let opened = File::open(folder).map_err(|e| BlobError::io("open the folder", folder, e))?;
    failure("blob.sync_folder")
        .and_then(|()| opened.sync_all())
        .map_err(|e| BlobError::io("sync the folder", folder, e))
}

/// Temporaries belong to a process that is gone; interrupted uploads stay.
pub(super) fn remove_temporaries(staging: &Path) {
    let Ok(entries) = fs::read_dir(staging) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

pub(super) fn temporary(staging: &Path, counter: &AtomicU64) -> PathBuf {
    let number = counter.fetch_add(1, Ordering::Relaxed);
    staging.join(format!("tmp-{}-{number}", std::process::id()))
}

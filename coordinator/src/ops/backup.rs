//! A backup: the database as it was at one moment, then every byte its rows refer to. Taken while the coordinator
//! works; never holds the master key.
//!
//! A folder holds any number of backups: `NAME.db` (SQLite, whatever the coordinator runs on), `NAME.segments` and
//! `NAME.json` each, and one `blobs` folder that all share, so that the next one only adds what is new.

use std::path::{Path, PathBuf};

use nexusmon_shared::time::SharedClock;
use nexusmon_store::Archive;

use super::error::OpsError;
use super::manifest::{FORMAT, Manifest};
use super::{Place, Tell, bytes};
use crate::blobs::{Blobs, BlobsConfig};

/// Where it lies.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Backup {
    pub name: String,
    pub path: PathBuf,
    pub manifest: Manifest,
}

pub async fn backup(
    place: &Place,
    folder: &Path,
    clock: SharedClock,
    tell: Tell<'_>,
) -> Result<Backup, OpsError> {
    make_folder(folder)?;
    let now = clock.now();
    let name = format!("backup-{}", stamp(&now.to_string()));
    let file = folder.join(format!("{name}.db"));
    let path = folder.join(format!("{name}.json"));
    if file.exists() || path.exists() {
        return Err(OpsError::Refused(format!("there is a backup {} already", path.display())));
    }
    let from = Blobs::open(&place.blobs).await?;
    let to = Blobs::open(&folder_of_blobs(folder)).await?;

    tell("taking a snapshot of the database");
    let mut source = Archive::open_snapshot(&place.database_url).await?;
    let url = format!("sqlite://{}", file.display());
    let tables = if source.is_sqlite() {
        source.copy_file(&file).await?;
        let mut copy = Archive::open_snapshot(&url).await?;
        let tables = copy.digests().await?;
        copy.close().await?;
        tables
    } else {
        let mut target = Archive::open_alone(&url, clock).await?;
        let read = source
            .copy_into(&mut target, |progress| tell(&format!("{}: {} rows", progress.table, progress.rows)))
            .await?;
        let written = target.digests().await?;
        target.seal().await?;
        let lock = folder.join(format!("{name}.db.lock"));
        std::fs::remove_file(&lock).map_err(|source| OpsError::io("remove", lock, source))?;
        if read != written {
            return Err(OpsError::Differs("the copy of the database is not what was read".to_owned()));
        }
        read
    };
    // Bytes that rows of the snapshot refer to stay for a day after the last reference has gone.
    let mut copy = Archive::open_snapshot(&url).await?;
    let organism = copy.organism().await?;
    let organism = organism.ok_or_else(|| OpsError::Refused("the database is empty".to_owned()))?;
    tell("copying blobs and logs");
    let copied = bytes::copy(&mut copy, &from, &to, None, true, tell).await?;
    copy.close().await?;
    source.close().await?;
    sync(&file)?;
    bytes::write_list(&folder.join(format!("{name}.segments")), &copied.digests)?;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        organism: organism.id,
        epoch: organism.epoch,
        made_at: now,
        tables,
        blobs: copied.blobs,
        segments: copied.segments,
        bytes: copied.bytes,
        purged_meanwhile: copied.gone,
    };
    manifest.write(&path)?;
    Ok(Backup { name, path, manifest })
}

/// The blobs all backups of a folder share.
pub(super) fn folder_of_blobs(folder: &Path) -> BlobsConfig {
    BlobsConfig {
        url: format!("file://{}", folder.join("blobs").display()),
        staging: folder.join("blobs"),
        several_nodes: false,
        object_store: crate::blobs::ObjectStoreConfig::default(),
    }
}

/// `2026-11-22T18:00:00.123456Z` without what file names do not like.
fn stamp(time: &str) -> String {
    time.split('.').next().unwrap_or(time).chars().filter(char::is_ascii_alphanumeric).collect()
}

/// For the coordinator's user alone: it holds what missions wrote.
fn make_folder(folder: &Path) -> Result<(), OpsError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| OpsError::io("make the folder", folder, source))
}

fn sync(path: &Path) -> Result<(), OpsError> {
    let done = std::fs::File::open(path).and_then(|file| file.sync_all());
    done.map_err(|source| OpsError::io("sync", path, source))
}

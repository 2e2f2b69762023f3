//! Coming back from a backup, into an empty database: everything compared with what the manifest says, then a new epoch,
//! under which nothing counts that was given out before.

use std::path::{Path, PathBuf};

use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::SharedClock;
use nexusmon_shared::trust::checkpoint::{Restore, RestoreRecord};
use nexusmon_store::{Archive, AuditEntry, Store, StoreConfig, StoreError};
use serde_json::json;

use super::error::OpsError;
use super::manifest::Manifest;
use super::{Place, Tell, backup, bytes, migrate};
use crate::blobs::Blobs;

/// What was restored.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Restored {
    pub backup: String,
    pub manifest: Manifest,
    pub epoch: u32,
}

/// `name` is a backup of the folder; the newest if absent.
pub async fn restore(
    folder: &Path,
    name: Option<&str>,
    place: &Place,
    clock: SharedClock,
    tell: Tell<'_>,
) -> Result<Restored, OpsError> {
    let name = match name {
        Some(name) => name.trim_end_matches(".json").to_owned(),
        None => newest(folder)?,
    };
    let manifest = Manifest::read(&folder.join(format!("{name}.json")))?;
    let known = bytes::read_list(&folder.join(format!("{name}.segments")))?;
    let from = Blobs::open(&backup::folder_of_blobs(folder)).await?;
    let to = Blobs::open(&place.blobs).await?;
    // A copy, since one of an older program is brought up to date first; the backup stays as it is.
    let copy = Copy::of(&folder.join(format!("{name}.db")), &place.blobs.staging, &name)?;
    let mut source = Archive::open_snapshot_of_any_version(&copy.url()).await?;
    tell("checking the backup");
    migrate::compare(&manifest.tables, &source.digests().await?)?;
    source.close().await?;
    let mut source = Archive::open_alone(&copy.url(), clock.clone()).await?;
    let mut target = Archive::open_alone(&place.database_url, clock.clone()).await?;
    if !target.is_empty().await? {
        return Err(OpsError::Refused(
            "the target database is not empty: restore into a new one (move the old file away, or make another \
             database); nothing was changed"
                .to_owned(),
        ));
    }
    tell("copying blobs and logs");
    bytes::copy(&mut source, &from, &to, Some(&known), manifest.purged_meanwhile > 0, tell).await?;
    let read = source
        .copy_into(&mut target, |progress| tell(&format!("{}: {} rows", progress.table, progress.rows)))
        .await?;
    tell("comparing every table");
    migrate::compare(&read, &target.digests().await?)?;
    source.close().await?;
    target.close().await?;
    let epoch = begin_epoch(place, &manifest, &name, clock).await?;
    Ok(Restored { backup: name, manifest, epoch })
}

/// Above every epoch of before, also of an earlier restore of the same backup: seconds since 1970.
async fn begin_epoch(
    place: &Place,
    manifest: &Manifest,
    name: &str,
    clock: SharedClock,
) -> Result<u32, OpsError> {
    let now = clock.now();
    let seconds = u32::try_from(now.as_micros() / 1_000_000).unwrap_or(u32::MAX);
    let epoch = seconds.max(manifest.epoch.saturating_add(1));
    let lifecycle = Lifecycle::new();
    let config = StoreConfig { alone: true, ..StoreConfig::new(place.database_url.clone(), "restoring") };
    let store = Store::open(&config, clock, &lifecycle).await?;
    // What the log was when it was restored: agents that have seen more of it say so.
    let mut read = store.read().await?;
    let log = read.audit_tree_now().await?;
    let known = read.restores().await?;
    drop(read);
    let record = RestoreRecord {
        organism: manifest.organism,
        old_epoch: manifest.epoch,
        new_epoch: epoch,
        size: log.size(),
        root: log.root(),
    };
    // Of earlier ones, too: agents that were away follow them one by one.
    let unreadable = |error: serde_json::Error| {
        OpsError::Refused(format!("the list of earlier restores in the backup cannot be read: {error}"))
    };
    let known: Option<Vec<Restore>> =
        known.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)?;
    let mut restores = known.unwrap_or_default();
    restores.push(Restore { record, signature: None });
    let restores = serde_json::to_string(&restores).map_err(unreadable)?;
    let entry = AuditEntry {
        at: now,
        actor: "nexusmon".into(),
        action: "organism.restored".into(),
        subject_kind: "organism".into(),
        subject: manifest.organism.to_string(),
        mission: None,
        body:
            json!({"backup": name, "made_at": manifest.made_at, "old_epoch": manifest.epoch, "epoch": epoch,
            "log_size": log.size(), "log_root": log.root()})
            .into(),
    };
    let begun: Result<(), StoreError> = store
        .write("beginning the new epoch", move |tx| {
            let (entry, restores) = (entry.clone(), restores.clone());
            Box::pin(async move {
                tx.begin_epoch(epoch, now).await?;
                tx.put_restores(&restores, now).await?;
                tx.audit([entry])
            })
        })
        .await;
    drop(store);
    lifecycle.shutdown(std::time::Duration::from_secs(10)).await;
    begun?;
    Ok(epoch)
}

fn newest(folder: &Path) -> Result<String, OpsError> {
    let entries = std::fs::read_dir(folder).map_err(|source| OpsError::io("list", folder, source))?;
    let names = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".json").map(str::to_owned)
    });
    names
        .max()
        .ok_or_else(|| OpsError::Refused(format!("there is no finished backup in {}", folder.display())))
}

/// A SQLite file named by a URL must be there: opening would make an empty one.
pub(super) fn exists(url: &str) -> Result<(), OpsError> {
    match url.strip_prefix("sqlite://") {
        Some(path) if !Path::new(path).is_file() => {
            Err(OpsError::Refused(format!("there is no database {path}")))
        }
        _ => Ok(()),
    }
}

/// A file that goes when it is dropped, with what SQLite lays beside it.
struct Copy(PathBuf);

impl Copy {
    fn of(file: &Path, folder: &Path, name: &str) -> Result<Self, OpsError> {
        std::fs::create_dir_all(folder).map_err(|source| OpsError::io("make the folder", folder, source))?;
        let path = folder.join(format!("{name}-{}.db", std::process::id()));
        let copied = Self(path);
        std::fs::copy(file, &copied.0).map_err(|source| OpsError::io("copy", file, source))?;
        Ok(copied)
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.display())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.0.as_os_str().to_owned();
            path.push(end);
            let _ = std::fs::remove_file(path);
        }
    }
}

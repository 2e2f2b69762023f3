//! What a backup says of itself, written last: without it there is no backup.

use std::path::Path;

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::TableDigest;

use super::error::OpsError;

/// Of the form of backups; a program refuses one it does not know.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Of the program that made it.
    pub version: String,
    pub organism: OrganismId,
    /// Of the authority at that time.
    pub epoch: u32,
    pub made_at: Timestamp,
    pub tables: Vec<TableDigest>,
    pub blobs: u64,
    pub segments: u64,
    pub bytes: u64,
    /// Log segments that retention removed while the backup was made.
    pub purged_meanwhile: u64,
}

impl Manifest {
    pub(super) fn read(path: &Path) -> Result<Self, OpsError> {
        let text = std::fs::read_to_string(path).map_err(|source| OpsError::io("read", path, source))?;
        let manifest: Self = serde_json::from_str(&text)
            .map_err(|error| OpsError::Refused(format!("{} is not of a backup: {error}", path.display())))?;
        if manifest.format == FORMAT {
            return Ok(manifest);
        }
        Err(OpsError::Refused(format!(
            "{} is of format {}, this program knows {FORMAT}: take the program that made it ({})",
            path.display(),
            manifest.format,
            manifest.version
        )))
    }

    /// Durable once it returns.
    pub(super) fn write(&self, path: &Path) -> Result<(), OpsError> {
        let failed = |source| OpsError::io("write", path, source);
        let text = serde_json::to_string_pretty(self).expect("a manifest is JSON");
        let partial = path.with_extension("json.partial");
        std::fs::write(&partial, text).map_err(failed)?;
        std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
        std::fs::rename(&partial, path).map_err(failed)?;
        let folder = path.parent().unwrap_or(path);
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

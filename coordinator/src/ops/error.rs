//! Why a backup, a restore or a move did not happen.

use std::io;
use std::path::PathBuf;

use nexusmon_store::StoreError;

use crate::blobs::BlobError;

#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// What was written is not what was read; the target must not be used.
    #[error("{0}")]
    Differs(String),
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl OpsError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}

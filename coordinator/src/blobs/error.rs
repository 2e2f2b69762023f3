//! What can go wrong with bytes at rest, said so that the caller knows whether to retry, refuse or free space.

use std::io;
use std::path::PathBuf;

use nexusmon_shared::digest::Digest;

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("no such blob: {0}")]
    NotFound(String),
    #[error("the bytes hash to {actual}, not to {expected} as declared")]
    Mismatch { expected: Digest, actual: Digest },
    #[error("more than the {limit} bytes allowed or declared")]
    TooLarge { limit: u64 },
    #[error("the upload ended after {have} of {declared} bytes")]
    Incomplete { have: u64, declared: u64 },
    /// The sender must go on at `have`.
    #[error("the upload goes on at byte {have}, not at {got}")]
    Offset { have: u64, got: u64 },
    #[error("the range starts beyond the {size} bytes there are")]
    Range { size: u64 },
    #[error("a newer stream took this upload over")]
    Superseded,
    #[error("the disk that holds the blobs is full")]
    Full,
    #[error("blob store `{url}`: {reason}")]
    Config { url: String, reason: String },
    #[error("{operation} {path}")]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{operation} at the object store")]
    Remote { operation: &'static str, source: object_store::Error },
    #[error("the task that did the blocking work died")]
    Lost,
}

impl BlobError {
    /// Says which of the kinds that callers tell apart an I/O error is.
    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::NotFound => Self::NotFound(path.display().to_string()),
            _ => Self::Io { operation, path, source },
        }
    }

    pub(super) fn remote(operation: &'static str, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { path, .. } => Self::NotFound(path),
            source => Self::Remote { operation, source },
        }
    }
}

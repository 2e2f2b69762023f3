//! Errors of what the use cases stand on, as callers see them: core's refusals, the store's and the blobs' failures.

use nexusmon_core::Refused;
use nexusmon_core::planning::Invalid;
use nexusmon_store::StoreError;

use crate::blobs::BlobError;
use crate::error::{Error, FieldError};

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused.code {
            "denied_by_policy" => Self::Forbidden { code: refused.code, detail: refused.detail },
            _ => Self::conflict(refused.code, refused.detail),
        }
    }
}

impl From<Vec<Invalid>> for Error {
    fn from(found: Vec<Invalid>) -> Self {
        Self::Invalid(
            found.into_iter().map(|one| FieldError::new(one.pointer, one.code, one.message)).collect(),
        )
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { version, .. } => Self::PreconditionFailed {
                current: version.map_or_else(|| "gone".to_owned(), |version| version.to_string()),
            },
            StoreError::NotFound { entity, id } => Self::NotFound { kind: entity, id },
            // The same request, carried out at the same moment through another coordinator.
            StoreError::Unique { constraint } if constraint.starts_with("idempotency(") => Self::conflict(
                "in_progress",
                "a request with this Idempotency-Key was carried out meanwhile; send it again for its answer",
            ),
            StoreError::Unique { constraint } => {
                Self::conflict("taken", format!("{constraint} is taken already"))
            }
            StoreError::Corrupt { column, .. } if column == "cursor" => {
                Self::field("?cursor", "invalid", "is not a cursor of this list")
            }
            StoreError::Full => Self::StorageFull,
            StoreError::Relieved { .. } => Self::unavailable(error.to_string()),
            StoreError::Closed => Self::unavailable("the coordinator is shutting down"),
            other => Self::internal(other),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound(what) => Self::not_found("blob", what),
            BlobError::TooLarge { limit } => Self::TooLarge { what: "the artifact", limit },
            BlobError::Full => Self::StorageFull,
            BlobError::Mismatch { .. } | BlobError::Incomplete { .. } => {
                Self::field("", "digest_mismatch", error.to_string())
            }
            BlobError::Offset { .. } | BlobError::Superseded => {
                Self::conflict("upload_moved", error.to_string())
            }
            BlobError::Range { size } => Self::RangeNotSatisfiable { start: size, size },
            BlobError::Remote { .. } => Self::unavailable(error.to_string()),
            other => Self::internal(other),
        }
    }
}

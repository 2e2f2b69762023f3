//! The one error of the coordinator, mapped once: to an HTTP status, a gRPC code and a stable public code.
//!
//! Knows neither HTTP nor gRPC types; the listeners turn the numbers into their own.

use std::time::Duration;

use serde_json::{Map, Value};

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request body, or `?name` for a query parameter.
    pub pointer: String,
    /// Stable and public.
    pub code: &'static str,
    /// For a person: what is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into() }
    }
}

/// Everything that can go wrong, as callers see it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the request is not valid: {}", summary(.0))]
    Invalid(Vec<FieldError>),
    #[error("there is no {kind} `{id}`")]
    NotFound { kind: &'static str, id: String },
    /// The state of things forbids it; `extra` goes into the problem body (for example the approval's id).
    #[error("{detail}")]
    Conflict { code: &'static str, detail: String, extra: Map<String, Value> },
    #[error("{detail}")]
    Unauthenticated { code: &'static str, detail: String },
    #[error("{detail}")]
    Forbidden { code: &'static str, detail: String },
    #[error("{what} is larger than {limit} bytes")]
    TooLarge { what: &'static str, limit: u64 },
    #[error("too many requests; try again in {} s", .retry_after.as_secs().max(1))]
    RateLimited { retry_after: Duration },
    #[error("this Idempotency-Key was used with another body; use a new key for a new request")]
    IdempotencyMismatch,
    #[error(
        "it was changed meanwhile: the current version is {current}; read it again and repeat the change"
    )]
    PreconditionFailed { current: String },
    #[error("range {start}.. lies beyond the end at {size}")]
    RangeNotSatisfiable { start: u64, size: u64 },
    #[error(
        "the disk of the coordinator is full: nothing was changed; free space and try again; halting, revoking and refusing work all the same"
    )]
    StorageFull,
    #[error("{detail}")]
    Unavailable { detail: String },
    /// A fault of ours; the source is logged, never shown.
    #[error("an internal error; the log of the coordinator has the details")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn summary(fields: &[FieldError]) -> String {
    let one = |field: &FieldError| match field.pointer.as_str() {
        "" => field.message.clone(),
        pointer => format!("{pointer}: {}", field.message),
    };
    let shown: Vec<_> = fields.iter().take(3).map(one).collect();
    let more = fields.len().saturating_sub(shown.len());
    if more == 0 { shown.join("; ") } else { format!("{} (and {more} more)", shown.join("; ")) }
}

impl Error {
    /// One wrong field.
    pub fn field(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, message)])
    }

    pub fn not_found(kind: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { kind, id: id.to_string() }
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into(), extra: Map::new() }
    }

    /// A conflict that names something, for example `("approval", id)`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Self::Conflict { extra, .. } = &mut self {
            extra.insert(key.to_owned(), value.into());
        }
        self
    }

    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into() }
    }

    /// The HTTP status (RFC 9110).
    pub const fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::Unauthenticated { .. } => 401,
            Self::Forbidden { .. } => 403,
            Self::NotFound { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::PreconditionFailed { .. } => 412,
            Self::TooLarge { .. } => 413,
            Self::RangeNotSatisfiable { .. } => 416,
            Self::IdempotencyMismatch => 422,
            Self::RateLimited { .. } => 429,
            Self::Internal(_) => 500,
            Self::Unavailable { .. } => 503,
            Self::StorageFull => 507,
        }
    }

    /// The gRPC status code, by its number.
    pub fn grpc_code(&self) -> i32 {
        match self {
            Self::Invalid(_) => 3,
            Self::NotFound { .. } => 5,
            Self::Forbidden { .. } => 7,
            Self::TooLarge { .. } | Self::RateLimited { .. } | Self::StorageFull => 8,
            // Another stream writes the same bytes: to be tried again, not given up.
            Self::Conflict { code: "upload_moved", .. } | Self::PreconditionFailed { .. } => 10,
            Self::Conflict { .. } | Self::IdempotencyMismatch => 9,
            Self::RangeNotSatisfiable { .. } => 11,
            Self::Internal(_) => 13,
            Self::Unavailable { .. } => 14,
            Self::Unauthenticated { .. } => 16,
        }
    }

    /// Stable and public.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotFound { .. } => "not_found",
            Self::Conflict { code, .. }
            | Self::Unauthenticated { code, .. }
            | Self::Forbidden { code, .. } => code,
            Self::TooLarge { .. } => "too_large",
            Self::RateLimited { .. } => "rate_limited",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::PreconditionFailed { .. } => "precondition_failed",
            Self::RangeNotSatisfiable { .. } => "range_not_satisfiable",
            Self::StorageFull => "storage_full",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// Problems by field; empty for other kinds.
    pub fn fields(&self) -> &[FieldError] {
        match self {
            Self::Invalid(fields) => fields,
            _ => &[],
        }
    }
}

/// What every use case returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

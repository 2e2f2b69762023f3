//! Checked reading of single fields, and errors that name them.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::digest::Digest;
use crate::selector::Labels;

const MAX_LABELS: usize = 64;
const MAX_LABEL_KEY: usize = 64;
const MAX_LABEL_VALUE: usize = 256;

/// Why a message is not believed: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct WireError {
    field: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Missing,
    /// A message or variant of a newer protocol; a session skips it.
    Unknown,
    /// Expected and found number of bytes.
    Length {
        expected: usize,
        found: usize,
    },
    /// Limit and found number of bytes or items.
    TooLarge {
        limit: usize,
        found: usize,
    },
    Invalid(Cow<'static, str>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Unknown => f.write_str("is of a kind this build does not know"),
            Self::Length { expected, found } => write!(f, "is {found} bytes, expected {expected}"),
            Self::TooLarge { limit, found } => write!(f, "is {found}, more than {limit}"),
            Self::Invalid(reason) => f.write_str(reason),
        }
    }
}

impl WireError {
    pub(super) fn new(field: impl Into<String>, problem: Problem) -> Self {
        Self { field: field.into(), problem }
    }

    pub(super) fn missing(field: &'static str) -> Self {
        Self::new(field, Problem::Missing)
    }

    pub(super) fn unknown(field: &'static str) -> Self {
        Self::new(field, Problem::Unknown)
    }

    pub(super) fn invalid(field: &'static str, reason: impl fmt::Display) -> Self {
        // Reasons may quote what was sent.
        let reason: String = reason.to_string().chars().take(300).collect();
        Self::new(field, Problem::Invalid(reason.into()))
    }

    /// Puts the enclosing field in front.
    pub(super) fn within(self, field: &'static str) -> Self {
        Self { field: format!("{field}.{}", self.field), problem: self.problem }
    }

    fn within_item(self, field: &'static str, index: usize) -> Self {
        Self { field: format!("{field}[{index}].{}", self.field), problem: self.problem }
    }

    /// The path of the field, such as `finished[3].attempt.task_id`.
    pub fn field(&self) -> &str {
        &self.field
    }

    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Whether this is merely something a newer build may say.
    pub fn is_unknown(&self) -> bool {
        self.problem == Problem::Unknown
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

pub(super) type Read<T> = Result<T, WireError>;

pub(super) fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Read<[u8; N]> {
    bytes.try_into().map_err(|_| WireError::new(field, Problem::Length { expected: N, found: bytes.len() }))
}

pub(super) fn id_bits(field: &'static str, bytes: &[u8]) -> Read<u128> {
    array(field, bytes).map(u128::from_be_bytes)
}

pub(super) fn digest(field: &'static str, bytes: &[u8]) -> Read<Digest> {
    array(field, bytes).map(Digest::from_bytes)
}

pub(super) fn bounded(field: &'static str, found: usize, limit: usize) -> Read<()> {
    if found > limit { Err(WireError::new(field, Problem::TooLarge { limit, found })) } else { Ok(()) }
}

pub(super) fn text(field: &'static str, text: String, limit: usize) -> Read<String> {
    bounded(field, text.len(), limit)?;
    Ok(text)
}

pub(super) fn blob(field: &'static str, bytes: Bytes, limit: usize) -> Read<Bytes> {
    bounded(field, bytes.len(), limit)?;
    Ok(bytes)
}

pub(super) fn parse<T: std::str::FromStr<Err: fmt::Display>>(field: &'static str, text: &str) -> Read<T> {
    text.parse().map_err(|error| WireError::invalid(field, error))
}

pub(super) fn required<W, T: TryFrom<W, Error = WireError>>(
    field: &'static str,
    message: Option<W>,
) -> Read<T> {
    let message = message.ok_or_else(|| WireError::missing(field))?;
    T::try_from(message).map_err(|error| error.within(field))
}

/// Converts each, within a limit on their number.
pub(super) fn list<W, T: TryFrom<W, Error = WireError>>(
    field: &'static str,
    items: Vec<W>,
    limit: usize,
) -> Read<Vec<T>> {
    bounded(field, items.len(), limit)?;
    let convert =
        |(index, item)| T::try_from(item).map_err(|error: WireError| error.within_item(field, index));
    items.into_iter().enumerate().map(convert).collect()
}

pub(super) fn parsed_list<T: std::str::FromStr<Err: fmt::Display>>(
    field: &'static str,
    items: &[String],
    limit: usize,
) -> Read<Vec<T>> {
    bounded(field, items.len(), limit)?;
    items.iter().map(|item| parse(field, item)).collect()
}

pub(super) fn labels(field: &'static str, labels: std::collections::HashMap<String, String>) -> Read<Labels> {
    bounded(field, labels.len(), MAX_LABELS)?;
    for (key, value) in &labels {
        bounded(field, key.len(), MAX_LABEL_KEY)?;
        bounded(field, value.len(), MAX_LABEL_VALUE)?;
        if key.is_empty() || key.chars().chain(value.chars()).any(char::is_control) {
            return Err(WireError::invalid(field, "a key is empty, or there are control characters"));
        }
    }
    Ok(labels.into_iter().collect())
}

/// Hands out many small byte strings of one message from one allocation.
pub(super) struct Arena(BytesMut);

impl Arena {
    pub(super) fn new(capacity: usize) -> Self {
        Self(BytesMut::with_capacity(capacity))
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Bytes {
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }

    pub(super) fn id(&mut self, bits: u128) -> Bytes {
        self.put(&bits.to_be_bytes())
    }

    pub(super) fn digest(&mut self, digest: &Digest) -> Bytes {
        self.put(digest.as_bytes())
    }
}

pub(super) fn id_bytes(bits: u128) -> Bytes {
    Bytes::copy_from_slice(&bits.to_be_bytes())
}

pub(super) fn digest_bytes(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(digest.as_bytes())
}

/// Milliseconds; what does not fit is the largest there is.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

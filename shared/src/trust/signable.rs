//! What every signed document here has in common: its canonical form (RFC 8785) behind a line that says what it is, so
//! that a signature over one kind can never be shown as one over another.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::canonical;
use crate::digest::Digest;

/// The largest whole number JSON carries exactly (RFC 7493, section 2.2).
pub const MAX_EXACT: u64 = (1 << 53) - 1;

/// A document that is signed.
pub trait Signable: Serialize + Sized {
    /// Names the kind and its version; no newline.
    const DOMAIN: &'static str;

    /// The bytes a key signs: domain, newline, canonical form. A passkey signs their SHA-256 as its challenge.
    fn to_sign(&self) -> Vec<u8> {
        let mut bytes = Self::DOMAIN.as_bytes().to_vec();
        bytes.push(b'\n');
        let form =
            canonical::to_bytes(self).expect("signed documents hold only finite numbers and text keys");
        bytes.extend_from_slice(&form);
        bytes
    }

    /// SHA-256 of [`Self::to_sign`]: what other documents name this one by.
    fn digest(&self) -> Digest {
        Digest::of(&self.to_sign())
    }
}

/// Why bytes are not the canonical form of a document.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{bytes} bytes, more than the {most} such a document may have")]
    TooLarge { bytes: usize, most: usize },
    #[error("not such a document")]
    Malformed(#[source] serde_json::Error),
    #[error("not in canonical form (RFC 8785)")]
    NotCanonical,
}

/// Reads a document of at most `most` bytes that is in canonical form: no unknown or doubled field, one order, one way
/// to write each value. Depth is bounded by the JSON parser (128).
pub fn read_canonical<T: Serialize + DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T, ReadError> {
    let value = read(bytes, most)?;
    match canonical::to_bytes(&value) {
        Ok(form) if form == bytes => Ok(value),
        _ => Err(ReadError::NotCanonical),
    }
}

/// Reads a document of at most `most` bytes that need not be in canonical form: what people and browsers send.
pub fn read<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T, ReadError> {
    if bytes.len() > most {
        return Err(ReadError::TooLarge { bytes: bytes.len(), most });
    }
    serde_json::from_slice(bytes).map_err(ReadError::Malformed)
}

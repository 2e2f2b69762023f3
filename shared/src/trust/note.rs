//! Signed notes (C2SP `signed-note`): text with signature lines, readable by people and by the tools of transparency
//! logs.
//!
//! A note that has been read is not believed: the text counts only for keys whose signature has been verified.

mod verifier;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;

pub use verifier::{Algorithm, VerifierKey, VerifierKeyError};

use super::ed25519::Signature;

pub const MAX_NOTE_BYTES: usize = 64 * 1024;
pub const MAX_NOTE_SIGNATURES: usize = 100;
const MAX_KEY_NAME: usize = 256;

/// Whose signature: not empty, without spaces, control characters and `+`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyName(String);

impl KeyName {
    pub fn new(name: impl Into<String>) -> Result<Self, NoteError> {
        let name = name.into();
        let good = (1..=MAX_KEY_NAME).contains(&name.len())
            && !name.chars().any(|c| c == '+' || c.is_whitespace() || c.is_control());
        if good { Ok(Self(name)) } else { Err(NoteError::KeyName) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A note; `Display` prints it as it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    pub signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteSignature {
    pub name: KeyName,
    /// With the name, what says which key it is; no cryptographic strength of its own.
    pub id: [u8; 4],
    pub signature: Vec<u8>,
}

/// Why bytes are not a note, or a note is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("the note is {0} bytes, more than {MAX_NOTE_BYTES}")]
    TooLarge(usize),
    #[error("the note is not plain UTF-8 text")]
    NotText,
    #[error("the note has no blank line with signatures after it, or does not end with a newline")]
    NoSignatures,
    #[error("the note has more than {MAX_NOTE_SIGNATURES} signatures")]
    TooManySignatures,
    #[error("signature line {0} of the note is malformed")]
    SignatureLine(usize),
    #[error("a key name must not be empty, hold spaces or `+`, or be longer than {MAX_KEY_NAME} bytes")]
    KeyName,
    #[error("the note is not signed by this key")]
    NotSigned,
    #[error("the signature of this key does not hold")]
    Signature,
}

impl Note {
    /// A note without signatures yet. The text is not empty, ends with a newline and holds no other control character.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        let good = text.len() > 1 && text.ends_with('\n') && !text.bytes().any(|b| b < 0x20 && b != b'\n');
        if good { Ok(Self { text, signatures: Vec::new() }) } else { Err(NoteError::NotText) }
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge(bytes.len()));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        let end = all.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let lines = all[end + 2..].strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let mut note = Self::new(&all[..=end])?;
        for (place, line) in lines.split('\n').enumerate() {
            if place == MAX_NOTE_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            note.signatures.push(NoteSignature::parse(line).ok_or(NoteError::SignatureLine(place + 1))?);
        }
        Ok(note)
    }

    /// Includes the final newline. Not to be believed before a signature has been verified.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds the signature of a plain Ed25519 key.
    #[must_use]
    pub fn signed_by(mut self, name: KeyName, key: &SigningKey) -> Self {
        let signature = Signature::sign(key, self.text.as_bytes()).as_bytes().to_vec();
        let id = VerifierKey::of(name.clone(), Algorithm::Ed25519, key).id();
        self.signatures.push(NoteSignature { name, id, signature });
        self
    }

    /// Verifies the signature of a plain Ed25519 key over the text. Lines by other keys are ignored.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(NoteError::NotSigned);
        }
        let by = self.by(key).ok_or(NoteError::NotSigned)?;
        let signature = by.signature.as_slice().try_into().map_err(|_| NoteError::Signature)?;
        let signature = Signature::from_bytes(signature);
        if key.key().verify(self.text.as_bytes(), &signature) { Ok(()) } else { Err(NoteError::Signature) }
    }

    /// The line that claims to be by this key.
    pub(super) fn by(&self, key: &VerifierKey) -> Option<&NoteSignature> {
        let id = key.id();
        self.signatures.iter().find(|line| line.id == id && line.name == *key.name())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl NoteSignature {
    /// Reads a line without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (id, signature) = decoded.split_first_chunk::<4>()?;
        let name = KeyName::new(name).ok()?;
        (!signature.is_empty()).then(|| Self { name, id: *id, signature: signature.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([self.id.as_slice(), &self.signature].concat());
        write!(f, "\u{2014} {} {encoded}", self.name)
    }
}

#[cfg(test)]
mod tests;

//! The keys that notes are verified with, and their text form: `name+id+base64(algorithm ‖ key)`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

use super::KeyName;
use crate::trust::ed25519::PublicKey;

/// The signature type, as C2SP numbers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// Over the note's text.
    Ed25519,
    /// Over the text and a time: what witnesses give (`tlog-cosignature`, version 1).
    Cosignature,
}

impl Algorithm {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A named public key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VerifierKey {
    name: KeyName,
    algorithm: Algorithm,
    key: PublicKey,
}

impl VerifierKey {
    pub fn new(name: KeyName, algorithm: Algorithm, key: PublicKey) -> Self {
        Self { name, algorithm, key }
    }

    pub fn of(name: KeyName, algorithm: Algorithm, key: &SigningKey) -> Self {
        Self::new(name, algorithm, PublicKey::of(key))
    }

    pub fn name(&self) -> &KeyName {
        &self.name
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The first four bytes of SHA-256(name, newline, algorithm, key).
    pub fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_str());
        hasher.update([b'\n', self.algorithm.byte()]);
        hasher.update(self.key.as_bytes());
        let hash: [u8; 32] = hasher.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

/// Why a text is not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier key: expected `name+id+base64` with an Ed25519 key whose id matches")]
pub struct VerifierKeyError;

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError);
        };
        let decoded = STANDARD.decode(encoded).map_err(|_| VerifierKeyError)?;
        let (algorithm, key) = match decoded.split_first() {
            Some((1, key)) => (Algorithm::Ed25519, key),
            Some((4, key)) => (Algorithm::Cosignature, key),
            _ => return Err(VerifierKeyError),
        };
        let name = KeyName::new(name).map_err(|_| VerifierKeyError)?;
        let key = PublicKey::try_from(key).map_err(|_| VerifierKeyError)?;
        let read = Self { name, algorithm, key };
        if hex::encode(read.id()) == id { Ok(read) } else { Err(VerifierKeyError) }
    }
}

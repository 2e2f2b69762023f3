//! The keys a person signs with: an Ed25519 key in a file of the command line, or a passkey.
//!
//! Whoever verifies names the message; a key only says whether it agreed to exactly these bytes.

use super::ed25519::{PublicKey, Signature};
use super::passkey::{Assertion, AssertionError, Passkey};
use super::signable::Signable;
use crate::digest::Digest;

/// Names a key: the digest of its canonical form, of every field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Digest);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for KeyId {
    type Err = crate::digest::DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A key of a person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PersonKey {
    /// In a sealed file of the command line; see `trust::owner_key`.
    Cli {
        public_key: PublicKey,
    },
    Passkey(Passkey),
}

impl Signable for PersonKey {
    const DOMAIN: &'static str = "nexusmon/person-key/v1";
}

/// How a key shows that it agreed to a message.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    Ed25519 { signature: Signature },
    Passkey(Assertion),
}

/// A proof and the key it claims to be by.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySignature {
    pub key: KeyId,
    pub proof: Proof,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum ProofError {
    #[error("the proof is of another kind than the key")]
    OtherKind,
    #[error("the signature is not this key's over this document")]
    Signature,
    #[error("the passkey's answer does not hold: {0}")]
    Passkey(AssertionError),
}

impl PersonKey {
    pub fn id(&self) -> KeyId {
        KeyId(self.digest())
    }

    /// The public key alone, whatever surrounds it: two entries with the same one are one key.
    pub fn public_bytes(&self) -> &[u8] {
        match self {
            Self::Cli { public_key } => public_key.as_bytes(),
            Self::Passkey(passkey) => passkey.public_key.as_bytes(),
        }
    }

    /// Whether this key agreed to `message`. A passkey's challenge is the SHA-256 of it.
    pub fn verify(&self, message: &[u8], proof: &Proof) -> Result<(), ProofError> {
        match (self, proof) {
            (Self::Cli { public_key }, Proof::Ed25519 { signature }) => {
                if public_key.verify(message, signature) { Ok(()) } else { Err(ProofError::Signature) }
            }
            (Self::Passkey(passkey), Proof::Passkey(assertion)) => {
                passkey.verify(&Digest::of(message), assertion).map(|_| ()).map_err(ProofError::Passkey)
            }
            _ => Err(ProofError::OtherKind),
        }
    }
}

//! The one way a log may begin again: a record, signed by the owner, that says from where a backup was restored.
//!
//! An agent verifies it, keeps its old checkpoint as evidence and takes the new epoch's log as its own.

use ed25519_dalek::SigningKey;

use super::Checkpoint;
use crate::digest::Digest;
use crate::id::OrganismId;
use crate::trust::ed25519::{PublicKey, Signature};
use crate::trust::key::{KeySignature, PersonKey, Proof, ProofError};
use crate::trust::roster::{Role, Roster};
use crate::trust::signable::{self, ReadError, Signable};

/// Of one signed record as JSON.
pub const MAX_RESTORE_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRecord {
    pub organism: OrganismId,
    pub old_epoch: u32,
    pub new_epoch: u32,
    /// Entries of the log as it came from the backup.
    pub size: u64,
    pub root: Digest,
}

impl Signable for RestoreRecord {
    const DOMAIN: &'static str = "nexusmon/restore/v1";
}

impl RestoreRecord {
    /// Signs with a key in a file.
    pub fn sign(self, key: &SigningKey) -> SignedRestore {
        let proof = Proof::Ed25519 { signature: Signature::sign(key, &self.to_sign()) };
        let key = PersonKey::Cli { public_key: PublicKey::of(key) }.id();
        SignedRestore { record: self, signature: KeySignature { key, proof } }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRestore {
    pub record: RestoreRecord,
    pub signature: KeySignature,
}

/// A restore there was, and the owner's signature over it once there is one.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Restore {
    pub record: RestoreRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<KeySignature>,
}

impl Restore {
    pub fn signed(&self) -> Option<SignedRestore> {
        let signature = self.signature.clone()?;
        Some(SignedRestore { record: self.record, signature })
    }
}

/// Why a restore is not believed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the restore record cannot be read")]
    Unreadable(#[from] ReadError),
    #[error("the restore record is of another organism")]
    OtherOrganism,
    #[error("the restore record goes from epoch {old} to {new}, which leads nowhere from {current}")]
    Epoch { current: u32, old: u32, new: u32 },
    #[error("the restore record is not signed by the owner")]
    NotTheOwner,
    #[error("the signature of the restore record does not hold")]
    NotSigned(#[source] ProofError),
}

impl SignedRestore {
    pub fn read(bytes: &[u8]) -> Result<Self, RestoreError> {
        Ok(signable::read_canonical(bytes, MAX_RESTORE_BYTES)?)
    }

    /// The checkpoint that the log of the new epoch begins with. A backup that was restored twice leads past the epoch
    /// that the first time began.
    pub fn verify(&self, roster: &Roster, current_epoch: u32) -> Result<Checkpoint, RestoreError> {
        let RestoreRecord { organism, old_epoch, new_epoch, size, root } = self.record;
        if organism != roster.organism {
            return Err(RestoreError::OtherOrganism);
        }
        if old_epoch > current_epoch || new_epoch <= current_epoch {
            return Err(RestoreError::Epoch { current: current_epoch, old: old_epoch, new: new_epoch });
        }
        let holder = roster.holder(&self.signature.key).filter(|holder| holder.person.role == Role::Owner);
        let holder = holder.ok_or(RestoreError::NotTheOwner)?;
        holder.key.verify(&self.record.to_sign(), &self.signature.proof).map_err(RestoreError::NotSigned)?;
        Ok(Checkpoint { origin: super::origin(organism, new_epoch), size, root })
    }
}

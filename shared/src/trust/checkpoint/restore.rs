//! The one way a log may begin again: a record, signed by the owner, that says from where a backup was restored.
//!
//! An agent verifies it, keeps its old checkpoint as evidence and takes the new epoch's log as its own.

use super::Checkpoint;
use crate::digest::Digest;
use crate::id::OrganismId;
use crate::trust::key::{KeySignature, ProofError};
use crate::trust::roster::{Role, Roster};
use crate::trust::signable::{self, ReadError, Signable};

const MAX_RESTORE_BYTES: usize = 16 * 1024;

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

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRestore {
    pub record: RestoreRecord,
    pub signature: KeySignature,
}

/// Why a restore is not believed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the restore record cannot be read")]
    Unreadable(#[from] ReadError),
    #[error("the restore record is of another organism")]
    OtherOrganism,
    #[error("the restore record must raise the epoch from {current}, and goes from {old} to {new}")]
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

    /// The checkpoint that the log of the new epoch begins with.
    pub fn verify(&self, roster: &Roster, current_epoch: u32) -> Result<Checkpoint, RestoreError> {
        let RestoreRecord { organism, old_epoch, new_epoch, size, root } = self.record;
        if organism != roster.organism {
            return Err(RestoreError::OtherOrganism);
        }
        if old_epoch != current_epoch || new_epoch <= old_epoch {
            return Err(RestoreError::Epoch { current: current_epoch, old: old_epoch, new: new_epoch });
        }
        let holder = roster.holder(&self.signature.key).filter(|holder| holder.person.role == Role::Owner);
        let holder = holder.ok_or(RestoreError::NotTheOwner)?;
        holder.key.verify(&self.record.to_sign(), &self.signature.proof).map_err(RestoreError::NotSigned)?;
        Ok(Checkpoint { origin: super::origin(organism, new_epoch), size, root })
    }
}

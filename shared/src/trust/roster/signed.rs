//! A roster with its signatures, and whether an agent takes it: as its first, or after the one it has.

use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::{InvalidRoster, MAX_ROSTER_BYTES, RECOVERY_DELAY, Roster};
use crate::id::OrganismId;
use crate::trust::ed25519::{PublicKey, Signature};
use crate::trust::key::{KeyId, KeySignature, PersonKey, Proof, ProofError};
use crate::trust::signable::{self, ReadError, Signable as _};

/// The old owner's, the new owner's, the recovery key's, one spare.
const MAX_SIGNATURES: usize = 4;

/// A roster as it is stored and sent. Reading one verifies nothing but its form.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRoster {
    pub roster: Roster,
    pub signatures: Vec<RosterSignature>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum RosterSignature {
    Person {
        key: KeyId,
        proof: Proof,
    },
    /// By the predecessor's recovery key.
    Recovery {
        signature: Signature,
    },
}

impl From<KeySignature> for RosterSignature {
    fn from(signature: KeySignature) -> Self {
        let KeySignature { key, proof } = signature;
        Self::Person { key, proof }
    }
}

/// When a verified roster decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InForce {
    AtOnce,
    /// So long after the agent has alerted; until then the one before decides, and a successor of it that its owner
    /// signed takes this one's place.
    After(Duration),
}

/// Why a roster is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    #[error("the roster cannot be read")]
    Unreadable(#[from] ReadError),
    #[error("the roster is not valid")]
    Invalid(#[from] InvalidRoster),
    #[error("the roster carries {0} signatures, more than {MAX_SIGNATURES}")]
    TooManySignatures(usize),
    #[error("the roster is of another organism")]
    OtherOrganism,
    #[error("the roster is number {offered}; number {wanted} comes next")]
    Number { wanted: u64, offered: u64 },
    #[error("the roster names another predecessor than the one this agent has")]
    Predecessor,
    #[error("the roster is not signed by the owner it names")]
    NotByItsOwner(#[source] Option<ProofError>),
    #[error("the roster is not signed by the pinned owner key")]
    NotPinned,
    #[error("the roster is not signed by the owner of the one before, nor by its recovery key")]
    NotByPredecessor(#[source] Option<ProofError>),
    #[error("a roster signed by the recovery key must replace that key: it signs once")]
    RecoveryKept,
}

impl SignedRoster {
    pub fn new(roster: Roster) -> Self {
        Self { roster, signatures: Vec::new() }
    }

    /// Adds the signature of a key in a file. A passkey's is pushed as the browser gave it, over [`Roster::to_sign`].
    ///
    /// [`Roster::to_sign`]: crate::trust::signable::Signable::to_sign
    #[must_use]
    pub fn signed_by(mut self, key: &SigningKey) -> Self {
        let signature = Signature::sign(key, &self.roster.to_sign());
        let id = PersonKey::Cli { public_key: PublicKey::of(key) }.id();
        self.signatures.push(RosterSignature::Person { key: id, proof: Proof::Ed25519 { signature } });
        self
    }

    /// Adds the signature of the predecessor's recovery key.
    #[must_use]
    pub fn recovered_by(mut self, key: &SigningKey) -> Self {
        let signature = Signature::sign(key, &self.roster.to_sign());
        self.signatures.push(RosterSignature::Recovery { signature });
        self
    }

    /// Reads canonical JSON of at most [`MAX_ROSTER_BYTES`].
    pub fn read(bytes: &[u8]) -> Result<Self, RosterError> {
        Ok(signable::read_canonical(bytes, MAX_ROSTER_BYTES)?)
    }

    /// Whether an agent that pinned this owner key when it joined takes the roster as its first. It may have any
    /// number: agents join late.
    pub fn verify_first(&self, organism: OrganismId, pinned: KeyId) -> Result<&Roster, RosterError> {
        let by = self.check(organism)?;
        if by.contains(&pinned) { Ok(&self.roster) } else { Err(RosterError::NotPinned) }
    }

    /// Whether the roster follows `current`, and when it comes into force.
    pub fn verify_successor(&self, current: &Roster) -> Result<InForce, RosterError> {
        let roster = &self.roster;
        if roster.organism != current.organism {
            return Err(RosterError::OtherOrganism);
        }
        let wanted = current.number.saturating_add(1);
        if roster.number != wanted {
            return Err(RosterError::Number { wanted, offered: roster.number });
        }
        if roster.predecessor != Some(current.digest()) {
            return Err(RosterError::Predecessor);
        }
        self.check(current.organism)?;
        let mut fault = None;
        if !self.owner_keys_in(current, &mut fault).is_empty() {
            return Ok(InForce::AtOnce);
        }
        if !self.is_recovered(current) {
            return Err(RosterError::NotByPredecessor(fault));
        }
        if roster.recovery == current.recovery {
            return Err(RosterError::RecoveryKept);
        }
        Ok(InForce::After(RECOVERY_DELAY))
    }

    /// What holds for every roster: valid, and signed by a key of the owner it names, so that nobody is locked out by a
    /// key that nobody has. Gives those keys.
    fn check(&self, organism: OrganismId) -> Result<Vec<KeyId>, RosterError> {
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(RosterError::TooManySignatures(self.signatures.len()));
        }
        if self.roster.organism != organism {
            return Err(RosterError::OtherOrganism);
        }
        self.roster.validate()?;
        let mut fault = None;
        let by = self.owner_keys_in(&self.roster, &mut fault);
        if by.is_empty() { Err(RosterError::NotByItsOwner(fault)) } else { Ok(by) }
    }

    /// The keys of `roster`'s owner that signed this one.
    fn owner_keys_in(&self, roster: &Roster, fault: &mut Option<ProofError>) -> Vec<KeyId> {
        let Some((_, owner)) = roster.owner() else { return Vec::new() };
        let message = self.roster.to_sign();
        let mut keys = Vec::new();
        for signature in &self.signatures {
            let RosterSignature::Person { key: claimed, proof } = signature else { continue };
            let Some(key) = owner.keys.iter().find(|key| key.id() == *claimed) else { continue };
            match key.verify(&message, proof) {
                Ok(()) => keys.push(*claimed),
                Err(error) => *fault = Some(error),
            }
        }
        keys
    }

    fn is_recovered(&self, current: &Roster) -> bool {
        let Some(recovery) = current.recovery else { return false };
        let message = self.roster.to_sign();
        self.signatures.iter().any(
            |by| matches!(by, RosterSignature::Recovery { signature } if recovery.verify(&message, signature)),
        )
    }
}

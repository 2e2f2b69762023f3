//! Approvals as agents see them: statements that persons signed, and whether they are enough for a piece of work.
//!
//! Pure and complete: whoever holds a roster can decide alone, whatever the coordinator says.

mod closing;
mod enough;
mod instance;
mod proposal;
mod standing;

use ed25519_dalek::SigningKey;

pub use closing::{OpenLeafError, close, close_draft, close_line};
pub use enough::{
    Claim, Counted, Evidence, Fault, MAX_DECISIONS, Reason, Refusal, Signers, enough, enough_by, rounds,
    rounds_by,
};
pub use instance::{Inexact, Instance};
pub use proposal::{Act, MAX_PROPOSAL_BYTES, Proposal};
pub use standing::{InvalidStanding, MAX_STANDING_BYTES, NearMiss, StandingApproval, Use, is_closed, shape};

use super::base64_text;
use super::ed25519::{PublicKey, Signature};
use super::key::{KeyId, PersonKey, Proof};
use super::signable::{self, ReadError, Signable};
use crate::digest::Digest;
use crate::id::{MissionId, OrganismId};
use crate::time::Timestamp;

/// Of one signed decision as JSON.
pub const MAX_DECISION_BYTES: usize = 16 * 1024;

/// What an approval is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// The plan digest.
    MissionPlan,
    /// A leaf with its run-time values.
    TaskInstance,
    /// A new ceiling for a plan.
    Budget,
    PolicyChange,
    /// A standing approval itself.
    StandingApproval,
    TraitGrant,
    RosterChange,
    /// Letting work go on after a halt.
    HaltRelease,
    /// More than `strict` for a plugin.
    PluginGrant,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    Reject,
}

/// Makes every signature another one; 128 bits of the signer's randomness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn random(rng: &mut impl rand::CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&base64_text::encode(&self.0))
    }
}

impl serde::Serialize for Nonce {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64_text::serialize(&self.0, serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = base64_text::deserialize(deserializer)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("a nonce is 16 bytes"))
    }
}

/// What a person signs. The digest names everything else; nothing that is not in here is approved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    pub organism: OrganismId,
    pub subject: SubjectKind,
    pub digest: Digest,
    /// Absent where the subject belongs to no mission.
    pub mission: Option<MissionId>,
    pub verdict: Verdict,
    /// Counts until then; see [`SubjectKind::longest_validity`].
    pub valid_until: Timestamp,
    pub nonce: Nonce,
}

impl Signable for Statement {
    const DOMAIN: &'static str = "nexusmon/approval/v1";
}

impl Statement {
    /// Signs with a key in a file. A passkey signs [`Signable::digest`] as its challenge.
    pub fn sign(self, key: &SigningKey) -> SignedDecision {
        let proof = Proof::Ed25519 { signature: Signature::sign(key, &self.to_sign()) };
        let key = PersonKey::Cli { public_key: PublicKey::of(key) }.id();
        SignedDecision { statement: self, key, proof }
    }
}

/// A statement with its signature. Reading one verifies nothing; see [`enough`].
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedDecision {
    pub statement: Statement,
    pub key: KeyId,
    pub proof: Proof,
}

impl SignedDecision {
    /// Reads JSON of at most [`MAX_DECISION_BYTES`]. The signature covers the canonical form, whatever was sent.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        signable::read(bytes, MAX_DECISION_BYTES)
    }
}

#[cfg(test)]
mod tests;

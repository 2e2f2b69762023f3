//! Where an artifact came from: an in-toto statement (version 1) with SLSA provenance (version 1) in a DSSE envelope,
//! signed by the identity key of the agent that ran the task, outside the task's sandbox.
//!
//! Offline: an envelope, the artifact's digest and a roster are all it takes to verify.

mod statement;

use ed25519_dalek::SigningKey;

use super::approval::{Nonce, SubjectKind};
use super::canonical;
use super::dsse::{Envelope, EnvelopeError};
use super::ed25519::PublicKey;
use super::key::KeyId;
use crate::attempt::AttemptRef;
use crate::capability::Capability;
use crate::digest::Digest;
use crate::id::{AgentId, MissionId, OrganismId, PrincipalId};
use crate::name::Name;
use crate::rank::Rank;
use crate::sandbox::{Level, Profile};
use crate::time::Timestamp;

/// The media type of in-toto statements in JSON.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Artifacts of one attempt; inputs; approvals.
pub const MAX_LIST: usize = 1_000;

/// What is said about the artifacts of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provenance {
    pub organism: OrganismId,
    /// Who says it; only its own identity key can.
    pub agent: AgentId,
    pub mission: MissionId,
    pub plan_digest: Digest,
    /// The task's id in the plan.
    pub task: Name,
    pub attempt: AttemptRef,
    /// Of a `for_each` child.
    pub item_index: Option<u32>,
    pub capability: Capability,
    pub plugin_version: String,
    pub rank: Rank,
    pub profile: Profile,
    /// What really surrounded the process.
    pub level: Level,
    /// SHA-256 of the evaluated parameters in canonical form.
    pub parameters: Digest,
    pub inputs: Vec<Material>,
    pub approvals: Vec<ApprovalUsed>,
    pub artifacts: Vec<Material>,
    /// The whole log; absent where nothing was written.
    pub log: Option<Digest>,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
}

/// Bytes under a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Material {
    pub name: String,
    pub digest: Digest,
}

/// An approval that let the work run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct ApprovalUsed {
    pub subject: SubjectKind,
    pub digest: Digest,
    pub person: PrincipalId,
    pub key: KeyId,
    pub nonce: Nonce,
}

/// Why an artifact's provenance is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the envelope does not hold the provenance of a task")]
    Statement(#[source] serde_json::Error),
    #[error("the provenance is of a kind this version does not know: {0}")]
    OtherKind(&'static str),
    #[error("the provenance says `{0}` where something else is needed")]
    Value(&'static str),
    #[error("{0} is not in the roster")]
    UnknownAgent(AgentId),
    #[error("the provenance is of other artifacts; none has the digest {0}")]
    OtherArtifact(Digest),
}

impl Provenance {
    /// Signs with the agent's identity key. `None` where a list is longer than [`MAX_LIST`].
    pub fn sign(&self, identity: &SigningKey) -> Option<Envelope> {
        let lists = [self.artifacts.len(), self.inputs.len(), self.approvals.len()];
        if lists.iter().any(|length| *length > MAX_LIST) {
            return None;
        }
        let payload = canonical::to_bytes(&statement::write(self)).expect("text and small numbers only");
        Some(Envelope::sign(PAYLOAD_TYPE, payload, identity))
    }

    /// Verifies an envelope by the identity key of the agent that it names; `identity` looks that up in a roster.
    pub fn open(
        envelope: &Envelope,
        identity: impl FnOnce(AgentId) -> Option<PublicKey>,
    ) -> Result<Self, ProvenanceError> {
        let claimed = statement::read(envelope.unverified_payload())?;
        let key = identity(claimed.agent).ok_or(ProvenanceError::UnknownAgent(claimed.agent))?;
        envelope.verify(PAYLOAD_TYPE, &key)?;
        Ok(claimed)
    }

    /// Whether the artifact with this digest is among what was produced.
    pub fn produced(&self, digest: &Digest) -> Result<&Material, ProvenanceError> {
        let found = self.artifacts.iter().find(|artifact| artifact.digest == *digest);
        found.ok_or(ProvenanceError::OtherArtifact(*digest))
    }
}

#[cfg(test)]
mod tests;

//! Becoming and remaining an agent: join, challenge, renewal.

use bytes::Bytes;

use super::ProtocolRange;
use crate::id::{AgentId, InviteId, OrganismId};
use crate::name::Name;
use crate::rank::Rank;
use crate::selector::Labels;

/// What a machine says about itself. Shown to people, matched by nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    pub hostname: String,
    pub os: String,
    pub arch: String,
    /// Version of the agent.
    pub build: String,
    pub cpus: u32,
    pub memory_bytes: u64,
}

/// Redeems an invite; see `trust::enrollment` for what the MAC covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinRequest {
    pub protocol: ProtocolRange,
    pub invite: InviteId,
    /// PKCS#10, DER.
    pub csr: Bytes,
    /// Ed25519.
    pub identity_key: [u8; 32],
    /// X25519.
    pub sealing_key: [u8; 32],
    pub sealing_key_signature: [u8; 64],
    pub facts: Facts,
    pub mac: [u8; 32],
}

/// What the new agent keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinResponse {
    pub agent: AgentId,
    pub name: Name,
    pub organism: OrganismId,
    pub certificate: CertificateIssued,
    pub labels: Labels,
    /// The most this agent will be offered.
    pub max_rank: Rank,
    /// All zero until the roster exists.
    pub owner_key: [u8; 32],
    /// The audit log's verifier key and its newest head, to be pinned; empty where there is none.
    pub log_key: String,
    pub checkpoint: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateIssued {
    /// DER, leaf first, the organism's authority last.
    pub chain: Vec<Bytes>,
    /// To be sent in the next renewal.
    pub join_counter: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChallengeRequest {
    pub agent: AgentId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChallengeResponse {
    pub challenge: [u8; 32],
}

/// A renewal without a live certificate, signed by the identity key; see `trust::enrollment`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenewRequest {
    pub agent: AgentId,
    pub challenge: [u8; 32],
    pub csr: Bytes,
    pub join_counter: u64,
    pub signature: [u8; 64],
}

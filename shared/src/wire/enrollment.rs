//! Join, challenge and renewal.

use super::field::{self, Read, WireError};
use super::proto;
use crate::id::{AgentId, InviteId, OrganismId};
use crate::message::{
    AuthorityNotice, CertificateIssued, ChallengeRequest, ChallengeResponse, JoinRequest, JoinResponse,
    MAX_AUTHORITIES, MAX_AUTHORITY_BYTES, RenewRequest,
};

pub(super) const MAX_CSR_BYTES: usize = 8 * 1024;
const MAX_CHAIN: usize = 8;
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

pub(super) fn authorities(told: proto::Authorities) -> Read<Vec<AuthorityNotice>> {
    field::bounded("authorities.in_force", told.in_force.len(), MAX_AUTHORITIES)?;
    let one = |proto::Authority { certificate, vouched }| {
        Ok(AuthorityNotice {
            certificate: field::blob("authorities.certificate", certificate, MAX_AUTHORITY_BYTES)?,
            vouched: field::blob("authorities.vouched", vouched, MAX_AUTHORITY_BYTES)?,
        })
    };
    told.in_force.into_iter().map(one).collect()
}

pub(super) fn authorities_of(told: Vec<AuthorityNotice>) -> proto::Authorities {
    let one = |AuthorityNotice { certificate, vouched }| proto::Authority { certificate, vouched };
    proto::Authorities { in_force: told.into_iter().map(one).collect() }
}

impl TryFrom<proto::JoinRequest> for JoinRequest {
    type Error = WireError;

    fn try_from(request: proto::JoinRequest) -> Read<Self> {
        let proto::JoinRequest {
            protocol,
            invite_id,
            csr,
            identity_key,
            sealing_key,
            sealing_key_signature,
            facts,
            mac,
        } = request;
        Ok(Self {
            protocol: field::required("protocol", protocol)?,
            invite: InviteId::from_bits(field::id_bits("invite_id", &invite_id)?),
            csr: field::blob("csr", csr, MAX_CSR_BYTES)?,
            identity_key: field::array("identity_key", &identity_key)?,
            sealing_key: field::array("sealing_key", &sealing_key)?,
            sealing_key_signature: field::array("sealing_key_signature", &sealing_key_signature)?,
            facts: field::required("facts", facts)?,
            mac: field::array("mac", &mac)?,
        })
    }
}

impl From<JoinRequest> for proto::JoinRequest {
    fn from(request: JoinRequest) -> Self {
        let JoinRequest {
            protocol,
            invite,
            csr,
            identity_key,
            sealing_key,
            sealing_key_signature,
            facts,
            mac,
        } = request;
        Self {
            protocol: Some(protocol.into()),
            invite_id: field::id_bytes(invite.to_bits()),
            csr,
            identity_key: identity_key.to_vec().into(),
            sealing_key: sealing_key.to_vec().into(),
            sealing_key_signature: sealing_key_signature.to_vec().into(),
            facts: Some(facts.into()),
            mac: mac.to_vec().into(),
        }
    }
}

impl TryFrom<proto::JoinResponse> for JoinResponse {
    type Error = WireError;

    fn try_from(response: proto::JoinResponse) -> Read<Self> {
        let proto::JoinResponse {
            agent_id,
            name,
            organism_id,
            certificate,
            labels,
            max_rank,
            owner_key,
            log_key,
            checkpoint,
        } = response;
        Ok(Self {
            agent: AgentId::from_bits(field::id_bits("agent_id", &agent_id)?),
            name: field::parse("name", &name)?,
            organism: OrganismId::from_bits(field::id_bits("organism_id", &organism_id)?),
            certificate: field::required("certificate", certificate)?,
            labels: field::labels("labels", labels)?,
            max_rank: field::parse("max_rank", &max_rank)?,
            // Absent and zero both mean that there is none yet.
            owner_key: if owner_key.is_empty() { [0; 32] } else { field::array("owner_key", &owner_key)? },
            log_key,
            checkpoint,
        })
    }
}

impl From<JoinResponse> for proto::JoinResponse {
    fn from(response: JoinResponse) -> Self {
        let JoinResponse {
            agent,
            name,
            organism,
            certificate,
            labels,
            max_rank,
            owner_key,
            log_key,
            checkpoint,
        } = response;
        Self {
            agent_id: field::id_bytes(agent.to_bits()),
            name: name.to_string(),
            organism_id: field::id_bytes(organism.to_bits()),
            certificate: Some(certificate.into()),
            labels: labels.into_iter().collect(),
            max_rank: max_rank.letter().to_owned(),
            owner_key: owner_key.to_vec().into(),
            log_key,
            checkpoint,
        }
    }
}

impl TryFrom<proto::CertificateIssued> for CertificateIssued {
    type Error = WireError;

    fn try_from(issued: proto::CertificateIssued) -> Read<Self> {
        let proto::CertificateIssued { chain, join_counter } = issued;
        if chain.len() < 2 {
            return Err(WireError::invalid("chain", "expected a leaf and its authority"));
        }
        field::bounded("chain", chain.len(), MAX_CHAIN)?;
        for certificate in &chain {
            field::bounded("chain", certificate.len(), MAX_CERTIFICATE_BYTES)?;
        }
        Ok(Self { chain, join_counter })
    }
}

impl From<CertificateIssued> for proto::CertificateIssued {
    fn from(CertificateIssued { chain, join_counter }: CertificateIssued) -> Self {
        Self { chain, join_counter }
    }
}

impl TryFrom<proto::ChallengeRequest> for ChallengeRequest {
    type Error = WireError;

    fn try_from(request: proto::ChallengeRequest) -> Read<Self> {
        let proto::ChallengeRequest { agent_id } = request;
        Ok(Self { agent: AgentId::from_bits(field::id_bits("agent_id", &agent_id)?) })
    }
}

impl From<ChallengeRequest> for proto::ChallengeRequest {
    fn from(ChallengeRequest { agent }: ChallengeRequest) -> Self {
        Self { agent_id: field::id_bytes(agent.to_bits()) }
    }
}

impl TryFrom<proto::ChallengeResponse> for ChallengeResponse {
    type Error = WireError;

    fn try_from(response: proto::ChallengeResponse) -> Read<Self> {
        let proto::ChallengeResponse { challenge } = response;
        Ok(Self { challenge: field::array("challenge", &challenge)? })
    }
}

impl From<ChallengeResponse> for proto::ChallengeResponse {
    fn from(ChallengeResponse { challenge }: ChallengeResponse) -> Self {
        Self { challenge: challenge.to_vec().into() }
    }
}

impl TryFrom<proto::RenewRequest> for RenewRequest {
    type Error = WireError;

    fn try_from(request: proto::RenewRequest) -> Read<Self> {
        let proto::RenewRequest { agent_id, challenge, csr, join_counter, signature } = request;
        Ok(Self {
            agent: AgentId::from_bits(field::id_bits("agent_id", &agent_id)?),
            challenge: field::array("challenge", &challenge)?,
            csr: field::blob("csr", csr, MAX_CSR_BYTES)?,
            join_counter,
            signature: field::array("signature", &signature)?,
        })
    }
}

impl From<RenewRequest> for proto::RenewRequest {
    fn from(request: RenewRequest) -> Self {
        let RenewRequest { agent, challenge, csr, join_counter, signature } = request;
        Self {
            agent_id: field::id_bytes(agent.to_bits()),
            challenge: challenge.to_vec().into(),
            csr,
            join_counter,
            signature: signature.to_vec().into(),
        }
    }
}

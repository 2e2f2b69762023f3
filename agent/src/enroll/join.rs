//! Redeeming a join token.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::message::{CheckpointNotice, Facts, JoinRequest, JoinResponse, ProtocolRange};
use nexusmon_shared::pki::{IdentityKey, SealingKey, TlsKey, spki_digest};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::SharedClock;
use nexusmon_shared::tls::{Connector, Trust};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::enrollment::JoinProof;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::phrase::Phrase;
use nexusmon_shared::wire::proto::enrollment_client::EnrollmentClient;
use tonic::Code;

use super::home::{Credential, Fresh, check_issued};
use super::{EnrollError, Home, Membership};

/// What joining came to.
#[derive(Debug, Clone)]
pub struct Joined {
    pub membership: Membership,
    /// The newest head of the audit log, to be kept from now on.
    pub checkpoint: Option<CheckpointNotice>,
}

/// Makes this machine an agent of the organism the token names. `labels` are added to those of the invite.
///
/// The data folder is checked before the token is spent, and written last.
pub async fn join(
    token: &JoinToken,
    data_dir: &Path,
    labels: Labels,
    facts: Facts,
    clock: SharedClock,
    rng: &mut (impl rand::CryptoRng + Send),
) -> Result<Joined, EnrollError> {
    if let Some(agent) = Home::enrolled(data_dir)? {
        return Err(EnrollError::AlreadyEnrolled { path: data_dir.to_owned(), agent });
    }
    check_writable(data_dir)?;
    let identity = IdentityKey::generate(rng);
    let sealing = SealingKey::generate(rng);
    let tls = TlsKey::generate()?;
    let csr = tls.signing_request()?;

    let trust = Trust::Pin(token.authority());
    let connector = Connector::new(token.address().clone(), trust, None, Arc::clone(&clock))?;
    let connection = connector.connect().await?;
    let (identity_key, sealing_key) = (identity.public(), sealing.public());
    let proof = JoinProof {
        csr: &csr,
        identity_key: &identity_key,
        sealing_key: &sealing_key,
        exporter: &connection.exporters.join,
    };
    let request = JoinRequest {
        protocol: ProtocolRange::OURS,
        invite: token.invite(),
        mac: proof.mac(&token.key()),
        csr: csr.clone().into(),
        identity_key,
        sealing_key,
        sealing_key_signature: identity.sign_sealing_key(&sealing),
        facts,
    };
    let response = EnrollmentClient::new(connection.channel).join(proto(request)).await.map_err(refused)?;
    let response = JoinResponse::try_from(response.into_inner())?;
    check_issued(&response.certificate, &tls, response.agent, clock.now())?;
    let authority = connection.authority;
    if spki_digest(&authority)? != token.authority() {
        return Err(EnrollError::WrongAnswer("the authority is not the one the token names"));
    }
    let words = match response.max_rank {
        rank if rank >= Rank::B => {
            // Of what this machine itself pins, whatever the coordinator says.
            let authority = token.authority();
            let owner = KeyId(Digest::from_bytes(*token.owner_key()));
            let identity = PublicKey::from_bytes(identity_key)
                .map_err(|_| EnrollError::WrongAnswer("a weak identity key was made"))?;
            let organism = response.organism;
            // Slow on purpose.
            let made =
                tokio::task::spawn_blocking(move || Phrase::of(organism, &authority, &owner, &identity));
            Some(made.await.map_err(|error| EnrollError::Unavailable(error.to_string()))?.to_string())
        }
        _ => None,
    };
    let checkpoint = (!response.checkpoint.is_empty()).then(|| CheckpointNotice {
        note: response.checkpoint,
        key: response.log_key,
        from: 0,
        proof: Vec::new(),
        cosignatures: Vec::new(),
        restores: Vec::new(),
        restore_proof: Vec::new(),
    });
    let mut all_labels = response.labels;
    all_labels.extend(labels);
    let membership = Membership {
        agent: response.agent,
        name: response.name,
        organism: response.organism,
        address: token.address().clone(),
        labels: all_labels,
        max_rank: response.max_rank,
        authority: hex::encode(&authority),
        // What the person's line says, never what the coordinator says now.
        owner_key: hex::encode(token.owner_key()),
        words,
    };
    let credential = Credential {
        chain: response.certificate.chain.iter().map(hex::encode).collect(),
        tls_key: tls.to_pem().to_string(),
        join_counter: response.certificate.join_counter,
        pending_key: None,
    };
    Fresh { membership: membership.clone(), identity, sealing, credential }.write(data_dir)?;
    Ok(Joined { membership, checkpoint })
}

fn proto(request: JoinRequest) -> nexusmon_shared::wire::proto::JoinRequest {
    request.into()
}

/// Before anything is spent: can the result be kept?
fn check_writable(data_dir: &Path) -> Result<(), EnrollError> {
    let probe = data_dir.join(".write-probe");
    let check = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
        std::fs::write(&probe, b"probe")?;
        std::fs::remove_file(&probe)
    };
    check().map_err(|error| EnrollError::io("write to", data_dir, error))
}

fn refused(status: tonic::Status) -> EnrollError {
    match status.code() {
        Code::Unauthenticated => EnrollError::InviteRefused,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::PermissionDenied => EnrollError::Refused(status.message().to_owned()),
        _ => EnrollError::Unavailable(format!("{:?}: {}", status.code(), status.message())),
    }
}

//! Becoming and remaining an agent: one-time invites, certificates, renewal by the identity key.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::{
    CertificateIssued, ChallengeRequest, ChallengeResponse, JoinRequest, JoinResponse, ProtocolRange,
    RenewRequest,
};
use nexusmon_shared::pki::{Issued, spki_digest};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::enrollment::{
    InviteKey, JoinProof, renew_message, sealing_key_message, verify_identity_signature,
};
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::phrase::Phrase;
use nexusmon_store::{AgentRow, AgentState, InviteRow, Topic, Tx};
use rand::Rng as _;
use serde_json::json;

use super::agents::check_state;
use super::unit::{After, SYSTEM, Unit};
use crate::app::App;
use crate::error::{Error, Result};

/// A challenge lives this long.
const CHALLENGE_LIFE: Duration = Duration::from_mins(1);
/// From this rank on a person compares six words before the agent is offered anything.
const COMPARED_FROM: Rank = Rank::B;
/// Challenges open at once.
const MOST_CHALLENGES: usize = 10_000;

/// Challenges given out and not used, on the boot clock.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<(AgentId, [u8; 32]), Duration>>);

impl Challenges {
    fn add(&self, agent: AgentId, challenge: [u8; 32], boot: Duration) {
        let mut open = self.0.lock().expect("no holder panics");
        if open.len() >= MOST_CHALLENGES {
            open.retain(|_, made| boot.saturating_sub(*made) < CHALLENGE_LIFE);
        }
        if open.len() < MOST_CHALLENGES {
            open.insert((agent, challenge), boot);
        }
    }

    /// Serves once.
    fn take(&self, agent: AgentId, challenge: [u8; 32], boot: Duration) -> bool {
        let made = self.0.lock().expect("no holder panics").remove(&(agent, challenge));
        made.is_some_and(|made| boot.saturating_sub(made) < CHALLENGE_LIFE)
    }
}

/// One refusal for every way an invite can be wrong: which one it was is nobody's business.
fn refused() -> Error {
    Error::Unauthenticated {
        code: "invite_refused",
        detail: "the invite is unknown, used, expired or its secret is wrong; ask for a new one".to_owned(),
    }
}

/// Redeems an invite. `exporter` is the TLS exporter of the connection (`EXPORTER-nexusmon-join`).
pub async fn join(app: &App, request: JoinRequest, exporter: [u8; 32]) -> Result<JoinResponse> {
    if ProtocolRange::OURS.common(request.protocol).is_none() {
        return Err(Error::conflict(
            "protocol",
            "coordinator and agent speak no common protocol version; upgrade",
        ));
    }
    let invite = app.store.read().await?.invite(request.invite).await?.ok_or_else(refused)?;
    let key = invite_key(app, &invite)?;
    let proof = JoinProof {
        csr: &request.csr,
        identity_key: &request.identity_key,
        sealing_key: &request.sealing_key,
        exporter: &exporter,
    };
    if !proof.verify(&key, &request.mac) {
        return Err(refused());
    }
    let message = sealing_key_message(&request.sealing_key);
    if !verify_identity_signature(&request.identity_key, &message, &request.sealing_key_signature) {
        return Err(Error::field(
            "/sealing_key_signature",
            "signature",
            "does not verify under the identity key",
        ));
    }
    let now = app.clock.now();
    let agent = app.rng.with(|rng| AgentId::new(now, rng));
    let issued = issue(app, agent, &request.csr)?;
    let unit_app = app.clone();
    let (until, key) = (issued.not_after, key_of(&issued)?);
    let words = match invite.max_rank {
        rank if rank >= COMPARED_FROM => Some(words(app, &request).await?),
        _ => None,
    };
    let request = (request, words);
    let (row, after) = app
        .store
        .write_with("enrollment.join", request, move |tx, (request, words)| {
            let app = unit_app.clone();
            Box::pin(async move { enroll(&app, tx, request, words.clone(), (agent, key), until).await })
        })
        .await?;
    after.run(app);
    super::agents::learn(app, &row);
    Ok(JoinResponse {
        agent,
        name: row.name.parse().map_err(Error::internal)?,
        organism: app.organism,
        certificate: certificate(issued, row.join_counter),
        labels: row.labels.0,
        max_rank: row.max_rank,
        owner_key: super::agents::owner_key(app),
        log_key: super::audit::log_key(app).to_string(),
        checkpoint: app
            .store
            .read()
            .await?
            .newest_checkpoint()
            .await?
            .map_or_else(String::new, |head| head.note),
    })
}

/// The words a person compares: they cover this authority, the owner key and the agent's identity.
async fn words(app: &App, request: &JoinRequest) -> Result<String> {
    let identity = PublicKey::from_bytes(request.identity_key)
        .map_err(|error| Error::field("/identity_key", "key", error.to_string()))?;
    let (organism, authority) = (app.organism, app.keyring.authorities.get().current.pin());
    let owner = KeyId(Digest::from_bytes(super::agents::owner_key(app)));
    // Slow on purpose.
    let made = tokio::task::spawn_blocking(move || Phrase::of(organism, &authority, &owner, &identity));
    Ok(made.await.map_err(Error::internal)?.to_string())
}

fn invite_key(app: &App, invite: &InviteRow) -> Result<InviteKey> {
    let wrapped = hex::decode(&invite.key_wrapped).map_err(Error::internal)?;
    let context = super::agents::key_context(app, invite.id);
    let key = app.keyring.master.unwrap(&context, &wrapped).map_err(Error::internal)?;
    let key: [u8; 32] = key.as_slice().try_into().map_err(Error::internal)?;
    Ok(InviteKey::new(key))
}

fn issue(app: &App, agent: AgentId, csr: &[u8]) -> Result<Issued> {
    app.keyring
        .authorities
        .get()
        .issuing()
        .issue_agent(csr, agent, app.clock.now())
        .map_err(|error| Error::field("/csr", "csr", error.to_string()))
}

fn certificate(issued: Issued, join_counter: u64) -> CertificateIssued {
    let chain = issued.chain.iter().map(|der| Bytes::copy_from_slice(der.as_ref())).collect();
    CertificateIssued { chain, join_counter }
}

/// The key that was asked for: a request that is made again is signed again, and only its key stays the same.
fn key_of(issued: &Issued) -> Result<Digest> {
    let leaf = issued.chain.first().ok_or_else(|| Error::internal("a certificate without a leaf"))?;
    spki_digest(leaf).map_err(Error::internal)
}

/// The setting that remembers the key of an agent's newest request, to tell a repeated one from a clone's.
fn newest_request(agent: AgentId) -> String {
    format!("certificate_request {agent}")
}

async fn enroll(
    app: &App,
    tx: &mut Tx,
    request: &JoinRequest,
    words: Option<String>,
    (agent, key): (AgentId, Digest),
    until: nexusmon_shared::time::Timestamp,
) -> Result<(AgentRow, After)> {
    let mut unit = Unit::new(app, tx);
    let now = unit.now;
    let invite =
        unit.tx.consume_invite(request.invite, agent, app.expiry_clock.now()).await?.ok_or_else(refused)?;
    if unit.tx.agent_named(&invite.name).await?.is_some() {
        return Err(Error::conflict("name_taken", format!("an agent is called `{}` already", invite.name)));
    }
    let row = AgentRow {
        id: agent,
        name: invite.name.clone(),
        state: if words.is_some() { AgentState::Pending } else { AgentState::Active },
        labels: invite.labels.clone(),
        max_rank: invite.max_rank,
        identity_key: hex::encode(request.identity_key),
        sealing_key: hex::encode(request.sealing_key),
        join_counter: 1,
        facts: serde_json::to_string(&request.facts).map_err(Error::internal)?,
        hello: None,
        invite: Some(invite.id),
        certificate_until: Some(until),
        created_at: now,
        revoked_at: None,
        version: 1,
        words,
        confirmed_at: None,
        confirmed_by: None,
    };
    unit.tx.insert_agent(&row).await?;
    unit.tx.put_setting(&newest_request(agent), &json!(key).to_string(), now).await?;
    let body = json!({"name": row.name, "invite": invite.id, "max_rank": row.max_rank, "labels": row.labels.0,
        "state": row.state.as_str(), "identity_key": row.identity_key, "certificate_until": until, "hostname": request.facts.hostname});
    unit.audit(SYSTEM, "agent.enrolled", ("agent", agent.to_string()), None, body);
    unit.tx.wake(Topic::Fleet);
    Ok((row, unit.finish().await?))
}

/// A challenge for a renewal without a live certificate.
pub async fn challenge(app: &App, request: ChallengeRequest) -> Result<ChallengeResponse> {
    let mut challenge = [0_u8; 32];
    app.rng.with(|rng| rng.fill_bytes(&mut challenge));
    // Unknown ids get one too, which nothing can answer.
    app.challenges.add(request.agent, challenge, app.clock.boot());
    Ok(ChallengeResponse { challenge })
}

/// A certificate for a signed challenge. `exporter`: `EXPORTER-nexusmon-renew`.
pub async fn renew(app: &App, request: RenewRequest, exporter: [u8; 32]) -> Result<CertificateIssued> {
    let refused = || Error::Unauthenticated {
        code: "renewal_refused",
        detail: "the challenge is over or its signature does not verify; ask for a new one".to_owned(),
    };
    if !app.challenges.take(request.agent, request.challenge, app.clock.boot()) {
        return Err(refused());
    }
    let row = app.store.read().await?.agent(request.agent).await?.ok_or_else(refused)?;
    let mut identity = [0_u8; 32];
    hex::decode_to_slice(&row.identity_key, &mut identity).map_err(Error::internal)?;
    let message = renew_message(&request.challenge, &request.csr, request.join_counter, &exporter);
    if !verify_identity_signature(&identity, &message, &request.signature) {
        return Err(refused());
    }
    check_state(&row)?;
    renewed(app, request.agent, &request.csr, Some(request.join_counter)).await
}

/// Issues, unless the counter says that somebody else has renewed this identity. Agents of before say none over a
/// session.
pub(super) async fn renewed(
    app: &App,
    agent: AgentId,
    csr: &[u8],
    counter: Option<u64>,
) -> Result<CertificateIssued> {
    let issued = issue(app, agent, csr)?;
    let (until, key) = (issued.not_after, key_of(&issued)?);
    let unit_app = app.clone();
    let (answer, after) = app
        .store
        .write("enrollment.renew", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move { count(&app, tx, agent, key, counter, until).await })
        })
        .await?;
    after.run(app);
    if let Some(counter) = answer {
        Ok(certificate(issued, counter))
    } else {
        super::agents::refresh_fleet(app).await?;
        app.sessions.cut(
            agent,
            nexusmon_shared::message::GoodbyeCode::Quarantined,
            "two machines use this agent's identity",
        );
        Err(Error::Forbidden {
            code: "cloned",
            detail:
                "another machine has renewed this identity since: both are locked until an operator decides"
                    .to_owned(),
        })
    }
}

async fn count(
    app: &App,
    tx: &mut Tx,
    agent: AgentId,
    key: Digest,
    counter: Option<u64>,
    until: nexusmon_shared::time::Timestamp,
) -> Result<(Option<u64>, After)> {
    let mut unit = Unit::new(app, tx);
    let now = unit.now;
    let mut row = unit.tx.lock_agent(agent).await?.ok_or_else(|| Error::not_found("agent", agent))?;
    let key = json!(key).to_string();
    let known = unit.tx.setting(&newest_request(agent)).await?.map(|setting| setting.value);
    let repeated = known.as_deref() == Some(key.as_str());
    let current = row.join_counter;
    let answer = match counter {
        // An answer was lost, and the same request comes again.
        _ if repeated && counter.is_none_or(|counter| counter == current || counter + 1 == current) => {
            Some(current)
        }
        None => Some(current + 1),
        Some(counter) if counter == current => Some(current + 1),
        Some(_) => None,
    };
    if let Some(counter) = answer {
        row.join_counter = counter;
        row.certificate_until = Some(until);
        let body = json!({"join_counter": counter, "certificate_until": until, "repeated": repeated});
        unit.audit(agent.to_string(), "agent.renewed", ("agent", agent.to_string()), None, body);
        unit.tx.put_setting(&newest_request(agent), &key, now).await?;
    } else {
        row.state = AgentState::Quarantined;
        let body = json!({"alert": "a join counter that is behind: two machines use one identity",
            "given": counter, "expected": current});
        unit.audit(SYSTEM, "agent.cloned", ("agent", agent.to_string()), None, body);
    }
    unit.tx.update_agent(&row).await?;
    unit.tx.wake(Topic::Fleet);
    Ok((answer, unit.finish().await?))
}

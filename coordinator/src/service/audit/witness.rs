//! Agents as witnesses: each is shown the newest head with a proof that the log only grew, keeps it and cosigns it. One
//! that shares a host with a coordinator is asked too, seldom, and counts for nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::{CheckpointNotice, CoordinatorMessage, Cosignature};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::checkpoint::{self as trust, Checkpoint};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::note::{Algorithm, Note, NoteSignature, VerifierKey};
use nexusmon_store::{CheckpointRow, WitnessRow};
use rand::seq::SliceRandom as _;
use serde_json::json;

use super::super::unit::Unit;
use super::export::log_key;
use super::{proof, publish, restores};
use crate::app::App;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};

/// Agents asked for each head.
const ASKED: usize = 16;
/// An answer that has not come by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an agent on a coordinator's own host is asked.
const SELDOM: Duration = Duration::from_secs(30);
/// Heads shown that answers may still come to.
const SHOWN: usize = 64;
/// A head that was cosigned so long before the newest one still counts as attesting it.
const RECENT: Duration = Duration::from_secs(60);

/// What this node knows of the agents whose sessions it holds.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    held: HashMap<AgentId, Held>,
    shown: VecDeque<(u64, String)>,
    /// Not in the database yet.
    fresh: HashMap<AgentId, WitnessRow>,
}

#[derive(Debug)]
struct Held {
    session: u64,
    /// Entries under the head it keeps.
    size: u64,
    apart: bool,
    /// Boot clock.
    asked: Option<Duration>,
    waiting: bool,
    alarmed: bool,
    /// It has cosigned a head in this session: it needs no explanation of a restore.
    agreed: bool,
}

/// The newest head, and who vouches for it.
#[derive(Debug, Clone)]
pub struct CheckpointView {
    pub size: u64,
    pub root: Digest,
    pub note: String,
    /// Verifies the note.
    pub key: String,
    pub at: Timestamp,
    /// Agents apart from the coordinators' hosts that attest this head, or one of the minute before it.
    pub attested: u32,
    /// Agents that could.
    pub of: u32,
    /// Since the newest of these cosignatures.
    pub attested_ago: Option<Duration>,
    pub witnesses: Vec<WitnessView>,
}

#[derive(Debug, Clone)]
pub struct WitnessView {
    pub agent: AgentId,
    pub size: u64,
    pub at: Timestamp,
    /// Not on a coordinator's own host.
    pub apart: bool,
    pub line: String,
}

/// A session has begun, with an agent that keeps a head of `size` entries.
pub(crate) fn greet(app: &App, live: &AgentLive, size: u64, apart: bool) {
    let held = Held {
        session: live.session,
        size,
        apart,
        asked: None,
        waiting: false,
        alarmed: false,
        agreed: false,
    };
    app.log.witnesses().held.insert(live.agent, held);
}

impl super::Log {
    fn witnesses(&self) -> std::sync::MutexGuard<'_, Witnesses> {
        self.witnesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner has signed for something: who raised an alarm is asked again.
    pub(super) fn ask_alarmed(&self) {
        for held in self.witnesses().held.values_mut().filter(|held| held.alarmed) {
            held.asked = None;
            held.waiting = false;
        }
    }
}

/// Keeps the cosignatures that have come, and shows the newest head to some agents that have not seen it.
pub async fn ask_witnesses(app: &App) -> Result<()> {
    keep(app).await?;
    let Some(mut newest) = app.log.newest() else { return Ok(()) };
    let mut size = u64::try_from(newest.size).unwrap_or(0);
    let mut asked = choose(app, size);
    if asked.is_empty() {
        return Ok(());
    }
    let mut read = app.store.read().await?;
    if asked.iter().any(|(_, from, _)| *from > size)
        && let Some(head) = read.newest_checkpoint().await?
    {
        // An agent that was with another node may be ahead of what this one knows; the database is not.
        size = u64::try_from(head.size).unwrap_or(0);
        newest = head;
    }
    let cosignatures: Vec<String> =
        read.audit_witnesses().await?.into_iter().map(|row| row.line).take(ASKED).collect();
    app.log.witnesses().show(size, &newest.note);
    let mut proofs = HashMap::<u64, Vec<Digest>>::new();
    asked.sort_by_key(|asked| asked.1);
    let mut signed = (Vec::new(), Vec::new());
    if asked.iter().any(|(_, _, agreed)| !agreed)
        && let Some((texts, begun)) = restores::shown(&mut read).await?
        && begun <= size
    {
        signed = (texts, proof::path(&mut read, begun, size).await?);
    }
    for (agent, from, agreed) in asked {
        let (restores, restore_proof) = if agreed { (Vec::new(), Vec::new()) } else { signed.clone() };
        let proof = match proofs.get(&from) {
            Some(proof) => proof.clone(),
            // One that has seen more is told what there is: it is the one to judge.
            None if from > size => Vec::new(),
            None => proof::path(&mut read, from, size).await?,
        };
        proofs.insert(from, proof.clone());
        let notice = CheckpointNotice {
            note: newest.note.clone(),
            key: log_key(app).to_string(),
            from,
            proof,
            cosignatures: cosignatures.clone(),
            restores,
            restore_proof,
        };
        app.sessions.offer(agent, CoordinatorMessage::Checkpoint(Box::new(notice)));
    }
    Ok(())
}

impl Witnesses {
    /// Answers to this head may come from now on.
    fn show(&mut self, size: u64, note: &str) {
        if self.shown.back().is_none_or(|(shown, _)| *shown != size) {
            self.shown.push_back((size, note.to_owned()));
            if self.shown.len() > SHOWN {
                self.shown.pop_front();
            }
        }
    }
}

/// Sixteen at random of those that are due, with the size each keeps and whether it has agreed to a head before.
fn choose(app: &App, newest: u64) -> Vec<(AgentId, u64, bool)> {
    let now = app.clock.boot();
    let since = |asked: Option<Duration>| asked.map_or(Duration::MAX, |asked| now.saturating_sub(asked));
    let mut witnesses = app.log.witnesses();
    witnesses
        .held
        .retain(|agent, held| app.sessions.get(*agent).is_some_and(|live| live.session == held.session));
    let due = |held: &Held| {
        let news = held.asked.is_none() || held.size != newest;
        let free = !held.waiting || since(held.asked) > PATIENCE;
        // Another node may have heard what the owner signed.
        let often = held.apart && !held.alarmed;
        (news || held.alarmed) && free && (often || since(held.asked) > SELDOM)
    };
    let mut agents: Vec<AgentId> =
        witnesses.held.iter().filter(|(_, held)| due(held)).map(|(agent, _)| *agent).collect();
    app.rng.with(|rng| agents.shuffle(rng));
    agents.truncate(ASKED);
    let ask = |agent: AgentId| {
        let held = witnesses.held.get_mut(&agent)?;
        (held.asked, held.waiting) = (Some(now), true);
        Some((agent, held.size, held.agreed))
    };
    agents.into_iter().filter_map(ask).collect()
}

/// One that comes back without having been kept is asked for again.
async fn keep(app: &App) -> Result<()> {
    let rows: Vec<WitnessRow> = app.log.witnesses().fresh.drain().map(|(_, row)| row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    app.store
        .write_with("audit.cosigned", rows, |tx, rows| {
            Box::pin(async move { Ok(tx.put_witnesses(rows).await?) })
        })
        .await
}

/// An agent's answer. One that does not hold is left out; an alarm is written down.
pub async fn cosigned(app: &App, live: &AgentLive, answer: Cosignature) -> Result<()> {
    let agent = live.agent;
    if !answer.alarm.is_empty() {
        return alarm(app, live, answer.alarm).await;
    }
    if answer.line.is_empty() {
        // It could not judge; the next proof begins with what it keeps.
        if let Some(held) = app.log.witnesses().held.get_mut(&agent) {
            (held.size, held.waiting) = (answer.size, false);
        }
        return Ok(());
    }
    let shown = {
        let witnesses = app.log.witnesses();
        witnesses.shown.iter().find(|(size, _)| *size == answer.size).map(|(_, note)| note.clone())
    };
    let key = identity(app, agent).await?;
    let good = shown.zip(key).is_some_and(|(note, key)| holds(app, agent, key, &note, &answer.line));
    let now = app.clock.now();
    let mut witnesses = app.log.witnesses();
    let Some(held) = witnesses.held.get_mut(&agent).filter(|held| held.session == live.session) else {
        return Ok(());
    };
    held.waiting = false;
    if !good {
        tracing::warn!(%agent, size = answer.size, "a cosignature that does not hold");
        return Ok(());
    }
    (held.size, held.alarmed, held.agreed) = (answer.size, false, true);
    let (size, apart) = (i64::try_from(answer.size).unwrap_or(i64::MAX), held.apart);
    witnesses.fresh.insert(agent, WitnessRow { agent, size, line: answer.line, apart, at: now });
    Ok(())
}

async fn identity(app: &App, agent: AgentId) -> Result<Option<PublicKey>> {
    let row = app.store.read().await?.agent(agent).await?;
    // 32 bytes in hexadecimal, as digests are.
    let key = row.and_then(|row| row.identity_key.parse::<Digest>().ok());
    Ok(key.and_then(|key| PublicKey::from_bytes(*key.as_bytes()).ok()))
}

fn holds(app: &App, agent: AgentId, key: PublicKey, note: &str, line: &str) -> bool {
    let read = || {
        let mut note = Note::parse(note.as_bytes()).ok()?;
        let head = Checkpoint::parse_body(note.text()).ok()?;
        note.signatures = vec![NoteSignature::parse(line)?];
        let key = VerifierKey::new(trust::witness(app.organism, agent), Algorithm::Cosignature, key);
        trust::cosigned(&head, &note, [&key]).ok()
    };
    read().is_some_and(|found| !found.is_empty())
}

async fn alarm(app: &App, live: &AgentLive, reason: String) -> Result<()> {
    let (agent, session) = (live.agent, live.session);
    {
        let mut witnesses = app.log.witnesses();
        if let Some(held) = witnesses.held.get_mut(&agent) {
            held.waiting = false;
            if held.alarmed {
                return Ok(());
            }
            held.alarmed = true;
        }
    }
    tracing::error!(%agent, session, reason, "an agent says that the audit log was cut or rewritten");
    let unit_app = app.clone();
    let after = app
        .store
        .write("audit.alarm", move |tx| {
            let (app, reason) = (unit_app.clone(), reason.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let body =
                    json!({"alert": format!("the audit log is not the one this agent knows: {reason}")});
                unit.audit(agent.to_string(), "alert.raised", ("agent", agent.to_string()), None, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// The newest head, over everything that has been written down so far.
pub async fn checkpoint(app: &App) -> Result<CheckpointView> {
    publish(app).await?;
    let mut read = app.store.read().await?;
    let newest: CheckpointRow = read
        .newest_checkpoint()
        .await?
        .ok_or_else(|| Error::unavailable("the audit log has no signed head yet"))?;
    let mut rows: HashMap<AgentId, WitnessRow> =
        read.audit_witnesses().await?.into_iter().map(|row| (row.agent, row)).collect();
    drop(read);
    rows.extend(app.log.witnesses().fresh.iter().map(|(agent, row)| (*agent, row.clone())));
    let here: HashMap<AgentId, bool> =
        app.log.witnesses().held.iter().map(|(agent, held)| (*agent, held.apart)).collect();
    let attests = |row: &&WitnessRow| row.apart && (row.size >= newest.size || row.at + RECENT >= newest.at);
    let attesting: Vec<&WitnessRow> = rows.values().filter(attests).collect();
    let since = attesting.iter().map(|row| row.at).max();
    let could = rows.values().filter(|row| row.apart && !here.contains_key(&row.agent)).count()
        + here.values().filter(|apart| **apart).count();
    let mut witnesses: Vec<WitnessView> = rows
        .values()
        .map(|WitnessRow { agent, size, line, apart, at }| WitnessView {
            agent: *agent,
            size: u64::try_from(*size).unwrap_or(0),
            at: *at,
            apart: *apart,
            line: line.clone(),
        })
        .collect();
    witnesses.sort_by_key(|witness| witness.agent);
    Ok(CheckpointView {
        size: u64::try_from(newest.size).unwrap_or(0),
        root: newest.root,
        note: newest.note,
        key: log_key(app).to_string(),
        at: newest.at,
        attested: u32::try_from(attesting.len()).unwrap_or(u32::MAX),
        of: u32::try_from(could).unwrap_or(u32::MAX),
        attested_ago: since.map(|at| app.clock.now().since(at)),
        witnesses,
    })
}

//! Opening a session: the number rises, what the agent holds is compared with what it was given.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use nexusmon_core::schedule::Offer;
use nexusmon_core::task::{self, Ended, MissionMood, TaskRules};
use nexusmon_shared::attempt::{AttemptRef, Lease};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{
    CoordinatorMessage, HEARTBEAT, HeldAttempt, Hello, LEASE, ProtocolRange, RevokedApproval, Welcome,
};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::Retry;
use nexusmon_shared::task::{Task, TaskState, TaskStatus};
use nexusmon_store::{AgentRow, AgentState, AttemptRow, MissionRow, TaskRow, TaskUpdate, Topic, Tx};
use serde_json::json;

use super::record::HelloRecord;
use crate::app::App;
use crate::app::sessions::{Live, MOST_PREFETCH, Opened, Outgoing, Profile};
use crate::error::{Error, Result};
use crate::service::unit::{Actor, After, Unit, attempt_of};
use crate::service::unlock::Over;
use crate::service::{authorities, finish, roster, settled, standing, unlock};

/// What a Hello led to.
struct Agreed {
    session: u64,
    agent: AgentRow,
    stale: Vec<AttemptRef>,
    adopted: Vec<AttemptRef>,
    changed: bool,
    /// Those the agent has not got.
    rosters: Vec<bytes::Bytes>,
    /// Standing approvals that were taken back.
    revoked: Vec<RevokedApproval>,
    after: After,
}

/// See [`super::hello`].
pub(super) async fn open(app: &App, agent: AgentId, hello: Hello) -> Result<(Live, Welcome, Outgoing)> {
    let protocol = ProtocolRange::OURS.common(hello.protocol).ok_or_else(|| {
        Error::Invalid(vec![crate::error::FieldError::new(
            "/protocol",
            "protocol",
            format!(
                "this coordinator speaks protocol {} to {}, the agent {} to {}: upgrade the older one",
                ProtocolRange::OURS.lowest,
                ProtocolRange::OURS.highest,
                hello.protocol.lowest,
                hello.protocol.highest
            ),
        )])
    })?;
    let record = HelloRecord::of(&hello);
    let trusted = (hello.authority, hello.authorities);
    let unit_app = app.clone();
    let input = (agent, hello, record);
    let agreed: Agreed = app
        .store
        .write_with("agents.hello", input, move |tx, (agent, hello, record)| {
            let app = unit_app.clone();
            Box::pin(async move { agree(&app, tx, *agent, hello, record).await })
        })
        .await?;
    if agreed.changed {
        app.barred.clear(agent);
    }
    let record: HelloRecord = HelloRecord::read(&agreed.agent).unwrap_or_default();
    let profile = profile(&agreed.agent, &record);
    let opened = Opened {
        agent,
        session: agreed.session,
        journal: record.journal,
        profile: profile.clone(),
        boot: app.clock.boot(),
    };
    let (live, outgoing) = app.sessions.register(opened);
    live.hold(agreed.adopted.iter().copied());
    crate::service::halt::greet(app, &live);
    crate::service::flags::tell(app, &live);
    authorities::greet(app, &live, trusted);
    for signed in agreed.rosters {
        live.offer(CoordinatorMessage::Roster(signed));
    }
    if !agreed.revoked.is_empty() {
        live.offer(CoordinatorMessage::RevokedStanding(agreed.revoked));
    }
    agreed.after.run(app);
    super::fleet::learn(app, &agreed.agent);
    super::tell(app, "agent.online", agent, json!({"session": agreed.session, "build": record.build}));
    let welcome = Welcome {
        session: agreed.session,
        epoch: app.epoch,
        protocol,
        lease: LEASE,
        heartbeat: HEARTBEAT,
        labels: agreed.agent.labels.0.clone(),
        max_rank: agreed.agent.max_rank,
        stale: agreed.stale,
        warning: String::new(),
        prefetch: MOST_PREFETCH,
        draining: agreed.agent.state != AgentState::Active,
    };
    crate::service::dispatch::wake(app);
    Ok((live, welcome, outgoing))
}

/// What the scheduler sees of an agent.
pub(in crate::service) fn profile(agent: &AgentRow, record: &HelloRecord) -> Profile {
    let policy = &record.local_policy;
    let capabilities = record.manifests.iter().flat_map(|manifest| {
        manifest.capabilities.iter().map(|capability| (capability.name.clone(), manifest.version.clone()))
    });
    let offer = Offer {
        name: agent.name.clone(),
        capabilities: capabilities.collect(),
        labels: agent.labels.0.clone(),
        slots: record.slots,
        levels: record.sandbox_levels.clone(),
        max_rank: agent.max_rank.min(policy.max_rank),
        allowed: (!policy.capabilities.is_empty()).then(|| policy.capabilities.iter().cloned().collect()),
        consents: policy.unsigned_consent || record.roster > 0,
        spawns: record.spawns,
    };
    Profile {
        offer: Arc::new(offer),
        slots: record.slots,
        prefetch: MOST_PREFETCH,
        closed: agent.state != AgentState::Active || record.paused,
        version: agent.version,
    }
}

/// Refuses an agent that may not speak.
pub(in crate::service) fn check_state(agent: &AgentRow) -> Result<()> {
    match agent.state {
        AgentState::Revoked => Err(Error::Forbidden {
            code: "revoked",
            detail: format!(
                "the agent `{}` was revoked; it has to join anew under another identity",
                agent.name
            ),
        }),
        AgentState::Quarantined => Err(Error::Forbidden {
            code: "quarantined",
            detail: format!("the agent `{}` is quarantined; an operator has to resume it", agent.name),
        }),
        _ => Ok(()),
    }
}

async fn agree(
    app: &App,
    tx: &mut Tx,
    agent: AgentId,
    hello: &Hello,
    record: &HelloRecord,
) -> Result<Agreed> {
    let mut unit = Unit::new(app, tx);
    let mut row = unit.tx.lock_agent(agent).await?.ok_or_else(|| Error::not_found("agent", agent))?;
    check_state(&row)?;
    let opened = unit.tx.open_session(agent, &app.config.node, hello.journal, unit.now).await?;
    let text = record.text();
    let before = HelloRecord::read(&row);
    let changed = before.as_ref().is_none_or(|before| before.offers_differ(record));
    if row.hello.as_deref() != Some(&text) {
        row.hello = Some(text);
        row.facts = serde_json::to_string(&hello.facts).map_err(Error::internal)?;
        unit.tx.update_agent(&row).await?;
        row.version += 1;
    }
    if changed {
        unit.tx.clear_bars(agent).await?;
    }
    let same_journal = opened.previous.as_ref().is_some_and(|previous| previous.journal == hello.journal);
    let reconciled = reconcile(&mut unit, agent, opened.session, &hello.held, same_journal).await?;
    unit.audit(
        agent.to_string(),
        "agent.connected",
        ("agent", agent.to_string()),
        None,
        json!({"session": opened.session, "journal": hello.journal, "build": hello.build,
            "roster": hello.roster, "authority": hello.authority, "held": hello.held.len(), "stale": reconciled.0.len(), "adopted": reconciled.1.len()}),
    );
    unit.tx.wake(Topic::Fleet);
    let rosters = roster::lacking(app, unit.tx, hello.roster).await?;
    let revoked = standing::revoked(unit.tx, unit.now).await?;
    let after = unit.finish().await?;
    let (stale, adopted) = reconciled;
    Ok(Agreed { session: opened.session, agent: row, stale, adopted, changed, rosters, revoked, after })
}

/// Held attempts under a current fence are adopted by the new session, others are stale. Leases that are missing end:
/// as never started under the same journal, as unreported under a new one.
async fn reconcile(
    unit: &mut Unit<'_>,
    agent: AgentId,
    session: u64,
    held: &[HeldAttempt],
    same_journal: bool,
) -> Result<(Vec<AttemptRef>, Vec<AttemptRef>)> {
    let mut ids: BTreeSet<TaskId> = held.iter().map(|held| held.attempt.task).collect();
    ids.extend(unit.tx.leases_of(agent).await?.iter().map(|row| row.id));
    let ids: Vec<_> = ids.into_iter().collect();
    let rows = unit.tx.lock_tasks(&ids).await?;
    let missions: BTreeSet<_> = rows.iter().map(|row| row.mission).collect();
    let missions: Vec<_> = missions.into_iter().collect();
    let mut missions: unlock::Missions =
        unit.tx.missions(&missions).await?.into_iter().map(|row| (row.id, row)).collect();
    let held: HashMap<AttemptRef, &HeldAttempt> = held.iter().map(|held| (held.attempt, held)).collect();
    let mut known = BTreeSet::new();
    let mut changes = Changes::default();
    let mut adopted = Vec::new();
    for mut row in rows {
        let attempt = attempt_of(&row);
        if row.agent != Some(agent) || row.state.is_terminal() {
            continue;
        }
        let mission = missions.get(&row.mission);
        if let Some(held) =
            held.get(&attempt).filter(|_| !nexusmon_shared::planted::planted("hello-not-compared"))
        {
            known.insert(attempt);
            if !held.finished {
                adopt(unit, &mut row, session, held, mission, &mut changes)?;
            }
            adopted.push(attempt);
        } else if matches!(row.state, TaskStatus::Leased | TaskStatus::Running) {
            let ended = if same_journal { Ended::NeverStarted } else { Ended::Unreported };
            end(unit, row, ended, mission, &mut changes)?;
        }
    }
    changes.write(unit, &mut missions).await?;
    let stale = held.into_keys().filter(|attempt| !known.contains(attempt)).collect();
    Ok((stale, adopted))
}

/// Rows that change outside a report.
#[derive(Default)]
pub(in crate::service) struct Changes {
    rows: Vec<TaskRow>,
    released: Vec<TaskId>,
    past: Vec<AttemptRow>,
    over: Vec<Over>,
}

fn adopt(
    unit: &mut Unit<'_>,
    row: &mut TaskRow,
    session: u64,
    held: &HeldAttempt,
    mission: Option<&MissionRow>,
    changes: &mut Changes,
) -> Result<()> {
    let before = row.task()?;
    let lease = Lease { session, ..row.lease()? };
    let state = match before.state {
        TaskState::Leased { .. } if !held.started => TaskState::Leased { lease },
        TaskState::Running { since, .. } | TaskState::Uncertain { since, .. } => {
            TaskState::Running { lease, since }
        }
        _ => TaskState::Running { lease, since: unit.now },
    };
    let from = row.state;
    let started = row.started_at;
    row.put(&Task { state, ..before }, unit.now);
    row.started_at = started.or(row.started_at);
    unit.moved(row.mission, from, row.state);
    if mission.is_some_and(|mission| mission.status == MissionStatus::Cancelling) {
        unit.after.cancel.extend(row.agent.map(|agent| (agent, attempt_of(row))));
    }
    changes.rows.push(row.clone());
    Ok(())
}

/// Ends a lease without a report.
pub(in crate::service) fn end(
    unit: &mut Unit<'_>,
    mut row: TaskRow,
    ended: Ended,
    mission: Option<&MissionRow>,
    changes: &mut Changes,
) -> Result<()> {
    let cancelling = mission.is_some_and(|mission| mission.status == MissionStatus::Cancelling);
    let mood = if cancelling { MissionMood::Cancelling } else { MissionMood::Alive };
    // Losing an agent asks the retry policy only for its backoff; the leaf is read where that matters.
    let retry = row.spec.as_deref().and_then(|leaf| {
        #[derive(serde::Deserialize)]
        struct Leaf {
            retry: Retry,
        }
        serde_json::from_str::<Leaf>(leaf).ok().map(|leaf| leaf.retry)
    });
    let retry = retry.unwrap_or(Retry {
        max: 0,
        backoff: nexusmon_shared::time::Span::from_secs(1),
        jitter: 0.5,
        on: Vec::new(),
    });
    let rules = TaskRules { idempotent: row.idempotent, retry, rank: row.rank };
    let now = unit.now;
    let before = row.task()?;
    let settlement = task::lease_ended(&before, &rules, ended, mood, now, &mut unit.rng)?;
    let attempt = attempt_of(&row);
    let agent = row.agent;
    let word = if ended == Ended::NeverStarted { "never_started" } else { "lost" };
    if !settlement.finished {
        changes.past.extend(AttemptRow::of(&row, word, None, now));
    }
    let from = row.state;
    row.put(&settlement.task, now);
    unit.moved(row.mission, from, row.state);
    settled::audit_settled(unit, &row, &Actor::system(), None);
    if ended == Ended::Unreported {
        unit.causes.push((Cause::LostAgent, row.uses.clone()));
    }
    if row.limits.is_some() {
        changes.released.push(row.id);
    }
    match row.state {
        TaskStatus::Ready if !row.held => {
            unit.after.ready.extend(row.class.map(|class| nexusmon_core::schedule::ClassId(class.0)));
        }
        TaskStatus::Backoff => unit.timer(),
        _ => {}
    }
    if settlement.finished {
        changes.over.push(Over::of(&row));
    }
    unit.after.ended.push((agent, attempt));
    changes.rows.push(row);
    Ok(())
}

impl Changes {
    pub(in crate::service) async fn write(
        self,
        unit: &mut Unit<'_>,
        missions: &mut unlock::Missions,
    ) -> Result<()> {
        let updates: Vec<_> = self.rows.iter().map(TaskUpdate::from).collect();
        if !updates.is_empty() {
            unit.tx.update_tasks(&updates).await?;
        }
        if !self.released.is_empty() {
            unit.tx.release_limits(&self.released).await?;
        }
        if !self.past.is_empty() {
            unit.tx.insert_attempts(&self.past).await?;
        }
        for mission in unit.flush_counters().await? {
            missions.insert(mission.id, mission);
        }
        let touched = self.over.iter().map(|over| over.mission).collect();
        unlock::follow(unit, missions, self.over, Vec::new()).await?;
        finish::settle_missions(unit, missions, &touched).await
    }
}

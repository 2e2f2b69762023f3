//! Timers of missions and tasks: leases that ended, backoffs and start times that are due, deadlines.
//!
//! Each function is an idempotent activation without input; background calls them periodically and on demand.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use nexusmon_core::lease::{self, Observation};
use nexusmon_core::mission::MissionCommand;
use nexusmon_core::retry;
use nexusmon_core::task::{self, Ended};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ApprovalState, MissionRow, TaskRow, TaskUpdate, Tx};
use serde_json::json;

use super::agents::{Changes, end_lease};
use super::unit::{Actor, After, Unit};
use super::{approvals, transition, unlock};
use crate::app::App;
use crate::error::{Error, Result};

/// Most that one activation handles of each kind.
const MOST: u32 = 500;

/// What one activation did.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimerResult {
    pub handled: usize,
    /// When the next one is due, if known.
    pub next_in: Option<Duration>,
}

/// Renewals as this node has seen them, on its own boot clock; and the latest time its wall clock has shown.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<HashMap<AgentId, (u64, Observation)>>, Mutex<Option<Timestamp>>);

impl Observed {
    /// Takes in what the database says now; the observation starts anew with every session and renewal.
    fn see(&self, agent: AgentId, session: u64, heartbeat: u64, boot: Duration) -> Observation {
        let mut seen = self.0.lock().expect("no holder panics");
        let previous = seen.get(&agent).filter(|(known, _)| *known == session).map(|(_, seen)| *seen);
        let observation = lease::observe(previous, heartbeat, boot);
        seen.insert(agent, (session, observation));
        observation
    }

    /// Whether the wall clock may have been set back since it was last [`Self::read`]; nobody knows at the first look.
    fn is_set_back(&self, now: Timestamp) -> bool {
        self.1.lock().expect("no holder panics").is_none_or(|latest| latest > now + retry::SKEW)
    }

    /// The wall clock shows `now`; where it was set back, that has been seen to.
    fn read(&self, now: Timestamp, seen_to: bool) {
        let mut latest = self.1.lock().expect("no holder panics");
        *latest = latest.filter(|latest| *latest > now && !seen_to).or(Some(now));
    }

    fn retain(&self, agents: &BTreeSet<AgentId>) {
        self.0.lock().expect("no holder panics").retain(|agent, _| agents.contains(agent));
    }
}

/// Ends leases whose session is over by database time and by this node's own observation.
pub async fn expire(app: &App) -> Result<TimerResult> {
    let now = app.clock.now();
    let boot = app.clock.boot();
    // Everything that missed two heartbeats is watched, so that the observation is as old as the silence.
    let stale =
        app.store.read().await?.stale_sessions(now - nexusmon_shared::message::SUSPECT_AFTER, MOST).await?;
    app.leases.retain(&stale.iter().map(|session| session.agent).collect());
    let mut over = Vec::new();
    for session in stale {
        let seen = app.leases.see(session.agent, session.session, session.heartbeat, boot);
        if lease::has_ended(session.renewed_at + lease::LENGTH, now, seen) {
            over.push((session.agent, session.session, session.heartbeat));
        }
    }
    let mut handled = 0;
    for (agent, session, heartbeat) in over {
        let unit_app = app.clone();
        let (count, after) = app
            .store
            .write("leases.expire", move |tx| {
                let app = unit_app.clone();
                Box::pin(async move { expire_one(&app, tx, agent, session, heartbeat).await })
            })
            .await?;
        handled += count;
        after.run(app);
    }
    Ok(TimerResult { handled, next_in: None })
}

async fn expire_one(
    app: &App,
    tx: &mut Tx,
    agent: AgentId,
    session: u64,
    heartbeat: u64,
) -> Result<(usize, After)> {
    let mut unit = Unit::new(app, tx);
    let now = unit.now;
    // A renewal or a Hello in between saves them.
    let current = unit.tx.agent_session(agent).await?;
    let same = current.is_some_and(|row| row.session == session && row.heartbeat == heartbeat);
    if !same {
        return Ok((0, unit.finish().await?));
    }
    let rows = unit.tx.leases_of(agent).await?;
    let rows: Vec<_> = rows.into_iter().filter(|row| !lease::is_away(row.offline_until, now)).collect();
    let count = rows.len();
    end_all(&mut unit, rows).await?;
    Ok((count, unit.finish().await?))
}

/// Ends leases without a report: idempotent work is tried again, other work is uncertain.
pub(super) async fn end_all(unit: &mut Unit<'_>, rows: Vec<TaskRow>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let rows = unit.tx.lock_tasks(&ids).await?;
    let missions: BTreeSet<_> = rows.iter().map(|row| row.mission).collect();
    let missions: Vec<_> = missions.into_iter().collect();
    let mut missions: unlock::Missions =
        unit.tx.missions(&missions).await?.into_iter().map(|row| (row.id, row)).collect();
    let mut changes = Changes::default();
    for row in rows {
        if row.lease().is_ok() && matches!(row.state.as_str(), "leased" | "running") {
            let mission = missions.get(&row.mission).cloned();
            end_lease(unit, row, Ended::Unreported, mission.as_ref(), &mut changes)?;
        }
    }
    changes.write(unit, &mut missions).await
}

/// Backoffs that are over, missions whose start time, deadline or `decide_by` has come.
pub async fn due(app: &App) -> Result<TimerResult> {
    let now = app.clock.now();
    let (missions, late, lapsed, next) = {
        let mut read = app.store.read().await?;
        let missions = read.missions_due(now, MOST).await?;
        let approvals = read.approvals_due(now, MOST).await?;
        let lapsed = read.approvals_lapsed(now, MOST).await?;
        let next = read.next_backoff().await?;
        (missions, approvals, lapsed, next)
    };
    let mut handled = 0;
    // Looking costs nothing; writing only where something is due.
    if next.is_some_and(|at| at <= now) {
        handled += end_backoffs(app, false).await?;
    }
    let set_back = app.leases.is_set_back(now);
    if set_back && next.is_some() {
        loop {
            let count = end_backoffs(app, true).await?;
            handled += count;
            if count < MOST as usize {
                break;
            }
        }
    }
    app.leases.read(now, set_back);
    for due in missions {
        let unit_app = app.clone();
        let after = app
            .store
            .write("leases.mission", move |tx| {
                let app = unit_app.clone();
                Box::pin(async move { mission_due(&app, tx, due.id).await })
            })
            .await;
        // Each in a unit of its own: one in trouble keeps no other waiting, and is tried again.
        match after {
            Ok(after) => {
                after.run(app);
                handled += 1;
            }
            Err(error) => {
                tracing::warn!(mission = %due.id, %error, "what is due of a mission could not be done");
            }
        }
    }
    for approval in late {
        match approvals::expire_late(app, &approval).await {
            Ok(expired) => handled += usize::from(expired),
            Err(error) => tracing::warn!(approval = %approval.id, %error, "an approval could not be ended"),
        }
    }
    for approval in lapsed {
        match approvals::lapsed(app, approval.id).await {
            Ok(()) => handled += 1,
            Err(error) => {
                tracing::warn!(approval = %approval.id, %error, "a lapsed approval could not be seen to");
            }
        }
    }
    Ok(TimerResult { handled, next_in: next.map(|at| at.since(app.clock.now())) })
}

/// Ends backoffs whose time has come, or, with `ahead`, those that the wall clock was set back before.
async fn end_backoffs(app: &App, ahead: bool) -> Result<usize> {
    let unit_app = app.clone();
    let (count, after) = app
        .store
        .write("leases.backoff", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move { backoffs_due(&app, tx, ahead).await })
        })
        .await?;
    after.run(app);
    Ok(count)
}

async fn backoffs_due(app: &App, tx: &mut Tx, ahead: bool) -> Result<(usize, After)> {
    let mut unit = Unit::new(app, tx);
    let now = unit.now;
    let rows = if ahead {
        unit.tx.backoff_ahead(now + retry::SKEW, MOST).await?
    } else {
        unit.tx.backoff_due(now, MOST).await?
    };
    let mut updates = Vec::new();
    for mut row in rows {
        let Some(next) = task::backoff_due(&row.task()?, row.since, now) else { continue };
        row.put(&next, now);
        if !row.held {
            unit.after.ready.extend(row.class.map(|class| nexusmon_core::schedule::ClassId(class.0)));
        }
        updates.push(TaskUpdate::from(&row));
    }
    let count = updates.len();
    if !updates.is_empty() {
        unit.tx.update_tasks(&updates).await?;
    }
    Ok((count, unit.finish().await?))
}

async fn mission_due(app: &App, tx: &mut Tx, id: nexusmon_shared::id::MissionId) -> Result<After> {
    let mut unit = Unit::new(app, tx);
    let Some(mut row) = unit.tx.lock_mission(id).await? else { return unit.finish().await };
    let now = unit.now;
    let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    let system = Actor::system();
    if passed(row.decide_by) {
        expire_mission(&mut unit, &mut row).await?;
    } else if row.status == MissionStatus::Ready && passed(row.start_at) {
        let at = row.start_at.unwrap_or(now);
        let why = json!({"at": at});
        transition::apply(
            &mut unit,
            &system,
            &mut row,
            MissionCommand::StartDue { at },
            "mission.started",
            why,
        )
        .await?;
    } else if passed(row.deadline) {
        super::finish::check_budget(&mut unit, &row).await?;
        // Once is enough: a top-up sets a new one.
        let mut change = unit.tx.lock_mission(id).await?.map(|row| row.change());
        if let Some(change) = &mut change {
            change.deadline = None;
            unit.tx.change_mission(id, change, None).await?;
        }
    } else if row.start_at.is_some() && row.status != MissionStatus::Ready && row.started_at.is_none() {
        // Waits for something else; it starts by the transition that ends the wait.
        let mut change = row.change();
        change.start_at = None;
        unit.tx.change_mission(id, &change, None).await?;
    }
    unit.finish().await
}

async fn expire_mission(unit: &mut Unit<'_>, row: &mut MissionRow) -> Result<()> {
    let pending = unit.tx.approvals_of(row.id).await?;
    let now = unit.now;
    for approval in pending.iter().filter(|approval| approval.state == ApprovalState::Pending) {
        unit.tx.end_approval(approval.id, ApprovalState::Expired, now).await?;
    }
    let why = json!({"cause": Cause::ApprovalExpired});
    match transition::apply(unit, &Actor::system(), row, MissionCommand::Expire, "mission.expired", why).await
    {
        Ok(_) => {
            unit.causes.push((Cause::ApprovalExpired, super::beliefs::whole_plan()));
            Ok(())
        }
        Err(Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

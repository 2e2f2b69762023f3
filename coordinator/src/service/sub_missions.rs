//! Tasks that are missions of their own: begun with what is left of their parent's budget and under a ceiling of rank,
//! cancelled, paused and resumed with it, and their end becomes the task's.
//!
//! Carried out by the coordinator: no agent sees such a task. Everything is found in the database again after a crash.

mod begin;
mod follow;
mod settle;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::task::{Outputs, TaskStatus};
use nexusmon_store::{DueSubMission, SubMissionRow, TaskRow, TaskUpdate};

use super::finish;
use super::settled::audit_ended;
use super::unit::Unit;
use super::unlock::{self, Missions, Over};
use crate::app::App;
use crate::error::{Error, Result};
use begin::Begun;
pub(super) use follow::follow;

/// Looked at together.
const BATCH: u32 = 100;

/// A task whose turn has come waits for a mission of its own from now on.
pub(super) async fn wait(unit: &mut Unit<'_>, row: &mut TaskRow) -> Result<()> {
    row.children_open = 1;
    row.class = None;
    row.limits = None;
    row.ready_at = Some(unit.now);
    let above = unit.tx.sub_mission(row.mission).await?.map_or(0, |above| above.depth);
    let link = SubMissionRow {
        task: row.id,
        parent: row.mission,
        mission: None,
        depth: above + 1,
        paused: false,
        at: unit.now,
        tasks: 0,
        attempts: 0,
        artifact_bytes: 0,
        log_bytes: 0,
        settled_at: None,
    };
    unit.tx.insert_sub_missions(&[link]).await?;
    unit.app.sub_missions.any.store(true, Ordering::Release);
    unit.after.sub_missions = true;
    Ok(())
}

/// Begins what may begin and settles what is over; an idempotent activation.
pub async fn look(app: &App) -> Result<()> {
    // One after the other: who asked while another looked finds everything done.
    let _turn = app.sub_missions.turn.lock().await;
    // Before the question: what is told from here on is not lost.
    app.sub_missions.any.store(true, Ordering::Release);
    loop {
        let mut read = app.store.read().await?;
        if !read.any_sub_missions().await? {
            app.sub_missions.any.store(false, Ordering::Release);
            return Ok(());
        }
        drop(read);
        let followed = follow::all(app).await?;
        // What is settled leaves room in its parent's budget.
        let settled = settle_all(app).await?;
        let moved = begin_all(app).await? || settled || followed;
        // What did not move now waits for something else.
        if !moved {
            return Ok(());
        }
    }
}

async fn settle_all(app: &App) -> Result<bool> {
    let (mut moved, mut after) = (false, None);
    loop {
        let due = app.store.read().await?.sub_missions_over(after, BATCH).await?;
        let Some(last) = due.last() else { return Ok(moved) };
        after = Some(last.task);
        for one in &due {
            moved |= settle::settle(app, one).await.unwrap_or_else(|error| later(one, &error));
        }
    }
}

async fn begin_all(app: &App) -> Result<bool> {
    let (mut moved, mut after) = (false, None);
    // Their budgets are given away for now: nothing else of theirs begins in this round.
    let mut exhausted = BTreeSet::new();
    loop {
        let due = app.store.read().await?.sub_missions_to_begin(after, BATCH).await?;
        let Some(last) = due.last() else { return Ok(moved) };
        after = Some(last.task);
        for one in &due {
            if one.parent_status.is_terminal() {
                moved |= settle::settle(app, one).await.unwrap_or_else(|error| later(one, &error));
            } else if !exhausted.contains(&one.parent) {
                match begin::begin(app, one).await {
                    Ok(Begun::Yes) => moved = true,
                    Ok(Begun::No) => {}
                    Ok(Begun::Waits) => {
                        exhausted.insert(one.parent);
                    }
                    Err(error) => moved |= later(one, &error),
                }
            }
        }
    }
}

/// One in trouble holds up no other; it is tried again at the next look.
fn later(due: &DueSubMission, error: &Error) -> bool {
    tracing::warn!(task = %due.task, %error, "a sub-mission could not be looked after");
    false
}

/// What is known without asking the database; wrong at most until the next look, a second later.
#[derive(Debug)]
pub struct Seen {
    /// Somebody is about to look.
    soon: AtomicBool,
    /// Some task waits for a mission of its own. Most of the time none does, and the end of a mission is nobody's news.
    any: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { soon: AtomicBool::new(false), any: AtomicBool::new(true), turn: tokio::sync::Mutex::default() }
    }
}

/// Looks soon, without holding up whoever asks; many askers make one look.
pub(super) fn look_soon(app: &App) {
    let seen = &app.sub_missions;
    if !seen.any.load(Ordering::Acquire) || seen.soon.swap(true, Ordering::AcqRel) {
        return;
    }
    let looking = app.clone();
    app.lifecycle.spawn_quiet("sub_missions.look", async move {
        // Cleared first: what comes from here on asks for another look.
        looking.sub_missions.soon.store(false, Ordering::Release);
        looking.store.on_duty(DUTY, Box::pin(look(&looking))).await?.unwrap_or(Ok(()))
    });
}

/// Of several coordinators one begins and settles them.
pub const DUTY: &str = "sub-missions";

/// The task ends with what its mission came to.
async fn end(
    unit: &mut Unit<'_>,
    id: TaskId,
    parent: MissionId,
    outcome: impl FnOnce(&TaskSpec) -> std::result::Result<Outputs, Cause>,
) -> Result<()> {
    let mut missions = Missions::new();
    if let Some(row) = unit.tx.lock_mission(parent).await? {
        missions.insert(parent, row);
    }
    let Some(mut row) = unit.tx.lock_tasks(&[id]).await?.pop() else { return Ok(()) };
    if row.state != TaskStatus::Pending {
        return Ok(());
    }
    let Some(leaf) = unit.tx.specs_of(&[id]).await?.pop() else { return Ok(()) };
    let spec: TaskSpec = serde_json::from_str(&leaf.spec).map_err(Error::internal)?;
    row.children_open = 0;
    let settlement = nexusmon_core::task::collect(&row.task()?, outcome(&spec))?;
    let from = row.state;
    row.put(&settlement.task, unit.now);
    unit.moved(row.mission, from, row.state);
    audit_ended(unit, &row);
    unit.tx.update_tasks(&[TaskUpdate::from(&row)]).await?;
    for fresh in unit.flush_counters().await? {
        missions.insert(fresh.id, fresh);
    }
    unlock::follow(unit, &mut missions, vec![Over::of(&row)], Vec::new()).await?;
    let touched = BTreeSet::from([parent]);
    finish::settle_missions(unit, &mut missions, &touched).await
}

/// A mission that is being cancelled ends with the last of those that its tasks began.
async fn end_cancelled(unit: &mut Unit<'_>, parent: MissionId) -> Result<()> {
    let Some(row) = unit.tx.lock_mission(parent).await? else { return Ok(()) };
    if row.status != MissionStatus::Cancelling {
        return Ok(());
    }
    let mut missions = Missions::from([(parent, row)]);
    finish::settle_missions(unit, &mut missions, &BTreeSet::from([parent])).await
}

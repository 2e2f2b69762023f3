//! One transition of one mission, with everything that has to happen in its unit of work.

use nexusmon_core::mission::{self, MissionCommand, MissionEffect};
use nexusmon_core::task::{self, Cancelled};
use nexusmon_shared::id::TaskId;
use nexusmon_shared::mission::{MissionState, MissionStatus, ResumeTo};
use nexusmon_shared::plan::Author;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{
    ApprovalRow, ApprovalState, ApprovalSubject, Json, MissionChange, MissionRow, ReviewRow, ReviewState,
    TaskUpdate, Topic,
};
use serde_json::{Value, json};

use super::unit::{Actor, SYSTEM, Unit, attempt_of};
use super::unlock::{self, Missions};
use crate::error::Result;

/// What a transition stopped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Halted {
    pub cancelled_attempts: u64,
    pub recalled_attempts: u64,
    pub tasks_cancelled: u64,
}

/// Lays a change onto the row in memory, as the store does in the database.
pub(super) fn put(row: &mut MissionRow, change: &MissionChange) {
    row.status = change.state.status();
    row.state = Json(change.state.clone());
    row.rank = change.rank;
    row.priority = change.priority;
    row.plan_revision = change.plan_revision;
    row.plan_digest = change.plan_digest;
    row.shape = change.shape;
    row.budget = Json(change.budget);
    row.deadline = change.deadline;
    row.start_at = change.start_at;
    row.decide_by = change.decide_by;
    row.started_at = change.started_at;
    row.finished_at = change.finished_at;
    row.xp_awarded = change.xp_awarded;
    row.version += 1;
}

/// Applies a command to a locked mission. `action` and `why` are written down.
pub(super) async fn apply(
    unit: &mut Unit<'_>,
    actor: &Actor,
    row: &mut MissionRow,
    command: MissionCommand,
    action: &'static str,
    why: Value,
) -> Result<Halted> {
    let transition = mission::apply(&row.state.0, command, unit.now)?;
    let mut body = json!({"from": row.status.as_str(), "to": transition.state.status().as_str()});
    if let (Some(body), Value::Object(why)) = (body.as_object_mut(), why) {
        body.extend(why);
    }
    unit.audit_mission(actor, action, row.id, body);
    enter(unit, row, transition.state, transition.effects, None).await
}

/// Moves a locked mission into a state and does what comes with it. `policies` are those that asked for an approval
/// or a review.
pub(super) async fn enter(
    unit: &mut Unit<'_>,
    row: &mut MissionRow,
    state: MissionState,
    effects: Vec<MissionEffect>,
    policies: Option<&[String]>,
) -> Result<Halted> {
    let was_paused = matches!(*row.state, MissionState::Paused { .. });
    let mut change = row.change();
    let now = unit.now;
    if let (MissionState::Running { since }, None) = (&state, change.started_at) {
        change.started_at = Some(*since);
        change.deadline = Some(*since + change.budget.duration.0);
        unit.timer();
    }
    change.decide_by = match &state {
        MissionState::AwaitingApproval { decide_by, .. }
        | MissionState::Paused { resume_to: ResumeTo::AwaitingApproval { decide_by, .. }, .. } => {
            Some(*decide_by)
        }
        _ => None,
    };
    if change.decide_by.is_some() {
        unit.timer();
    }
    if state.status().is_terminal() {
        change.finished_at = Some(now);
        change.deadline = None;
    }
    let paused = matches!(state, MissionState::Paused { .. });
    change.state = state;
    unit.tx.change_mission(row.id, &change, None).await?;
    put(row, &change);
    unit.tx.wake(Topic::Missions);
    if paused != was_paused && !row.status.is_terminal() {
        unit.tx.set_held(row.id, paused).await?;
        if !paused {
            wake_classes(unit, row).await?;
        }
    }
    let mut halted = Halted::default();
    for effect in effects {
        match effect {
            MissionEffect::UnlockTasks => unlock_roots(unit, row).await?,
            MissionEffect::OpenApproval { digest, needed, decide_by } => {
                let id = unit.app.rng.with(|rng| nexusmon_shared::id::ApprovalId::new(now, rng));
                let approval = ApprovalRow {
                    id,
                    subject_kind: ApprovalSubject::MissionPlan,
                    subject: row.id.to_string(),
                    mission: Some(row.id),
                    digest,
                    rank: row.rank,
                    needed,
                    author: row.author.clone(),
                    state: ApprovalState::Pending,
                    policies: Json(policies.unwrap_or_default().to_vec()),
                    created_at: now,
                    decide_by,
                    decided_at: None,
                    version: 1,
                    valid_until: None,
                    body: None,
                };
                unit.tx.insert_approvals(&[approval]).await?;
                audit_approval(unit, row, id, needed, &digest);
            }
            MissionEffect::VoidApproval => {
                unit.tx.void_approvals(row.id, now).await?;
            }
            MissionEffect::OpenReview { .. } => {
                let review = new_review(unit, row, policies.unwrap_or_default());
                unit.tx.insert_reviews(&[review]).await?;
            }
            MissionEffect::RecallUnstarted => halted.recalled_attempts += recall(unit, row).await?,
            MissionEffect::CancelWaitingTasks => {
                halted.tasks_cancelled += cancel_waiting(unit, row).await?;
            }
            MissionEffect::CancelRunning => halted.cancelled_attempts += cancel_running(unit, row).await?,
            MissionEffect::WakeScheduler => wake_classes(unit, row).await?,
            MissionEffect::Finished => {
                unit.tx.void_approvals(row.id, now).await?;
            }
        }
    }
    let stops = matches!(row.status, MissionStatus::Cancelling | MissionStatus::Cancelled);
    if stops || paused != was_paused {
        Box::pin(super::sub_missions::follow(unit, row)).await?;
    }
    if row.status.is_terminal() {
        // Somebody may have waited for it.
        unit.after.sub_missions = true;
    }
    if row.status == MissionStatus::Cancelling {
        end_if_nothing_lives(unit, row).await?;
    }
    Ok(halted)
}

pub(super) fn new_review(unit: &Unit<'_>, row: &MissionRow, policies: &[String]) -> ReviewRow {
    let now = unit.now;
    ReviewRow {
        id: unit.app.rng.with(|rng| nexusmon_shared::id::ReviewId::new(now, rng)),
        mission: row.id,
        shape: row.shape,
        rank: row.rank,
        state: ReviewState::Open,
        policies: Json(policies.to_vec()),
        created_at: now,
        decided_at: None,
        decided_by: None,
        comment: None,
        version: 1,
    }
}

pub(super) fn audit_approval(
    unit: &mut Unit<'_>,
    row: &MissionRow,
    id: nexusmon_shared::id::ApprovalId,
    needed: u32,
    digest: &nexusmon_shared::digest::Digest,
) {
    let author: &Author = &row.author.0;
    let body = json!({"subject_kind": "mission_plan", "subject": row.id, "digest": digest, "rank": row.rank,
        "needed": needed, "author": author});
    unit.audit(SYSTEM, "approval.requested", ("approval", id.to_string()), Some(row.id), body);
}

/// Decides every task without open needs.
async fn unlock_roots(unit: &mut Unit<'_>, row: &mut MissionRow) -> Result<()> {
    let mut after = None;
    let mut missions = Missions::from([(row.id, row.clone())]);
    loop {
        let roots = unit.tx.roots(row.id, after, 1000).await?;
        let Some(last) = roots.last().copied() else { break };
        after = Some(last);
        unlock::follow(unit, &mut missions, Vec::new(), roots).await?;
    }
    let touched = std::collections::BTreeSet::from([row.id]);
    Box::pin(super::finish::settle_missions(unit, &mut missions, &touched)).await?;
    if let Some(fresh) = missions.remove(&row.id) {
        *row = fresh;
    }
    Ok(())
}

/// Ready tasks may be waiting in any class of this mission.
async fn wake_classes(unit: &mut Unit<'_>, _row: &MissionRow) -> Result<()> {
    let ready = unit.tx.ready_classes().await?;
    unit.after.ready.extend(ready.into_iter().map(|class| nexusmon_core::schedule::ClassId(class.0)));
    Ok(())
}

/// Orders out for the mission are asked back; what has started answers nothing.
async fn recall(unit: &mut Unit<'_>, row: &MissionRow) -> Result<u64> {
    let mut count = 0;
    for task in unit.tx.leases_in(row.id).await? {
        let started = unit.app.running.get(&attempt_of(&task)).is_some_and(|news| news.started_at.is_some());
        if let (false, Some(agent)) = (started, task.agent) {
            unit.after.recall.push((agent, attempt_of(&task)));
            count += 1;
        }
    }
    Ok(count)
}

async fn cancel_running(unit: &mut Unit<'_>, row: &MissionRow) -> Result<u64> {
    let mut count = 0;
    for task in unit.tx.leases_in(row.id).await? {
        if let Some(agent) = task.agent {
            unit.after.cancel.push((agent, attempt_of(&task)));
            count += 1;
        }
    }
    Ok(count)
}

/// Every task nobody holds becomes cancelled.
async fn cancel_waiting(unit: &mut Unit<'_>, row: &MissionRow) -> Result<u64> {
    let mut count = 0;
    let mut after: Option<TaskId> = None;
    loop {
        let open = unit.tx.open_tasks(row.id, after, 1000).await?;
        let Some(last) = open.last() else { break };
        after = Some(last.id);
        let mut updates = Vec::new();
        for mut one in open {
            if let Cancelled::Now(next) = task::cancel(&one.task()?, unit.app.epoch) {
                let from: TaskStatus = one.state;
                one.put(&next, unit.now);
                unit.moved(row.id, from, one.state);
                updates.push(TaskUpdate::from(&one));
                count += 1;
            }
        }
        unit.tx.update_tasks(&updates).await?;
    }
    Ok(count)
}

/// A mission being cancelled is over once no lease lives.
async fn end_if_nothing_lives(unit: &mut Unit<'_>, row: &mut MissionRow) -> Result<()> {
    let mut missions = Missions::from([(row.id, row.clone())]);
    let touched = std::collections::BTreeSet::from([row.id]);
    Box::pin(super::finish::settle_missions(unit, &mut missions, &touched)).await?;
    if let Some(fresh) = missions.remove(&row.id) {
        *row = fresh;
    }
    Ok(())
}

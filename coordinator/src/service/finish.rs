//! What follows for missions once their tasks have moved: ended, or paused where a budget is spent.

use std::collections::BTreeSet;
use std::time::Duration;

use nexusmon_core::budget::{Spent, exceeded};
use nexusmon_core::mission::{self, MissionCommand, TaskCounts};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::{MissionFailure, MissionState, MissionStatus};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{MissionChange, MissionRow, PageRequest, Score, ShapeRecord, TaskFilter, Topic};
use serde_json::json;

use super::transition;
use super::unit::{Actor, Unit};
use super::unlock::Missions;
use crate::error::Result;

/// Looks at the missions whose tasks moved.
pub(super) async fn settle_missions(
    unit: &mut Unit<'_>,
    missions: &mut Missions,
    touched: &BTreeSet<MissionId>,
) -> Result<()> {
    for fresh in unit.flush_counters().await? {
        missions.insert(fresh.id, fresh);
    }
    let mut changes = Vec::new();
    for id in touched {
        let Some(row) = missions.get(id) else { continue };
        if row.status.is_terminal() {
            continue;
        }
        if row.tasks_open > 0 {
            check_budget(unit, row).await?;
            continue;
        }
        // What is being cancelled is over once nothing that it began goes on.
        if row.status == MissionStatus::Cancelling && unit.tx.any_living_sub_mission(*id).await? {
            continue;
        }
        let failure = if row.tasks_failed > 0 { first_failure(unit, *id).await? } else { None };
        let command = MissionCommand::Settle { counts: counts(row), failure };
        let Ok(transition) = mission::apply(&row.state.0, command, unit.now) else { continue };
        if transition.state.status() == row.status {
            continue;
        }
        changes.push((*id, ended(unit, row, transition.state).await?));
    }
    if !changes.is_empty() {
        for (id, change) in &changes {
            if let Some(row) = missions.get_mut(id) {
                transition::put(row, change);
            }
        }
        unit.tx.change_missions(&changes).await?;
        unit.tx.wake(Topic::Missions);
    }
    Ok(())
}

/// Tasks by state, as far as the counters tell: what is open counts as pending.
pub(super) fn counts(row: &MissionRow) -> TaskCounts {
    let count = |number: i64| u32::try_from(number).unwrap_or(0);
    [
        (TaskStatus::Pending, count(row.tasks_open)),
        (TaskStatus::Succeeded, count(row.tasks_succeeded)),
        (TaskStatus::Failed, count(row.tasks_failed)),
        (TaskStatus::Skipped, count(row.tasks_skipped)),
        (TaskStatus::Cancelled, count(row.tasks_cancelled)),
    ]
    .into_iter()
    .collect()
}

async fn first_failure(unit: &mut Unit<'_>, mission: MissionId) -> Result<Option<MissionFailure>> {
    let filter = TaskFilter { statuses: vec![TaskStatus::Failed], ..TaskFilter::default() };
    let failed = unit.tx.task_list(mission, &filter, &PageRequest::first(1)).await?;
    Ok(failed.items.into_iter().next().map(|task| MissionFailure::Task {
        task: task.key.to_string(),
        cause: task.cause.map_or(Cause::LostAgent, |cause| cause.0),
    }))
}

/// Everything that is written when a mission ends by itself (or the last attempt of a cancelled one does).
async fn ended(unit: &mut Unit<'_>, row: &MissionRow, state: MissionState) -> Result<MissionChange> {
    let mut change = row.change();
    change.finished_at = Some(unit.now);
    change.decide_by = None;
    change.deadline = None;
    let status = state.status();
    let took = row.started_at.map_or(Duration::ZERO, |start| unit.now.since(start));
    unit.audit_mission(
        &Actor::system(),
        "mission.completed",
        row.id,
        json!({
            "status": status.as_str(),
            "rank": row.rank,
            "plan_digest": row.plan_digest,
            "tasks": {"total": row.tasks_total, "succeeded": row.tasks_succeeded, "failed": row.tasks_failed,
                      "skipped": row.tasks_skipped, "cancelled": row.tasks_cancelled},
            "attempts": row.attempts_used,
            "seconds": took.as_secs_f64(),
            "failure": match &state { MissionState::Failed { cause } => serde_json::to_value(cause).ok(), _ => None },
        }),
    );
    if matches!(status, MissionStatus::Succeeded | MissionStatus::Failed) {
        let succeeded = status == MissionStatus::Succeeded;
        score(unit, row, succeeded, took).await?;
        // Success may count; failure may speak against a trait.
        unit.after.judge = true;
    }
    unit.after.sub_missions = true;
    change.state = state;
    Ok(change)
}

async fn score(unit: &mut Unit<'_>, row: &MissionRow, succeeded: bool, took: Duration) -> Result<()> {
    let actual_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    unit.scores.push(Score { mission: row.id, succeeded, actual_ms, scored_at: unit.now });
    if let Some(shape) = row.shape {
        unit.shape_records.push(ShapeRecord {
            shape,
            runs: 1,
            successes: i64::from(succeeded),
            duration_ms_sum: actual_ms,
            updated_at: unit.now,
        });
        unit.after.shapes.push((shape, succeeded, took));
    }
    Ok(())
}

/// What the mission has used up.
pub(super) fn spent(row: &MissionRow) -> Spent {
    Spent {
        tasks: u32::try_from(row.tasks_total).unwrap_or(u32::MAX),
        attempts: u32::try_from(row.attempts_used).unwrap_or(u32::MAX),
        started_at: row.started_at,
        artifact_bytes: u64::try_from(row.artifact_bytes).unwrap_or(0),
        log_bytes: u64::try_from(row.log_bytes).unwrap_or(0),
    }
}

/// Pauses a running mission whose budget is spent.
pub(super) async fn check_budget(unit: &mut Unit<'_>, row: &MissionRow) -> Result<()> {
    if row.status != MissionStatus::Running {
        return Ok(());
    }
    let Some(over) = exceeded(&row.budget.0, &spent(row), unit.now) else { return Ok(()) };
    let command = MissionCommand::BudgetExceeded { by: unit.app.system };
    let mut row = row.clone();
    let why = json!({"reason": "budget", "budget": over, "text": over.to_string()});
    transition::apply(unit, &Actor::system(), &mut row, command, "mission.paused", why).await?;
    Ok(())
}

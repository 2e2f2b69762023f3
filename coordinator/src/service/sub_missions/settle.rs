//! How one ends: what the mission came to is what its task came to.

use nexusmon_core::expression::Expression;
use nexusmon_core::task::verified;
use nexusmon_shared::mission::{MissionFailure, MissionState};
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::plan::{MAX_OUTPUT_BYTES, TaskSpec};
use nexusmon_shared::task::Outputs;
use nexusmon_store::{DueSubMission, MissionRow, TaskOutputs};
use serde_json::{Map, Value};

use super::super::unit::Unit;
use super::super::unlock::outputs_value;
use crate::app::App;
use crate::error::{Error, Result};

/// Settles a task whose mission is over, or that nobody waits for; whether anything changed.
pub(super) async fn settle(app: &App, due: &DueSubMission) -> Result<bool> {
    let unit_app = app.clone();
    let (settled, after) = app
        .store
        .write_with("sub_missions.settle", due.clone(), move |tx, due| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // In the order in which cancelling and pausing lock them.
                unit.tx.lock_mission(due.parent).await?;
                let child = match due.mission {
                    Some(mission) => unit.tx.mission(mission).await?,
                    None => None,
                };
                let took = match &child {
                    // With what its own sub-missions took.
                    Some(child) => child.tasks_total + unit.tx.held_budget(child.id).await?.tasks,
                    None => 0,
                };
                let settled = unit.tx.settle_sub_mission(due.task, took, unit.now).await?;
                if let (true, Some(child)) = (settled, &child) {
                    write(&mut unit, due, child).await?;
                }
                Ok::<_, Error>((settled, unit.finish().await?))
            })
        })
        .await?;
    after.run_and_send(app).await;
    Ok(settled)
}

async fn write(unit: &mut Unit<'_>, due: &DueSubMission, child: &MissionRow) -> Result<()> {
    let outputs = unit.tx.outputs_in(child.id).await?;
    // Its parent paid for it.
    let delta = unit.delta(due.parent);
    delta.attempts += child.attempts_used;
    delta.artifact_bytes += child.artifact_bytes;
    delta.log_bytes += child.log_bytes;
    super::end(unit, due.task, due.parent, |spec| outcome(spec, child, outputs)).await?;
    super::end_cancelled(unit, due.parent).await
}

fn outcome(
    spec: &TaskSpec,
    child: &MissionRow,
    outputs: Vec<TaskOutputs>,
) -> std::result::Result<Outputs, Cause> {
    match &*child.state {
        MissionState::Succeeded => held(spec, said(child, outputs)?),
        MissionState::Failed { cause: MissionFailure::Task { cause, .. } } => Err(cause.clone()),
        MissionState::Failed { cause: MissionFailure::Budget { budget } } => {
            Err(Cause::BudgetExceeded { budget: budget.clone() })
        }
        MissionState::Expired => Err(Cause::ApprovalExpired),
        state => Err(Cause::Resolved { comment: format!("{} was {}", child.id, state.status().as_str()) }),
    }
}

/// The mission's id, and the outputs of its tasks by their ids.
fn said(child: &MissionRow, outputs: Vec<TaskOutputs>) -> std::result::Result<Outputs, Cause> {
    let tasks: Map<String, Value> =
        outputs.into_iter().map(|one| (one.key.to_string(), outputs_value(&one.outputs))).collect();
    let mut said = Map::new();
    said.insert("mission".to_owned(), Value::String(child.id.to_string()));
    said.insert("tasks".to_owned(), Value::Object(tasks));
    let bytes = serde_json::to_vec(&said).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > MAX_OUTPUT_BYTES {
        return Err(Cause::OutputTooLarge { bytes: bytes as u64, limit: MAX_OUTPUT_BYTES as u64 });
    }
    Ok(said)
}

/// The task's own post-condition over it.
fn held(spec: &TaskSpec, outputs: Outputs) -> std::result::Result<Outputs, Cause> {
    let Some(source) = &spec.verify else { return Ok(outputs) };
    let verify =
        Expression::parse(source).map_err(|error| Cause::VerifyFailed { detail: error.to_string() })?;
    match verified(Some(&verify), Ending::Succeeded { outputs }) {
        Ending::Succeeded { outputs } => Ok(outputs),
        Ending::Failed { cause } => Err(cause),
        _ => Err(Cause::VerifyFailed { detail: "its post-condition says nothing".to_owned() }),
    }
}

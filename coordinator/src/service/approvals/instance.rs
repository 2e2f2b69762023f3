//! Approvals over the run-time values of one task: the task becomes ready, or fails.

use std::collections::BTreeSet;

use nexusmon_core::task;
use nexusmon_shared::id::{ApprovalId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{ApprovalRow, ApprovalState, Connection, TaskRow, TaskUpdate};
use serde_json::{Value, json};

use super::super::settled::audit_ended;
use super::super::unit::{SYSTEM, Unit};
use super::super::unlock::{self, Missions, Over};
use super::super::{consent, finish};
use crate::app::App;
use crate::error::{Error, Result};

pub(super) async fn approve(unit: &mut Unit<'_>, approval: &ApprovalRow) -> Result<()> {
    let mut row = task(unit, approval).await?;
    let next = task::approve_instance(&row.task()?)?;
    let from = row.state;
    row.put(&next, unit.now);
    unit.moved(row.mission, from, row.state);
    unit.tx.update_tasks(&[TaskUpdate::from(&row)]).await?;
    if row.state == TaskStatus::Ready && !row.held {
        unit.after.ready.extend(row.class.map(|class| nexusmon_core::schedule::ClassId(class.0)));
    }
    Ok(())
}

pub(super) async fn reject(unit: &mut Unit<'_>, approval: &ApprovalRow) -> Result<()> {
    deny(unit, approval, Cause::DeniedByPolicy { policies: vec!["rejected".to_owned()] }).await
}

pub(super) async fn expire(app: &App, id: ApprovalId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("approvals.expire", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let due = unit.tx.lock_approval(id).await?;
                if let Some(row) = due.filter(|row| row.decide_by <= unit.now)
                    && unit.tx.end_approval(id, ApprovalState::Expired, unit.now).await?
                {
                    let body = json!({"digest": row.digest, "subject": row.subject});
                    unit.audit(SYSTEM, "approval.expired", ("approval", id.to_string()), row.mission, body);
                    match deny(&mut unit, &row, Cause::ApprovalExpired).await {
                        // The task went another way meanwhile.
                        Ok(()) | Err(Error::Conflict { .. } | Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// The plan of a mission that runs was not approved anew in time.
pub(super) async fn expire_again(app: &App, id: ApprovalId) -> Result<bool> {
    let unit_app = app.clone();
    let (after, handled) = app
        .store
        .write("approvals.expire", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mut handled = false;
                if let Some(row) = unit.tx.lock_approval(id).await?.filter(|row| row.decide_by <= unit.now)
                    && let Some(mission) = row.mission
                    && let Some(found) = unit.tx.mission(mission).await?
                    && matches!(found.status, MissionStatus::Running | MissionStatus::Paused)
                    && found.decide_by.is_none()
                    && unit.tx.end_approval(id, ApprovalState::Expired, unit.now).await?
                {
                    let body = json!({"digest": row.digest, "subject": row.subject});
                    unit.audit(SYSTEM, "approval.expired", ("approval", id.to_string()), row.mission, body);
                    consent::lapse(&mut unit, mission, &Cause::ApprovalExpired).await?;
                    handled = true;
                }
                Ok::<_, Error>((unit.finish().await?, handled))
            })
        })
        .await?;
    after.run(app);
    Ok(handled)
}

pub(super) async fn lapsed(app: &App, id: ApprovalId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("approvals.lapsed", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                consent::ended(&mut unit, id).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// What the digest of a task's approval is made of.
pub(super) async fn values(read: &mut Connection, approval: &ApprovalRow) -> Result<Option<Value>> {
    let Ok(id) = approval.subject.parse::<TaskId>() else { return Ok(None) };
    let Some(row) = read.tasks(&[id]).await?.pop() else { return Ok(None) };
    let Some(leaf) = read.specs_of(&[id]).await?.pop() else { return Ok(None) };
    let Some(mission) = read.mission(row.mission).await? else { return Ok(None) };
    let spec: TaskSpec = serde_json::from_str(&leaf.spec).map_err(Error::internal)?;
    let Some(plan) = mission.plan_digest else { return Ok(None) };
    let values = consent::Values::of(&row, &spec, &leaf.spec, plan);
    Ok(Some(serde_json::to_value(values.instance()).map_err(Error::internal)?))
}

async fn deny(unit: &mut Unit<'_>, approval: &ApprovalRow, cause: Cause) -> Result<()> {
    let mut row = task(unit, approval).await?;
    let settlement = task::deny_instance(&row.task()?, cause)?;
    let from = row.state;
    row.put(&settlement.task, unit.now);
    unit.moved(row.mission, from, row.state);
    audit_ended(unit, &row);
    unit.tx.update_tasks(&[TaskUpdate::from(&row)]).await?;
    let mut missions: Missions =
        unit.flush_counters().await?.into_iter().map(|mission| (mission.id, mission)).collect();
    let touched = BTreeSet::from([row.mission]);
    unlock::follow(unit, &mut missions, vec![Over::of(&row)], Vec::new()).await?;
    finish::settle_missions(unit, &mut missions, &touched).await
}

async fn task(unit: &mut Unit<'_>, approval: &ApprovalRow) -> Result<TaskRow> {
    let missing = || Error::not_found("task", &approval.subject);
    let id: TaskId = approval.subject.parse().map_err(|_| missing())?;
    unit.tx.lock_tasks(&[id]).await?.pop().ok_or_else(missing)
}

//! Approvals over the run-time values of one task: the task becomes ready, or fails.

use std::collections::BTreeSet;

use nexusmon_core::task;
use nexusmon_shared::id::{ApprovalId, TaskId};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{ApprovalRow, ApprovalState, TaskRow, TaskUpdate};
use serde_json::json;

use super::super::finish;
use super::super::settled::audit_settled;
use super::super::unit::{Actor, SYSTEM, Unit};
use super::super::unlock::{self, Missions, Over};
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

async fn deny(unit: &mut Unit<'_>, approval: &ApprovalRow, cause: Cause) -> Result<()> {
    let mut row = task(unit, approval).await?;
    let settlement = task::deny_instance(&row.task()?, cause)?;
    let from = row.state;
    row.put(&settlement.task, unit.now);
    unit.moved(row.mission, from, row.state);
    audit_settled(unit, &row, &Actor::system(), None);
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

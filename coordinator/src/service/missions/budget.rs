//! Other ceilings for a mission: asked for, approved over plan and budget, and work that was paused for want of them goes
//! on.

use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId};
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::plan::Budget;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::approval::Act;
use nexusmon_store::{ApprovalSubject, MissionRow};
use serde_json::json;

use crate::app::App;
use crate::error::{Error, Result};
use crate::service::unit::{Actor, Unit};
use crate::service::{Caller, approvals, transition};

pub(super) async fn propose(
    app: &App,
    caller: &Caller,
    id: MissionId,
    to: Budget,
    comment: String,
) -> Result<ApprovalId> {
    let row = super::read::mission(&mut app.store.read().await?, id).await?;
    let plan = check(&row)?;
    if row.budget.0 == to {
        return Err(Error::conflict("unchanged", "the mission has this budget already"));
    }
    if to.tasks == 0 || to.attempts == 0 || to.duration.0.is_zero() {
        let message = "a budget of no tasks, attempts or duration lets nothing run";
        return Err(Error::field("/budget", "out_of_range", message));
    }
    let act = Act::Budget { mission: id, plan, from: row.budget.0, to };
    approvals::propose(app, caller, act, row.rank.min(Rank::A), comment).await
}

fn check(row: &MissionRow) -> Result<Digest> {
    if row.status.is_terminal() {
        let detail = format!("the mission is {}: run it again with another budget", row.status.as_str());
        return Err(Error::conflict("over", detail));
    }
    row.plan_digest
        .ok_or_else(|| Error::conflict("no_plan", "the mission has no plan yet: give it one first"))
}

/// Puts it in force, in the unit of the last decision.
pub(in crate::service) async fn carry_out(
    unit: &mut Unit<'_>,
    actor: &Actor,
    id: MissionId,
    plan: Digest,
    to: Budget,
    approval: ApprovalId,
) -> Result<()> {
    let row = unit.tx.lock_mission(id).await?;
    let mut row = row.ok_or_else(|| Error::not_found("mission", id))?;
    if check(&row)? != plan {
        return Err(Error::conflict("digest_changed", "the mission has another plan by now: ask again"));
    }
    let mut change = row.change();
    change.budget = to;
    change.deadline = row.started_at.map(|started| started + to.duration.0);
    unit.tx.change_mission(id, &change, None).await?;
    transition::put(&mut row, &change);
    unit.timer();
    unit.tx.void_pending(ApprovalSubject::Budget, Some(&id.to_string()), unit.now).await?;
    unit.audit_mission(actor, "mission.budget_changed", id, json!({"budget": to, "approval": approval}));
    let spent = super::super::finish::spent(&row);
    let enough = nexusmon_core::budget::exceeded(&to, &spent, unit.now).is_none();
    let by_budget = matches!(&row.state.0, MissionState::Paused { by, .. } if *by == unit.app.system);
    if by_budget && enough {
        let why = json!({"approval": approval});
        transition::apply(unit, actor, &mut row, MissionCommand::Resume, "mission.resumed", why).await?;
    }
    Ok(())
}

//! What people do with a mission that exists: each is one transition in one unit of work.

use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_store::MissionRow;
use serde_json::{Value, json};

use super::{MissionView, Stopped};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::Caller;
use crate::service::planning;
use crate::service::transition::{self, Halted};
use crate::service::unit::{Actor, Unit};

/// `action` and why are written down; with `seen`, only while the mission is what it was then.
pub(in crate::service) async fn act(
    app: &App,
    caller: &Caller,
    id: MissionId,
    command: MissionCommand,
    (action, why): (&'static str, Value),
    seen: Option<MissionStatus>,
) -> Result<(MissionRow, Halted)> {
    let unit_app = app.clone();
    let actor = Actor::from(caller);
    let (row, halted, after) = app
        .store
        .write("missions.act", move |tx| {
            let (app, actor, command, why) = (unit_app.clone(), actor.clone(), command.clone(), why.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.after.at_once = matches!(command, MissionCommand::Kill { .. });
                let mut row =
                    unit.tx.lock_mission(id).await?.ok_or_else(|| Error::not_found("mission", id))?;
                if let Some(seen) = seen {
                    super::bulk::as_seen(&row, seen)?;
                }
                let waiting = if row.status.is_terminal() { None } else { pending(&mut unit, id).await? };
                let halted = transition::apply(&mut unit, &actor, &mut row, command, action, why)
                    .await
                    .map_err(|error| named(error, waiting))?;
                Ok::<_, Error>((row, halted, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok((row, halted))
}

/// The approval the mission waits for, so that a refusal can name it.
async fn pending(unit: &mut Unit<'_>, id: MissionId) -> Result<Option<Value>> {
    let approvals = unit.tx.pending_approvals_of(&[id]).await?;
    Ok(approvals.first().map(|approval| json!(approval.id)))
}

fn named(error: Error, approval: Option<Value>) -> Error {
    match (&error, approval) {
        (Error::Conflict { code: "awaiting_approval", .. }, Some(id)) => error.with("approval", id),
        (Error::Conflict { code: "already_terminal", .. }, _) => error.with("instead", "rerun"),
        _ => error,
    }
}

pub(super) async fn run(app: &App, caller: &Caller, id: MissionId) -> Result<MissionView> {
    let row = super::read::mission(&mut app.store.read().await?, id).await?;
    if row.status == MissionStatus::NeedsPlan {
        planning::again(app, caller, id).await?;
        return super::get(app, id).await;
    }
    act(app, caller, id, MissionCommand::Run, ("mission.started", Value::Null), None).await?;
    super::get(app, id).await
}

pub(super) async fn cancel(app: &App, caller: &Caller, id: MissionId) -> Result<Stopped> {
    let command = MissionCommand::Cancel { by: caller.principal };
    let (row, halted) = act(app, caller, id, command, ("mission.cancelled", Value::Null), None).await?;
    Ok(stopped(&row, halted))
}

pub(super) async fn kill(app: &App, caller: &Caller, id: MissionId) -> Result<Stopped> {
    let command = MissionCommand::Kill { by: caller.principal };
    let why = json!({"at_once": true});
    let (row, halted) = act(app, caller, id, command, ("mission.cancelled", why), None).await?;
    Ok(stopped(&row, halted))
}

pub(super) async fn pause(app: &App, caller: &Caller, id: MissionId) -> Result<Stopped> {
    let command = MissionCommand::Pause { by: caller.principal };
    let (row, halted) = act(app, caller, id, command, ("mission.paused", Value::Null), None).await?;
    Ok(stopped(&row, halted))
}

pub(super) async fn resume(app: &App, caller: &Caller, id: MissionId) -> Result<MissionView> {
    act(app, caller, id, MissionCommand::Resume, ("mission.resumed", Value::Null), None).await?;
    super::get(app, id).await
}

fn stopped(row: &MissionRow, halted: Halted) -> Stopped {
    Stopped {
        mission: row.id,
        status: row.status,
        cancelled_attempts: halted.cancelled_attempts,
        recalled_attempts: halted.recalled_attempts,
        tasks_cancelled: halted.tasks_cancelled,
    }
}

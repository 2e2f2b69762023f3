//! The first start after a restore: what was given out before it is ended, and what rested on it waits for a person.

use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::id::TaskId;
use serde_json::json;

use super::leases;
use super::transition;
use super::unit::{Actor, SYSTEM, Unit};
use crate::app::App;
use crate::error::{Error, Result};

/// Leases ended in one unit of work.
const BATCH: u32 = 500;

/// Idempotent; does nothing unless a restore began this epoch.
pub(super) async fn begin(app: &App) -> Result<()> {
    if app.store.read().await?.restored_epoch().await? != Some(app.epoch) {
        return Ok(());
    }
    let leases = end_leases(app).await?;
    let missions = hold_missions(app).await?;
    let unit_app = app.clone();
    app.store
        .write("restored.begun", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let now = unit.now;
                unit.tx.epoch_has_begun(now).await?;
                let body = json!({"epoch": app.epoch, "leases_ended": leases, "missions_paused": missions});
                unit.audit(
                    SYSTEM,
                    "organism.epoch_begun",
                    ("organism", app.organism.to_string()),
                    None,
                    body,
                );
                unit.finish().await
            })
        })
        .await?;
    tracing::warn!(
        epoch = app.epoch,
        leases_ended = leases,
        missions_paused = missions,
        "restored from a backup: log-ins, invites, leases and approvals of before are void"
    );
    Ok(())
}

/// Leases of older epochs: idempotent work is done again, other work is uncertain until its agent or a person says more.
async fn end_leases(app: &App) -> Result<usize> {
    let (mut ended, mut after) = (0, None::<TaskId>);
    loop {
        let rows = app.store.read().await?.live_leases(after, BATCH).await?;
        let Some(last) = rows.last() else { return Ok(ended) };
        after = Some(last.id);
        let old: Vec<_> = rows.into_iter().filter(|row| row.fence_epoch < app.epoch).collect();
        ended += old.len();
        let unit_app = app.clone();
        let after = app
            .store
            .write_with("restored.leases", old, move |tx, old| {
                let app = unit_app.clone();
                Box::pin(async move {
                    let mut unit = Unit::new(&app, tx);
                    leases::end_all(&mut unit, old.clone()).await?;
                    unit.finish().await
                })
            })
            .await?;
        after.run(app);
    }
}

/// Missions that went on by an approval are paused, and the approval is void.
async fn hold_missions(app: &App) -> Result<usize> {
    let approved = app.store.read().await?.approved_and_open().await?;
    let mut held = 0;
    for id in approved {
        let unit_app = app.clone();
        let after = app
            .store
            .write("restored.hold", move |tx| {
                let app = unit_app.clone();
                Box::pin(async move {
                    let mut unit = Unit::new(&app, tx);
                    let Some(mut row) = unit.tx.lock_mission(id).await? else { return unit.finish().await };
                    let now = unit.now;
                    unit.tx.void_given_approvals(id, now).await?;
                    let command = MissionCommand::Pause { by: app.system };
                    let why = json!({"reason": "its approval was given before the restore"});
                    let actor = Actor::system();
                    match transition::apply(&mut unit, &actor, &mut row, command, "mission.paused", why).await
                    {
                        // Paused already, or about to end.
                        Ok(_) | Err(Error::Conflict { .. }) => unit.finish().await,
                        Err(error) => Err(error),
                    }
                })
            })
            .await?;
        after.run(app);
        held += 1;
    }
    Ok(held)
}

//! What happens to a mission happens to those its tasks began, a bounded number of them in one unit of work. Where there are
//! more, it is written down after which of them to go on, and looks do so until nothing is behind.

use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_store::{MissionRow, SubMissionRow};
use serde_json::json;

use super::super::transition;
use super::super::unit::{Actor, Unit};
use crate::app::App;
use crate::error::{Error, Result};

/// Missions that follow others in one unit of work, however deep they lie.
const TOGETHER: u32 = 50;

/// What was behind before is so no longer: it begins anew with what the mission is now.
pub(in crate::service) async fn follow(unit: &mut Unit<'_>, parent: &MissionRow) -> Result<()> {
    on(unit, parent, None).await
}

/// Everything that is behind; whether anything was.
pub(super) async fn all(app: &App) -> Result<bool> {
    let (mut moved, mut last) = (false, None);
    loop {
        let behind = app.store.read().await?.sub_missions_behind(last, super::BATCH).await?;
        let Some(newest) = behind.last().copied() else { return Ok(moved) };
        last = Some(newest);
        for parent in behind {
            match whole(app, parent).await {
                Ok(()) => moved = true,
                // It holds up no other, and is tried again at the next look.
                Err(error) => {
                    tracing::warn!(mission = %parent, %error, "sub-missions could not follow their mission");
                }
            }
        }
    }
}

async fn whole(app: &App, parent: MissionId) -> Result<()> {
    while step(app, parent).await? {}
    Ok(())
}

/// One unit of work; whether more is behind.
async fn step(app: &App, parent: MissionId) -> Result<bool> {
    let unit_app = app.clone();
    let (more, after) = app
        .store
        .write("sub_missions.follow", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // Under its lock nobody else changes from where to go on.
                let row = unit.tx.lock_mission(parent).await?;
                let after = unit.tx.behind_after(parent).await?;
                match (row, after) {
                    (Some(row), Some(after)) => on(&mut unit, &row, Some(after)).await?,
                    _ => unit.tx.caught_up(parent).await?,
                }
                let more = unit.tx.behind_after(parent).await?.is_some();
                Ok::<_, Error>((more, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(more)
}

async fn on(unit: &mut Unit<'_>, parent: &MissionRow, mut after: Option<TaskId>) -> Result<()> {
    // One more than there is room for says whether there are more.
    let most = TOGETHER.saturating_sub(unit.followed).saturating_add(1);
    let links = unit.tx.living_sub_missions(parent.id, after, most).await?;
    if links.is_empty() && after.is_none() {
        return Ok(());
    }
    for link in links {
        if unit.followed >= TOGETHER {
            unit.tx.fall_behind(parent.id, after).await?;
            unit.after.sub_missions = true;
            return Ok(());
        }
        unit.followed += 1;
        one(unit, parent, &link).await?;
        after = Some(link.task);
    }
    unit.tx.caught_up(parent.id).await?;
    Ok(())
}

async fn one(unit: &mut Unit<'_>, parent: &MissionRow, link: &SubMissionRow) -> Result<()> {
    let Some(child) = link.mission else { return Ok(()) };
    let Some(mut row) = unit.tx.lock_mission(child).await? else { return Ok(()) };
    let (command, action) = match (&*parent.state, row.status) {
        (_, status) if status.is_terminal() => return Ok(()),
        (MissionState::Cancelling { by } | MissionState::Cancelled { by }, _) if unit.after.at_once => {
            (MissionCommand::Kill { by: *by }, "mission.cancelled")
        }
        // What is being cancelled ends by itself.
        (_, MissionStatus::Cancelling) => return Ok(()),
        (MissionState::Cancelling { by } | MissionState::Cancelled { by }, _) => {
            (MissionCommand::Cancel { by: *by }, "mission.cancelled")
        }
        (MissionState::Paused { by, .. }, status) if status != MissionStatus::Paused => {
            unit.tx.pause_sub_mission(link.task, true).await?;
            (MissionCommand::Pause { by: *by }, "mission.paused")
        }
        (MissionState::Running { .. }, status) if link.paused => {
            unit.tx.pause_sub_mission(link.task, false).await?;
            // A person was faster.
            if status != MissionStatus::Paused {
                return Ok(());
            }
            (MissionCommand::Resume, "mission.resumed")
        }
        _ => return Ok(()),
    };
    let why = json!({"with": parent.id});
    transition::apply(unit, &Actor::system(), &mut row, command, action, why).await.map(drop)
}

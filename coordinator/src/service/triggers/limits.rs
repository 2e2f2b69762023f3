//! What bounds a trigger that something set off: how deep its chains go, how much it makes in a time, and whether it runs
//! in a circle. Asked in the unit that fires, under the trigger's lock.

use std::time::Duration;

use nexusmon_core::trigger::{EventRule, HookRule, Run, repeated, repeats};
use nexusmon_store::TriggerRow;

use super::super::unit::Unit;
use super::fire::Chained;
use crate::error::Result;

/// Ended missions looked at; more than any limit on repetitions.
const LOOKED_AT: u32 = 2_000;

/// How far it may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    max_depth: u32,
    /// Missions within so many hours.
    most: u32,
    hours: u64,
    /// Alike, within an hour. Of calls that are not our own nothing is known but that they come, and work that is the
    /// same each time is what they are for.
    max_repeats: Option<u32>,
    /// People are told at once where it makes too many.
    alert: bool,
}

impl From<&EventRule> for Bounds {
    fn from(rule: &EventRule) -> Self {
        let EventRule { max_depth, per_day, max_repeats, .. } = *rule;
        Self { max_depth, most: per_day, hours: 24, max_repeats: Some(max_repeats), alert: false }
    }
}

impl Bounds {
    /// `ours`: the call is one of our own notifications.
    pub(super) fn of_call(rule: &HookRule, ours: bool) -> Self {
        let HookRule { max_depth, per_hour, max_repeats, .. } = *rule;
        Self { max_depth, most: per_hour, hours: 1, max_repeats: ours.then_some(max_repeats), alert: true }
    }
}

/// What stands against a firing.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// How deep its mission lies in a chain; none where no mission led to it.
    pub depth: Option<u32>,
    /// This event is passed over.
    pub skip: Option<String>,
    /// The trigger stops here until a person says otherwise.
    pub pause: Option<String>,
    /// People are told.
    pub alert: bool,
}

pub(super) async fn look(unit: &mut Unit<'_>, row: &TriggerRow, chained: &Chained) -> Result<Limits> {
    let mut limits = Limits::default();
    let Bounds { max_depth, most, hours, max_repeats, alert } = chained.bounds;
    // Whoever resumes a trigger, or changes it, lets it begin anew.
    let since = |window: Duration| (unit.now - window).max(row.changed_at);
    let (window, hour) = (since(Duration::from_hours(hours)), since(repeats::WINDOW));
    if let Some(max_repeats) = max_repeats {
        let runs = unit.tx.ended_since(row.id, hour, LOOKED_AT).await?;
        let runs: Vec<Run> = runs
            .into_iter()
            .map(|run| Run {
                shape: run.shape,
                inputs: run.inputs,
                status: run.status,
                ended_at: run.ended_at,
            })
            .collect();
        if let Some(found) = repeated(&runs, max_repeats, unit.now) {
            limits.pause = Some(format!("{found}: this looks like a loop. Resume it once that is mended"));
            limits.alert = true;
            return Ok(limits);
        }
    }
    let made = unit.tx.fired_since(row.id, window).await?;
    if made >= i64::from(most) {
        let what = if hours == 1 { "an hour" } else { "a day" };
        let within = if hours == 1 { "an hour".to_owned() } else { format!("{hours} hours") };
        limits.pause = Some(format!(
            "it made {made} missions within {within}, which is its budget of {what}: resume it to begin another"
        ));
        limits.alert = alert;
        return Ok(limits);
    }
    if let Some(parent) = chained.parent {
        let depth = super::super::chains::depth_after(unit.tx, parent).await?;
        limits.depth = Some(depth);
        if depth > max_depth {
            limits.skip = Some(format!(
                "its mission would be the {depth}. link of a chain; `max_depth` is {max_depth}"
            ));
        }
    }
    Ok(limits)
}

//! What bounds an event trigger: how deep its chains go, how much it makes of a day, and whether it runs in a circle.
//! Asked in the unit that fires, under the trigger's lock.

use std::time::Duration;

use nexusmon_core::trigger::{Run, repeated, repeats};
use nexusmon_store::TriggerRow;

use super::super::unit::Unit;
use super::fire::OfEvent;
use crate::error::Result;

const DAY: Duration = Duration::from_hours(24);
/// Ended missions looked at; more than any limit on repetitions.
const LOOKED_AT: u32 = 2_000;

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

pub(super) async fn look(unit: &mut Unit<'_>, row: &TriggerRow, event: &OfEvent) -> Result<Limits> {
    let mut limits = Limits::default();
    let rule = &event.rule;
    // Whoever resumes a trigger, or changes it, lets it begin anew.
    let since = |window: Duration| (unit.now - window).max(row.changed_at);
    let (day, hour) = (since(DAY), since(repeats::WINDOW));
    let runs = unit.tx.ended_since(row.id, hour, LOOKED_AT).await?;
    let runs: Vec<Run> = runs
        .into_iter()
        .map(|run| Run { shape: run.shape, inputs: run.inputs, status: run.status, ended_at: run.ended_at })
        .collect();
    if let Some(found) = repeated(&runs, rule.max_repeats, unit.now) {
        limits.pause = Some(format!("{found}: this looks like a loop. Resume it once that is mended"));
        limits.alert = true;
        return Ok(limits);
    }
    let made = unit.tx.fired_since(row.id, day).await?;
    if made >= i64::from(rule.per_day) {
        limits.pause = Some(format!(
            "it made {made} missions within 24 hours, which is its budget of a day: resume it to begin another"
        ));
        return Ok(limits);
    }
    if let Some(parent) = event.parent {
        let depth = super::super::chains::depth_after(unit.tx, parent).await?;
        limits.depth = Some(depth);
        if depth > rule.max_depth {
            limits.skip = Some(format!(
                "its mission would be the {depth}. link of a chain; `max_depth` is {}",
                rule.max_depth
            ));
        }
    }
    Ok(limits)
}

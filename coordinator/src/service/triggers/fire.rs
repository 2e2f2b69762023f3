//! One firing: the mission is prepared, then written together with what makes the firing unique and what is decided by
//! it. Carried out twice, here or on two coordinators, it makes one mission.

use std::sync::Arc;

use nexusmon_core::mission::Start;
use nexusmon_core::trigger::Work;
use nexusmon_shared::id::{FiringId, MissionId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{FiringResult, FiringRow, TriggerKind, TriggerRow, TriggerState, Tx};
use serde_json::{Value, json};

use super::super::chains;
use super::super::missions::{Prepared, insert_prepared, prepare_mission};
use super::super::unit::{After, SYSTEM, Unit};
use super::acting;
use super::limits::{self, Bounds, Limits};
use crate::app::App;
use crate::error::{Error, Result};

/// What to fire for.
#[derive(Debug, Clone)]
pub(super) struct Occasion {
    /// Unique for the trigger.
    pub name: String,
    pub due: Option<Timestamp>,
    /// What inputs may ask for.
    pub context: Value,
    pub start: Start,
    /// One that made no mission is tried again; the trigger may be paused, and other missions of it may run.
    pub by_hand: bool,
    pub skip_while_running: bool,
    /// Schedules: decided through, and when the next step is due.
    pub step: Option<(Timestamp, Option<Timestamp>)>,
    pub passed_over: usize,
    pub of_event: Option<OfEvent>,
    /// What something here or outside led to, and how far that may go.
    pub chained: Option<Chained>,
}

/// What an event adds to an occasion.
#[derive(Debug, Clone)]
pub(super) struct OfEvent {
    /// The audit sequence number that tells of it.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The condition could not be evaluated.
    pub doubt: Option<String>,
}

/// How its mission comes about.
#[derive(Debug, Clone)]
pub(super) struct Chained {
    pub bounds: Bounds,
    /// The mission that led to it, if one did.
    pub parent: Option<MissionId>,
    /// Why, in words.
    pub why: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fired {
    Mission(MissionId),
    Skipped(String),
    Failed(String),
    /// It fired before.
    Already,
    /// The trigger is not what it was: look again.
    Changed,
}

#[derive(Clone)]
struct Plan {
    row: TriggerRow,
    occasion: Occasion,
    id: FiringId,
    prepared: std::result::Result<Arc<Prepared>, String>,
    /// Whoever it acts for may not act any more.
    pause: bool,
}

/// Fires once. Errors are the coordinator's own; what the trigger is to blame for becomes a failed firing.
pub(super) async fn fire(app: &App, row: TriggerRow, occasion: Occasion) -> Result<Fired> {
    let doubt = occasion.of_event.as_ref().and_then(|event| event.doubt.clone());
    let (prepared, pause) = match acting(app, &row).await? {
        Err(why) => (Err(why), true),
        Ok(_) if doubt.is_some() => (Err(short(&doubt.unwrap_or_default())), false),
        Ok(caller) => match prepared(app, &caller, &row, &occasion).await {
            Ok(prepared) => (Ok(Arc::new(prepared)), false),
            Err(error) if error.status() >= 500 => return Err(error),
            Err(error) => (Err(short(&error.to_string())), false),
        },
    };
    let id = app.rng.with(|rng| FiringId::new(app.clock.now(), rng));
    let plan = Plan { row, occasion, id, prepared, pause };
    let (fired, after) = match written(app, plan.clone()).await {
        // Refused once more whenever it is tried: that is a failed firing, too.
        Err(error) if error.status() < 500 && plan.prepared.is_ok() => {
            written(app, Plan { prepared: Err(short(&error.to_string())), ..plan }).await?
        }
        answer => answer?,
    };
    for after in after {
        after.run_and_send(app).await;
    }
    Ok(fired)
}

async fn written(app: &App, plan: Plan) -> Result<(Fired, Vec<After>)> {
    let unit_app = app.clone();
    app.store
        .write_with("triggers.fire", plan, move |tx, plan| {
            let app = unit_app.clone();
            Box::pin(async move { write(&app, tx, plan).await })
        })
        .await
}

async fn prepared(
    app: &App,
    caller: &super::Caller,
    row: &TriggerRow,
    occasion: &Occasion,
) -> Result<Prepared> {
    let work = Work(serde_json::from_str(&row.work).map_err(Error::internal)?);
    let mut draft = match occasion.of_event {
        Some(_) => work.filled_from(&occasion.context)?,
        None => work.filled(&occasion.context)?,
    };
    draft.start = occasion.start;
    let about = json!({"id": row.id, "kind": row.kind, "name": row.name, "occasion": occasion.name});
    draft.metadata.insert("trigger".to_owned(), about);
    let mut prepared = prepare_mission(app, caller, Arc::new(draft), None).await?;
    // A request that asks for several missions is remembered as itself, not as the first of them.
    prepared.rider = None;
    Ok(prepared)
}

async fn write(app: &App, tx: &mut Tx, plan: &Plan) -> Result<(Fired, Vec<After>)> {
    let Plan { row, occasion, id, prepared, pause } = plan;
    let mut unit = Unit::new(app, tx);
    let now = unit.now;
    let current = unit.tx.lock_trigger(row.id).await?;
    let same = |current: &TriggerRow| {
        let active = occasion.by_hand || current.state == TriggerState::Active;
        // Of several looks at once the first is right.
        let step = occasion.step.is_none() || current.decided_through == row.decided_through;
        let concerned = occasion.of_event.as_ref().is_none_or(|event| concerns(current, event.seq, event.at));
        current.version == row.version && active && step && concerned
    };
    let Some(mut current) = current.filter(same) else {
        return Ok((Fired::Changed, vec![unit.finish().await?]));
    };
    let mut limits = Limits::default();
    if let Some(chained) = &occasion.chained {
        limits = limits::look(&mut unit, &current, chained).await?;
    }
    let busy = match current.last_mission.filter(|_| occasion.skip_while_running) {
        Some(last) => {
            let found = unit.tx.missions(&[last]).await?;
            found.first().filter(|row| !row.status.is_terminal()).map(|row| row.id)
        }
        None => None,
    };
    let held_back = limits.pause.clone().or_else(|| limits.skip.clone());
    let (mut fired, result, reason, mission) = match (busy, prepared) {
        _ if held_back.is_some() => {
            (Fired::Skipped(held_back.clone().unwrap_or_default()), FiringResult::Skipped, held_back, None)
        }
        (Some(last), _) => {
            let why = format!("{last} still runs");
            (Fired::Skipped(why.clone()), FiringResult::Skipped, Some(why), None)
        }
        (None, Ok(prepared)) => {
            let mission = prepared.new.mission.id;
            (Fired::Mission(mission), FiringResult::Fired, None, Some(mission))
        }
        (None, Err(why)) => (Fired::Failed(why.clone()), FiringResult::Failed, Some(why.clone()), None),
    };
    let firing = FiringRow {
        id: *id,
        trigger_id: row.id,
        occasion: occasion.name.clone(),
        result,
        reason: reason.clone(),
        due: occasion.due,
        mission,
        at: now,
    };
    // What made nothing may be tried again by a person, and by whoever sends the call once more.
    let again = occasion.by_hand || row.kind == TriggerKind::Webhook;
    if !unit.tx.insert_firing(&firing, again).await? {
        fired = Fired::Already;
    }
    if let Some((through, next_at)) = occasion.step {
        current.decided_through = through;
        current.next_at = next_at;
    }
    if let Fired::Mission(mission) = &fired {
        current.last_mission = Some(*mission);
    }
    let pause = *pause || limits.pause.is_some();
    if pause && fired != Fired::Already {
        current.state = TriggerState::Paused;
        current.next_at = None;
        current.reason.clone_from(&reason);
    }
    unit.tx.update_trigger(&current).await?;
    if fired != Fired::Already {
        let body = json!({"occasion": occasion.name, "result": result, "reason": reason, "mission": mission,
            "due": occasion.due, "passed_over": occasion.passed_over});
        unit.audit(SYSTEM, "trigger.fired", (row.kind.as_str(), row.id.to_string()), mission, body);
        let subject = (row.kind.as_str(), row.id.to_string());
        if pause {
            unit.audit(SYSTEM, "trigger.paused", subject.clone(), None, json!({"reason": reason}));
        }
        if limits.alert {
            let alert =
                format!("the trigger `{}` is paused: {}", row.name, reason.as_deref().unwrap_or("a loop"));
            unit.audit(SYSTEM, "alert.raised", subject, None, json!({"alert": alert}));
        }
    }
    if let (Fired::Mission(mission), Some(chained), Some(depth)) = (&fired, &occasion.chained, limits.depth) {
        let (parent, why) = (chained.parent, chained.why.clone());
        let from = chains::CameFrom { parent, depth, by: row.id.to_string(), why };
        chains::link(&mut unit, *mission, from).await?;
    }
    let mut after = vec![unit.finish().await?];
    if let (Fired::Mission(_), Ok(prepared)) = (&fired, prepared) {
        after.push(insert_prepared(app, tx, std::slice::from_ref(prepared)).await?.1);
    }
    Ok((fired, after))
}

/// Whether what happened came after the trigger was kept, changed or resumed. Entries of the log may be numbered a while
/// after their commit: the number alone says too little.
pub(super) fn concerns(row: &TriggerRow, seq: i64, at: Timestamp) -> bool {
    row.since < seq && row.changed_at <= at
}

fn short(text: &str) -> String {
    text.chars().take(1_000).collect()
}

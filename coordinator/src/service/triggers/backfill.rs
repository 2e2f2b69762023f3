//! Due times of the past, run by hand: those of a range that made no mission yet.

use nexusmon_core::mission::Start;
use nexusmon_shared::id::{MissionId, TriggerId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::TriggerKind;
use serde_json::json;

use super::super::unit::{Actor, Unit};
use super::fire::{self, Fired, Occasion};
use super::{Caller, due, known};
use crate::app::App;
use crate::error::{Error, Result};

/// Due times in one request.
const MOST: usize = 500;

/// Which ones.
#[derive(Debug, Clone, Copy)]
pub struct Backfill {
    /// From this moment on …
    pub from: Timestamp,
    /// … until before this one.
    pub to: Timestamp,
    /// Only says which they are.
    pub dry_run: bool,
}

/// One due time of the range.
#[derive(Debug, Clone)]
pub struct Backfilled {
    pub due: Timestamp,
    pub local: String,
    /// `fired`, `failed`, `already`, or `would_fire`.
    pub result: &'static str,
    pub reason: Option<String>,
    pub mission: Option<MissionId>,
}

/// Runs the due times of a range that made no mission yet, oldest first, whatever runs meanwhile and whether or not the
/// schedule is paused. Repeated, it goes on where it stopped.
pub async fn backfill(app: &App, caller: &Caller, id: TriggerId, wish: Backfill) -> Result<Vec<Backfilled>> {
    let Backfill { from, to, dry_run } = wish;
    let row = known(app.store.read().await?.trigger(id).await?, TriggerKind::Schedule, id)?;
    super::within_reach(caller, &row)?;
    let (_, timetable) = due::rule_of(&row)?;
    if to <= from {
        return Err(Error::field("/to", "out_of_range", "the range ends before it begins"));
    }
    if to > app.clock.now() {
        let message = "the range reaches into the future: what is to come runs by itself";
        return Err(Error::field("/to", "out_of_range", message));
    }
    let before = |at: Timestamp| Timestamp::from_micros(at.as_micros().saturating_sub(1));
    let found = timetable.between(before(from), before(to), MOST + 1);
    if found.len() > MOST {
        let message = format!("the range holds more than {MOST} due times: take a part of it");
        return Err(Error::field("/to", "too_many", message));
    }
    if !dry_run {
        note(app, caller, id, wish, found.len()).await?;
    }
    let mut done = Vec::new();
    for moment in found {
        let local = timetable.local(moment);
        let mut one = Backfilled { due: moment, local, result: "already", reason: None, mission: None };
        let name = due::occasion(moment);
        let before = app.store.read().await?.firing(id, &name).await?;
        if let Some(mission) = before.and_then(|before| before.mission) {
            done.push(Backfilled { mission: Some(mission), ..one });
            continue;
        }
        if dry_run {
            done.push(Backfilled { result: "would_fire", ..one });
            continue;
        }
        let occasion = Occasion {
            name,
            due: Some(moment),
            context: due::context(&row, &timetable, moment),
            start: Start::Auto,
            by_hand: true,
            skip_while_running: false,
            step: None,
            passed_over: 0,
            of_event: None,
            chained: None,
        };
        match fire::fire(app, row.clone(), occasion).await? {
            Fired::Mission(mission) => (one.result, one.mission) = ("fired", Some(mission)),
            Fired::Failed(why) | Fired::Skipped(why) => (one.result, one.reason) = ("failed", Some(why)),
            Fired::Already => {}
            Fired::Changed => {
                let detail = "the schedule was changed meanwhile: ask again for what is left";
                return Err(Error::conflict("changed", detail));
            }
        }
        done.push(one);
    }
    Ok(done)
}

async fn note(app: &App, caller: &Caller, id: TriggerId, wish: Backfill, count: usize) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("triggers.backfill", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let body = json!({"from": wish.from, "to": wish.to, "due_times": count});
                let subject = ("schedule", id.to_string());
                unit.audit(actor.0.clone(), "schedule.backfilled", subject, None, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

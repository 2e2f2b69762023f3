//! Schedules that are due: looked at every second by whoever has the duty.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use nexusmon_core::mission::Start;
use nexusmon_core::trigger::{Clockwork, Overlap, Rule, Step, Timetable, next_step};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{TriggerKind, TriggerRow, TriggerState};
use serde_json::{Value, json};

use super::super::unit::{SYSTEM, Unit};
use super::fire::{self, Fired, Occasion};
use crate::app::App;
use crate::error::{Error, Result};

/// Looked at in one activation.
const MOST: u32 = 200;
/// Firings of one schedule in a row; others want to fire meanwhile.
const IN_A_ROW: usize = 20;
/// A wall clock may be a little behind where it was, which changes nothing.
const SKEW: std::time::Duration = std::time::Duration::from_secs(5);

/// The latest time this node's wall clock has shown: one that was set back is noticed, and at the first look nobody knows.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    latest: Mutex<Option<Timestamp>>,
    /// Up to where this node has looked at what happened.
    pub(super) through: AtomicI64,
    /// What could not be done at the look before, and how often it was tried.
    pub(super) tried: Mutex<HashMap<String, u32>>,
}

impl Seen {
    /// Whether the clock was set back since the look before.
    fn look(&self, now: Timestamp) -> bool {
        let mut latest = self.latest.lock().expect("no holder panics");
        latest.replace(now).is_none_or(|latest| latest > now + SKEW)
    }

    /// What was to be done was not: the next look is a first one.
    fn forget(&self) {
        *self.latest.lock().expect("no holder panics") = None;
    }
}

/// What one activation did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looked {
    pub fired: usize,
    pub more: bool,
}

/// Schedules that are due.
pub(super) async fn look(app: &App) -> Result<Looked> {
    let now = app.clock.now();
    // Where the clock was set back, what is due next lies further ahead than it should.
    let all = app.triggers.look(now);
    let found = async {
        let mut read = app.store.read().await?;
        Ok::<_, Error>(if all {
            read.active_triggers(TriggerKind::Schedule).await?
        } else {
            read.triggers_due(now, MOST).await?
        })
    };
    let found = found.await.inspect_err(|_| app.triggers.forget())?;
    let mut looked = Looked { fired: 0, more: !all && found.len() >= MOST as usize };
    // One that cannot be looked at keeps no other from firing.
    let mut failed = None;
    for row in found {
        let id = row.id;
        match one(app, row).await {
            Ok((fired, more)) => {
                looked.fired += fired;
                looked.more |= more;
            }
            Err(error) => {
                app.triggers.forget();
                tracing::warn!(trigger = %id, %error, "a schedule could not be looked at");
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(looked), Err)
}

/// The rule of a schedule's row, with its timetable.
pub(super) fn rule_of(row: &TriggerRow) -> Result<(Rule, Timetable)> {
    let rule: Rule = serde_json::from_str(&row.rule).map_err(Error::internal)?;
    let timetable = rule.check()?;
    Ok((rule, timetable))
}

/// What a schedule's inputs may ask for.
pub(super) fn context(row: &TriggerRow, timetable: &Timetable, due: Timestamp) -> Value {
    json!({"due": due, "local": timetable.local(due), "date": timetable.date(due), "name": row.name})
}

/// The occasion of a due time: sorts by it, and reads as it.
pub(super) fn occasion(due: Timestamp) -> String {
    due.to_string()
}

async fn one(app: &App, mut row: TriggerRow) -> Result<(usize, bool)> {
    let (rule, timetable) = rule_of(&row)?;
    let mut fired = 0;
    for _ in 0..IN_A_ROW {
        let now = app.clock.now();
        let clockwork =
            Clockwork { id: row.id, rule: &rule, timetable: &timetable, through: row.decided_through };
        match next_step(&clockwork, now) {
            Step::Wait { until, through, passed_over } => {
                if row.next_at != until || passed_over > 0 {
                    wait(app, row, through, until, passed_over).await?;
                }
                return Ok((fired, false));
            }
            Step::Fire { due, passed_over } => {
                let starts = clockwork.starts_at(due);
                // Decided, and to be looked at again at once.
                let step = Some((due, Some(now)));
                let wanted = Occasion {
                    name: occasion(due),
                    due: Some(due),
                    context: context(&row, &timetable, due),
                    start: if starts > now { Start::At(starts) } else { Start::Auto },
                    by_hand: false,
                    skip_while_running: rule.overlap == Overlap::Skip,
                    step,
                    passed_over,
                    of_event: None,
                    chained: None,
                };
                match fire::fire(app, row.clone(), wanted).await? {
                    Fired::Changed => return Ok((fired, false)),
                    Fired::Mission(mission) => {
                        fired += 1;
                        row.last_mission = Some(mission);
                    }
                    Fired::Skipped(_) | Fired::Failed(_) | Fired::Already => {}
                }
                row.decided_through = due;
                row.next_at = Some(now);
            }
        }
    }
    Ok((fired, true))
}

/// Writes down when to look next, and that due times were passed over.
async fn wait(
    app: &App,
    row: TriggerRow,
    through: Timestamp,
    until: Option<Timestamp>,
    passed_over: usize,
) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("triggers.wait", row, move |tx, row| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let current = unit.tx.lock_trigger(row.id).await?;
                let same = |current: &TriggerRow| {
                    current.version == row.version
                        && current.state == TriggerState::Active
                        && current.decided_through == row.decided_through
                };
                let Some(mut current) = current.filter(same) else { return unit.finish().await };
                current.decided_through = through;
                current.next_at = until;
                unit.tx.update_trigger(&current).await?;
                if passed_over > 0 {
                    let subject = (row.kind.as_str(), row.id.to_string());
                    let body = json!({"count": passed_over, "after": row.decided_through, "until": through});
                    unit.audit(SYSTEM, "trigger.passed_over", subject, None, body);
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

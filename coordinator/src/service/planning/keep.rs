//! What came of planning, written in one unit of work: the plan or the reason, and what each planner said.

use std::sync::Arc;

use nexusmon_core::evolution::Trait;
use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::id::{MemoryId, MissionId, ModelCallId};
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::plan::Author;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Json, MissionRow, PlanningRow};
use serde_json::{Value, json};

use super::super::evolution;
use super::super::memory;
use super::super::missions::{self, Judged};
use super::super::playbooks::MadeOf;
use super::super::transition;
use super::super::unit::{Actor, Unit};
use super::{Help, Kind, Step, spending};
use crate::app::App;
use crate::error::{Error, Result};

/// A plan that may be kept.
pub(super) struct Made {
    pub judged: Arc<Judged>,
    /// The playbook it is made from.
    pub playbook: Option<Arc<MadeOf>>,
    pub budget: nexusmon_shared::plan::Budget,
    pub kind: Kind,
    /// Whose text it is.
    pub author: Author,
    pub source: Option<String>,
    pub memory: Option<MemoryId>,
}

/// The state a mission waits for its planner in; without an owner anybody may take it.
pub(in crate::service) fn as_state(owner: &str, deadline: Timestamp) -> MissionState {
    MissionState::Planning { owner: owner.to_owned(), deadline }
}

/// What came of asking.
enum Came {
    Plan(Box<Made>),
    Nothing,
    /// Nobody was asked: whoever stated the goal may not have a plan any more.
    Withdrawn(String),
}

/// Writes what was found; false where the mission is no longer this planner's.
pub(super) async fn keep(
    app: &App,
    seen: &MissionRow,
    found: Option<Made>,
    mut steps: Vec<Step>,
) -> Result<bool> {
    let planned = found.is_some();
    let came = found.map_or(Came::Nothing, |made| Came::Plan(Box::new(made)));
    let mut error = match write(app, seen, came, Arc::new(steps.clone())).await {
        Ok(kept) => return Ok(kept),
        Err(error) => error,
    };
    if planned && let Some(last) = steps.last_mut() {
        last.breaks(&format!("its plan could not be kept: {error}"));
        tracing::warn!(mission = %seen.id, ?error, "a plan could not be kept");
        match write(app, seen, Came::Nothing, Arc::new(steps.clone())).await {
            Ok(kept) => return Ok(kept),
            Err(again) => error = again,
        }
    }
    if steps.iter().any(Step::cost) {
        let mut unwritten = app.planning.unwritten.lock().expect("no holder panics");
        unwritten.push((seen.id, Arc::new(steps)));
    }
    Err(error)
}

/// The mission gets no plan, and no planner was asked for one.
pub(super) async fn withdrawn(app: &App, seen: &MissionRow, why: String) -> Result<bool> {
    write(app, seen, Came::Withdrawn(why), Arc::new(Vec::new())).await
}

/// Books what was asked and could not be booked then, and what nobody will book any more; what cannot be now stays for the
/// next time, and set aside.
pub(super) async fn book(app: &App) {
    let waiting = std::mem::take(&mut *app.planning.unwritten.lock().expect("no holder panics"));
    for (mission, steps) in waiting {
        let asked = Arc::clone(&steps);
        let written = app.store.write("planning.book", move |tx| {
            let steps = Arc::clone(&asked);
            Box::pin(async move {
                tx.insert_plannings(&rows(mission, &steps)).await?;
                tx.settle_model_calls(&calls(&steps)).await?;
                Ok::<_, Error>(())
            })
        });
        if let Err(error) = written.await {
            tracing::warn!(%mission, ?error, "what a model was paid is not booked yet");
            app.planning.unwritten.lock().expect("no holder panics").push((mission, steps));
        }
    }
    if let Err(error) = book_lapsed(app).await {
        tracing::warn!(?error, "what models were asked by coordinators that ended is not booked yet");
    }
}

async fn book_lapsed(app: &App) -> Result<()> {
    let now = app.clock.now();
    if !app.store.read().await?.any_lapsed_model_call(now).await? {
        return Ok(());
    }
    app.store.write("planning.book_lapsed", |tx| Box::pin(spending::book_abandoned(tx, None))).await
}

fn calls(steps: &[Step]) -> Vec<ModelCallId> {
    steps.iter().flat_map(|step| step.calls.iter().copied()).collect()
}

async fn write(app: &App, seen: &MissionRow, came: Came, steps: Arc<Vec<Step>>) -> Result<bool> {
    let unit_app = app.clone();
    let work = Arc::new((seen.id, seen.state.0.clone(), came, steps));
    let shared = Arc::clone(&work);
    let (kept, after) = app
        .store
        .write("planning.keep", move |tx| {
            let (app, work) = (unit_app.clone(), Arc::clone(&shared));
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let (id, state, came, steps) = &*work;
                let row = unit.tx.lock_mission(*id).await?;
                let ours = row.as_ref().is_some_and(|row| row.state.0 == *state);
                // What a model was paid is paid, whatever became of the mission meanwhile.
                if ours || steps.iter().any(|step| step.spent.calls > 0) {
                    unit.tx.insert_plannings(&rows(*id, steps)).await?;
                }
                unit.tx.settle_model_calls(&calls(steps)).await?;
                let Some(mut row) = row.filter(|_| ours) else {
                    return Ok::<_, Error>((false, unit.finish().await?));
                };
                match came {
                    Came::Plan(made) => plan(&mut unit, row, made, steps).await?,
                    Came::Nothing => without(&mut unit, &mut row, steps, reason(steps)).await?,
                    Came::Withdrawn(why) => {
                        let what = "state the goal again as somebody who may create missions";
                        let reason = format!("{}. What would help: {what}", capital(why));
                        without(&mut unit, &mut row, steps, reason).await?;
                    }
                }
                Ok((true, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    if let (true, Came::Plan(made)) = (kept, &work.2) {
        app.plans.insert(Arc::clone(&made.judged.sealed));
        if let Some(recalled) = made.memory {
            memory::used(app, memory::Asked::Planning, &[recalled], Some(seen.id)).await?;
        }
    }
    Ok(kept)
}

async fn plan(unit: &mut Unit<'_>, mut row: MissionRow, made: &Made, steps: &[Step]) -> Result<()> {
    row.author = Json(made.author.clone());
    row.budget = Json(made.budget);
    // It helped with what somebody wanted; asked for before it was read, and again where it acts.
    if made.memory.is_some() && !evolution::used(unit, Trait::Recall, evolution::Use::help(row.id)).await? {
        return without(unit, &mut row, steps, reason(steps)).await;
    }
    let said = steps.last().map(|step| step.said.clone());
    let about = json!({"planner": made.kind.as_str(), "source": made.source, "said": said,
        "asked_by": row.created_by});
    missions::put_plan(unit, &Actor::system(), row, &made.judged, made.playbook.as_deref(), about).await
}

async fn without(unit: &mut Unit<'_>, row: &mut MissionRow, steps: &[Step], reason: String) -> Result<()> {
    let why = json!({"reason": reason, "asked": steps.iter().map(|step| step.planner.as_str()).collect::<Vec<_>>(),
        "asked_by": row.created_by});
    let command = MissionCommand::NoPlan { reason };
    transition::apply(unit, &Actor::system(), row, command, "mission.needs_plan", why).await.map(drop)
}

/// What each planner said, in a sentence or two.
fn reason(steps: &[Step]) -> String {
    let last = steps.last();
    let text = match last {
        Some(step) if step.outcome == nexusmon_store::PlanningOutcome::Asked => capital(&step.said),
        _ => {
            let said: Vec<&str> = steps.iter().map(|step| step.said.as_str()).collect();
            format!("No planner has a plan: {}", said.join("; "))
        }
    };
    let help = help(steps);
    let help: Vec<&str> = help.iter().take(4).map(|help| help.text.as_str()).collect();
    let text =
        if help.is_empty() { text } else { format!("{text}. What would help: {}", help.join("; or ")) };
    text.chars().take(2_000).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Where a planner asks, its question is all that helps; else whatever would have helped any of them.
pub(super) fn help(steps: &[Step]) -> Vec<Help> {
    let asked = steps.last().filter(|step| step.outcome == nexusmon_store::PlanningOutcome::Asked);
    let mut found: Vec<Help> = match asked {
        Some(step) => step.help.clone(),
        None => steps.iter().flat_map(|step| step.help.iter().cloned()).collect(),
    };
    found.push(Help::plan());
    found
}

pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn rows(mission: MissionId, steps: &[Step]) -> Vec<PlanningRow> {
    steps
        .iter()
        .map(|step| PlanningRow {
            mission,
            number: 0,
            planner: step.planner.as_str().to_owned(),
            outcome: step.outcome,
            said: step.said.chars().take(2_000).collect(),
            detail: detail(step).to_string(),
            model: step.model.clone(),
            prompt: step.prompt.map(str::to_owned),
            calls: i64::from(step.spent.calls),
            tokens_in: number(step.spent.tokens_in),
            tokens_out: number(step.spent.tokens_out),
            cost: number(step.spent.cost),
            cached: i64::from(step.cached),
            at: step.at,
            took_ms: i64::try_from(step.took.as_millis()).unwrap_or(i64::MAX),
        })
        .collect()
}

fn detail(step: &Step) -> Value {
    json!({"help": step.help, "source": step.source, "differs": step.differs})
}

/// Moves a mission within planning: taken, or given up for anybody to take. Gives the row where it still was as seen.
pub(super) async fn lease(app: &App, seen: &MissionRow, to: MissionState) -> Result<Option<MissionRow>> {
    let unit_app = app.clone();
    let (id, from) = (seen.id, seen.state.0.clone());
    let (row, after) = app
        .store
        .write("planning.lease", move |tx| {
            let (app, from, to) = (unit_app.clone(), from.clone(), to.clone());
            Box::pin(async move {
                let unit = Unit::new(&app, tx);
                let row = unit.tx.lock_mission(id).await?;
                let Some(mut row) = row.filter(|row| row.state.0 == from) else {
                    return Ok::<_, Error>((None, unit.finish().await?));
                };
                let mut change = row.change();
                change.state = to;
                unit.tx.change_mission(id, &change, None).await?;
                transition::put(&mut row, &change);
                // Whoever had it before does not come back for an answer.
                spending::book_abandoned(unit.tx, Some(id)).await?;
                Ok((Some(row), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row)
}

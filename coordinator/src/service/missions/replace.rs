//! A (new) plan for a mission none of whose tasks was ever granted.

use std::sync::Arc;

use nexusmon_core::evolution::Trait;
use nexusmon_core::mission::{MissionCommand, Start};
use nexusmon_core::planning::MissionDraft;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::{MissionState, ResumeTo};
use nexusmon_shared::plan::TaskDraft;
use nexusmon_shared::rank::Rank;
use nexusmon_store::MissionRow;
use serde_json::{Value, json};

use super::prepare::{self, Judged};
use super::{MissionView, create};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::Caller;
use crate::service::evolution;
use crate::service::playbooks::MadeOf;
use crate::service::transition;
use crate::service::unit::{Actor, Unit};

pub(super) async fn replace(
    app: &App,
    caller: &Caller,
    id: MissionId,
    tasks: Vec<TaskDraft>,
    if_match: Option<u64>,
) -> Result<MissionView> {
    let row = super::read::mission(&mut app.store.read().await?, id).await?;
    check_version(&row, if_match)?;
    check_state(&row)?;
    let author = prepare::author_of(caller);
    let draft = Arc::new(draft_of(&row, tasks));
    let judged = prepare::judge(app, caller, id, author.clone(), draft, prepare::Under::default()).await?;
    let judged = Arc::new(judged);
    let unit_app = app.clone();
    let actor = Actor::from(caller);
    let work = Arc::clone(&judged);
    let after = app
        .store
        .write("missions.replace_plan", move |tx| {
            let (app, actor, judged, author) =
                (unit_app.clone(), actor.clone(), Arc::clone(&work), author.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mut row =
                    unit.tx.lock_mission(id).await?.ok_or_else(|| Error::not_found("mission", id))?;
                check_version(&row, if_match)?;
                check_state(&row)?;
                row.author = nexusmon_store::Json(author);
                put(&mut unit, &actor, row, &judged, None, Value::Null).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    app.plans.insert(Arc::clone(&judged.sealed));
    super::get(app, id).await
}

/// Writes a judged plan for a locked mission; `about` goes into the audit trail beside it.
pub(in crate::service) async fn put(
    unit: &mut Unit<'_>,
    actor: &Actor,
    mut row: MissionRow,
    judged: &Judged,
    made_of: Option<&MadeOf>,
    about: Value,
) -> Result<()> {
    let before = row.plan_digest;
    let gate = prepare::gate(judged, start_of(&row), false);
    let transition = nexusmon_core::mission::apply(&row.state.0, MissionCommand::PlanReady(gate), unit.now)?;
    let ids = prepare::draw(unit.app, judged.bound.tasks.len(), unit.now);
    row.plan_revision += 1;
    let rows = create::plan_rows_in(unit, &row, judged, row.plan_revision, &ids).await?;
    unit.tx.replace_plan(row.id, &rows.plan, &rows.tasks, &rows.edges).await?;
    unit.tx.forget_mission_inputs(row.id).await?;
    if let Some(made_of) = made_of {
        unit.tx.insert_mission_inputs(&[made_of.row(row.id, judged, None)?]).await?;
        if made_of.evolved {
            evolution::used(unit, Trait::SelfEvolve, evolution::Use::help(row.id)).await?;
        }
    }
    row.rank = prepare::rank(judged);
    row.shape = Some(judged.shape);
    row.plan_digest = Some(judged.sealed.digest);
    row.tasks_total = i64::try_from(rows.tasks.len()).unwrap_or(i64::MAX);
    row.tasks_open = row.tasks_total;
    let prediction = create::prediction_row(&row, judged, &ids, unit.now);
    unit.tx.insert_predictions(&[prediction]).await?;
    let mut body = json!({"from": row.status.as_str(), "to": transition.state.status().as_str(), "rank": row.rank,
            "plan_digest": row.plan_digest, "replaces": before, "revision": row.plan_revision,
            "policies": judged.decision.policies, "judged": prepare::recorded(judged),
            "author": row.author.0});
    if let (Some(made_of), Some(body)) = (made_of, body.as_object_mut()) {
        body.insert("playbook".to_owned(), json!(made_of.reference()));
        body.insert("inputs_digest".to_owned(), json!(made_of.inputs_digest));
    }
    if let (Value::Object(about), Some(body)) = (about, body.as_object_mut()) {
        body.extend(about);
    }
    unit.audit_mission(actor, "mission.planned", row.id, body);
    transition::enter(unit, &mut row, transition.state, transition.effects, Some(&judged.decision.policies))
        .await
        .map(drop)
}

fn check_version(row: &MissionRow, if_match: Option<u64>) -> Result<()> {
    let current = u64::try_from(row.version).unwrap_or(0);
    match if_match {
        Some(wanted) if wanted != current => Err(Error::PreconditionFailed { current: current.to_string() }),
        _ => Ok(()),
    }
}

fn check_state(row: &MissionRow) -> Result<()> {
    match &row.state.0 {
        // Whoever has a plan need not wait for a planner's.
        MissionState::Planning { .. }
        | MissionState::NeedsPlan { .. }
        | MissionState::AwaitingApproval { .. }
        | MissionState::Paused {
            resume_to: ResumeTo::NeedsPlan { .. } | ResumeTo::AwaitingApproval { .. },
            ..
        } => Ok(()),
        _ => Err(Error::conflict(
            "plan_fixed",
            format!(
                "the mission is {}: a plan can be replaced before it is approved or started; make a new mission",
                row.status.as_str()
            ),
        )),
    }
}

fn start_of(row: &MissionRow) -> Start {
    match (row.start, row.start_at) {
        (nexusmon_store::Start::Manual, _) => Start::Manual,
        (nexusmon_store::Start::At, Some(at)) => Start::At(at),
        _ => Start::Auto,
    }
}

/// The mission's own fields with other tasks.
pub(in crate::service) fn draft_of(row: &MissionRow, tasks: Vec<TaskDraft>) -> MissionDraft {
    MissionDraft {
        goal: row.goal.clone(),
        tasks: Some(tasks),
        rank: row.requested_rank.unwrap_or(Rank::E),
        start: start_of(row),
        priority: i32::try_from(row.priority).unwrap_or(0),
        budget: row.budget.0,
        labels: row.labels.0.clone(),
        metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
        playbook: None,
        inputs: serde_json::Map::new(),
    }
}

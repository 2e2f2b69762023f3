//! Creating missions: prepared by each caller, committed together.

mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_core::evolution::Trait;
use nexusmon_core::mission::{MissionEffect, Start};
use nexusmon_core::planning::MissionDraft;
use nexusmon_core::policy::Verdict;
use nexusmon_core::schedule::{ClassId, DemandClass};
use nexusmon_core::sub_mission;
use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{
    ApprovalRow, ApprovalState, ApprovalSubject, DocumentRow, EdgeRow, Json, MissionInputsRow, MissionRow,
    NewMission, PlanRow, PredictionRow, ReviewRow, ReviewState, Rider, TaskRow, Tx,
};
use serde_json::{Value, json};

use super::prepare::{self, Ids, Judged, Under};
use super::row::task_row;
use crate::app::App;
use crate::app::classes;
use crate::error::{Error, Result};
use crate::service::unit::{Actor, After, Unit};
use crate::service::unlock::{self, Missions};
use crate::service::{
    Caller, Origin, classes as interning, dispatch, evolution, planning, playbooks, standing,
};

/// A mission that only has to be written.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub new: NewMission,
    pub approval: Option<ApprovalRow>,
    pub review: Option<ReviewRow>,
    pub prediction: Option<PredictionRow>,
    pub document: DocumentRow,
    pub actor: Actor,
    pub policies: Vec<String>,
    /// What was asked of the policies, and the answer; null without a plan.
    pub judged: Value,
    /// Roots that need a look at their `if`, list or inputs, once they are in the database.
    pub decide: Vec<TaskId>,
    pub ready: BTreeSet<ClassId>,
    /// Outputs of an earlier mission that this one reuses.
    pub versions: Vec<nexusmon_store::NewVersion>,
    /// Where it is made of a playbook.
    pub inputs: Option<MissionInputsRow>,
    /// The idempotency key of the request, to commit with the mission.
    pub rider: Option<Rider>,
}

/// A mission as committed.
#[derive(Debug, Clone)]
pub(crate) struct Created {
    pub row: MissionRow,
    /// The tasks are not what was prepared: read them.
    pub moved_on: bool,
    pub prepared: Arc<Prepared>,
}

/// The plan's rows.
pub(in crate::service) struct PlanRows {
    pub plan: PlanRow,
    pub tasks: Vec<TaskRow>,
    pub edges: Vec<EdgeRow>,
}

/// A mission's row before anything happened to it.
pub(in crate::service) fn mission_row(
    app: &App,
    caller: &Caller,
    id: MissionId,
    draft: &MissionDraft,
    author: &Author,
    now: Timestamp,
) -> MissionRow {
    let (start, start_at) = match draft.start {
        Start::Auto => (nexusmon_store::Start::Auto, None),
        Start::Manual => (nexusmon_store::Start::Manual, None),
        Start::At(at) => (nexusmon_store::Start::At, Some(at)),
    };
    // Without a plan planners are asked: by this very node where somebody waits for the answer, else by whoever is first.
    let waits = !caller.origin.is_trigger() && caller.origin != Origin::System;
    let owner = if waits { app.config.node.as_str() } else { "" };
    let state = planning::as_state(owner, now + if waits { planning::lease(app) } else { Duration::ZERO });
    MissionRow {
        id,
        goal: draft.goal.clone(),
        status: state.status(),
        state: Json(state),
        rank: draft.rank,
        requested_rank: (draft.rank != Rank::E).then_some(draft.rank),
        priority: i64::from(draft.priority),
        labels: Json(draft.labels.clone()),
        metadata: Value::Object(draft.metadata.clone()).to_string(),
        origin: caller.origin.as_str().to_owned(),
        author: Json(author.clone()),
        created_by: caller.principal,
        start,
        plan_revision: 0,
        plan_digest: None,
        shape: None,
        tasks_total: 0,
        tasks_open: 0,
        tasks_succeeded: 0,
        tasks_failed: 0,
        tasks_skipped: 0,
        tasks_cancelled: 0,
        tasks_leased: 0,
        attempts_used: 0,
        artifact_bytes: 0,
        log_bytes: 0,
        last_tag: i64::try_from(app.virtual_time()).unwrap_or(i64::MAX),
        budget: Json(draft.budget),
        deadline: None,
        start_at,
        decide_by: None,
        rerun_of: None,
        traceparent: nexusmon_shared::telemetry::current_traceparent(),
        created_at: now,
        started_at: None,
        finished_at: None,
        xp_awarded: None,
        version: 1,
    }
}

/// The rows of a plan, everything pending.
pub(in crate::service) async fn plan_rows(
    app: &App,
    mission: &MissionRow,
    judged: &Judged,
    revision: u32,
    ids: &Ids,
    now: Timestamp,
) -> Result<PlanRows> {
    let (templates, keys) = templates(judged);
    let known = interning::ensure(app, keys.iter().cloned().collect()).await?;
    rows_with(app, mission, judged, revision, ids, now, &Interned { templates, keys, known })
}

/// As [`plan_rows`], inside a unit of work.
pub(in crate::service) async fn plan_rows_in(
    unit: &mut Unit<'_>,
    mission: &MissionRow,
    judged: &Judged,
    revision: u32,
    ids: &Ids,
) -> Result<PlanRows> {
    let (templates, keys) = templates(judged);
    let known = interning::intern(unit, &keys.iter().cloned().collect()).await?;
    rows_with(unit.app, mission, judged, revision, ids, unit.now, &Interned { templates, keys, known })
}

fn templates(judged: &Judged) -> (Vec<DemandClass>, Vec<String>) {
    let templates: Vec<DemandClass> = judged.classes.clone();
    // Many tasks, few classes: each is put into its canonical form once.
    let mut known = HashMap::<&DemandClass, String>::new();
    let keys = judged
        .classes
        .iter()
        .map(|class| known.entry(class).or_insert_with(|| classes::key(class)).clone())
        .collect();
    (templates, keys)
}

/// Demand classes by leaf, numbered.
struct Interned {
    templates: Vec<DemandClass>,
    keys: Vec<String>,
    known: BTreeMap<String, ClassId>,
}

fn rows_with(
    app: &App,
    mission: &MissionRow,
    judged: &Judged,
    revision: u32,
    ids: &Ids,
    now: Timestamp,
    interned: &Interned,
) -> Result<PlanRows> {
    let Interned { templates, keys, known } = interned;
    let mut dependents = vec![0_u32; judged.bound.tasks.len()];
    let mut edges = Vec::new();
    for (to, task) in (0_u32..).zip(&judged.bound.tasks) {
        let mut sources: BTreeMap<u32, bool> =
            task.reads.iter().chain(&task.same_as).map(|from| (*from, false)).collect();
        sources.extend(task.needs.iter().map(|from| (*from, true)));
        for (from, needed) in sources {
            if needed {
                dependents[from as usize] += 1;
            }
            edges.push(EdgeRow { mission: mission.id, from_leaf: from, to_leaf: to, needed });
        }
    }
    let mut tasks = Vec::with_capacity(judged.bound.tasks.len());
    for (index, task) in judged.bound.tasks.iter().enumerate() {
        let class = known.get(&keys[index]).copied();
        let class = class.ok_or_else(|| Error::internal("a demand class was not interned"))?;
        let mut row = task_row(mission, task, index, ids.tasks[index], &judged.leaves[index], now);
        row.class = Some(nexusmon_store::ClassId(class.0));
        row.dependents = dependents[index];
        let limits = &templates[index].limits;
        row.limits = (!limits.is_empty()).then(|| Json(limits.clone()));
        row.fence_epoch = app.epoch;
        tasks.push(row);
    }
    let plan = PlanRow {
        mission: mission.id,
        revision,
        digest: judged.sealed.digest,
        tasks_root: judged.sealed.tasks_root,
        header: String::from_utf8(judged.sealed.header.to_vec()).map_err(Error::internal)?,
        size: i64::try_from(tasks.len()).unwrap_or(i64::MAX),
        author: mission.author.clone(),
        created_at: now,
    };
    Ok(PlanRows { plan, tasks, edges })
}

/// Everything but the commit. `reuse` may change the prepared rows before they are judged ready.
pub(in crate::service) async fn prepare(
    app: &App,
    caller: &Caller,
    draft: Arc<MissionDraft>,
    rerun_of: Option<MissionId>,
) -> Result<Prepared> {
    prepare_as(app, caller, prepare::author_of(caller), draft, rerun_of).await
}

/// As [`prepare`], where the plan is somebody else's text.
pub(in crate::service) async fn prepare_as(
    app: &App,
    caller: &Caller,
    author: Author,
    draft: Arc<MissionDraft>,
    rerun_of: Option<MissionId>,
) -> Result<Prepared> {
    let (draft, made_of) = playbooks::resolve(app, draft).await?;
    let now = app.clock.now();
    let id = app.rng.with(|rng| MissionId::new(now, rng));
    let mut row = mission_row(app, caller, id, &draft, &author, now);
    row.rerun_of = rerun_of;
    let document = DocumentRow {
        kind: "mission".to_owned(),
        subject: id.to_string(),
        mission: Some(id),
        title: row.goal.clone(),
        body: row.labels.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(" "),
        at: now,
    };
    let mut prepared = Prepared {
        new: NewMission { mission: row, plan: None, tasks: Vec::new(), edges: Vec::new() },
        approval: None,
        review: None,
        prediction: None,
        document,
        actor: Actor::from(caller),
        policies: Vec::new(),
        judged: Value::Null,
        decide: Vec::new(),
        ready: BTreeSet::new(),
        versions: Vec::new(),
        inputs: None,
        rider: Rider::current(),
    };
    if draft.tasks.is_none() {
        return Ok(prepared);
    }
    let mut under = Under { made_of, ..Under::default() };
    let mut judged =
        prepare::judge(app, caller, id, author.clone(), Arc::clone(&draft), under.clone()).await?;
    let mut covered = None;
    if let (Some(made_of), Verdict::Hold { .. }) = (&under.made_of, judged.decision.verdict) {
        let found = standing::covering(app, caller, &judged, made_of).await?;
        if let Some(found) = found {
            under.only = Some(found.selector);
            judged = prepare::judge(app, caller, id, author, Arc::clone(&draft), under.clone()).await?;
            covered = Some(found.id);
        }
    }
    let (state, effects) = prepare::first_state(&judged, draft.start, covered.is_some(), now)?;
    if let Some(made_of) = &under.made_of {
        prepared.inputs = Some(made_of.row(id, &judged, covered)?);
    }
    let ids = prepare::draw(app, judged.bound.tasks.len(), now);
    let rows = {
        let row = &mut prepared.new.mission;
        row.rank = prepare::rank(&judged);
        row.shape = Some(judged.shape);
        row.plan_revision = 1;
        row.plan_digest = Some(judged.sealed.digest);
        put_state(row, state);
        plan_rows(app, row, &judged, 1, &ids, now).await?
    };
    let count = i64::try_from(rows.tasks.len()).unwrap_or(i64::MAX);
    prepared.new.mission.tasks_total = count;
    prepared.new.mission.tasks_open = count;
    prepared.new.plan = Some(rows.plan);
    prepared.new.tasks = rows.tasks;
    prepared.new.edges = rows.edges;
    prepared.policies.clone_from(&judged.decision.policies);
    prepared.judged = prepare::recorded(&judged);
    prepared.prediction = Some(prediction_row(&prepared.new.mission, &judged, &ids, now));
    for effect in effects {
        match effect {
            MissionEffect::UnlockTasks => unlock_simple(app, &judged, &mut prepared, now),
            MissionEffect::OpenApproval { digest, needed, decide_by } => {
                let row = &prepared.new.mission;
                prepared.approval = Some(ApprovalRow {
                    id: ids.approval,
                    subject_kind: ApprovalSubject::MissionPlan,
                    subject: id.to_string(),
                    mission: Some(id),
                    digest,
                    rank: row.rank,
                    needed,
                    author: row.author.clone(),
                    state: ApprovalState::Pending,
                    policies: Json(judged.decision.policies.clone()),
                    created_at: now,
                    decide_by,
                    decided_at: None,
                    version: 1,
                    valid_until: None,
                    body: None,
                });
                prepared.new.mission.decide_by = Some(decide_by);
            }
            MissionEffect::OpenReview { .. } => {
                let row = &prepared.new.mission;
                prepared.review = Some(ReviewRow {
                    id: ids.review,
                    mission: id,
                    shape: row.shape,
                    rank: row.rank,
                    state: ReviewState::Open,
                    policies: Json(judged.decision.policies.clone()),
                    created_at: now,
                    decided_at: None,
                    decided_by: None,
                    comment: None,
                    version: 1,
                });
            }
            _ => {}
        }
    }
    app.plans.insert(Arc::clone(&judged.sealed));
    Ok(prepared)
}

pub(in crate::service) fn put_state(row: &mut MissionRow, state: MissionState) {
    if let MissionState::Running { since } = &state {
        row.started_at = Some(*since);
        row.deadline = Some(*since + row.budget.duration.0);
    }
    row.status = state.status();
    row.state = Json(state);
}

pub(in crate::service) fn prediction_row(
    mission: &MissionRow,
    judged: &Judged,
    ids: &Ids,
    now: Timestamp,
) -> PredictionRow {
    #[expect(clippy::cast_possible_truncation, reason = "a prediction of milliseconds")]
    let duration_ms = (judged.prediction.duration_seconds * 1000.0).clamp(0.0, 1e15) as i64;
    PredictionRow {
        id: ids.prediction,
        mission: mission.id,
        plan_revision: mission.plan_revision,
        rank: mission.rank,
        probability: judged.prediction.success,
        duration_ms,
        evidence: json!({"basis": judged.prediction.basis, "records": judged.prediction.records}).to_string(),
        made_at: now,
        succeeded: None,
        actual_ms: None,
        scored_at: None,
    }
}

/// Tasks that wait for nothing are ready as they are inserted; the few whose start needs a look at the database are
/// listed for it.
fn unlock_simple(app: &App, judged: &Judged, prepared: &mut Prepared, now: Timestamp) {
    let mission = prepared.new.mission.clone();
    let last = u64::try_from(mission.last_tag).ok();
    let mut tags = nexusmon_core::fairness::tags(app.virtual_time(), last, 1, judged.bound.tasks.len())
        .map(|tag| i64::try_from(tag).unwrap_or(i64::MAX));
    for (task, row) in judged.bound.tasks.iter().zip(&mut prepared.new.tasks) {
        if row.needs_open > 0 {
            continue;
        }
        let spec = &task.spec;
        let grave = (task.rank.needs_approval() || task.requires_approval) && spec.is_open();
        let simple = spec.condition.is_none()
            && spec.for_each.is_none()
            && spec.on.same_as.is_none()
            && spec.inputs.is_empty()
            && !sub_mission::is_sub_mission(&spec.uses)
            && !grave;
        let parameters = if simple { unlock::root_parameters(spec, &mission) } else { Ok(None) };
        match parameters {
            Ok(parameters) if simple => {
                row.params = parameters;
                row.state = TaskStatus::Ready;
                row.ready_at = Some(now);
                row.tag = tags.next().unwrap_or(mission.last_tag);
                prepared.new.mission.last_tag = row.tag;
                prepared.ready.extend(row.class.map(|class| ClassId(class.0)));
            }
            // The general way decides these, and fails what does not evaluate.
            _ => prepared.decide.push(row.id),
        }
    }
}

/// Writes what queued; a mission that cannot be written fails alone.
pub(crate) async fn insert_batch(app: &App, batch: Vec<Prepared>) -> Vec<Result<Created>> {
    let batch: Vec<_> = batch.into_iter().map(Arc::new).collect();
    match insert_together(app, batch.clone()).await {
        Ok(created) => created.into_iter().map(Ok).collect(),
        Err(error) if batch.len() > 1 => {
            tracing::warn!(%error, "a batch of missions failed; writing each alone");
            let mut answers = Vec::new();
            for one in batch {
                let alone = insert_together(app, vec![one]).await;
                answers.push(alone.and_then(|mut created| {
                    created.pop().ok_or_else(|| Error::internal("a mission was not answered"))
                }));
            }
            answers
        }
        Err(error) => vec![Err(error)],
    }
}

async fn insert_together(app: &App, batch: Vec<Arc<Prepared>>) -> Result<Vec<Created>> {
    let unit_app = app.clone();
    let riders: Vec<_> = batch.iter().filter_map(|prepared| prepared.rider.clone()).collect();
    let (created, after) = app
        .store
        .write_with("missions.create", batch, move |tx, batch| {
            let app = unit_app.clone();
            Box::pin(async move { insert(&app, tx, batch).await })
        })
        .await?;
    for rider in riders {
        rider.arrived();
    }
    after.run_and_send(app).await;
    Ok(created)
}

/// Writes prepared missions inside a unit of work.
pub(in crate::service) async fn insert(
    app: &App,
    tx: &mut Tx,
    batch: &[Arc<Prepared>],
) -> Result<(Vec<Created>, After)> {
    let mut unit = Unit::new(app, tx);
    let rows: Vec<&NewMission> = batch.iter().map(|prepared| &prepared.new).collect();
    unit.tx.insert_missions(rows).await?;
    let approvals: Vec<_> = batch.iter().filter_map(|prepared| prepared.approval.clone()).collect();
    if !approvals.is_empty() {
        unit.tx.insert_approvals(&approvals).await?;
        unit.timer();
    }
    let reviews: Vec<_> = batch.iter().filter_map(|prepared| prepared.review.clone()).collect();
    if !reviews.is_empty() {
        unit.tx.insert_reviews(&reviews).await?;
    }
    let predictions: Vec<_> = batch.iter().filter_map(|prepared| prepared.prediction.clone()).collect();
    if !predictions.is_empty() {
        unit.tx.insert_predictions(&predictions).await?;
    }
    let inputs: Vec<_> = batch.iter().filter_map(|prepared| prepared.inputs.clone()).collect();
    if !inputs.is_empty() {
        unit.tx.insert_mission_inputs(&inputs).await?;
    }
    let documents: Vec<_> = batch.iter().map(|prepared| prepared.document.clone()).collect();
    unit.tx.index_documents(&documents).await?;
    for prepared in batch {
        told::audit(&mut unit, prepared);
        let row = &prepared.new.mission;
        let covered = prepared.inputs.as_ref().is_some_and(|inputs| inputs.standing.is_some());
        if covered && Origin::names_unasked(&row.origin) {
            // Should the trait be gone by now, the unit that grants asks again and finds nothing approved.
            evolution::used(&mut unit, Trait::OperatorFusion, evolution::Use::help(row.id)).await?;
        }
        unit.after.ready.extend(prepared.ready.iter().copied());
        if prepared.new.mission.start_at.is_some() || prepared.new.mission.deadline.is_some() {
            unit.timer();
        }
    }
    let versions: Vec<_> = batch.iter().flat_map(|prepared| prepared.versions.iter().cloned()).collect();
    unit.tx.add_versions(&versions).await?;
    let keys: Vec<_> = batch
        .iter()
        .filter_map(|prepared| {
            let rider = prepared.rider.as_ref()?;
            Some(rider.row("mission", &prepared.new.mission.id.to_string()))
        })
        .collect();
    if !keys.is_empty() {
        unit.tx.remember(&keys).await?;
    }
    let decide: Vec<TaskId> = batch.iter().flat_map(|prepared| prepared.decide.iter().copied()).collect();
    let mut missions = Missions::new();
    if !decide.is_empty() {
        missions.extend(
            batch
                .iter()
                .filter(|prepared| !prepared.decide.is_empty())
                .map(|prepared| (prepared.new.mission.id, prepared.new.mission.clone())),
        );
        let touched = missions.keys().copied().collect();
        unlock::follow(&mut unit, &mut missions, Vec::new(), decide).await?;
        super::super::finish::settle_missions(&mut unit, &mut missions, &touched).await?;
    }
    unit.tx.wake(nexusmon_store::Topic::Missions);
    if batch.iter().any(|prepared| prepared.new.plan.is_none()) {
        app.planning.wake.notify_one();
    }
    dispatch::grant_along(&mut unit).await?;
    let created = batch
        .iter()
        .map(|prepared| Created {
            row: missions.get(&prepared.new.mission.id).unwrap_or(&prepared.new.mission).clone(),
            moved_on: !prepared.decide.is_empty(),
            prepared: Arc::clone(prepared),
        })
        .collect();
    Ok((created, unit.finish().await?))
}

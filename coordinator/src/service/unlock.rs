//! What follows when tasks are over: the next ones become ready, are skipped, fail or spread over a list, and so on
//! until nothing follows. All within the unit of work that ended the first.

mod decide;
mod inputs;
mod instance;

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_core::schedule::{ClassId, DemandClass};
use nexusmon_core::{sub_mission, task};
use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::{MAX_FOR_EACH_OUTPUT_BYTES, TaskSpec};
use nexusmon_shared::task::{Outputs, SkipReason, TaskStatus};
use nexusmon_store::{Decision, Json, LeafRef, MissionRow, TaskRow, TaskUpdate};
use serde_json::Value;

use super::unit::Unit;
use crate::app::classes;
use crate::error::{Error, Result};
use decide::Outcome;
pub(super) use decide::{LIST, outputs_value, root_parameters};

/// Evaluation of more source text than this leaves the async threads.
const HEAVY: usize = 64 * 1024;
/// Decided at once.
const AT_ONCE: usize = 500;

/// A task that just became terminal, as far as others depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Over {
    pub mission: MissionId,
    pub leaf_index: u32,
    /// Of a `for_each` child: the task it belongs to; others wait for that one.
    pub parent: Option<TaskId>,
    pub dependents: u32,
}

impl Over {
    pub(super) const fn of(row: &TaskRow) -> Self {
        Self {
            mission: row.mission,
            leaf_index: row.leaf_index,
            parent: row.parent,
            dependents: row.dependents,
        }
    }
}

/// The missions a unit works on, as they are now.
pub(super) type Missions = BTreeMap<MissionId, MissionRow>;

/// Whether tasks of a mission in this status may become ready.
const fn may_follow(status: MissionStatus) -> bool {
    matches!(status, MissionStatus::Running | MissionStatus::Paused)
}

/// Follows from `over` and decides `start` (tasks without open needs) too.
pub(super) async fn follow(
    unit: &mut Unit<'_>,
    missions: &mut Missions,
    mut over: Vec<Over>,
    start: Vec<TaskId>,
) -> Result<()> {
    let mut waiting: Vec<TaskId> = start;
    while !over.is_empty() || !waiting.is_empty() {
        let round = std::mem::take(&mut over);
        let mut collected = collect_lists(unit, missions, &round).await?;
        let ended: Vec<LeafRef> = round
            .iter()
            .filter(|one| one.parent.is_none() && one.dependents > 0)
            .filter(|one| missions.get(&one.mission).is_none_or(|m| may_follow(m.status)))
            .map(|one| LeafRef { mission: one.mission, leaf_index: one.leaf_index })
            .collect();
        over.append(&mut collected);
        if !nexusmon_shared::planted::planted("dependents-forgotten") {
            waiting.extend(unit.tx.unlock_children(&ended).await?);
        }
        let rest = waiting.split_off(waiting.len().min(AT_ONCE));
        let now = std::mem::replace(&mut waiting, rest);
        if !now.is_empty() {
            over.append(&mut decide_all(unit, missions, &now).await?);
        }
    }
    Ok(())
}

/// Ends the `for_each` tasks whose last child is over.
async fn collect_lists(unit: &mut Unit<'_>, missions: &Missions, round: &[Over]) -> Result<Vec<Over>> {
    let ended: Vec<_> = round.iter().filter_map(|one| one.parent.map(|parent| (parent, 1))).collect();
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let mut over = Vec::new();
    for parent in unit.tx.children_ended(&ended).await? {
        let alive = missions.get(&parent.mission).is_none_or(|mission| may_follow(mission.status));
        if parent.children_open == 0 && parent.state == TaskStatus::Pending && alive {
            over.push(collect(unit, parent).await?);
        }
    }
    Ok(over)
}

async fn collect(unit: &mut Unit<'_>, parent: TaskRow) -> Result<Over> {
    let children = unit.tx.children_outcomes(parent.id).await?;
    let failed = children
        .iter()
        .find(|child| !matches!(child.state, TaskStatus::Succeeded | TaskStatus::Skipped))
        .map(|child| child.id);
    let outcome = if let Some(child) = failed {
        let cause = unit.tx.task(child).await?.and_then(|row| row.cause).map(|cause| cause.0);
        Err(cause.unwrap_or(Cause::LostAgent))
    } else {
        let bytes: usize = children.iter().filter_map(|child| child.outputs.as_ref()).map(String::len).sum();
        if bytes > MAX_FOR_EACH_OUTPUT_BYTES {
            Err(Cause::OutputTooLarge { bytes: bytes as u64, limit: MAX_FOR_EACH_OUTPUT_BYTES as u64 })
        } else {
            let list = children
                .iter()
                .map(|child| child.outputs.as_deref().map_or(Value::Null, outputs_value))
                .collect();
            Ok(Outputs::from_iter([(LIST.to_owned(), Value::Array(list))]))
        }
    };
    end(unit, parent, failed.is_none(), |task| task::collect(task, outcome)).await
}

/// Moves a waiting task to its end and writes that down. A failure that is not its `own` is counted as that of its child.
async fn end(
    unit: &mut Unit<'_>,
    mut row: TaskRow,
    own: bool,
    step: impl FnOnce(&nexusmon_shared::task::Task) -> Result<task::Settlement, nexusmon_core::Refused>,
) -> Result<Over> {
    let settlement = step(&row.task()?).map_err(Error::from)?;
    let from = row.state;
    row.put(&settlement.task, unit.now);
    unit.moved(row.mission, from, row.state);
    if own {
        super::settled::audit_ended(unit, &row);
    } else {
        super::settled::audit_settled(unit, &row, &super::unit::Actor::system(), None);
    }
    unit.tx.update_tasks(&[TaskUpdate::from(&row)]).await?;
    Ok(Over::of(&row))
}

/// What is written for decided tasks, all at once.
#[derive(Default)]
struct Written {
    rows: Vec<TaskRow>,
    children: Vec<TaskRow>,
    over: Vec<Over>,
}

async fn decide_all(unit: &mut Unit<'_>, missions: &mut Missions, tasks: &[TaskId]) -> Result<Vec<Over>> {
    let decisions = unit.tx.load_decision_context(tasks).await?;
    load_missions(unit, missions, &decisions).await?;
    let superseded = superseded(unit, &decisions).await?;
    let mut judged = evaluate(decisions, missions, superseded).await?;
    judged.retain(|(decision, ..)| {
        decision.task.state == TaskStatus::Pending
            && decision.task.children_open == 0
            && missions.get(&decision.task.mission).is_some_and(|mission| may_follow(mission.status))
    });
    // In plan order, so that tags follow it.
    judged.sort_by_key(|(decision, ..)| (decision.task.mission, decision.task.leaf_index));
    let resolved = inputs::resolve(unit, &judged).await?;
    let classes = classes_for(unit, &judged).await?;
    let mut written = Written::default();
    for (decision, spec, outcome) in judged {
        let mission =
            missions.get_mut(&decision.task.mission).expect("missions of all decisions are loaded above");
        let found = resolved.get(&decision.task.id);
        apply(unit, mission, decision, &spec, outcome, &classes, found, &mut written).await?;
    }
    let updates: Vec<_> = written.rows.iter().map(TaskUpdate::from).collect();
    unit.tx.update_tasks(&updates).await?;
    if !written.children.is_empty() {
        unit.tx.insert_tasks(&written.children).await?;
    }
    let tags: Vec<_> = missions.values().map(|mission| (mission.id, mission.last_tag)).collect();
    unit.tx.set_last_tags(&tags).await?;
    Ok(written.over)
}

async fn load_missions(unit: &mut Unit<'_>, missions: &mut Missions, decisions: &[Decision]) -> Result<()> {
    let missing: BTreeSet<_> = decisions
        .iter()
        .map(|decision| decision.task.mission)
        .filter(|id| !missions.contains_key(id))
        .collect();
    if !missing.is_empty() {
        let ids: Vec<_> = missing.into_iter().collect();
        missions.extend(unit.tx.lock_missions(&ids).await?.into_iter().map(|row| (row.id, row)));
    }
    Ok(())
}

type Judged = (Decision, TaskSpec, Outcome);

/// Tasks that were added by an attempt which was not the one that succeeded: nobody wants them any more.
async fn superseded(unit: &mut Unit<'_>, decisions: &[Decision]) -> Result<BTreeSet<TaskId>> {
    let added = |decision: &&Decision| decision.task.spawned_by.is_some();
    let ids: Vec<TaskId> = decisions.iter().filter(added).map(|decision| decision.task.id).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let by: BTreeMap<TaskId, u32> =
        unit.tx.spawned(&ids).await?.into_iter().map(|row| (row.task, row.attempt)).collect();
    let is_old = |decision: &&Decision| {
        let parent = decision.sources.iter().find(|source| Some(source.id) == decision.task.spawned_by);
        parent.is_some_and(|parent| {
            parent.state == TaskStatus::Succeeded && by.get(&decision.task.id) != Some(&parent.attempt)
        })
    };
    Ok(decisions.iter().filter(is_old).map(|decision| decision.task.id).collect())
}

async fn evaluate(
    decisions: Vec<Decision>,
    missions: &Missions,
    superseded: BTreeSet<TaskId>,
) -> Result<Vec<Judged>> {
    let weight: usize = decisions
        .iter()
        .map(|decision| {
            let outputs = decision.sources.iter().filter_map(|source| source.outputs.as_ref());
            outputs.map(String::len).sum::<usize>()
        })
        .sum();
    let heavy = weight > HEAVY || decisions.iter().any(|decision| decision.spec.contains("\"for_each\":{"));
    let mut work = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let mission = missions.get(&decision.task.mission).cloned();
        let mission = mission.ok_or_else(|| Error::not_found("mission", decision.task.mission))?;
        let spec: TaskSpec = serde_json::from_str(&decision.spec).map_err(Error::internal)?;
        work.push((decision, spec, mission));
    }
    let run = move || {
        let judge = |(decision, spec, mission): (Decision, TaskSpec, MissionRow)| {
            let outcome = if superseded.contains(&decision.task.id) {
                Outcome::Skip(SkipReason::Superseded)
            } else {
                decide::decide(&decision, &spec, &mission)
            };
            (decision, spec, outcome)
        };
        work.into_iter().map(judge).collect::<Vec<Judged>>()
    };
    if heavy { tokio::task::spawn_blocking(run).await.map_err(Error::internal) } else { Ok(run()) }
}

/// The demand class each task will have, by task: what its row says, with what is known only now.
async fn classes_for(
    unit: &mut Unit<'_>,
    judged: &[Judged],
) -> Result<BTreeMap<TaskId, (ClassId, DemandClass)>> {
    let mut wanted = Vec::new();
    let mut keys = BTreeSet::new();
    let mut found = BTreeMap::new();
    for (decision, spec, outcome) in judged {
        if !matches!(outcome, Outcome::Ready(_) | Outcome::Children(_)) {
            continue;
        }
        let Some(id) = decision.task.class else { continue };
        let (id, base) = super::classes::by_id(unit, ClassId(id.0)).await?;
        let mut class = (*base).clone();
        if let Some(same_as) = &spec.on.same_as {
            let source = decision.sources.iter().find(|source| source.key == *same_as);
            if let Some(agent) = source.and_then(|source| source.agent) {
                class.selector.agent = Some(agent);
            }
        }
        if let Some(bound) = spec.for_each.as_ref().and_then(|for_each| for_each.concurrency) {
            class.limits.insert(format!("for_each:{}", decision.task.id), bound);
            class.prefetch = false;
        }
        if class == *base {
            found.insert(decision.task.id, (id, class));
        } else {
            let key = classes::key(&class);
            keys.insert(key.clone());
            wanted.push((decision.task.id, key, class));
        }
    }
    if !keys.is_empty() {
        let rows = super::classes::intern(unit, &keys).await?;
        for (task, key, class) in wanted {
            let id = rows.get(&key).copied().ok_or_else(|| Error::unavailable("a class was not interned"))?;
            found.insert(task, (id, class));
        }
    }
    Ok(found)
}

#[expect(clippy::too_many_arguments, reason = "one step of the loop above, cut out to be readable")]
async fn apply(
    unit: &mut Unit<'_>,
    mission: &mut MissionRow,
    decision: Decision,
    spec: &TaskSpec,
    outcome: Outcome,
    classes: &BTreeMap<TaskId, (ClassId, DemandClass)>,
    found: Option<&Result<String, Cause>>,
    written: &mut Written,
) -> Result<()> {
    let mut row = decision.task;
    let held = mission.status == MissionStatus::Paused;
    let class = classes.get(&row.id);
    let outcome = match (outcome, found) {
        (Outcome::Ready(_) | Outcome::Children(_), Some(Err(cause))) => Outcome::Fail(cause.clone()),
        (Outcome::Children(children), _) if !fits(mission, children.len()) => {
            Outcome::Fail(Cause::BudgetExceeded {
                budget: format!("tasks: {} children are more than what is left", children.len()),
            })
        }
        (Outcome::Ready(parameters), _) => {
            match instance::inexact(spec, class.map(|(_, class)| class), parameters.as_deref()) {
                Some(cause) => Outcome::Fail(cause),
                None => Outcome::Ready(parameters),
            }
        }
        (outcome, _) => outcome,
    };
    let inputs = found.and_then(|found| found.as_ref().ok()).cloned();
    match outcome {
        Outcome::Wait => {}
        Outcome::Skip(reason) => {
            finish(unit, &mut row, written, |task| task::skip(task, reason));
        }
        Outcome::Fail(cause) => finish(unit, &mut row, written, |task| task::fail(task, cause)),
        Outcome::Children(children) if children.is_empty() => {
            let empty = Outputs::from_iter([(LIST.to_owned(), Value::Array(Vec::new()))]);
            finish(unit, &mut row, written, |task| task::collect(task, Ok(empty)));
        }
        Outcome::Ready(parameters) => {
            row.params = parameters;
            row.inputs = inputs;
            let tag = unit.tags(mission, 1);
            make_ready(unit, mission, &mut row, spec, class, tag[0], held).await?;
            written.rows.push(row);
        }
        Outcome::Children(children) => {
            expand(unit, mission, row, spec, children, class, inputs, held, written).await?;
        }
    }
    Ok(())
}

fn fits(mission: &MissionRow, more: usize) -> bool {
    let spent = nexusmon_core::budget::Spent {
        tasks: u32::try_from(mission.tasks_total).unwrap_or(u32::MAX),
        ..Default::default()
    };
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    nexusmon_core::budget::tasks_fit(&mission.budget, &spent, more).is_ok()
}

fn finish(
    unit: &mut Unit<'_>,
    row: &mut TaskRow,
    written: &mut Written,
    step: impl FnOnce(&nexusmon_shared::task::Task) -> Result<task::Settlement, nexusmon_core::Refused>,
) {
    // Only pending tasks come here, and every step above is defined for those.
    let Ok(before) = row.task() else { return };
    let Ok(settlement) = step(&before) else { return };
    let from = row.state;
    row.put(&settlement.task, unit.now);
    unit.moved(row.mission, from, row.state);
    super::settled::audit_ended(unit, row);
    written.over.push(Over::of(row));
    written.rows.push(row.clone());
}

/// Ready, or gated where its run-time values want an approval of their own.
async fn make_ready(
    unit: &mut Unit<'_>,
    mission: &MissionRow,
    row: &mut TaskRow,
    spec: &TaskSpec,
    class: Option<&(ClassId, DemandClass)>,
    tag: i64,
    held: bool,
) -> Result<()> {
    if sub_mission::is_sub_mission(&row.uses) {
        return super::sub_missions::wait(unit, row).await;
    }
    let Some((id, class)) = class else {
        return Err(Error::internal(format!("{} has no demand class", row.id)));
    };
    row.class = Some(nexusmon_store::ClassId(id.0));
    row.limits = (!class.limits.is_empty()).then(|| Json(class.limits.clone()));
    row.tag = tag;
    row.held = held;
    row.ready_at = Some(unit.now);
    if instance::wants_approval(row, spec, class) {
        row.state = TaskStatus::Gated;
        instance::open_approval(unit, mission, row, spec).await?;
    } else {
        row.state = TaskStatus::Ready;
        if !held {
            unit.after.ready.insert(*id);
        }
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one step of the loop above, cut out to be readable")]
async fn expand(
    unit: &mut Unit<'_>,
    mission: &mut MissionRow,
    mut parent: TaskRow,
    spec: &TaskSpec,
    children: Vec<(Value, Result<Option<String>, Cause>)>,
    class: Option<&(ClassId, DemandClass)>,
    inputs: Option<String>,
    held: bool,
    written: &mut Written,
) -> Result<()> {
    let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
    let delta = unit.delta(parent.mission);
    delta.total += i64::from(count);
    delta.open += i64::from(count);
    mission.tasks_total += i64::from(count);
    let tags = unit.tags(mission, children.len());
    let now = unit.now;
    let ids = unit.app.rng.with(|rng| (0..count).map(|_| TaskId::new(now, rng)).collect::<Vec<_>>());
    parent.children_open = count;
    for (index, (((item, parameters), tag), id)) in (0_u32..).zip(children.into_iter().zip(tags).zip(ids)) {
        let mut child = TaskRow {
            id,
            item_index: Some(index),
            parent: Some(parent.id),
            spec: None,
            item: Some(item.to_string()),
            dependents: 0,
            created_at: now,
            children_open: 0,
            inputs: inputs.clone(),
            ..parent.clone()
        };
        let inexact = parameters.as_ref().ok().and_then(|parameters| {
            instance::inexact(spec, class.map(|(_, class)| class), parameters.as_deref())
        });
        let parameters = inexact.map_or(parameters, Err);
        match parameters {
            Ok(parameters) => {
                child.params = parameters;
                make_ready(unit, mission, &mut child, spec, class, tag, held).await?;
            }
            Err(cause) => {
                let settled = task::fail(&child.task()?, cause).map_err(Error::from)?;
                child.put(&settled.task, now);
                unit.moved(child.mission, TaskStatus::Pending, child.state);
                super::settled::audit_ended(unit, &child);
                written.over.push(Over::of(&child));
            }
        }
        written.children.push(child);
    }
    written.rows.push(parent);
    Ok(())
}

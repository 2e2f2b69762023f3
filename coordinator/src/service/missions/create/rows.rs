//! The rows of a plan, everything pending.

use std::collections::{BTreeMap, HashMap};

use nexusmon_core::schedule::{ClassId, DemandClass};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{EdgeRow, Json, MissionRow, PlanRow, TaskRow};

use super::super::prepare::{Ids, Judged};
use super::super::row::task_row;
use crate::app::App;
use crate::app::classes;
use crate::error::{Error, Result};
use crate::service::classes as interning;
use crate::service::unit::Unit;

/// The plan's rows.
pub(in crate::service) struct PlanRows {
    pub plan: PlanRow,
    pub tasks: Vec<TaskRow>,
    pub edges: Vec<EdgeRow>,
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

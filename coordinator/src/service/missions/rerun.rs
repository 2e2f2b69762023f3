//! A new mission from an old one: whole, or from the failed tasks with earlier outputs reused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexusmon_core::planning::{MissionDraft, PlaybookRef};
use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::plan::{TaskDraft, TaskSpec};
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{ArtifactRow, Connection, MissionRow, NewVersion, TaskRow, VersionRow, VersionStatus};

use super::{MissionView, create, replace, views};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::Caller;

pub(super) async fn rerun(
    app: &App,
    caller: &Caller,
    id: MissionId,
    from_failed: bool,
) -> Result<MissionView> {
    let mut read = app.store.read().await?;
    let row = super::read::mission(&mut read, id).await?;
    may_run_again(&row)?;
    let leaves = read.leaves(id).await?;
    if from_failed && row.tasks_failed + row.tasks_cancelled == 0 {
        return Err(Error::conflict(
            "nothing_failed",
            "no task of the mission failed; rerun it from the start",
        ));
    }
    let drafts = leaves.iter().map(|leaf| draft(leaf)).collect::<Result<Vec<_>>>()?;
    let mut draft = replace::draft_of(&row, drafts);
    let kept = if from_failed { reusable(&mut read, &row).await? } else { BTreeMap::new() };
    // From the same version of its playbook, where that may still be used: a standing approval then covers it, too.
    if let Some(made) = read.mission_inputs(&[id]).await?.pop().filter(|_| !from_failed)
        && read
            .playbook(&made.playbook, Some(made.version))
            .await?
            .is_some_and(|row| row.retired_at.is_none())
    {
        let version = u32::try_from(made.version).ok();
        draft.playbook = Some(PlaybookRef { name: made.playbook, version });
        draft.inputs = serde_json::from_str(&made.inputs).map_err(Error::internal)?;
        draft.tasks = None;
    }
    drop(read);
    let draft: Arc<MissionDraft> = Arc::new(draft);
    let mut prepared = create::prepare(app, caller, draft, Some(id)).await?;
    if !kept.is_empty() {
        reuse(app, &mut prepared, &kept);
    }
    let created = app.batchers().create.submit(prepared).await?;
    views::created(app, created).await
}

/// It is over, and there was a plan.
pub(super) fn may_run_again(row: &MissionRow) -> Result<()> {
    if !row.status.is_terminal() {
        return Err(Error::conflict(
            "not_terminal",
            format!("the mission is {}: cancel it first, or let it end", row.status.as_str()),
        ));
    }
    if row.plan_digest.is_none() {
        return Err(Error::conflict("no_plan", "the mission never had a plan; create a new one with tasks"));
    }
    Ok(())
}

/// A mission as somebody would ask for it now, to be judged again.
pub(in crate::service) fn draft_again(row: &MissionRow, leaves: &[String]) -> Result<MissionDraft> {
    let drafts = leaves.iter().map(|leaf| draft(leaf)).collect::<Result<Vec<_>>>()?;
    Ok(replace::draft_of(row, drafts))
}

/// The leaf as somebody would write it; every default is spelled out.
fn draft(leaf: &str) -> Result<TaskDraft> {
    let spec: TaskSpec = serde_json::from_str(leaf).map_err(Error::internal)?;
    Ok(spec.into())
}

/// An earlier task that need not run again.
struct Kept {
    task: TaskRow,
    produced: Vec<(ArtifactRow, VersionRow)>,
}

/// Succeeded tasks with what they left; refused where retention has taken something away.
async fn reusable(read: &mut Connection, row: &MissionRow) -> Result<BTreeMap<u32, Kept>> {
    let mut cursor = None;
    let mut ids = Vec::new();
    loop {
        let page = nexusmon_store::PageRequest { limit: 200, cursor };
        let filter = nexusmon_store::TaskFilter {
            statuses: vec![TaskStatus::Succeeded],
            ..nexusmon_store::TaskFilter::default()
        };
        let found = read.task_list(row.id, &filter, &page).await?;
        ids.extend(found.items.iter().filter(|task| task.item_index.is_none()).map(|task| task.id));
        cursor = found.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut kept = BTreeMap::new();
    // What a task added is added again by that task.
    let in_vain: BTreeSet<TaskId> = read.spawned_in_vain(row.id).await?.into_iter().collect();
    for task in read.tasks(&ids).await? {
        if task.spawned_by.is_some() || in_vain.contains(&task.id) {
            continue;
        }
        let mut produced = Vec::new();
        for version in read.versions_of_task(task.id).await? {
            if version.kind != nexusmon_store::ArtifactKind::Output {
                continue;
            }
            if version.status == VersionStatus::Purged {
                return Err(Error::conflict(
                    "artifact_purged",
                    format!(
                        "`{}` left artifacts that retention has removed since: rerun from the start instead",
                        task.key
                    ),
                ));
            }
            if let Some(series) = read.artifact(version.artifact).await? {
                produced.push((series, version));
            }
        }
        kept.insert(task.leaf_index, Kept { task, produced });
    }
    Ok(kept)
}

/// Marks reused tasks as succeeded, pins what they left under the new mission, and counts the needs that are over.
fn reuse(app: &App, prepared: &mut create::Prepared, kept: &BTreeMap<u32, Kept>) {
    let now = app.clock.now();
    let mission = prepared.new.mission.id;
    let mut over = BTreeSet::new();
    let mut versions = Vec::new();
    for task in &mut prepared.new.tasks {
        let Some(old) = kept.get(&task.leaf_index) else { continue };
        task.state = TaskStatus::Succeeded;
        task.outputs.clone_from(&old.task.outputs);
        task.agent = old.task.agent;
        task.started_at = old.task.started_at;
        task.finished_at = Some(now);
        over.insert(task.leaf_index);
        for (series, version) in &old.produced {
            let (artifact, id) = app.rng.with(|rng| {
                (
                    nexusmon_shared::id::ArtifactId::new(now, rng),
                    nexusmon_shared::id::VersionId::new(now, rng),
                )
            });
            versions.push(NewVersion {
                series: ArtifactRow {
                    id: artifact,
                    scope: mission.to_string(),
                    mission: Some(mission),
                    created_at: now,
                    updated_at: now,
                    ..series.clone()
                },
                version: VersionRow {
                    id,
                    artifact,
                    mission: Some(mission),
                    task: Some(task.id),
                    created_at: now,
                    version: 1,
                    ..version.clone()
                },
            });
        }
    }
    let met = |leaf: u32, edges: &[nexusmon_store::EdgeRow]| {
        edges
            .iter()
            .filter(|edge| edge.needed && edge.to_leaf == leaf && over.contains(&edge.from_leaf))
            .count()
    };
    let mut decide: BTreeSet<TaskId> = prepared.decide.iter().copied().collect();
    let running = prepared.new.mission.started_at.is_some();
    for task in &mut prepared.new.tasks {
        if over.contains(&task.leaf_index) {
            decide.remove(&task.id);
            continue;
        }
        let met = u32::try_from(met(task.leaf_index, &prepared.new.edges)).unwrap_or(u32::MAX);
        task.needs_open = task.needs_open.saturating_sub(met);
        if running && met > 0 && task.needs_open == 0 {
            decide.insert(task.id);
        }
    }
    prepared.decide = decide.into_iter().collect();
    prepared.versions = versions;
    let count = i64::try_from(over.len()).unwrap_or(i64::MAX);
    prepared.new.mission.tasks_open -= count;
    prepared.new.mission.tasks_succeeded += count;
}

//! Missions as read: one in full, many in short.

use std::collections::BTreeMap;

use nexusmon_core::schedule::{ClassId, Reason, explain_class};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{ArtifactFilter, ArtifactKind, Connection, MissionRow, StatusCount, TaskFilter};

use super::views;
use super::{ArtifactRef, EngineStats, MissionFilter, MissionSummary, MissionView, TaskView};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::dispatch::offline_views;
use crate::service::planning::planning_of;
use crate::service::{Page, PageRequest};

/// Tasks shown with a mission.
pub(super) const MOST_TASKS: usize = 200;
/// Edges shown with a mission.
pub(super) const MOST_EDGES: usize = 10_000;
/// Artifacts shown with a mission.
const MOST_ARTIFACTS: u32 = 200;

pub(super) async fn mission(read: &mut Connection, id: MissionId) -> Result<MissionRow> {
    read.mission(id).await?.ok_or_else(|| Error::not_found("mission", id))
}

pub(super) async fn get(app: &App, id: MissionId) -> Result<MissionView> {
    let mut read = app.store.read().await?;
    let row = mission(&mut read, id).await?;
    let mut view = views::bare(&row);
    view.plan = read.plan(id).await?.as_ref().map(views::plan_view).transpose()?;
    if view.plan.as_ref().is_some_and(|plan| plan.playbook.is_some())
        && let Some(made) = read.mission_inputs(&[id]).await?.pop()
    {
        view.inputs = serde_json::from_str(&made.inputs).map_err(Error::internal)?;
    }
    let first = nexusmon_store::PageRequest::first(u32::try_from(MOST_TASKS).unwrap_or(200));
    let tasks = read.task_list(id, &TaskFilter::default(), &first).await?;
    let ids: Vec<_> = tasks.items.iter().map(|task| task.id).collect();
    let mut rows = read.tasks(&ids).await?;
    rows.sort_by_key(|task| (task.leaf_index, task.item_index));
    view.dag_edges = edges(&mut read, id).await?;
    view.tasks = views::task_views(app, &mut read, &row, rows).await?;
    view.artifacts = artifacts(&mut read, id).await?;
    view.approval = read.pending_approvals_of(&[id]).await?.first().map(|approval| approval.id);
    view.review = read.review_of(id).await?.map(|review| review.id);
    view.parent = read.sub_mission(id).await?.map(|link| (link.parent, link.task));
    view.prediction = read.prediction_of(id).await?.as_ref().map(views::prediction);
    view.planning = planning_of(&mut read, id).await?;
    Ok(view)
}

async fn edges(read: &mut Connection, id: MissionId) -> Result<Vec<(String, String)>> {
    let edges = read.edges(id).await?;
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let keys: BTreeMap<u32, String> =
        read.leaf_keys(id).await?.into_iter().map(|leaf| (leaf.leaf_index, leaf.key.to_string())).collect();
    let name = |leaf: u32| keys.get(&leaf).cloned().unwrap_or_default();
    Ok(edges
        .into_iter()
        .filter(|edge| edge.needed)
        .take(MOST_EDGES)
        .map(|edge| (name(edge.from_leaf), name(edge.to_leaf)))
        .collect())
}

async fn artifacts(read: &mut Connection, id: MissionId) -> Result<Vec<ArtifactRef>> {
    let filter = ArtifactFilter {
        mission: Some(id),
        kinds: vec![ArtifactKind::Output, ArtifactKind::Upload, ArtifactKind::Report],
        ..ArtifactFilter::default()
    };
    let page = read.artifact_list(&filter, &nexusmon_store::PageRequest::first(MOST_ARTIFACTS)).await?;
    let ids: Vec<_> = page.items.iter().map(|artifact| artifact.id).collect();
    let latest: BTreeMap<_, _> =
        read.latest_versions(&ids).await?.into_iter().map(|version| (version.artifact, version)).collect();
    Ok(page
        .items
        .into_iter()
        .filter_map(|artifact| {
            let version = latest.get(&artifact.id)?;
            Some(ArtifactRef {
                artifact: artifact.id,
                version: version.id,
                number: u32::try_from(version.number).unwrap_or(0),
                name: artifact.name,
                kind: artifact.kind.as_str().to_owned(),
                task: (!artifact.task_key.is_empty()).then_some(artifact.task_key),
                digest: version.digest,
                size: u64::try_from(version.size).unwrap_or(0),
                media_type: version.media_type.clone(),
            })
        })
        .collect())
}

pub(super) async fn list(
    app: &App,
    filter: MissionFilter,
    page: PageRequest,
) -> Result<Page<MissionSummary>> {
    let labels = match &filter.label {
        None => Vec::new(),
        Some(label) => {
            let (key, value) = label.split_once('=').unwrap_or((label, "*"));
            vec![(key.to_owned(), value.to_owned())]
        }
    };
    let wanted = nexusmon_store::MissionFilter {
        statuses: filter.status,
        rank: filter.rank,
        labels,
        q: filter.q.filter(|q| !q.trim().is_empty()),
        since: filter.since,
        rerun_of: None,
    };
    let found = app.store.read().await?.mission_list(&wanted, &page.store()?).await?;
    Ok(Page { items: found.items.iter().map(views::summary).collect(), next_cursor: found.next_cursor })
}

pub(super) async fn tasks(
    app: &App,
    id: MissionId,
    status: Option<TaskStatus>,
    page: PageRequest,
) -> Result<Page<TaskView>> {
    let mut read = app.store.read().await?;
    let row = mission(&mut read, id).await?;
    let filter = TaskFilter { statuses: status.into_iter().collect(), ..TaskFilter::default() };
    let found = read.task_list(id, &filter, &page.store()?).await.map_err(|error| match error {
        nexusmon_store::StoreError::Corrupt { ref column, .. } if column == "cursor" => {
            Error::field("?cursor", "invalid", "is not a cursor of this list")
        }
        other => other.into(),
    })?;
    let ids: Vec<_> = found.items.iter().map(|task| task.id).collect();
    let mut rows = read.tasks(&ids).await?;
    rows.sort_by_key(|task| (task.leaf_index, task.item_index));
    let items = views::task_views(app, &mut read, &row, rows).await?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

/// How many missions are in each status; may be a few seconds old where there are very many.
pub(in crate::service) async fn counts(app: &App, read: &mut Connection) -> Result<Vec<StatusCount>> {
    Ok(app.mission_counts.get(&*app.clock, read.mission_counts()).await?)
}

pub(super) async fn stats(app: &App) -> Result<EngineStats> {
    let mut read = app.store.read().await?;
    let missions: BTreeMap<String, u64> = counts(app, &mut read)
        .await?
        .into_iter()
        .map(|count| (count.status.as_str().to_owned(), u64::try_from(count.count).unwrap_or(0)))
        .collect();
    let tasks: BTreeMap<String, u64> = read
        .live_task_counts()
        .await?
        .into_iter()
        .map(|count| (count.state.as_str().to_owned(), u64::try_from(count.count).unwrap_or(0)))
        .collect();
    let of = |status: TaskStatus| tasks.get(status.as_str()).copied().unwrap_or(0);
    let agents = offline_views(app);
    let mut waiting_by_reason = BTreeMap::new();
    for nexusmon_store::ReadyCount { class, count } in read.ready_counts().await? {
        let id = ClassId(class.0);
        let Some(known) = app.classes.class(id) else { continue };
        let reason = if app.switch.is_pulled() {
            Reason::Halted
        } else {
            explain_class(id, &known, &agents, &BTreeMap::new())
        };
        *waiting_by_reason.entry(reason.code()).or_default() += u64::try_from(count).unwrap_or(0);
    }
    let oldest = read.oldest_ready().await?;
    Ok(EngineStats {
        missions_by_status: missions,
        ready_tasks: of(TaskStatus::Ready),
        live_leases: of(TaskStatus::Leased) + of(TaskStatus::Running),
        tasks_by_status: tasks,
        agents_online: app.sessions.all().len() as u64,
        waiting_by_reason,
        oldest_ready: oldest.map(|at| app.clock.now().since(at)),
    })
}

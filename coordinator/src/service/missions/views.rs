//! Rows as people see them.

use std::collections::{BTreeMap, HashMap};

use nexusmon_core::sub_mission;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::TaskId;
use nexusmon_shared::mission::{MissionState, ResumeTo};
use nexusmon_shared::plan::PlanHeader;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{ChildMission, Connection, MissionRow, PlanRow, PredictionRow, TaskRow};
use serde_json::{Map, Value, json};

use super::waiting::{self, About};
use super::{Created, MissionSummary, MissionView, PlanView, PredictionView, Progress, TaskCounts, TaskView};
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::unlock::outputs_value;

pub(super) fn summary(row: &MissionRow) -> MissionSummary {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    MissionSummary {
        id: row.id,
        goal: row.goal.clone(),
        status: row.status,
        rank: row.rank,
        requested_rank: row.requested_rank,
        origin: row.origin.clone(),
        priority: i32::try_from(row.priority).unwrap_or(0),
        labels: row.labels.0.clone(),
        tasks: TaskCounts {
            total: count(row.tasks_total),
            open: count(row.tasks_open),
            succeeded: count(row.tasks_succeeded),
            failed: count(row.tasks_failed),
        },
        xp_awarded: row.xp_awarded.and_then(|xp| u32::try_from(xp).ok()),
        rerun_of: row.rerun_of,
        created_by: row.created_by,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    }
}

pub(super) fn plan_view(plan: &PlanRow) -> Result<PlanView> {
    let header: PlanHeader = serde_json::from_str(&plan.header).map_err(Error::internal)?;
    Ok(PlanView {
        digest: plan.digest,
        tasks_root: plan.tasks_root,
        revision: plan.revision,
        author: header.author,
        policy_digest: header.policy_digest,
        playbook: header.playbook,
    })
}

pub(super) fn prediction(row: &PredictionRow) -> PredictionView {
    let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds shown as seconds")]
    let duration_seconds = row.duration_ms as f64 / 1000.0;
    PredictionView {
        success: row.probability,
        duration_seconds,
        basis: evidence["basis"].as_str().unwrap_or_default().to_owned(),
        samples: evidence["records"].as_u64().unwrap_or(0),
    }
}

/// A mission with nothing read yet beside its row.
pub(super) fn bare(row: &MissionRow) -> MissionView {
    let metadata: Map<String, Value> = serde_json::from_str(&row.metadata).unwrap_or_default();
    let reason = match &row.state.0 {
        MissionState::NeedsPlan { reason }
        | MissionState::Paused { resume_to: ResumeTo::NeedsPlan { reason }, .. } => Some(reason.clone()),
        _ => None,
    };
    let failure = match &row.state.0 {
        MissionState::Failed { cause } => Some(cause.clone()),
        _ => None,
    };
    MissionView {
        summary: summary(row),
        state: row.state.0.clone(),
        reason,
        failure,
        plan: None,
        tasks: Vec::new(),
        dag_edges: Vec::new(),
        artifacts: Vec::new(),
        approval: None,
        review: None,
        parent: None,
        prediction: None,
        planning: None,
        budget: row.budget.0,
        start_at: row.start_at,
        deadline: row.deadline,
        metadata,
        inputs: Map::new(),
        version: u64::try_from(row.version).unwrap_or(0),
    }
}

/// A mission just created, from what was written: nothing is read.
pub(super) async fn created(app: &App, created: Created) -> Result<MissionView> {
    if created.moved_on {
        return super::get(app, created.row.id).await;
    }
    let row = &created.row;
    let mut view = bare(row);
    let prepared = &created.prepared;
    view.plan = prepared.new.plan.as_ref().map(plan_view).transpose()?;
    if let Some(inputs) = &prepared.inputs {
        view.inputs = serde_json::from_str(&inputs.inputs).map_err(Error::internal)?;
    }
    view.approval = prepared.approval.as_ref().map(|approval| approval.id);
    view.review = prepared.review.as_ref().map(|review| review.id);
    view.prediction = prepared.prediction.as_ref().map(prediction);
    let tasks = &prepared.new.tasks;
    let keys: Vec<&str> = tasks.iter().map(|task| task.key.as_str()).collect();
    let edges = prepared.new.edges.iter().filter(|edge| edge.needed);
    view.dag_edges = edges
        .clone()
        .take(super::read::MOST_EDGES)
        .map(|edge| (keys[edge.from_leaf as usize].to_owned(), keys[edge.to_leaf as usize].to_owned()))
        .collect();
    let mut needs = BTreeMap::<u32, Vec<String>>::new();
    for edge in edges {
        needs.entry(edge.to_leaf).or_default().push(keys[edge.from_leaf as usize].to_owned());
    }
    let explained = waiting::Explainer::new(app, row, waiting::Extra::default());
    view.tasks = tasks
        .iter()
        .take(super::read::MOST_TASKS)
        .map(|task| {
            let needs = needs.get(&task.leaf_index).cloned().unwrap_or_default();
            task_view(app, task, needs.clone(), explained.explain(&About { row: task, open_needs: &needs }))
        })
        .collect();
    Ok(view)
}

pub(super) fn task_view(
    app: &App,
    row: &TaskRow,
    needs: Vec<String>,
    waiting: Option<super::Waiting>,
) -> TaskView {
    let attempt =
        AttemptRef { task: row.id, fence: Fence { epoch: row.fence_epoch, number: row.fence_number } };
    let live = !row.state.is_terminal();
    let known = || app.running.get(&attempt).or_else(|| app.elsewhere.news(&attempt));
    let news = if live { known() } else { None };
    let started = news.as_ref().and_then(|news| news.started_at);
    let status = match row.state {
        TaskStatus::Leased if started.is_some() => TaskStatus::Running,
        status => status,
    };
    TaskView {
        task_id: row.id,
        mission: row.mission,
        id: row.key.to_string(),
        item_index: row.item_index,
        spawned_by: row.spawned_by,
        uses: row.uses.to_string(),
        needs,
        status,
        rank: row.rank,
        attempt: row.attempt,
        agent: row.agent,
        agent_name: row.agent.and_then(|agent| app.fleet.get().names.get(&agent).cloned()),
        outputs: row.outputs.as_deref().map(outputs_value),
        cause: row.cause.as_ref().map(|cause| cause.0.clone()),
        skip_reason: row.skip_reason,
        effect_unknown: row.effect_unknown,
        sub_mission: None,
        waiting,
        progress: news
            .filter(|news| news.fraction.is_some() || !news.text.is_empty())
            .map(|news| Progress { fraction: news.fraction, text: news.text }),
        started_at: started.or(row.started_at),
        finished_at: row.finished_at,
    }
}

/// Tasks of one mission in full: with what each needs, and why it waits.
pub(in crate::service) async fn task_views(
    app: &App,
    read: &mut Connection,
    mission: &MissionRow,
    rows: Vec<TaskRow>,
) -> Result<Vec<TaskView>> {
    let mut needs = HashMap::<TaskId, Vec<(String, bool)>>::new();
    for row in &rows {
        let spec: Option<Needs> = row.spec.as_deref().and_then(|leaf| serde_json::from_str(leaf).ok());
        needs.insert(
            row.id,
            spec.map(|spec| spec.needs.into_iter().map(|need| (need, true)).collect()).unwrap_or_default(),
        );
    }
    let states: HashMap<String, bool> =
        rows.iter().map(|row| (row.key.to_string(), row.state.is_terminal())).collect();
    let extra = waiting::extra(app, read, &rows).await?;
    let explainer = waiting::Explainer::new(app, mission, extra);
    let mut views = Vec::with_capacity(rows.len());
    for row in &rows {
        let needs: Vec<String> =
            needs.remove(&row.id).unwrap_or_default().into_iter().map(|(need, _)| need).collect();
        // Needs outside this page count as open while any is.
        let open: Vec<String> = if row.needs_open == 0 {
            Vec::new()
        } else {
            needs.iter().filter(|need| !states.get(*need).copied().unwrap_or(false)).cloned().collect()
        };
        let why = explainer.explain(&About { row, open_needs: &open });
        views.push(task_view(app, row, needs, why));
    }
    name_sub_missions(read, &rows, &mut views).await?;
    Ok(views)
}

/// Names the missions that tasks began: such a task runs while its mission does.
async fn name_sub_missions(read: &mut Connection, rows: &[TaskRow], views: &mut [TaskView]) -> Result<()> {
    let tasks: Vec<TaskId> =
        rows.iter().filter(|row| sub_mission::is_sub_mission(&row.uses)).map(|row| row.id).collect();
    if tasks.is_empty() {
        return Ok(());
    }
    let children = read.children_of(&tasks).await?;
    let children: HashMap<TaskId, ChildMission> =
        children.into_iter().map(|child| (child.task, child)).collect();
    for (row, view) in rows.iter().zip(views) {
        let Some(child) = children.get(&row.id) else { continue };
        view.sub_mission = Some(child.mission);
        if row.state == TaskStatus::Pending {
            view.status = TaskStatus::Running;
            view.waiting = Some(super::Waiting {
                reason: "sub_mission".to_owned(),
                detail: json!({"mission": child.mission, "status": child.status.as_str()}),
                text: format!("its mission {} is {}", child.mission, child.status.as_str()),
            });
        }
    }
    Ok(())
}

#[derive(serde::Deserialize)]
struct Needs {
    needs: Vec<String>,
}

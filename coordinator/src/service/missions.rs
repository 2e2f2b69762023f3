//! Missions: created, read, started, stopped, repeated.

mod actions;
mod budget;
pub mod bulk;
mod create;
mod dry_run;
mod plan;
mod prepare;
mod read;
mod replace;
mod rerun;
mod row;
mod views;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_core::planning::{self, MissionDraft};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{
    AgentId, ApprovalId, ArtifactId, MissionId, PrincipalId, ReviewId, TaskId, VersionId,
};
use nexusmon_shared::mission::{MissionFailure, MissionState, MissionStatus};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::{Author, Budget, TaskDraft};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{SkipReason, TaskStatus};
use nexusmon_shared::time::Timestamp;
use serde_json::{Map, Value};

use super::planning as planners;
use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::{Error, Result};
pub(super) use actions::act;
pub(super) use budget::carry_out as carry_out_budget;
pub(crate) use create::{Created, Prepared, insert_batch};
pub(super) use create::{insert as insert_prepared, prepare as prepare_mission, prepare_as};
pub use plan::{WholePlan, whole_plan};
pub(super) use prepare::{Judged, Under, author_of, class_of, eligible, judge};
pub(super) use read::counts;
pub(super) use replace::{draft_of, put as put_plan};
pub(super) use rerun::draft_again;
pub(super) use row::task_row;
pub(super) use views::task_views;

/// A mission as asked for. Read it with [`NewMission::parse`], which names the wrong field.
#[derive(Debug, Clone)]
pub struct NewMission(pub(crate) Arc<MissionDraft>);

/// A mission in a list.
#[derive(Debug, Clone)]
pub struct MissionSummary {
    pub id: MissionId,
    pub goal: String,
    pub status: MissionStatus,
    pub rank: Rank,
    pub requested_rank: Option<Rank>,
    pub origin: String,
    pub priority: i32,
    pub labels: BTreeMap<String, String>,
    pub tasks: TaskCounts,
    pub xp_awarded: Option<u32>,
    pub rerun_of: Option<MissionId>,
    pub created_by: PrincipalId,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskCounts {
    pub total: u64,
    /// Not terminal.
    pub open: u64,
    pub succeeded: u64,
    pub failed: u64,
}

#[derive(Debug, Clone)]
pub struct PlanView {
    pub digest: Digest,
    pub tasks_root: Digest,
    pub revision: u32,
    pub author: Author,
    pub policy_digest: Digest,
    /// `name@version`, where it was made of one.
    pub playbook: Option<String>,
}

/// Why a task is left waiting: the machine-readable reason with its particulars, and one sentence.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Stable: `no_agent_has`, `labels_unmatched`, `sandbox_unavailable`, `refused_by`, `all_slots_busy`, `limit`,
    /// `backoff`, `gated`, `needs`, `paused`, `halted`, `away`, …
    pub reason: String,
    /// For example `{"capability": "shell.run"}`.
    pub detail: Value,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct TaskView {
    pub task_id: TaskId,
    pub mission: MissionId,
    /// In the plan.
    pub id: String,
    /// Place in its `for_each`.
    pub item_index: Option<u32>,
    pub uses: String,
    pub needs: Vec<String>,
    pub status: TaskStatus,
    pub rank: Rank,
    /// Grants so far.
    pub attempt: u32,
    pub agent: Option<AgentId>,
    pub agent_name: Option<String>,
    /// An object; for a `for_each` the list of its children's outputs.
    pub outputs: Option<Value>,
    pub cause: Option<Cause>,
    pub skip_reason: Option<SkipReason>,
    /// The task that added it, while the mission ran.
    pub spawned_by: Option<TaskId>,
    pub effect_unknown: bool,
    /// The mission it began and waits for.
    pub sub_mission: Option<MissionId>,
    pub waiting: Option<Waiting>,
    pub progress: Option<Progress>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// The newest word of a running attempt; in memory only.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub fraction: Option<f64>,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct ArtifactRef {
    pub artifact: ArtifactId,
    pub version: VersionId,
    /// Of the version, from 1.
    pub number: u32,
    pub name: String,
    pub kind: String,
    /// Id of the producing task in the plan.
    pub task: Option<String>,
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
}

#[derive(Debug, Clone)]
pub struct PredictionView {
    pub success: f64,
    pub duration_seconds: f64,
    /// `history` or `prior`.
    pub basis: String,
    pub samples: u64,
}

/// A mission in full.
#[derive(Debug, Clone)]
pub struct MissionView {
    pub summary: MissionSummary,
    pub state: MissionState,
    /// Of `needs_plan`.
    pub reason: Option<String>,
    pub failure: Option<MissionFailure>,
    pub plan: Option<PlanView>,
    /// The first 200 by place in the plan.
    pub tasks: Vec<TaskView>,
    /// `(from, to)` by id in the plan; at most 10,000.
    pub dag_edges: Vec<(String, String)>,
    pub artifacts: Vec<ArtifactRef>,
    pub approval: Option<ApprovalId>,
    pub review: Option<ReviewId>,
    /// The mission a task of which this one is, and that task.
    pub parent: Option<(MissionId, TaskId)>,
    pub prediction: Option<PredictionView>,
    /// How its goal became a plan, or why it did not; `None` where planners were never asked.
    pub planning: Option<planners::PlanningView>,
    pub budget: Budget,
    pub start_at: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    pub metadata: Map<String, Value>,
    pub inputs: Map<String, Value>,
    /// For `ETag` and `If-Match`.
    pub version: u64,
}

#[derive(Debug, Clone, Default)]
pub struct MissionFilter {
    pub status: Vec<MissionStatus>,
    pub rank: Option<Rank>,
    /// `key=value`, or `key`.
    pub label: Option<String>,
    /// Full-text, over the goal.
    pub q: Option<String>,
    pub since: Option<Timestamp>,
}

/// What cancel, pause and the like stopped.
#[derive(Debug, Clone)]
pub struct Stopped {
    pub mission: MissionId,
    pub status: MissionStatus,
    /// Attempts that were told to end.
    pub cancelled_attempts: u64,
    /// Orders asked back before they start.
    pub recalled_attempts: u64,
    /// Tasks that will not run any more.
    pub tasks_cancelled: u64,
}

/// A plan judged without being stored.
#[derive(Debug, Clone)]
pub struct DryRun {
    pub rank: Rank,
    /// `allow`, `flag`, `hold`, `deny`.
    pub verdict: String,
    pub policies: Vec<String>,
    pub policy_digest: Digest,
    pub approvals_needed: u32,
    pub tasks: Vec<DryRunTask>,
    pub blast: BlastRadius,
    pub prediction: PredictionView,
}

#[derive(Debug, Clone)]
pub struct DryRunTask {
    pub id: String,
    pub uses: String,
    pub rank: Rank,
    /// What made the rank, in words.
    pub rank_reasons: Vec<String>,
    /// Agents that could take it now, by name; empty with `waiting` set when none can.
    pub agents: Vec<String>,
    pub waiting: Option<Waiting>,
}

/// What could be touched if all goes wrong.
#[derive(Debug, Clone, Default)]
pub struct BlastRadius {
    pub machines: Vec<String>,
    pub capabilities: Vec<String>,
    pub host_paths: Vec<String>,
    pub hosts: Vec<String>,
    pub writes: bool,
    pub network: bool,
    pub irreversible: bool,
    /// Handed to some task, by name.
    pub secrets: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct EngineStats {
    pub missions_by_status: BTreeMap<String, u64>,
    pub tasks_by_status: BTreeMap<String, u64>,
    pub ready_tasks: u64,
    pub live_leases: u64,
    pub agents_online: u64,
    /// Ready tasks by why they wait.
    pub waiting_by_reason: BTreeMap<String, u64>,
    pub oldest_ready: Option<Duration>,
}

impl NewMission {
    /// Reads a request body. Every mistake is named with its JSON pointer; parts that are not built yet are refused by
    /// name.
    pub fn parse(body: &[u8]) -> Result<Self> {
        Self::from_value(&json_value(body)?)
    }

    /// As [`NewMission::parse`], from a value.
    pub fn from_value(value: &Value) -> Result<Self> {
        let draft = planning::parse_mission(value)?;
        no_nul(&draft.goal, "/goal")?;
        Ok(Self(Arc::new(draft)))
    }
}

/// PostgreSQL keeps no NUL in text; neither do people.
pub(super) fn no_nul(text: &str, pointer: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::field(pointer, "invalid", "must not hold the character U+0000"));
    }
    Ok(())
}

fn json_value(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body)
        .map_err(|error| Error::field("", "not_json", format!("the body is not JSON: {error}")))
}

/// Reads `{"tasks": […]}` of a plan replacement, naming every mistake.
pub fn parse_plan(body: &[u8]) -> Result<Vec<TaskDraft>> {
    Ok(planning::parse_tasks(&json_value(body)?)?)
}

/// JSON Schema of a mission as [`NewMission::parse`] reads it.
pub fn schema() -> Value {
    planning::mission_schema()
}

/// Creates missions, all or each alone: every answer stands for itself. Batched with what other callers ask meanwhile.
pub async fn create(
    app: &App,
    caller: &Caller,
    missions: Vec<NewMission>,
) -> Result<Vec<Result<MissionView>>> {
    let work = missions.into_iter().map(|mission| async move {
        let prepared = create::prepare(app, caller, mission.0, None).await?;
        let created = app.batchers().create.submit(prepared).await?;
        if created.row.status == MissionStatus::Planning {
            let id = created.row.id;
            // The mission is there: trouble with planning is not trouble with creating it.
            if let Err(error) = planners::first_look(app, caller, &created.row).await {
                tracing::warn!(mission = %id, %error, "a goal was not looked at; it is planned later");
            }
            return read::get(app, id).await;
        }
        views::created(app, created).await
    });
    Ok(futures::future::join_all(work).await)
}

pub async fn get(app: &App, id: MissionId) -> Result<MissionView> {
    read::get(app, id).await
}

pub async fn list(app: &App, filter: MissionFilter, page: PageRequest) -> Result<Page<MissionSummary>> {
    read::list(app, filter, page).await
}

pub async fn tasks(
    app: &App,
    id: MissionId,
    status: Option<TaskStatus>,
    page: PageRequest,
) -> Result<Page<TaskView>> {
    read::tasks(app, id, status, page).await
}

/// Starts a mission held by `start: manual` or a time; for one that needs a plan the planners are asked again.
pub async fn run(app: &App, caller: &Caller, id: MissionId) -> Result<MissionView> {
    actions::run(app, caller, id).await
}

pub async fn cancel(app: &App, caller: &Caller, id: MissionId) -> Result<Stopped> {
    actions::cancel(app, caller, id).await
}

/// As [`cancel`], but what runs is ended without a grace; also what is being cancelled already.
pub async fn kill(app: &App, caller: &Caller, id: MissionId) -> Result<Stopped> {
    actions::kill(app, caller, id).await
}

pub async fn pause(app: &App, caller: &Caller, id: MissionId) -> Result<Stopped> {
    actions::pause(app, caller, id).await
}

pub async fn resume(app: &App, caller: &Caller, id: MissionId) -> Result<MissionView> {
    actions::resume(app, caller, id).await
}

/// A new mission from an old one: whole, or from the failed tasks with earlier outputs reused.
pub async fn rerun(app: &App, caller: &Caller, id: MissionId, from_failed: bool) -> Result<MissionView> {
    rerun::rerun(app, caller, id, from_failed).await
}

/// Rank, verdict, blast radius and placement of a plan; nothing is stored.
pub async fn dry_run(app: &App, caller: &Caller, mission: NewMission) -> Result<DryRun> {
    dry_run::dry_run(app, caller, mission).await
}

/// Gives a mission in `needs_plan` or `awaiting_approval` a (new) plan; approvals of the old digest are void.
pub async fn replace_plan(
    app: &App,
    caller: &Caller,
    id: MissionId,
    tasks: Vec<TaskDraft>,
    if_match: Option<u64>,
) -> Result<MissionView> {
    replace::replace(app, caller, id, tasks, if_match).await
}

/// Asks for other ceilings; gives the approval that waits.
pub async fn propose_budget(
    app: &App,
    caller: &Caller,
    id: MissionId,
    to: Budget,
    comment: String,
) -> Result<ApprovalId> {
    budget::propose(app, caller, id, to, comment).await
}

pub async fn stats(app: &App) -> Result<EngineStats> {
    read::stats(app).await
}

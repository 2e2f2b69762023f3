//! A mission as read.

use std::collections::BTreeMap;

use nexusmon_shared::mission::{MissionFailure, MissionState};
use nexusmon_shared::rank::Rank;
use serde_json::{Map, Value};

use super::mission_planning::MissionPlanning;
use super::shape::{self, Author, json, maybe, time};
use super::task_view::Task;
use crate::service::missions as service;

/// A mission in a list.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MissionSummary {
    id: String,
    goal: String,
    #[schema(value_type = shape::MissionStatus)]
    status: &'static str,
    #[schema(value_type = shape::Rank)]
    rank: Rank,
    #[schema(value_type = Option<shape::Rank>)]
    requested_rank: Option<Rank>,
    /// The rank in a word: `trivial`, `low`, `medium`, `elevated`, `high`, `critical`.
    risk: &'static str,
    origin: String,
    priority: i32,
    labels: BTreeMap<String, String>,
    task_counts: TaskCounts,
    xp_awarded: Option<u32>,
    /// The mission this one repeats.
    rerun_of: Option<String>,
    created_by: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TaskCounts {
    total: u64,
    /// Not terminal yet.
    open: u64,
    succeeded: u64,
    failed: u64,
}

impl From<service::TaskCounts> for TaskCounts {
    fn from(counts: service::TaskCounts) -> Self {
        let service::TaskCounts { total, open, succeeded, failed } = counts;
        Self { total, open, succeeded, failed }
    }
}

impl From<service::MissionSummary> for MissionSummary {
    fn from(summary: service::MissionSummary) -> Self {
        let service::MissionSummary {
            id,
            goal,
            status,
            rank,
            requested_rank,
            origin,
            priority,
            labels,
            tasks,
            xp_awarded,
            rerun_of,
            created_by,
            created_at,
            started_at,
            finished_at,
        } = summary;
        Self {
            id: id.to_string(),
            goal,
            status: status.as_str(),
            rank,
            requested_rank,
            risk: rank.risk(),
            origin,
            priority,
            labels,
            task_counts: tasks.into(),
            xp_awarded,
            rerun_of: rerun_of.map(|id| id.to_string()),
            created_by: created_by.to_string(),
            created_at: time(created_at),
            started_at: maybe(started_at),
            finished_at: maybe(finished_at),
        }
    }
}

/// A mission in full.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Mission {
    id: String,
    goal: String,
    #[schema(value_type = shape::MissionStatus)]
    status: &'static str,
    /// What the state brings along: `reason`, `digest`, `decide_by`, `since`, `by`, `cause`.
    #[schema(value_type = Object)]
    status_detail: Map<String, Value>,
    #[schema(value_type = shape::Rank)]
    rank: Rank,
    #[schema(value_type = Option<shape::Rank>)]
    requested_rank: Option<Rank>,
    /// The rank in a word: `trivial`, `low`, `medium`, `elevated`, `high`, `critical`.
    risk: &'static str,
    origin: String,
    plan: Option<Plan>,
    /// The first 200; all of them by `/tasks`.
    tasks: Vec<Task>,
    task_counts: TaskCounts,
    dag_edges: Vec<Edge>,
    artifacts: Vec<MissionArtifact>,
    approval: Option<MissionApproval>,
    review: Option<MissionReview>,
    prediction: Option<Prediction>,
    /// How its goal became a plan, or what would help; null where planners were never asked.
    planning: Option<MissionPlanning>,
    xp_awarded: Option<u32>,
    priority: i32,
    #[schema(value_type = super::mission_body::Budget)]
    budget: Value,
    labels: BTreeMap<String, String>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    #[schema(value_type = Object)]
    inputs: Map<String, Value>,
    rerun_of: Option<String>,
    /// The task this mission is, of another mission.
    parent: Option<ParentTask>,
    created_by: String,
    created_at: String,
    /// When it begins by itself.
    start_at: Option<String>,
    started_at: Option<String>,
    deadline: Option<String>,
    finished_at: Option<String>,
}

/// A task that is a mission.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ParentTask {
    mission: String,
    task_id: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Plan {
    digest: String,
    tasks_root: String,
    revision: u32,
    author: Author,
    policy_digest: String,
    /// `name@version`, where it was made of one.
    playbook: Option<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Edge {
    from: String,
    to: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MissionApproval {
    id: String,
    /// What is asked for; while it waits.
    digest: Option<String>,
    decide_by: Option<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MissionReview {
    id: String,
}

/// An artifact the mission made, with the version it made.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MissionArtifact {
    id: String,
    name: String,
    kind: String,
    /// Id in the plan of the task that made it.
    task: Option<String>,
    latest: MissionArtifactVersion,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MissionArtifactVersion {
    version_id: String,
    version: u32,
    digest: String,
    size: u64,
    media_type: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Prediction {
    /// Probability.
    success: f64,
    duration_seconds: f64,
    /// `history` or `prior`.
    basis: String,
    /// Past runs it rests on.
    samples: u64,
}

impl From<service::PredictionView> for Prediction {
    fn from(prediction: service::PredictionView) -> Self {
        let service::PredictionView { success, duration_seconds, basis, samples } = prediction;
        Self { success, duration_seconds, basis, samples }
    }
}

impl From<service::MissionView> for Mission {
    fn from(view: service::MissionView) -> Self {
        let service::MissionView {
            summary,
            state,
            reason,
            failure,
            plan,
            tasks,
            dag_edges,
            artifacts,
            approval,
            review,
            parent,
            prediction,
            planning,
            budget,
            start_at,
            deadline,
            metadata,
            inputs,
            version: _,
        } = view;
        let status_detail = status_detail(&state, reason, failure.as_ref());
        let (asked, decide_by) = match state {
            MissionState::AwaitingApproval { digest, decide_by, .. } => {
                (Some(digest.to_string()), Some(time(decide_by)))
            }
            _ => (None, None),
        };
        let summary = MissionSummary::from(summary);
        Self {
            id: summary.id,
            goal: summary.goal,
            status: summary.status,
            status_detail,
            rank: summary.rank,
            requested_rank: summary.requested_rank,
            risk: summary.risk,
            origin: summary.origin,
            plan: plan.map(Into::into),
            tasks: tasks.into_iter().map(Into::into).collect(),
            task_counts: summary.task_counts,
            dag_edges: dag_edges.into_iter().map(|(from, to)| Edge { from, to }).collect(),
            artifacts: artifacts.into_iter().map(Into::into).collect(),
            approval: approval.map(|id| MissionApproval { id: id.to_string(), digest: asked, decide_by }),
            review: review.map(|id| MissionReview { id: id.to_string() }),
            prediction: prediction.map(Into::into),
            planning: planning.map(Into::into),
            xp_awarded: summary.xp_awarded,
            priority: summary.priority,
            budget: json(&budget),
            labels: summary.labels,
            metadata,
            inputs,
            rerun_of: summary.rerun_of,
            parent: parent.map(|(mission, task)| ParentTask {
                mission: mission.to_string(),
                task_id: task.to_string(),
            }),
            created_by: summary.created_by,
            created_at: summary.created_at,
            start_at: maybe(start_at),
            started_at: summary.started_at,
            deadline: maybe(deadline),
            finished_at: summary.finished_at,
        }
    }
}

/// The state's own data, less the word that is `status` already.
fn status_detail(
    state: &MissionState,
    reason: Option<String>,
    failure: Option<&MissionFailure>,
) -> Map<String, Value> {
    let mut detail = match json(state) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    detail.remove("status");
    if let Some(reason) = reason {
        detail.insert("reason".to_owned(), Value::String(reason));
    }
    if let Some(failure) = failure {
        detail.insert("cause".to_owned(), json(failure));
    }
    detail
}

impl From<service::PlanView> for Plan {
    fn from(plan: service::PlanView) -> Self {
        let service::PlanView { digest, tasks_root, revision, author, policy_digest, playbook } = plan;
        Self {
            digest: digest.to_string(),
            tasks_root: tasks_root.to_string(),
            revision,
            author: author.into(),
            policy_digest: policy_digest.to_string(),
            playbook,
        }
    }
}

impl From<service::ArtifactRef> for MissionArtifact {
    fn from(artifact: service::ArtifactRef) -> Self {
        let service::ArtifactRef { artifact, version, number, name, kind, task, digest, size, media_type } =
            artifact;
        let latest = MissionArtifactVersion {
            version_id: version.to_string(),
            version: number,
            digest: digest.to_string(),
            size,
            media_type,
        };
        Self { id: artifact.to_string(), name, kind, task, latest }
    }
}

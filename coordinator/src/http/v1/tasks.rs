//! `/v1/engine/tasks`: one task with its attempts, and a person's word on an uncertain one.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::outcome::Cause;
use serde_json::Value;

use super::shape::{self, maybe};
use super::task_view::{Task, TaskAgent};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Id;
use crate::service::tasks as service;

/// A task in full.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TaskDetail {
    #[serde(flatten)]
    task: Task,
    /// The leaf of the plan.
    #[schema(value_type = Object)]
    spec: Value,
    /// `with`, evaluated; null before it is.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Value>,
    attempts: Vec<Attempt>,
}

/// One execution, live or past.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Attempt {
    /// From 1.
    number: u32,
    /// `epoch.number`; newer ones make reports under it stale.
    fence: String,
    agent: TaskAgent,
    status: String,
    #[schema(value_type = Option<shape::Cause>)]
    cause: Option<Cause>,
    sandbox_level: Option<String>,
    log_bytes: u64,
    started_at: Option<String>,
    finished_at: Option<String>,
}

impl From<service::TaskDetail> for TaskDetail {
    fn from(detail: service::TaskDetail) -> Self {
        let service::TaskDetail { task, spec, parameters, attempts } = detail;
        Self { task: task.into(), spec, parameters, attempts: attempts.into_iter().map(Into::into).collect() }
    }
}

impl From<service::AttemptView> for Attempt {
    fn from(attempt: service::AttemptView) -> Self {
        let service::AttemptView {
            number,
            fence,
            agent,
            agent_name,
            status,
            cause,
            sandbox_level,
            log_bytes,
            started_at,
            finished_at,
        } = attempt;
        Self {
            number,
            fence: fence.to_string(),
            agent: TaskAgent { id: agent.to_string(), name: agent_name },
            status,
            cause,
            sandbox_level,
            log_bytes,
            started_at: maybe(started_at),
            finished_at: maybe(finished_at),
        }
    }
}

/// Read a task with its attempts and why they failed
#[utoipa::path(
    get, path = "/v1/engine/tasks/{id}", tag = "engine", operation_id = "task", params(("id" = String, Path)),
    responses((status = 200, body = TaskDetail)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<TaskId>,
) -> Result<Answer<TaskDetail>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Resolve {
    r#as: Resolution,
    comment: Option<String>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Resolution {
    Succeeded,
    Failed,
    /// Execute it again.
    Retry,
}

/// Say what became of a task that is `uncertain`
#[utoipa::path(
    post, path = "/v1/engine/tasks/{id}/resolve", tag = "engine", params(("id" = String, Path)),
    request_body = Resolve,
    responses((status = 200, body = TaskDetail)),
)]
pub(in crate::http) async fn resolve(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TaskId>,
    Json(Resolve { r#as, comment }): Json<Resolve>,
) -> Result<Answer<TaskDetail>, Problem> {
    let resolution = match r#as {
        Resolution::Succeeded => service::Resolution::Succeeded,
        Resolution::Failed => service::Resolution::Failed,
        Resolution::Retry => service::Resolution::Retry,
    };
    Ok(Answer(service::resolve(&web.app, &caller, id, resolution, comment).await?.into()))
}

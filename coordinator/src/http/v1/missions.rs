//! `/v1/engine/missions`: created, listed, read.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{StatusCode, header};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;

use super::mission_body::NewMission;
use super::mission_view::{Mission, MissionSummary};
use super::task_view::Task;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, only_sort, page, parameter};
use crate::http::{etag, json};
use crate::service::missions as service;

/// Reads a mission's body; large ones off the async threads.
pub(super) async fn read_mission(request: Request) -> Result<service::NewMission, Problem> {
    let bytes = json::document(request, json::MISSION_LIMIT).await?;
    Ok(json::off_thread(bytes, service::NewMission::parse).await??)
}

/// A mission with its tag.
pub(super) fn tagged(mission: service::MissionView) -> impl IntoResponse {
    let tag = etag::tag(mission.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(Mission::from(mission)))
}

/// 201 with the address of the new mission.
pub(in crate::http) fn created(mission: service::MissionView) -> Response {
    let location = format!("/v1/engine/missions/{}", mission.summary.id);
    (StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), tagged(mission)).into_response()
}

/// Create a mission
///
/// From `tasks`, an explicit plan, or from a `goal` alone, which then waits for a plan. Harmless ranks start at once;
/// A and S wait for approval.
#[utoipa::path(
    post, path = "/v1/engine/missions", tag = "engine",
    request_body = NewMission,
    responses((status = 201, body = Mission, headers(("Location" = String), ("ETag" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mission = read_mission(request).await?;
    let mut answers = service::create(&web.app, &caller, vec![mission]).await?;
    Ok(created(answers.pop().ok_or_else(Problem::internal)??))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    /// One or more, separated by commas.
    status: Option<String>,
    rank: Option<String>,
    /// `key=value`, or `key`.
    label: Option<String>,
    /// Words in the goal.
    q: Option<String>,
    /// Created at or after this time.
    since: Option<String>,
    /// `-created_at`, the only order.
    sort: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List missions, newest first
#[utoipa::path(
    get, path = "/v1/engine/missions", tag = "engine", operation_id = "missions", params(Listing),
    responses((status = 200, body = Page<MissionSummary>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<MissionSummary>>, Problem> {
    let Listing { status, rank, label, q, since, sort, limit, cursor } = listing;
    only_sort(sort.as_deref(), "-created_at")?;
    let status = status.iter().flat_map(|list| list.split(',')).map(|word| {
        MissionStatus::parse(word).ok_or_else(|| {
            let shown: String = word.chars().take(40).collect();
            Problem::field("?status", "unknown_value", format!("`{shown}` is not a mission's status"))
        })
    });
    let filter = service::MissionFilter {
        status: status.collect::<Result<_, _>>()?,
        rank: parameter::<Rank>("rank", rank.as_deref(), "a rank: E, D, C, B, A, S")?,
        label,
        q,
        since: parameter::<Timestamp>("since", since.as_deref(), "an RFC 3339 time")?,
    };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}

/// Read a mission
///
/// With its plan, its first 200 tasks, why waiting ones wait, approval, review, prediction and artifacts.
#[utoipa::path(
    get, path = "/v1/engine/missions/{id}", tag = "engine", operation_id = "mission", params(("id" = String, Path)),
    responses((status = 200, body = Mission, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<MissionId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::get(&web.app, id).await?))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct TaskListing {
    status: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List a mission's tasks, by place in the plan
#[utoipa::path(
    get, path = "/v1/engine/missions/{id}/tasks", tag = "engine",
    params(("id" = String, Path), TaskListing),
    responses((status = 200, body = Page<Task>)),
)]
pub(in crate::http) async fn tasks(
    State(web): State<Web>,
    Id(id): Id<MissionId>,
    Query(TaskListing { status, limit, cursor }): Query<TaskListing>,
) -> Result<Answer<Page<Task>>, Problem> {
    let status = status.map(|word| {
        TaskStatus::parse(&word)
            .ok_or_else(|| Problem::field("?status", "unknown_value", "is not a task's status".to_owned()))
    });
    let status = status.transpose()?;
    Ok(Answer(Page::of(service::tasks(&web.app, id, status, page(limit, cursor)?).await?)))
}

/// The JSON Schema of mission files
#[utoipa::path(
    get, path = "/v1/engine/missions/schema", tag = "engine",
    responses((status = 200, body = Object, description = "JSON Schema, draft 2020-12")),
)]
pub(in crate::http) async fn schema() -> Answer<serde_json::Value> {
    Answer(service::schema())
}

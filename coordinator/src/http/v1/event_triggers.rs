//! `/v1/engine/event-triggers`: missions made by what happens here.

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::id::TriggerId;
use serde_json::Value;

use super::schedules::{Firing, read, work};
use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::service::triggers::events as service;

/// An event trigger: what has to happen, and what it makes missions of.
#[expect(dead_code, reason = "it only documents what the service reads")]
#[derive(utoipa::ToSchema)]
pub(in crate::http) struct NewEventTrigger {
    name: String,
    /// `mission.succeeded`, `mission.failed`, `mission.cancelled`, `mission.expired`, `mission.rejected`,
    /// `artifact.version`, `agent.joined`, `agent.lost`, `agent.drained`, `agent.quarantined`, `agent.revoked`.
    on: Vec<String>,
    /// CEL over `event`, such as `event.mission.labels.team == 'web'`; every event if absent.
    #[schema(rename = "if")]
    condition: Option<String>,
    /// How deep in a chain its missions may lie: 1 to 16, 3 if absent.
    max_depth: Option<u32>,
    /// Missions within 24 hours, after which it pauses: 1 to 10,000, 100 if absent.
    per_day: Option<u32>,
    /// Missions of the same shape, inputs and outcome within an hour, above which it pauses: 1 to 1,000, 10 if absent.
    max_repeats: Option<u32>,
    /// `name` or `name@version`. A bare name is the newest version at each event.
    playbook: Option<String>,
    /// May hold CEL over `event`: `${{ event.mission.goal }}`.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    /// Instead of a playbook: a mission's body, without `start`.
    #[schema(value_type = Option<Object>)]
    mission: Option<Value>,
    paused: Option<bool>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct EventTrigger {
    id: String,
    name: String,
    /// `active` or `paused`.
    state: &'static str,
    /// Why the system paused it.
    reason: Option<String>,
    on: Vec<&'static str>,
    #[serde(rename = "if")]
    condition: Option<String>,
    max_depth: u32,
    per_day: u32,
    max_repeats: u32,
    playbook: Option<String>,
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    #[schema(value_type = Option<Object>)]
    mission: Option<Value>,
    /// In whose name its missions are made.
    owner: String,
    last_mission: Option<String>,
    created_at: String,
    changed_at: String,
}

impl From<service::EventTriggerView> for EventTrigger {
    fn from(view: service::EventTriggerView) -> Self {
        let (playbook, inputs, mission) = work(view.work);
        Self {
            id: view.id.to_string(),
            name: view.name.to_string(),
            state: view.state.as_str(),
            reason: view.reason,
            on: view.rule.on.into_iter().map(service::EventKind::as_str).collect(),
            condition: view.rule.condition,
            max_depth: view.rule.max_depth,
            per_day: view.rule.per_day,
            max_repeats: view.rule.max_repeats,
            playbook,
            inputs,
            mission,
            owner: view.owner.to_string(),
            last_mission: view.last_mission.map(|id| id.to_string()),
            created_at: time(view.created_at),
            changed_at: time(view.changed_at),
        }
    }
}

fn tagged(view: service::EventTriggerView) -> impl IntoResponse {
    let tag = etag::tag(view.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(EventTrigger::from(view)))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct EventTriggerListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List event triggers, newest first
#[utoipa::path(
    get, path = "/v1/engine/event-triggers", tag = "engine", operation_id = "event_triggers",
    params(EventTriggerListing), responses((status = 200, body = Page<EventTrigger>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(EventTriggerListing { limit, cursor }): Query<EventTriggerListing>,
) -> Result<Answer<Page<EventTrigger>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, page(limit, cursor)?).await?)))
}

/// Keep an event trigger; it listens from then on
#[utoipa::path(
    post, path = "/v1/engine/event-triggers", tag = "engine", operation_id = "event_trigger_create",
    request_body = NewEventTrigger,
    responses((status = 201, body = EventTrigger, headers(("Location" = String), ("ETag" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let view = service::create(&web.app, &caller, &read(request).await?).await?;
    let location = format!("/v1/engine/event-triggers/{}", view.id);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), tagged(view)))
}

/// One event trigger
#[utoipa::path(
    get, path = "/v1/engine/event-triggers/{id}", tag = "engine", operation_id = "event_trigger",
    params(("id" = String, Path)),
    responses((status = 200, body = EventTrigger, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::get(&web.app, id).await?))
}

/// Change an event trigger as a whole
///
/// From then on its missions are made in the caller's name, of what happens from then on.
#[utoipa::path(
    put, path = "/v1/engine/event-triggers/{id}", tag = "engine", operation_id = "event_trigger_change",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = NewEventTrigger,
    responses((status = 200, body = EventTrigger, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
    headers: HeaderMap,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    let body = read(request).await?;
    Ok(tagged(service::change(&web.app, &caller, id, &body, if_match).await?))
}

/// Remove an event trigger; what is under way goes on
#[utoipa::path(
    delete, path = "/v1/engine/event-triggers/{id}", tag = "engine", operation_id = "event_trigger_remove",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<StatusCode, Problem> {
    service::remove(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause an event trigger: what happens is passed over
#[utoipa::path(
    post, path = "/v1/engine/event-triggers/{id}/pause", tag = "engine", operation_id = "event_trigger_pause",
    params(("id" = String, Path)), responses((status = 200, body = EventTrigger)),
)]
pub(in crate::http) async fn pause(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::pause(&web.app, &caller, id).await?))
}

/// Resume an event trigger from now on; what happened meanwhile is not made up for
#[utoipa::path(
    post, path = "/v1/engine/event-triggers/{id}/resume", tag = "engine", operation_id = "event_trigger_resume",
    params(("id" = String, Path)), responses((status = 200, body = EventTrigger)),
)]
pub(in crate::http) async fn resume(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::resume(&web.app, &caller, id).await?))
}

/// What an event trigger has fired for, newest first
#[utoipa::path(
    get, path = "/v1/engine/event-triggers/{id}/firings", tag = "engine", operation_id = "event_trigger_firings",
    params(("id" = String, Path), EventTriggerListing), responses((status = 200, body = Page<Firing>)),
)]
pub(in crate::http) async fn firings(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
    Query(EventTriggerListing { limit, cursor }): Query<EventTriggerListing>,
) -> Result<Answer<Page<Firing>>, Problem> {
    Ok(Answer(Page::of(service::firings(&web.app, id, page(limit, cursor)?).await?)))
}

//! `/v1/engine/schedules`: missions made by the clock.

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::id::TriggerId;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::shape::{json as shown, maybe, seconds, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::http::{etag, json};
use crate::service::triggers::schedules as service;
use crate::service::triggers::{self, FiringView};

/// A schedule: a cron line in a time zone, and what it makes missions of.
#[expect(dead_code, reason = "it only documents what the service reads")]
#[derive(utoipa::ToSchema)]
pub(in crate::http) struct NewSchedule {
    name: String,
    /// Minute, hour, day of month, month, day of week, such as `30 3 * * 1-5`; or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`.
    cron: String,
    /// IANA name, such as `Europe/Berlin`; `UTC` if absent.
    time_zone: Option<String>,
    /// While the mission before still runs: `skip` (the default) or `allow`.
    overlap: Option<String>,
    /// Of what was missed for more than a minute: `none` (the default), `last` or `all` (a week back at most).
    catch_up: Option<String>,
    /// Starts come later by up to this (at most 1h), as in `5m`.
    jitter: Option<String>,
    /// Missions are made so long before they are due (at most 24h), to be approved meanwhile.
    ahead: Option<String>,
    /// `name` or `name@version`. A bare name is the newest version at each firing.
    playbook: Option<String>,
    /// May ask for `${{ trigger.due }}`, `${{ trigger.local }}`, `${{ trigger.date }}` and `${{ trigger.name }}`, each as
    /// a whole value.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    /// Instead of a playbook: a mission's body, without `start`.
    #[schema(value_type = Option<Object>)]
    mission: Option<Value>,
    paused: Option<bool>,
}

/// A due time to come.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ComingRun {
    due: String,
    /// With the jitter.
    starts_at: String,
    /// The due time on the wall clock of its zone (RFC 9557).
    local: String,
}

impl From<service::Coming> for ComingRun {
    fn from(one: service::Coming) -> Self {
        Self { due: time(one.due), starts_at: time(one.starts_at), local: one.local }
    }
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Schedule {
    id: String,
    name: String,
    /// `active` or `paused`.
    state: &'static str,
    /// Why the system paused it.
    reason: Option<String>,
    cron: String,
    /// The cron line in words.
    described: String,
    time_zone: String,
    overlap: String,
    catch_up: String,
    /// Seconds.
    jitter: f64,
    /// Seconds.
    ahead: f64,
    playbook: Option<String>,
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    #[schema(value_type = Option<Object>)]
    mission: Option<Value>,
    /// In whose name its missions are made.
    owner: String,
    /// The next ten; none while it is paused.
    next: Vec<ComingRun>,
    last_mission: Option<String>,
    created_at: String,
    changed_at: String,
}

impl From<service::ScheduleView> for Schedule {
    fn from(view: service::ScheduleView) -> Self {
        let (playbook, inputs, mission) = work(view.work);
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: view.id.to_string(),
            name: view.name.to_string(),
            state: view.state.as_str(),
            reason: view.reason,
            described: view.described,
            overlap: word(shown(&view.rule.overlap)),
            catch_up: word(shown(&view.rule.catch_up)),
            jitter: seconds(view.rule.jitter.0),
            ahead: seconds(view.rule.ahead.0),
            cron: view.rule.cron,
            time_zone: view.rule.time_zone,
            playbook,
            inputs,
            mission,
            owner: view.owner.to_string(),
            next: view.next.into_iter().map(Into::into).collect(),
            last_mission: view.last_mission.map(|id| id.to_string()),
            created_at: time(view.created_at),
            changed_at: time(view.changed_at),
        }
    }
}

/// `playbook` with `inputs`, or else the mission.
pub(super) fn work(body: serde_json::Map<String, Value>) -> (Option<String>, Option<Value>, Option<Value>) {
    let plain = body.keys().all(|key| key == "playbook" || key == "inputs");
    match body.get("playbook").and_then(Value::as_str) {
        Some(playbook) if plain => (Some(playbook.to_owned()), body.get("inputs").cloned(), None),
        _ => (None, None, Some(Value::Object(body))),
    }
}

/// Once that a trigger was due, and what came of it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Firing {
    id: String,
    /// The due time, or the delivery.
    occasion: String,
    /// `fired`, `skipped`, `failed`.
    result: &'static str,
    reason: Option<String>,
    due: Option<String>,
    mission: Option<String>,
    at: String,
}

impl From<FiringView> for Firing {
    fn from(view: FiringView) -> Self {
        Self {
            id: view.id.to_string(),
            occasion: view.occasion,
            result: view.result.as_str(),
            reason: view.reason,
            due: maybe(view.due),
            mission: view.mission.map(|id| id.to_string()),
            at: time(view.at),
        }
    }
}

pub(super) async fn read(request: Request) -> Result<Value, Problem> {
    let bytes = json::document(request, json::BODY_LIMIT).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::field("", "not_json", format!("the body is not JSON: {error}")))
}

fn tagged(view: service::ScheduleView) -> impl IntoResponse {
    let tag = etag::tag(view.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(Schedule::from(view)))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ScheduleListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List schedules, newest first, each with its next ten runs
#[utoipa::path(
    get, path = "/v1/engine/schedules", tag = "engine", operation_id = "schedules", params(ScheduleListing),
    responses((status = 200, body = Page<Schedule>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(ScheduleListing { limit, cursor }): Query<ScheduleListing>,
) -> Result<Answer<Page<Schedule>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, page(limit, cursor)?).await?)))
}

/// Keep a schedule
#[utoipa::path(
    post, path = "/v1/engine/schedules", tag = "engine", operation_id = "schedule_create",
    request_body = NewSchedule,
    responses((status = 201, body = Schedule, headers(("Location" = String), ("ETag" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let view = service::create(&web.app, &caller, &read(request).await?).await?;
    let location = format!("/v1/engine/schedules/{}", view.id);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), tagged(view)))
}

/// When a schedule would run.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ScheduleQuestion {
    cron: String,
    /// `UTC` if absent.
    time_zone: Option<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SchedulePreview {
    /// The cron line in words.
    described: String,
    /// The next ten.
    next: Vec<ComingRun>,
}

/// What a cron line means and when it would run; nothing is kept
#[utoipa::path(
    post, path = "/v1/engine/schedules/dry-run", tag = "engine", operation_id = "schedule_dry_run",
    request_body = ScheduleQuestion, responses((status = 200, body = SchedulePreview)),
)]
pub(in crate::http) async fn dry_run(
    State(web): State<Web>,
    Json(ScheduleQuestion { cron, time_zone }): Json<ScheduleQuestion>,
) -> Result<Answer<SchedulePreview>, Problem> {
    let time_zone = time_zone.unwrap_or_else(|| "UTC".to_owned());
    let (described, next) = service::preview(&web.app, &cron, &time_zone)?;
    Ok(Answer(SchedulePreview { described, next: next.into_iter().map(Into::into).collect() }))
}

/// One schedule, with its next ten runs
#[utoipa::path(
    get, path = "/v1/engine/schedules/{id}", tag = "engine", operation_id = "schedule",
    params(("id" = String, Path)), responses((status = 200, body = Schedule, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::get(&web.app, id).await?))
}

/// Change a schedule as a whole
///
/// From then on its missions are made in the caller's name. What was due before is not made up for.
#[utoipa::path(
    put, path = "/v1/engine/schedules/{id}", tag = "engine", operation_id = "schedule_change",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = NewSchedule,
    responses((status = 200, body = Schedule, headers(("ETag" = String)))),
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

/// Remove a schedule; what is under way goes on
#[utoipa::path(
    delete, path = "/v1/engine/schedules/{id}", tag = "engine", operation_id = "schedule_remove",
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

/// Pause a schedule: nothing fires until it is resumed
#[utoipa::path(
    post, path = "/v1/engine/schedules/{id}/pause", tag = "engine", operation_id = "schedule_pause",
    params(("id" = String, Path)), responses((status = 200, body = Schedule)),
)]
pub(in crate::http) async fn pause(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::pause(&web.app, &caller, id).await?))
}

/// Resume a schedule from now on; what was due meanwhile is for a backfill
#[utoipa::path(
    post, path = "/v1/engine/schedules/{id}/resume", tag = "engine", operation_id = "schedule_resume",
    params(("id" = String, Path)), responses((status = 200, body = Schedule)),
)]
pub(in crate::http) async fn resume(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::resume(&web.app, &caller, id).await?))
}

/// A range of due times: `from` included, `to` not.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct BackfillRange {
    #[schema(value_type = String)]
    from: Timestamp,
    /// Not in the future.
    #[schema(value_type = String)]
    to: Timestamp,
    /// Only say which due times they are.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BackfilledRun {
    due: String,
    local: String,
    /// `fired`, `failed`, `already`, or `would_fire`.
    result: &'static str,
    reason: Option<String>,
    mission: Option<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BackfillReport {
    /// Oldest first.
    items: Vec<BackfilledRun>,
}

/// Run the due times of a range that made no mission yet, at most 500
///
/// Paused or not, and whatever still runs. Repeated, it goes on where it stopped.
#[utoipa::path(
    post, path = "/v1/engine/schedules/{id}/backfill", tag = "engine", operation_id = "schedule_backfill",
    params(("id" = String, Path)), request_body = BackfillRange,
    responses((status = 200, body = BackfillReport)),
)]
pub(in crate::http) async fn backfill(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
    Json(BackfillRange { from, to, dry_run }): Json<BackfillRange>,
) -> Result<Answer<BackfillReport>, Problem> {
    let wish = triggers::Backfill { from, to, dry_run };
    let done = triggers::backfill(&web.app, &caller, id, wish).await?.into_iter();
    let items = done.map(|one| BackfilledRun {
        due: time(one.due),
        local: one.local,
        result: one.result,
        reason: one.reason,
        mission: one.mission.map(|id| id.to_string()),
    });
    Ok(Answer(BackfillReport { items: items.collect() }))
}

/// What a schedule has fired for, newest first
#[utoipa::path(
    get, path = "/v1/engine/schedules/{id}/firings", tag = "engine", operation_id = "schedule_firings",
    params(("id" = String, Path), ScheduleListing), responses((status = 200, body = Page<Firing>)),
)]
pub(in crate::http) async fn firings(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
    Query(ScheduleListing { limit, cursor }): Query<ScheduleListing>,
) -> Result<Answer<Page<Firing>>, Problem> {
    Ok(Answer(Page::of(service::firings(&web.app, id, page(limit, cursor)?).await?)))
}

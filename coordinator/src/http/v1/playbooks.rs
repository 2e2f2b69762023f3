//! `/v1/engine/playbooks`: missions with their inputs left open, in versions.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::name::Name;
use serde_json::Value;

use super::mission_body::{Budget, TaskDraft};
use super::shape::{self, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::problem::Problem;
use crate::http::query::{Page, Query, page};
use crate::http::{etag, json};
use crate::service::playbooks as service;

/// A playbook: a mission whose `${{ inputs.name }}` are put in when one is made from it.
#[expect(dead_code, reason = "it only documents what the service reads")]
#[derive(utoipa::ToSchema)]
pub(in crate::http) struct NewPlaybook {
    name: String,
    description: Option<String>,
    /// JSON Schema of the inputs, an object's; `default`s are put in. What it does not name is refused.
    #[schema(value_type = Option<Object>)]
    input_schema: Option<Value>,
    /// May hold `${{ inputs.name }}`.
    goal: Option<String>,
    tasks: Vec<TaskDraft>,
    /// Can only raise.
    rank: Option<shape::Rank>,
    priority: Option<i32>,
    budget: Option<Budget>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// What should follow a mission made from it, at most 8. The system proposes it, and begins it by itself only with
    /// `AUTONOMOUS_CHAIN`.
    then: Option<Vec<FollowUp>>,
}

/// What should follow.
#[expect(dead_code, reason = "it only documents what the service reads")]
#[derive(utoipa::ToSchema)]
pub(in crate::http) struct FollowUp {
    /// The end it is for: `succeeded` or `failed`.
    on: String,
    /// CEL over `event`: `event.mission`, `event.failure`, `event.tasks.<id>.outputs`.
    #[schema(rename = "if")]
    condition: Option<String>,
    /// `name` or `name@version`.
    playbook: String,
    /// May hold CEL over `event`.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    /// For people.
    why: Option<String>,
}

/// One version of a playbook.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Playbook {
    name: String,
    version: i64,
    /// SHA-256 of the canonical body (RFC 8785).
    digest: String,
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    input_schema: Option<Value>,
    /// As it was written.
    #[schema(value_type = Object)]
    body: Value,
    created_by: String,
    created_at: String,
    /// No mission is made from it any more.
    retired_at: Option<String>,
}

impl From<service::PlaybookView> for Playbook {
    fn from(view: service::PlaybookView) -> Self {
        let service::PlaybookView { name, version, digest, body, created_by, created_at, retired_at } = view;
        Self {
            name: name.to_string(),
            version,
            digest: digest.to_string(),
            description: body["description"].as_str().map(str::to_owned),
            input_schema: Some(body["input_schema"].clone()).filter(|schema| !schema.is_null()),
            body,
            created_by: created_by.to_string(),
            created_at: time(created_at),
            retired_at: maybe(retired_at),
        }
    }
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PlaybookVersions {
    /// Newest first.
    items: Vec<Playbook>,
}

fn named(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|_| Problem::not_found("There is no playbook of that name."))
}

fn tagged(view: service::PlaybookView) -> impl IntoResponse {
    let tag = etag::tag(u64::try_from(view.version).unwrap_or(0));
    (AppendHeaders([(header::ETAG, tag)]), Answer(Playbook::from(view)))
}

async fn read(request: Request) -> Result<Value, Problem> {
    let bytes = json::document(request, service::MAX_PLAYBOOK_BYTES).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::field("", "not_json", format!("the body is not JSON: {error}")))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PlaybookListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List playbooks by name, each in its newest version
#[utoipa::path(
    get, path = "/v1/engine/playbooks", tag = "engine", operation_id = "playbooks", params(PlaybookListing),
    responses((status = 200, body = Page<Playbook>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(PlaybookListing { limit, cursor }): Query<PlaybookListing>,
) -> Result<Answer<Page<Playbook>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, page(limit, cursor)?).await?)))
}

/// Keep a playbook
#[utoipa::path(
    post, path = "/v1/engine/playbooks", tag = "engine", operation_id = "playbook_create",
    request_body = NewPlaybook,
    responses((status = 201, body = Playbook, headers(("Location" = String), ("ETag" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    request: Request<Body>,
) -> Result<impl IntoResponse, Problem> {
    let view = service::create(&web.app, &caller, read(request).await?).await?;
    let location = format!("/v1/engine/playbooks/{}", view.name);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), tagged(view)))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WhichVersion {
    /// The newest one that may be used if absent.
    version: Option<u32>,
}

/// One playbook
#[utoipa::path(
    get, path = "/v1/engine/playbooks/{name}", tag = "engine", operation_id = "playbook",
    params(("name" = String, Path), WhichVersion),
    responses((status = 200, body = Playbook, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(WhichVersion { version }): Query<WhichVersion>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::get(&web.app, &named(&name)?, version).await?))
}

/// Every version of a playbook
#[utoipa::path(
    get, path = "/v1/engine/playbooks/{name}/versions", tag = "engine", operation_id = "playbook_versions",
    params(("name" = String, Path)), responses((status = 200, body = PlaybookVersions)),
)]
pub(in crate::http) async fn versions(
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Answer<PlaybookVersions>, Problem> {
    let found = service::versions(&web.app, &named(&name)?).await?;
    Ok(Answer(PlaybookVersions { items: found.into_iter().map(Into::into).collect() }))
}

/// Keep another version of a playbook
#[utoipa::path(
    put, path = "/v1/engine/playbooks/{name}", tag = "engine", operation_id = "playbook_change",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = NewPlaybook,
    responses((status = 200, body = Playbook, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    let body = read(request).await?;
    Ok(tagged(service::change(&web.app, &caller, &named(&name)?, body, if_match).await?))
}

/// Retire a playbook: no mission is made from it any more, until it gets another version
#[utoipa::path(
    delete, path = "/v1/engine/playbooks/{name}", tag = "engine", operation_id = "playbook_retire",
    params(("name" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn retire(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    service::retire(&web.app, &caller, &named(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

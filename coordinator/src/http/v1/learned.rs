//! `/v1/engine/learned`: playbooks the system drafted from verified missions, for people to promote or decline.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{AppendHeaders, IntoResponse};
use http::{StatusCode, header};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use serde_json::Value;

use super::playbooks::Playbook;
use super::shape::{self, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::learned as service;

/// A playbook on offer: nothing runs from it before it is promoted.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LearnedPlaybook {
    name: String,
    /// `offered`, `promoted`, `declined`.
    status: &'static str,
    /// The highest of the missions it was drafted from. Up to C the system may promote it itself (`SELF_EVOLVE`).
    #[schema(value_type = shape::Rank)]
    rank: Rank,
    /// Verified, newest first.
    missions: Vec<String>,
    /// What the system believes of it.
    belief: Option<String>,
    /// The playbook most like it, and how like by its words (0 to 1).
    nearest: Option<String>,
    likeness: Option<f64>,
    /// As a playbook is written.
    #[schema(value_type = Object)]
    body: Value,
    /// A principal's id, or `nexusmon`.
    decided_by: Option<String>,
    decided_at: Option<String>,
    comment: Option<String>,
    /// The version it became.
    version: Option<i64>,
    created_at: String,
}

impl From<service::LearnedView> for LearnedPlaybook {
    fn from(view: service::LearnedView) -> Self {
        Self {
            name: view.name.to_string(),
            status: view.state.as_str(),
            rank: view.rank,
            missions: view.missions.iter().map(ToString::to_string).collect(),
            belief: view.belief.map(|id| id.to_string()),
            nearest: view.nearest,
            likeness: view.likeness,
            body: view.body,
            decided_by: view.decided_by,
            decided_at: maybe(view.decided_at),
            comment: view.comment,
            version: view.version,
            created_at: time(view.created_at),
        }
    }
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LearnedPlaybooks {
    /// Newest first.
    items: Vec<LearnedPlaybook>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LearnedDetail {
    #[serde(flatten)]
    learned: LearnedPlaybook,
    /// Unified, from the nearest playbook to this one; null where there is none.
    diff: Option<String>,
}

/// Why.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LearnedDecision {
    comment: Option<String>,
}

fn named(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|_| Problem::not_found("There is no learned playbook of that name."))
}

/// Playbooks the system drafted
#[utoipa::path(
    get, path = "/v1/engine/learned", tag = "engine", operation_id = "learned_playbooks",
    responses((status = 200, body = LearnedPlaybooks)),
)]
pub(in crate::http) async fn list(State(web): State<Web>) -> Result<Answer<LearnedPlaybooks>, Problem> {
    let found = service::list(&web.app).await?;
    Ok(Answer(LearnedPlaybooks { items: found.into_iter().map(Into::into).collect() }))
}

/// One of them, with its difference from the nearest playbook
#[utoipa::path(
    get, path = "/v1/engine/learned/{name}", tag = "engine", operation_id = "learned_playbook",
    params(("name" = String, Path)), responses((status = 200, body = LearnedDetail)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Answer<LearnedDetail>, Problem> {
    let (learned, diff) = service::get(&web.app, &named(&name)?).await?;
    Ok(Answer(LearnedDetail { learned: learned.into(), diff }))
}

/// Make a learned playbook one that missions are made from
#[utoipa::path(
    post, path = "/v1/engine/playbooks/{name}/promote", tag = "engine", operation_id = "playbook_promote",
    params(("name" = String, Path)), request_body = LearnedDecision,
    responses((status = 201, body = Playbook, headers(("Location" = String)))),
)]
pub(in crate::http) async fn promote(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    Json(LearnedDecision { comment }): Json<LearnedDecision>,
) -> Result<impl IntoResponse, Problem> {
    let made = service::promote(&web.app, &caller, &named(&name)?, comment).await?;
    let location = format!("/v1/engine/playbooks/{}", made.name);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), Answer(Playbook::from(made))))
}

/// Put a learned playbook aside: the same is not offered again
#[utoipa::path(
    post, path = "/v1/engine/learned/{name}/decline", tag = "engine", operation_id = "learned_decline",
    params(("name" = String, Path)), request_body = LearnedDecision, responses((status = 204)),
)]
pub(in crate::http) async fn decline(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    Json(LearnedDecision { comment }): Json<LearnedDecision>,
) -> Result<StatusCode, Problem> {
    service::decline(&web.app, &caller, &named(&name)?, comment).await?;
    Ok(StatusCode::NO_CONTENT)
}

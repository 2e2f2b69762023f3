//! `/v1/governance/standing-approvals`: work of one shape, approved ahead of time.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{StatusCode, header};
use nexusmon_shared::id::StandingId;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::shape::{self, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::service::playbooks::PlaybookRef;
use crate::service::standing as service;

/// A standing approval.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct StandingApproval {
    id: String,
    /// Where those who sign decide.
    approval: String,
    /// `pending`, `active`, `spent`, `expired`, `revoked`, `refused`.
    status: String,
    /// `name@version`.
    playbook: String,
    /// RFC 9162 root over the playbook's leaves with their inputs open.
    shape: String,
    digest: String,
    /// What is signed: shape, input schema, machines, rank, end, uses.
    #[schema(value_type = Object)]
    document: Value,
    uses: i64,
    /// Starts so far, retries included.
    used: i64,
    expires_at: String,
    created_by: String,
    created_at: String,
    /// The newest fifty; in lists it is empty.
    newest_uses: Vec<StandingUse>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct StandingUse {
    number: i64,
    mission: String,
    task: String,
    agent: String,
    attempt: u32,
    at: String,
}

impl From<service::StandingView> for StandingApproval {
    fn from(view: service::StandingView) -> Self {
        let of = |one: service::UseView| StandingUse {
            number: one.number,
            mission: one.mission.to_string(),
            task: one.task.to_string(),
            agent: one.agent.to_string(),
            attempt: one.attempt,
            at: time(one.at),
        };
        Self {
            id: view.id.to_string(),
            approval: view.approval.to_string(),
            status: view.status,
            playbook: format!("{}@{}", view.playbook, view.version),
            shape: view.shape.to_string(),
            digest: view.digest.to_string(),
            document: view.document,
            uses: view.uses,
            used: view.used,
            expires_at: time(view.expires_at),
            created_by: view.created_by.to_string(),
            created_at: time(view.created_at),
            newest_uses: view.newest_uses.into_iter().map(of).collect(),
        }
    }
}

/// Bounds within which a playbook's missions need no further approval.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewStanding {
    /// `name`, or `name@version`.
    playbook: String,
    /// Machines that carry these labels now; they are named by their ids. All that can do the work if absent.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Only this machine: id or name.
    agent: Option<String>,
    /// At most A; the playbook's own rank if absent.
    #[schema(value_type = Option<shape::Rank>)]
    max_rank: Option<nexusmon_shared::rank::Rank>,
    /// At most 366 days ahead.
    #[schema(value_type = String)]
    expires_at: Timestamp,
    /// How many starts, retries included: exactly here, and at most so many on each machine.
    uses: u32,
    /// JSON Schema of the inputs; the playbook's own if absent.
    #[schema(value_type = Option<Object>)]
    input_schema: Option<Value>,
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct StandingListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List standing approvals, newest first
#[utoipa::path(
    get, path = "/v1/governance/standing-approvals", tag = "governance", operation_id = "standing_approvals",
    params(StandingListing), responses((status = 200, body = Page<StandingApproval>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(StandingListing { limit, cursor }): Query<StandingListing>,
) -> Result<Answer<Page<StandingApproval>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, page(limit, cursor)?).await?)))
}

/// Ask for a standing approval
///
/// It counts once those who sign have: `approval` waits for them.
#[utoipa::path(
    post, path = "/v1/governance/standing-approvals", tag = "governance", operation_id = "standing_approval_ask",
    request_body = NewStanding,
    responses((status = 201, body = StandingApproval, headers(("Location" = String)))),
)]
pub(in crate::http) async fn ask(
    State(web): State<Web>,
    Known(caller): Known,
    Json(wish): Json<NewStanding>,
) -> Result<impl IntoResponse, Problem> {
    let NewStanding { playbook, labels, agent, max_rank, expires_at, uses, input_schema } = wish;
    let playbook: PlaybookRef =
        playbook.parse().map_err(|message: String| Problem::field("/playbook", "wrong_value", message))?;
    let wish = service::NewStanding { playbook, labels, agent, max_rank, expires_at, uses, input_schema };
    let view = service::ask(&web.app, &caller, wish).await?;
    let location = format!("/v1/governance/standing-approvals/{}", view.id);
    let answer = Answer(StandingApproval::from(view));
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), answer))
}

/// One standing approval, with what it was spent on
#[utoipa::path(
    get, path = "/v1/governance/standing-approvals/{id}", tag = "governance", operation_id = "standing_approval",
    params(("id" = String, Path)), responses((status = 200, body = StandingApproval)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<StandingId>,
) -> Result<Answer<StandingApproval>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

/// Take a standing approval back
#[utoipa::path(
    delete, path = "/v1/governance/standing-approvals/{id}", tag = "governance",
    operation_id = "standing_approval_revoke",
    params(("id" = String, Path)), responses((status = 200, body = StandingApproval)),
)]
pub(in crate::http) async fn revoke(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<StandingId>,
) -> Result<Answer<StandingApproval>, Problem> {
    Ok(Answer(service::revoke(&web.app, &caller, id).await?.into()))
}

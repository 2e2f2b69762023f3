//! `/v1/governance/approvals`: what waits for people, and what they decide.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId};
use serde_json::Value;

use super::shape::{self, Author, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page, parameter};
use crate::service::approvals as service;

/// Something that waits, or waited, for people.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Approval {
    id: String,
    /// `mission_plan`, `task_instance`.
    subject_kind: String,
    mission: String,
    task: Option<String>,
    /// What would be done, in a line.
    summary: String,
    digest: String,
    #[schema(value_type = shape::Rank)]
    rank: nexusmon_shared::rank::Rank,
    /// Approvals it takes.
    needed: u32,
    author: Author,
    /// `pending`, `approved`, `rejected`, `expired`, `void`.
    status: String,
    created_at: String,
    /// Nothing runs if nobody has decided by then.
    decide_by: String,
    decided_at: Option<String>,
    decisions: Vec<DecisionMade>,
    /// What a signature covers (RFC 8785), before verdict, validity and nonce are added.
    #[schema(value_type = Object)]
    to_sign: Value,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DecisionMade {
    by: String,
    by_name: String,
    /// `approve` or `reject`.
    verdict: &'static str,
    comment: Option<String>,
    method: String,
    at: String,
}

impl From<service::ApprovalView> for Approval {
    fn from(approval: service::ApprovalView) -> Self {
        let service::ApprovalView {
            id,
            subject_kind,
            mission,
            task,
            goal,
            digest,
            rank,
            needed,
            author,
            status,
            created_at,
            decide_by,
            decided_at,
            decisions,
            to_sign,
        } = approval;
        Self {
            id: id.to_string(),
            subject_kind,
            mission: mission.to_string(),
            task: task.map(|id| id.to_string()),
            summary: goal,
            digest: digest.to_string(),
            rank,
            needed,
            author: author.into(),
            status,
            created_at: time(created_at),
            decide_by: time(decide_by),
            decided_at: maybe(decided_at),
            decisions: decisions.into_iter().map(Into::into).collect(),
            to_sign,
        }
    }
}

impl From<service::DecisionView> for DecisionMade {
    fn from(decision: service::DecisionView) -> Self {
        let service::DecisionView { by, by_name, verdict, comment, method, at } = decision;
        Self { by: by.to_string(), by_name, verdict: verdict.as_str(), comment, method, at: time(at) }
    }
}

/// A person's decision over exactly this digest.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Decision {
    /// The approval's: SHA-256 in hexadecimal. A plan that changed meanwhile has another.
    #[schema(value_type = String)]
    digest: Digest,
    verdict: Verdict,
    /// Needed for ranks A and S.
    comment: Option<String>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Verdict {
    Approve,
    Reject,
}

impl From<Decision> for service::NewDecision {
    fn from(decision: Decision) -> Self {
        let Decision { digest, verdict, comment } = decision;
        let verdict = match verdict {
            Verdict::Approve => service::Verdict::Approve,
            Verdict::Reject => service::Verdict::Reject,
        };
        Self { verdict, digest, comment }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    status: Option<String>,
    mission: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List approvals, those that end first at the top
#[utoipa::path(
    get, path = "/v1/governance/approvals", tag = "governance", params(Listing),
    responses((status = 200, body = Page<Approval>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(Listing { status, mission, limit, cursor }): Query<Listing>,
) -> Result<Answer<Page<Approval>>, Problem> {
    let mission = parameter::<MissionId>("mission", mission.as_deref(), "a mission's id")?;
    let filter = service::ApprovalFilter { status, mission };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}

/// Read an approval with what there is to sign
#[utoipa::path(
    get, path = "/v1/governance/approvals/{id}", tag = "governance", params(("id" = String, Path)),
    responses((status = 200, body = Approval)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<ApprovalId>,
) -> Result<Answer<Approval>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

/// Decide an approval
#[utoipa::path(
    post, path = "/v1/governance/approvals/{id}/decisions", tag = "governance",
    params(("id" = String, Path)), request_body = Decision,
    responses((status = 201, body = Approval)),
)]
pub(in crate::http) async fn decide(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ApprovalId>,
    Json(decision): Json<Decision>,
) -> Result<(http::StatusCode, Answer<Approval>), Problem> {
    let approval = service::decide(&web.app, &caller, id, decision.into()).await?;
    Ok((http::StatusCode::CREATED, Answer(approval.into())))
}

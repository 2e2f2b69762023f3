//! `/v1/governance/reviews`: the after-the-fact judgement of flagged work.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, ReviewId};

use super::shape::{self, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page, parameter};
use crate::service::reviews as service;

/// Flagged work, and what people think of it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Review {
    id: String,
    mission: String,
    goal: String,
    #[schema(value_type = shape::Rank)]
    rank: nexusmon_shared::rank::Rank,
    /// Identical work shares it.
    shape: Option<String>,
    /// `open`, `accepted`, `rejected`, `covered`.
    status: String,
    created_at: String,
    decided_at: Option<String>,
    decided_by: Option<String>,
    comment: Option<String>,
    /// Other open reviews of identical work. Accepting one closes those of them as `covered` that verified, on machines
    /// that took part in accepted runs, unless one failed since.
    alike: u64,
}

impl From<service::ReviewView> for Review {
    fn from(review: service::ReviewView) -> Self {
        let service::ReviewView {
            id,
            mission,
            goal,
            rank,
            shape,
            status,
            opened_at,
            decided_at,
            decided_by,
            comment,
            alike,
        } = review;
        Self {
            id: id.to_string(),
            mission: mission.to_string(),
            goal,
            rank,
            shape: shape.map(|digest| digest.to_string()),
            status,
            created_at: time(opened_at),
            decided_at: maybe(decided_at),
            decided_by: decided_by.map(|id| id.to_string()),
            comment,
            alike,
        }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    status: Option<String>,
    mission: Option<String>,
    /// The digest that identical work shares.
    shape: Option<String>,
    /// `shape`: of identical work in one state, the newest alone.
    group: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List reviews, newest first
#[utoipa::path(
    get, path = "/v1/governance/reviews", tag = "governance", operation_id = "reviews", params(Listing),
    responses((status = 200, body = Page<Review>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(Listing { status, mission, shape, group, limit, cursor }): Query<Listing>,
) -> Result<Answer<Page<Review>>, Problem> {
    let mission = parameter::<MissionId>("mission", mission.as_deref(), "a mission's id")?;
    let shape = parameter::<Digest>("shape", shape.as_deref(), "a digest")?;
    let grouped = match group.as_deref() {
        None => false,
        Some("shape") => true,
        Some(_) => return Err(Problem::field("?group", "unknown_value", "must be `shape`")),
    };
    let filter = service::ReviewFilter { status, mission, shape, grouped };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}

/// Read a review
#[utoipa::path(
    get, path = "/v1/governance/reviews/{id}", tag = "governance", operation_id = "review", params(("id" = String, Path)),
    responses((status = 200, body = Review)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<ReviewId>,
) -> Result<Answer<Review>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

/// A judgement of one review.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Judgement {
    /// The review's id.
    #[schema(value_type = String)]
    review: ReviewId,
    verdict: JudgementVerdict,
    comment: Option<String>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum JudgementVerdict {
    Accept,
    Reject,
}

/// Judge flagged work
#[utoipa::path(
    post, path = "/v1/governance/reviews", tag = "governance", operation_id = "review_decide", request_body = Judgement,
    responses((status = 200, body = Review)),
)]
pub(in crate::http) async fn decide(
    State(web): State<Web>,
    Known(caller): Known,
    Json(Judgement { review, verdict, comment }): Json<Judgement>,
) -> Result<Answer<Review>, Problem> {
    let verdict = match verdict {
        JudgementVerdict::Accept => service::ReviewVerdict::Accept,
        JudgementVerdict::Reject => service::ReviewVerdict::Reject,
    };
    Ok(Answer(service::decide(&web.app, &caller, review, verdict, comment).await?.into()))
}

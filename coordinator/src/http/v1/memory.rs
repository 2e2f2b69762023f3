//! `/v1/cognition/memory`: what the organism remembers, searched and taken away by people.

use axum::Json as Answer;
use axum::extract::State;
use http::StatusCode;
use nexusmon_shared::id::MemoryId;

use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::problem::Problem;
use crate::http::query::{Id, Query, page};
use crate::service::memory as service;

/// Something remembered: a goal with its plan however often it ran, the text of an artifact, a word in a review.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Remembered {
    id: String,
    /// `mission`, `artifact`, `review`.
    kind: &'static str,
    /// Of the missions behind it the newest that came out best.
    mission: Option<String>,
    title: String,
    excerpt: String,
    /// Of that mission: `verified`, `succeeded`, `failed`, `cancelled`, `rejected`.
    outcome: &'static str,
    /// Missions with this goal and plan, and how they came out; 0 for what is no mission.
    runs: u64,
    verified: u64,
    succeeded: u64,
    failed: u64,
    /// How often the system was reminded of it, and made something of it.
    recalled: u64,
    used: u64,
    at: String,
    /// 0 to 1: text, outcome and age together; 0 where nothing was looked for.
    score: f64,
}

impl From<service::MemoryView> for Remembered {
    fn from(view: service::MemoryView) -> Self {
        let service::MemoryView {
            id,
            kind,
            mission,
            title,
            excerpt,
            outcome,
            runs,
            verified,
            succeeded,
            failed,
            recalled,
            used,
            at,
            score,
        } = view;
        Self {
            id: id.to_string(),
            kind,
            mission: mission.map(|id| id.to_string()),
            title,
            excerpt,
            outcome,
            runs,
            verified,
            succeeded,
            failed,
            recalled,
            used,
            at: time(at),
            score,
        }
    }
}

/// What was found, the most worth first.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Memories {
    items: Vec<Remembered>,
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Question {
    /// Any of these words; the newest memories if absent.
    q: Option<String>,
    /// `mission`, `artifact`, `review`.
    kind: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
}

/// Search what the organism remembers
#[utoipa::path(
    get, path = "/v1/cognition/memory", tag = "cognition", operation_id = "memory", params(Question),
    responses((status = 200, body = Memories)),
)]
pub(in crate::http) async fn search(
    State(web): State<Web>,
    Query(Question { q, kind, limit }): Query<Question>,
) -> Result<Answer<Memories>, Problem> {
    let limit = page(limit, None)?.limit()?;
    let found = service::search(&web.app, q.as_deref(), kind.as_deref(), limit).await?;
    Ok(Answer(Memories { items: found.into_iter().map(Into::into).collect() }))
}

/// Forget something for good, with what else is remembered of the missions behind it
#[utoipa::path(
    delete, path = "/v1/cognition/memory/{id}", tag = "cognition", operation_id = "memory_forget",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn forget(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MemoryId>,
) -> Result<StatusCode, Problem> {
    service::forget(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

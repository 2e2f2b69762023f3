//! `/v1/companion/messages`: a question, and its answer part by part.

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event as Sent;
use futures::{StreamExt as _, stream};
use serde_json::Value;

use crate::error::Error;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::live;
use crate::http::problem::Problem;
use crate::service::companion as service;

/// A question.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CompanionQuestion {
    /// At most 2000 characters.
    text: String,
    /// Id of the mission, task or approval that `this` means.
    about: Option<String>,
}

/// What a sentence rests on.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Citation {
    /// `mission`, `task`, `artifact`, `approval`, `review`, `audit`, `schedule`.
    kind: &'static str,
    /// For `audit` the entry's number.
    id: String,
    title: String,
    /// In the console.
    href: String,
}

/// A piece of an answer.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CompanionPart {
    /// One sentence or two. Outside text stands in quotation marks.
    text: String,
    citations: Vec<Citation>,
    /// A mission's body to look at, change and send, or not; nobody else sends it.
    #[schema(value_type = Option<Object>)]
    draft: Option<Value>,
}

impl From<service::Part> for CompanionPart {
    fn from(part: service::Part) -> Self {
        match part {
            service::Part::Said { text, citations } => {
                let citations = citations.into_iter().map(|one| {
                    let service::Citation { kind, id, title, href } = one;
                    Citation { kind, id, title, href }
                });
                Self { text, citations: citations.collect(), draft: None }
            }
            service::Part::Draft { mission, text } => {
                Self { text, citations: Vec::new(), draft: Some(mission) }
            }
        }
    }
}

/// Ask the companion
///
/// Server-sent events: `part` for each piece of the answer, then `done`, or `problem` with the problem's `code` and `detail`.
/// It reads what you may read and changes nothing. Takes the trait COMPANION: 409 `trait_locked` without.
#[utoipa::path(
    post, path = "/v1/companion/messages", tag = "companion", operation_id = "companion_ask",
    request_body = CompanionQuestion,
    responses((status = 200, body = CompanionPart, content_type = "text/event-stream")),
)]
pub(in crate::http) async fn ask(
    State(web): State<Web>,
    Known(caller): Known,
    Json(CompanionQuestion { text, about }): Json<CompanionQuestion>,
) -> Result<Response, Problem> {
    let parts = service::ask(&web.app, &caller, service::Question { text, about }).await?;
    let parts = parts.map(|part| match part {
        Ok(part) => Sent::default().event("part").json_data(CompanionPart::from(part)).unwrap_or_default(),
        Err(error) => problem(&error),
    });
    let done = stream::iter([Sent::default().event("done").data("{}")]);
    Ok(live::answer(&web, caller, parts.chain(done)))
}

fn problem(error: &Error) -> Sent {
    if let Error::Internal(source) = error {
        tracing::error!(%source, "the companion could not answer");
    }
    let body = serde_json::json!({"code": error.code(), "detail": error.to_string()});
    Sent::default().event("problem").data(body.to_string())
}

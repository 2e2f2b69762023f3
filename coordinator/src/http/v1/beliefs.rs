//! `/v1/cognition/beliefs`: what was observed, and what somebody asserts, with what it rests on.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{StatusCode, header};
use nexusmon_shared::id::BeliefId;

use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Id;
use crate::service::beliefs as service;

/// Both kinds of beliefs.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Beliefs {
    /// The scheduler uses what was observed: the system holds `BELIEF_TRACK`.
    in_use: bool,
    observed: Vec<ObservedBelief>,
    asserted: Vec<AssertedBelief>,
}

/// How often a capability in one plugin version went well on one agent.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ObservedBelief {
    capability: String,
    plugin_version: String,
    agent: String,
    /// Null where it is no longer enrolled.
    agent_name: Option<String>,
    successes: u64,
    failures: u64,
    /// Of Beta(successes + 1, failures + 1).
    mean: f64,
    deviation: f64,
    /// 0 (worst) to 3: quarters of mean + 2 deviations. Of agents that could take a task, those in a higher band do.
    band: u8,
    /// What the scheduler makes of it among those that are connected with this version: `none` (`BELIEF_TRACK` is not
    /// held, or it is not among them), `level`, `after_others`.
    effect: &'static str,
}

/// What somebody holds to be true.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AssertedBelief {
    id: String,
    statement: String,
    /// `held`, `contradicted`, `withdrawn`.
    status: &'static str,
    /// 0 to 1.
    confidence: f64,
    /// The contradicted or withdrawn belief it rests on, the nearest one; null where all it rests on is held.
    doubted_by: Option<String>,
    /// Beliefs it rests on.
    rests_on: Vec<String>,
    revision: i64,
    /// A principal's id, or `nexusmon`.
    created_by: String,
    created_at: String,
    changed_at: String,
}

/// A belief with its history.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BeliefDetail {
    #[serde(flatten)]
    belief: AssertedBelief,
    /// Beliefs that rest on it.
    supports: Vec<String>,
    /// Every revision, oldest first.
    history: Vec<BeliefRevision>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct BeliefRevision {
    revision: i64,
    statement: String,
    status: &'static str,
    confidence: f64,
    /// What was added with it.
    evidence: Vec<Evidence>,
    comment: Option<String>,
    author: String,
    at: String,
}

/// What speaks for a belief, or against it.
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Evidence {
    /// `mission`, `task`, `artifact`, `audit` (a sequence number), `review`, `agent`, `note`.
    kind: String,
    /// Of what it is; a note has none.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

/// An assertion.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBelief {
    statement: String,
    /// 0 to 1.
    confidence: f64,
    /// At least one, unless it rests on another belief.
    #[serde(default)]
    evidence: Vec<Evidence>,
    /// Ids of beliefs.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    rests_on: Vec<BeliefId>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum BeliefStatus {
    Held,
    Contradicted,
    Withdrawn,
}

/// What is different; another status needs evidence or a comment.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewRevision {
    statement: Option<String>,
    status: Option<BeliefStatus>,
    confidence: Option<f64>,
    #[serde(default)]
    evidence: Vec<Evidence>,
    /// Beliefs it rests on in addition.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    rests_on: Vec<BeliefId>,
    comment: Option<String>,
    /// The revision you have read: refused with 409 where there is another by now.
    revision: Option<i64>,
}

impl From<service::ObservedBelief> for ObservedBelief {
    fn from(view: service::ObservedBelief) -> Self {
        let service::ObservedBelief {
            capability,
            plugin_version,
            agent,
            agent_name,
            successes,
            failures,
            mean,
            deviation,
            band,
            effect,
        } = view;
        let agent = agent.to_string();
        Self {
            capability,
            plugin_version,
            agent,
            agent_name,
            successes,
            failures,
            mean,
            deviation,
            band,
            effect,
        }
    }
}

fn ids(ids: &[BeliefId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

impl From<service::AssertedBelief> for AssertedBelief {
    fn from(view: service::AssertedBelief) -> Self {
        Self {
            id: view.id.to_string(),
            status: view.state.as_str(),
            doubted_by: view.doubted_by.map(|id| id.to_string()),
            rests_on: ids(&view.rests_on),
            statement: view.statement,
            confidence: view.confidence,
            revision: view.revision,
            created_by: view.created_by,
            created_at: time(view.created_at),
            changed_at: time(view.changed_at),
        }
    }
}

impl From<service::Evidence> for Evidence {
    fn from(service::Evidence { kind, id, note }: service::Evidence) -> Self {
        Self { kind, id, note }
    }
}

fn evidence(given: Vec<Evidence>) -> Vec<service::Evidence> {
    given.into_iter().map(|Evidence { kind, id, note }| service::Evidence { kind, id, note }).collect()
}

impl From<service::BeliefDetail> for BeliefDetail {
    fn from(detail: service::BeliefDetail) -> Self {
        let history = detail.history.into_iter().map(|one| BeliefRevision {
            revision: one.revision,
            statement: one.statement,
            status: one.state.as_str(),
            confidence: one.confidence,
            evidence: one.evidence.into_iter().map(Into::into).collect(),
            comment: one.comment,
            author: one.author,
            at: time(one.at),
        });
        Self { history: history.collect(), supports: ids(&detail.supports), belief: detail.belief.into() }
    }
}

/// What is believed: counted from outcomes, and asserted
#[utoipa::path(
    get, path = "/v1/cognition/beliefs", tag = "cognition", operation_id = "beliefs",
    responses((status = 200, body = Beliefs)),
)]
pub(in crate::http) async fn list(State(web): State<Web>) -> Result<Answer<Beliefs>, Problem> {
    let observed = service::observed(&web.app).await?;
    let asserted = service::beliefs(&web.app).await?;
    Ok(Answer(Beliefs {
        in_use: web.app.beliefs.tracking(),
        observed: observed.into_iter().map(Into::into).collect(),
        asserted: asserted.into_iter().map(Into::into).collect(),
    }))
}

/// One asserted belief with its history
#[utoipa::path(
    get, path = "/v1/cognition/beliefs/{id}", tag = "cognition", operation_id = "belief",
    params(("id" = String, Path)), responses((status = 200, body = BeliefDetail)),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<BeliefId>,
) -> Result<Answer<BeliefDetail>, Problem> {
    Ok(Answer(service::get(&web.app, id).await?.into()))
}

/// Assert a belief
#[utoipa::path(
    post, path = "/v1/cognition/beliefs", tag = "cognition", operation_id = "belief_assert",
    request_body = NewBelief,
    responses((status = 201, body = BeliefDetail, headers(("Location" = String)))),
)]
pub(in crate::http) async fn assert(
    State(web): State<Web>,
    Known(caller): Known,
    Json(new): Json<NewBelief>,
) -> Result<impl IntoResponse, Problem> {
    let new = service::NewBelief {
        statement: new.statement,
        confidence: new.confidence,
        evidence: evidence(new.evidence),
        rests_on: new.rests_on,
    };
    let made = service::assert(&web.app, &caller, new).await?;
    let location = format!("/v1/cognition/beliefs/{}", made.belief.id);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), Answer(BeliefDetail::from(made))))
}

/// Revise a belief: what rests on one that falls is marked
#[utoipa::path(
    post, path = "/v1/cognition/beliefs/{id}/revisions", tag = "cognition", operation_id = "belief_revise",
    params(("id" = String, Path)), request_body = NewRevision, responses((status = 200, body = BeliefDetail)),
)]
pub(in crate::http) async fn revise(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<BeliefId>,
    Json(new): Json<NewRevision>,
) -> Result<Answer<BeliefDetail>, Problem> {
    let state = new.status.map(|status| match status {
        BeliefStatus::Held => service::BeliefState::Held,
        BeliefStatus::Contradicted => service::BeliefState::Contradicted,
        BeliefStatus::Withdrawn => service::BeliefState::Withdrawn,
    });
    let revision = service::Revision {
        statement: new.statement,
        state,
        confidence: new.confidence,
        evidence: evidence(new.evidence),
        rests_on: new.rests_on,
        comment: new.comment,
        of_revision: new.revision,
    };
    Ok(Answer(service::revise(&web.app, &caller, id, revision).await?.into()))
}

//! Chains: the story of one, and what the system proposes to do next.

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::id::{MissionId, ProposalId};
use nexusmon_shared::rank::Rank;
use serde_json::Value;

use super::shape::{self, Empty, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::service::chains as service;

/// What started a mission of a chain.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ChainStart {
    /// `person`: whoever asked for the first one; `trigger`: one that somebody set up; `nexusmon`: the system, by a
    /// proposal; `proposal`: a person, by a proposal; `task`: a task of its parent, whose work it is.
    kind: &'static str,
    /// The principal, the trigger, or the task.
    id: Option<String>,
    /// Of the trigger, while it is there.
    name: Option<String>,
}

impl From<service::StartedBy> for ChainStart {
    fn from(by: service::StartedBy) -> Self {
        match by {
            service::StartedBy::Person(id) => Self { kind: "person", id: Some(id.to_string()), name: None },
            service::StartedBy::Trigger(id, name) => Self { kind: "trigger", id: Some(id), name },
            service::StartedBy::Nexusmon => Self { kind: "nexusmon", id: None, name: None },
            service::StartedBy::Proposal(id) => {
                Self { kind: "proposal", id: Some(id.to_string()), name: None }
            }
            service::StartedBy::Task(id) => Self { kind: "task", id: Some(id.to_string()), name: None },
        }
    }
}

/// A mission of a chain.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ChainMission {
    id: String,
    goal: String,
    #[schema(value_type = shape::MissionStatus)]
    status: &'static str,
    #[schema(value_type = shape::Rank)]
    rank: Rank,
    origin: String,
    /// 0 for the first.
    depth: i64,
    /// The mission that led to it, or that it is a part of.
    parent: Option<String>,
    started_by: ChainStart,
    why: Option<String>,
    created_at: String,
    finished_at: Option<String>,
}

/// What the system would do next because of how a mission ended, or did.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Proposal {
    id: String,
    /// The mission whose end it comes from.
    parent: String,
    /// The playbook that names it, with its version.
    said_by: String,
    /// What it is made of.
    playbook: String,
    #[schema(value_type = Object)]
    inputs: Value,
    why: String,
    depth: i64,
    /// `proposed`: it waits for a person; `started`, `dismissed`, `failed`.
    state: &'static str,
    /// Why it was not begun, or could not be.
    reason: Option<String>,
    mission: Option<String>,
    created_at: String,
    decided_at: Option<String>,
    /// A person, or `nexusmon`.
    decided_by: Option<String>,
}

impl From<service::ProposalView> for Proposal {
    fn from(view: service::ProposalView) -> Self {
        Self {
            id: view.id.to_string(),
            parent: view.parent.to_string(),
            said_by: view.said_by,
            playbook: view.playbook,
            inputs: Value::Object(view.inputs),
            why: view.why,
            depth: view.depth,
            state: view.state.as_str(),
            reason: view.reason,
            mission: view.mission.map(|id| id.to_string()),
            created_at: time(view.created_at),
            decided_at: maybe(view.decided_at),
            decided_by: view.decided_by,
        }
    }
}

/// A chain as one story.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Chain {
    /// Where it began.
    root: String,
    /// In the order they were made.
    missions: Vec<ChainMission>,
    /// What their ends led the system to propose.
    proposals: Vec<Proposal>,
    /// There is more than the 500 missions shown.
    more: bool,
}

/// The chain that a mission belongs to: who started what, and why
#[utoipa::path(
    get, path = "/v1/engine/missions/{id}/chain", tag = "engine", operation_id = "mission_chain",
    params(("id" = String, Path)), responses((status = 200, body = Chain)),
)]
pub(in crate::http) async fn story(
    State(web): State<Web>,
    Id(id): Id<MissionId>,
) -> Result<Answer<Chain>, Problem> {
    let view = service::story(&web.app, id).await?;
    let missions = view.items.into_iter().map(|item| ChainMission {
        id: item.mission.to_string(),
        goal: item.goal,
        status: item.status.as_str(),
        rank: item.rank,
        origin: item.origin,
        depth: item.depth,
        parent: item.parent.map(|id| id.to_string()),
        started_by: item.started_by.into(),
        why: item.why,
        created_at: time(item.created_at),
        finished_at: maybe(item.finished_at),
    });
    Ok(Answer(Chain {
        root: view.root.to_string(),
        missions: missions.collect(),
        proposals: view.proposals.into_iter().map(Into::into).collect(),
        more: view.more,
    }))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ProposalListing {
    /// `proposed`, `started`, `dismissed` or `failed`; all if absent.
    state: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// What the system would do next, newest first
#[utoipa::path(
    get, path = "/v1/engine/proposals", tag = "engine", operation_id = "proposals", params(ProposalListing),
    responses((status = 200, body = Page<Proposal>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(ProposalListing { state, limit, cursor }): Query<ProposalListing>,
) -> Result<Answer<Page<Proposal>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, state.as_deref(), page(limit, cursor)?).await?)))
}

/// Begin what was proposed, in the caller's name
#[utoipa::path(
    post, path = "/v1/engine/proposals/{id}/start", tag = "engine", operation_id = "proposal_start",
    params(("id" = String, Path)), request_body(content = Empty),
    responses((status = 200, body = Proposal)),
)]
pub(in crate::http) async fn start(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ProposalId>,
    Json(Empty {}): Json<Empty>,
) -> Result<Answer<Proposal>, Problem> {
    Ok(Answer(service::start(&web.app, &caller, id).await?.into()))
}

/// Dismiss what was proposed
#[utoipa::path(
    post, path = "/v1/engine/proposals/{id}/dismiss", tag = "engine", operation_id = "proposal_dismiss",
    params(("id" = String, Path)), request_body(content = Empty),
    responses((status = 200, body = Proposal)),
)]
pub(in crate::http) async fn dismiss(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ProposalId>,
    Json(Empty {}): Json<Empty>,
) -> Result<Answer<Proposal>, Problem> {
    Ok(Answer(service::dismiss(&web.app, &caller, id).await?.into()))
}

//! `/v1/governance/halt`: the kill switch.

use axum::Json as Answer;
use axum::extract::State;
use http::StatusCode;
use nexusmon_shared::message::HaltLevel;

use super::shape::maybe;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::halt as service;

/// How much is stopped.
#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum PullLevel {
    /// Nothing new starts; orders that have not started are taken back.
    Halt,
    /// What runs is ended too.
    Stop,
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HaltPull {
    level: PullLevel,
    /// At most 1,000 bytes; goes into the audit log.
    reason: Option<String>,
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HaltRelease {
    /// Why it is safe to go on; goes into the audit log.
    comment: String,
}

/// The kill switch, and how far each agent is.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Halt {
    /// `none`, `halt`, `stop`.
    level: &'static str,
    /// Grows with every pull and release.
    number: u64,
    since: Option<String>,
    by: Option<String>,
    reason: Option<String>,
    /// The approval that its release waits for.
    release_approval: Option<String>,
    /// Agents that said that the level holds on their machine.
    acknowledged: u64,
    /// Connected agents whose answer is on the way.
    waiting: u64,
    /// Agents that are cut off and may still run what they hold.
    unreachable: u64,
    /// The first 200, those that may still run something first; empty unless something is halted.
    agents: Vec<AgentHalt>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AgentHalt {
    id: String,
    name: String,
    /// `unreachable`, `waiting`, `acknowledged`, or `clear`: cut off, and holds nothing.
    state: &'static str,
    acknowledged_at: Option<String>,
    /// Attempts that still ran when it answered last.
    running: Option<u64>,
    /// Live leases.
    leases: u64,
    /// An agent that nobody reaches stops by itself then: its lease and what its tasks allow offline are over.
    may_run_until: Option<String>,
}

impl From<service::AgentHalt> for AgentHalt {
    fn from(agent: service::AgentHalt) -> Self {
        let service::AgentHalt { id, name, state, may_run_until, acknowledged_at, running, leases } = agent;
        Self {
            id: id.to_string(),
            name,
            state,
            acknowledged_at: maybe(acknowledged_at),
            running,
            leases,
            may_run_until: maybe(may_run_until),
        }
    }
}

impl From<service::HaltView> for Halt {
    fn from(view: service::HaltView) -> Self {
        let service::HaltView {
            level,
            number,
            since,
            by,
            reason,
            release,
            acknowledged,
            waiting,
            unreachable,
            agents,
        } = view;
        Self {
            level: level.as_str(),
            number,
            since: maybe(since),
            by: by.map(|id| id.to_string()),
            reason,
            release_approval: release.map(|id| id.to_string()),
            acknowledged,
            waiting,
            unreachable,
            agents: agents.into_iter().map(Into::into).collect(),
        }
    }
}

/// Pull the kill switch
///
/// `stop` may follow `halt`; going on is `POST /v1/governance/resume`.
#[utoipa::path(
    post, path = "/v1/governance/halt", tag = "governance", operation_id = "halt_pull", request_body = HaltPull,
    responses((status = 200, body = Halt)),
)]
pub(in crate::http) async fn pull(
    State(web): State<Web>,
    Known(caller): Known,
    Json(HaltPull { level, reason }): Json<HaltPull>,
) -> Result<Answer<Halt>, Problem> {
    let level = match level {
        PullLevel::Halt => HaltLevel::Halt,
        PullLevel::Stop => HaltLevel::Stop,
    };
    Ok(Answer(service::pull(&web.app, &caller, level, reason).await?.into()))
}

/// Release the kill switch
///
/// A rank A act. Where there is a roster it is only asked for (202): `release_approval` waits for those who sign. Else it
/// is the owner's, after a log-in of the last five minutes.
#[utoipa::path(
    post, path = "/v1/governance/resume", tag = "governance", operation_id = "halt_release", request_body = HaltRelease,
    responses((status = 200, body = Halt), (status = 202, body = Halt)),
)]
pub(in crate::http) async fn release(
    State(web): State<Web>,
    Known(caller): Known,
    Json(HaltRelease { comment }): Json<HaltRelease>,
) -> Result<(StatusCode, Answer<Halt>), Problem> {
    let (view, waits) = service::release(&web.app, &caller, comment).await?;
    let status = if waits { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Answer(view.into())))
}

/// What is halted, and who has obeyed
#[utoipa::path(
    get, path = "/v1/governance/halt", tag = "governance", operation_id = "halt_state",
    responses((status = 200, body = Halt)),
)]
pub(in crate::http) async fn state(State(web): State<Web>) -> Result<Answer<Halt>, Problem> {
    Ok(Answer(service::view(&web.app).await?.into()))
}

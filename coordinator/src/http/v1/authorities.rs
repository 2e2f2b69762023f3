//! `/v1/fleet/authority`: which authority agents' certificates are of, and how another takes its place.

use axum::Json as Answer;
use axum::extract::State;

use super::shape::{maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::authorities as service;

/// The authority in force, and the next one while it takes over.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuthorityRotation {
    current: AuthorityRead,
    /// In force beside the current one until that is retired.
    next: Option<AuthorityRead>,
    begun_at: Option<String>,
    /// Agents that trust the next one and have their certificate of it.
    followed: usize,
    /// Agents that are not revoked and have not followed.
    behind: Vec<AgentBehind>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuthorityRead {
    /// SHA-256 of its public key.
    key: String,
    not_before: String,
    not_after: String,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AgentBehind {
    id: String,
    name: String,
    state: &'static str,
    /// `online`, `suspect`, `offline`.
    status: &'static str,
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AuthorityRetire {
    /// Names of agents to go on without: they have to be joined anew.
    #[serde(default)]
    leave: Vec<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuthorityRetired {
    authority: AuthorityRotation,
    /// Names of agents that were left behind.
    left: Vec<String>,
    /// Invites that are void, because they named the old authority.
    invites: u64,
}

impl From<service::AuthorityView> for AuthorityRead {
    fn from(view: service::AuthorityView) -> Self {
        let service::AuthorityView { pin, not_before, not_after } = view;
        Self { key: pin.to_string(), not_before: time(not_before), not_after: time(not_after) }
    }
}

impl From<service::RotationView> for AuthorityRotation {
    fn from(view: service::RotationView) -> Self {
        let service::RotationView { current, next, begun_at, followed, behind } = view;
        let behind = behind.into_iter().map(|agent| AgentBehind {
            id: agent.id.to_string(),
            name: agent.name,
            state: agent.state.as_str(),
            status: agent.presence.as_str(),
        });
        Self {
            current: current.into(),
            next: next.map(Into::into),
            begun_at: maybe(begun_at),
            followed,
            behind: behind.collect(),
        }
    }
}

/// Read which authority is in force
#[utoipa::path(
    get, path = "/v1/fleet/authority", tag = "fleet", operation_id = "authority",
    responses((status = 200, body = AuthorityRotation)),
)]
pub(in crate::http) async fn get(State(web): State<Web>) -> Result<Answer<AuthorityRotation>, Problem> {
    Ok(Answer(service::view(&web.app).await?.into()))
}

/// Put a new authority in force beside the current one
///
/// Agents are told at once, take certificates of it, and go on with what they run.
#[utoipa::path(
    post, path = "/v1/fleet/authority/rotate", tag = "fleet", operation_id = "authority_rotate",
    responses((status = 201, body = AuthorityRotation)),
)]
pub(in crate::http) async fn begin(
    State(web): State<Web>,
    Known(caller): Known,
) -> Result<(http::StatusCode, Answer<AuthorityRotation>), Problem> {
    let begun = service::begin(&web.app, &caller).await?;
    Ok((http::StatusCode::CREATED, Answer(begun.into())))
}

/// Retire the old authority
///
/// Refused while agents have not followed, unless each of them is named: they have to be joined anew.
#[utoipa::path(
    post, path = "/v1/fleet/authority/retire", tag = "fleet", operation_id = "authority_retire",
    request_body = AuthorityRetire,
    responses((status = 200, body = AuthorityRetired)),
)]
pub(in crate::http) async fn retire(
    State(web): State<Web>,
    Known(caller): Known,
    Json(AuthorityRetire { leave }): Json<AuthorityRetire>,
) -> Result<Answer<AuthorityRetired>, Problem> {
    let service::Retired { rotation, left, invites } = service::retire(&web.app, &caller, leave).await?;
    Ok(Answer(AuthorityRetired { authority: rotation.into(), left, invites }))
}

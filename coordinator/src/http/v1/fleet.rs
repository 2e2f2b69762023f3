//! `/v1/fleet`: invites for new machines, and what the fleet can do.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use http::StatusCode;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Span;
use serde_json::Value;

use super::mission_body::Duration;
use super::shape::{self, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Page;
use crate::service::agents as service;

/// How long an invite may be used unless it says otherwise.
const INVITE_LIFE: Span = Span::from_secs(15 * 60);

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewInvite {
    /// The new agent's.
    #[schema(value_type = String)]
    name: Name,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The highest rank it will be offered; C if absent.
    #[schema(value_type = Option<shape::Rank>)]
    max_rank: Option<Rank>,
    /// How long it may be used; 15 minutes if absent.
    #[schema(value_type = Option<Duration>)]
    ttl: Option<Span>,
}

/// Shown once.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Invite {
    invite_id: String,
    name: String,
    labels: BTreeMap<String, String>,
    #[schema(value_type = shape::Rank)]
    max_rank: Rank,
    expires_at: String,
    /// Secret; works once.
    token: String,
    /// The line to paste on the new machine.
    command: String,
}

/// Invite another machine
#[utoipa::path(
    post, path = "/v1/fleet/invites", tag = "fleet", request_body = NewInvite,
    responses((status = 201, body = Invite)),
)]
pub(in crate::http) async fn invite(
    State(web): State<Web>,
    Known(caller): Known,
    Json(NewInvite { name, labels, max_rank, ttl }): Json<NewInvite>,
) -> Result<(StatusCode, Answer<Invite>), Problem> {
    let wanted = service::NewInvite {
        name,
        labels,
        max_rank: max_rank.unwrap_or(Rank::C),
        ttl: ttl.unwrap_or(INVITE_LIFE).0,
    };
    let service::InviteView { id, name, max_rank, labels, expires_at, token, command } =
        service::invite(&web.app, &caller, wanted).await?;
    let invite = Invite {
        invite_id: id.to_string(),
        name: name.to_string(),
        labels,
        max_rank,
        expires_at: time(expires_at),
        token,
        command,
    };
    Ok((StatusCode::CREATED, Answer(invite)))
}

/// Something the fleet can do.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Capability {
    /// `plugin.action`.
    name: String,
    description: String,
    plugin: String,
    plugin_versions: Vec<String>,
    /// Rank floor.
    #[schema(value_type = shape::Rank)]
    risk_level: Rank,
    requires_approval: bool,
    /// JSON Schema of `with`.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// JSON Schema of the outputs.
    #[schema(value_type = Option<Object>)]
    outputs: Option<Value>,
    /// Names of agents that have it now.
    agents: Vec<String>,
    /// Where it is switched off, by itself or with its plugin.
    flags: Vec<super::flags::Flag>,
}

impl From<service::CapabilityView> for Capability {
    fn from(view: service::CapabilityView) -> Self {
        let service::CapabilityView {
            name,
            description,
            plugin,
            plugin_versions,
            rank_floor,
            requires_approval,
            params,
            outputs,
            agents,
            flags,
        } = view;
        Self {
            name: name.to_string(),
            description,
            plugin,
            plugin_versions,
            risk_level: rank_floor,
            requires_approval,
            params,
            outputs,
            agents,
            flags: flags.into_iter().map(Into::into).collect(),
        }
    }
}

/// What the fleet can do now
#[utoipa::path(
    get, path = "/v1/fleet/capabilities", tag = "fleet",
    responses((status = 200, body = Page<Capability>)),
)]
pub(in crate::http) async fn capabilities(
    State(web): State<Web>,
) -> Result<Answer<Page<Capability>>, Problem> {
    let items = service::capabilities(&web.app).await?.into_iter().map(Into::into).collect();
    Ok(Answer(Page { items, next_cursor: None }))
}

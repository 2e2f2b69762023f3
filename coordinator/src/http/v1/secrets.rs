//! `/v1/governance/secrets`: names, bindings, who was handed what. Never a value.

use std::collections::BTreeSet;

use axum::Json as Answer;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use nexusmon_shared::name::Name;
use zeroize::Zeroizing;

use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Page;
use crate::service::secrets as service;

/// A secret, without its value.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Secret {
    name: String,
    /// Grows with every value.
    version: i64,
    binding: SecretBinding,
    /// Whether its value is masked in logs: short or simple ones are not.
    masked: bool,
    changed_by: String,
    created_at: String,
    changed_at: String,
    /// Agents that were ever handed any version of it: whom a rotation is about.
    received: Vec<SecretReceiver>,
}

/// Where a secret belongs: inside rank C, outside rank A. A list that is empty bounds nothing; with all three empty it
/// belongs nowhere.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct SecretBinding {
    /// By name, which binds the newest version there is, or as `name@version`; answered with versions.
    playbooks: BTreeSet<String>,
    /// By id or name; answered as ids.
    agents: BTreeSet<String>,
    /// As in a sandbox's `network`.
    hosts: BTreeSet<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct SecretReceiver {
    agent: String,
    name: Option<String>,
    /// The newest version it was handed.
    version: i64,
    times: i64,
    last_at: String,
}

/// A new value: as text, or as base64 where it is none.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewSecret {
    /// At most 64 KiB.
    value: Option<String>,
    value_base64: Option<String>,
    /// Where it belongs; absent keeps what it was.
    binding: Option<SecretBinding>,
}

impl From<service::SecretView> for Secret {
    fn from(secret: service::SecretView) -> Self {
        let service::SecretView {
            name,
            version,
            binding,
            masked,
            changed_by,
            created_at,
            changed_at,
            received,
        } = secret;
        Self {
            name: name.to_string(),
            version,
            binding: SecretBinding {
                playbooks: binding.playbooks,
                agents: binding.agents.iter().map(ToString::to_string).collect(),
                hosts: binding.hosts,
            },
            masked,
            changed_by: changed_by.to_string(),
            created_at: time(created_at),
            changed_at: time(changed_at),
            received: received.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<service::ReceivedView> for SecretReceiver {
    fn from(received: service::ReceivedView) -> Self {
        let service::ReceivedView { agent, name, version, times, last_at } = received;
        Self { agent: agent.to_string(), name, version, times, last_at: time(last_at) }
    }
}

fn named(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error: nexusmon_shared::name::NameError| {
        Problem::field("", "invalid_value", error.to_string())
    })
}

/// Every secret by name, with who was handed it; never a value
#[utoipa::path(
    get, path = "/v1/governance/secrets", tag = "governance", operation_id = "secrets",
    responses((status = 200, body = Page<Secret>)),
)]
pub(in crate::http) async fn list(State(web): State<Web>) -> Result<Answer<Page<Secret>>, Problem> {
    let items = service::list(&web.app).await?.into_iter().map(Into::into).collect();
    Ok(Answer(Page { items, next_cursor: None }))
}

/// Set a secret's value: a new version; `received` tells which agents know an earlier one
#[utoipa::path(
    put, path = "/v1/governance/secrets/{name}", tag = "governance", operation_id = "secret_set",
    params(("name" = String, Path)), request_body = NewSecret, responses((status = 200, body = Secret)),
)]
pub(in crate::http) async fn set(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    Json(NewSecret { value, value_base64, binding }): Json<NewSecret>,
) -> Result<Answer<Secret>, Problem> {
    let name = named(&name)?;
    let value = match (value.map(Zeroizing::new), value_base64.map(Zeroizing::new)) {
        (Some(text), None) => Zeroizing::new(text.as_bytes().to_vec()),
        (None, Some(text)) => Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| {
            Problem::field("/value_base64", "invalid_value", "expected standard base64 with padding")
        })?),
        _ => return Err(Problem::field("/value", "missing_field", "give one of value and value_base64")),
    };
    let binding = binding.map(|binding| {
        let SecretBinding { playbooks, agents, hosts } = binding;
        service::NewBinding { playbooks, agents, hosts }
    });
    let secret = service::NewSecret { value, binding };
    Ok(Answer(service::set(&web.app, &caller, &name, secret).await?.into()))
}

/// Remove a secret's value; who was handed it stays known
#[utoipa::path(
    delete, path = "/v1/governance/secrets/{name}", tag = "governance", operation_id = "secret_remove",
    params(("name" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    service::remove(&web.app, &caller, &named(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/v1/fleet/agents`: the machines, and what they are told to be.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, header};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::sandbox::Level;

use super::shape::{self, Empty, json, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Page, Query, page};
use crate::service::agents::{self as service, AgentCommand};

/// An enrolled machine.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Agent {
    id: String,
    name: String,
    /// `online`, `suspect` or `offline` while it is active; else its state.
    status: String,
    /// `pending`, `active`, `draining`, `paused`, `quarantined`, `revoked`.
    state: String,
    /// `online`, `suspect`, `offline`.
    presence: &'static str,
    labels: BTreeMap<String, String>,
    #[schema(value_type = shape::Rank)]
    max_rank: nexusmon_shared::rank::Rank,
    slots: u32,
    slots_used: u32,
    load_percent: u32,
    build: String,
    facts: Facts,
    /// As the agent measured them at its start.
    sandbox_levels: Vec<&'static str>,
    /// The levels it has not, each with what keeps the machine from it.
    sandbox_missing: BTreeMap<&'static str, String>,
    /// What the machine's own configuration refuses.
    local_policy: Option<LocalPolicy>,
    paused_locally: bool,
    capabilities: Vec<String>,
    plugins: Vec<Plugin>,
    enrolled_at: String,
    last_seen_at: Option<String>,
    certificate_expires_at: Option<String>,
    enrollment: Enrollment,
}

/// What a person compares before an agent is trusted with rank B and above.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Enrollment {
    /// The agent's Ed25519 identity, hexadecimal.
    identity_key: String,
    /// SHA-256 of the authority's public key, hexadecimal.
    authority: String,
    /// Six words, as long as they wait to be compared with those the machine itself shows.
    words: Option<String>,
    confirmed_at: Option<String>,
    confirmed_by: Option<String>,
}

impl From<service::EnrollmentView> for Enrollment {
    fn from(view: service::EnrollmentView) -> Self {
        let service::EnrollmentView { identity_key, authority, words, confirmed_at, confirmed_by } = view;
        Self {
            identity_key,
            authority,
            words,
            confirmed_at: maybe(confirmed_at),
            confirmed_by: confirmed_by.map(|id| id.to_string()),
        }
    }
}

/// What the machine says about itself.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Facts {
    hostname: String,
    os: String,
    arch: String,
    build: String,
    cpus: u32,
    memory_bytes: u64,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LocalPolicy {
    #[schema(value_type = shape::Rank)]
    max_rank: nexusmon_shared::rank::Rank,
    /// Empty allows all.
    capabilities: Vec<String>,
    unsigned_consent: bool,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Plugin {
    name: String,
    version: String,
    /// As the plugin declares them.
    #[schema(value_type = Vec<Object>)]
    capabilities: serde_json::Value,
}

impl From<service::AgentView> for Agent {
    fn from(agent: service::AgentView) -> Self {
        let service::AgentView {
            id,
            name,
            state,
            presence,
            labels,
            max_rank,
            slots,
            busy,
            load_percent,
            build,
            facts,
            sandbox_levels,
            sandbox_missing,
            local_policy,
            paused_locally,
            manifests,
            enrolled_at,
            last_seen,
            certificate_expires_at,
            enrollment,
            version: _,
        } = agent;
        let capabilities = manifests.iter().flat_map(|plugin| &plugin.capabilities);
        let mut capabilities: Vec<_> = capabilities.map(|spec| spec.name.to_string()).collect();
        capabilities.sort();
        Self {
            id: id.to_string(),
            name: name.to_string(),
            status: if state == "active" { presence.as_str().to_owned() } else { state.clone() },
            state,
            presence: presence.as_str(),
            labels,
            max_rank,
            slots,
            slots_used: busy,
            load_percent,
            build,
            facts: facts.into(),
            sandbox_levels: sandbox_levels.into_iter().map(Level::as_str).collect(),
            sandbox_missing: sandbox_missing.into_iter().map(|(level, why)| (level.as_str(), why)).collect(),
            local_policy: local_policy.map(Into::into),
            paused_locally,
            capabilities,
            plugins: manifests.into_iter().map(Into::into).collect(),
            enrolled_at: time(enrolled_at),
            last_seen_at: maybe(last_seen),
            certificate_expires_at: maybe(certificate_expires_at),
            enrollment: enrollment.into(),
        }
    }
}

impl From<nexusmon_shared::message::Facts> for Facts {
    fn from(facts: nexusmon_shared::message::Facts) -> Self {
        let nexusmon_shared::message::Facts { hostname, os, arch, build, cpus, memory_bytes } = facts;
        Self { hostname, os, arch, build, cpus, memory_bytes }
    }
}

impl From<nexusmon_shared::message::LocalPolicy> for LocalPolicy {
    fn from(policy: nexusmon_shared::message::LocalPolicy) -> Self {
        let nexusmon_shared::message::LocalPolicy { max_rank, capabilities, unsigned_consent } = policy;
        let capabilities = capabilities.iter().map(ToString::to_string).collect();
        Self { max_rank, capabilities, unsigned_consent }
    }
}

impl From<nexusmon_shared::manifest::Manifest> for Plugin {
    fn from(manifest: nexusmon_shared::manifest::Manifest) -> Self {
        let nexusmon_shared::manifest::Manifest { name, version, capabilities } = manifest;
        Self { name: name.to_string(), version, capabilities: json(&capabilities) }
    }
}

fn tagged(agent: service::AgentView) -> impl IntoResponse {
    let tag = etag::tag(agent.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(Agent::from(agent)))
}

/// The agent a path names, by id or by name.
async fn named(web: &Web, text: &str) -> Result<AgentId, Problem> {
    Ok(service::find(&web.app, text).await?)
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    state: Option<String>,
    /// `key=value`, or `key`.
    label: Option<String>,
    name: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List agents
#[utoipa::path(
    get, path = "/v1/fleet/agents", tag = "fleet", operation_id = "agents", params(Listing),
    responses((status = 200, body = Page<Agent>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(Listing { state, label, name, limit, cursor }): Query<Listing>,
) -> Result<Answer<Page<Agent>>, Problem> {
    let filter = service::AgentFilter { state, label, name };
    Ok(Answer(Page::of(service::list(&web.app, filter, page(limit, cursor)?).await?)))
}

/// Read an agent, by id or name
#[utoipa::path(
    get, path = "/v1/fleet/agents/{id}", tag = "fleet", operation_id = "agent", params(("id" = String, Path)),
    responses((status = 200, body = Agent, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Path(text): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let id = named(&web, &text).await?;
    Ok(tagged(service::get(&web.app, id).await?))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AgentChange {
    /// All of them; what is left out is removed.
    labels: BTreeMap<String, String>,
}

/// Replace an agent's labels
#[utoipa::path(
    patch, path = "/v1/fleet/agents/{id}", tag = "fleet",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = AgentChange,
    responses((status = 200, body = Agent, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    Path(text): Path<String>,
    headers: HeaderMap,
    Json(AgentChange { labels }): Json<AgentChange>,
) -> Result<impl IntoResponse, Problem> {
    let id = named(&web, &text).await?;
    let if_match = etag::if_match(&headers)?;
    Ok(tagged(service::set_labels(&web.app, &caller, id, labels, if_match).await?))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Confirmation {
    /// The six words, as the machine's own screen shows them.
    words: String,
}

/// Let a pending agent in, having compared its six words
#[utoipa::path(
    post, path = "/v1/fleet/agents/{id}/confirm", tag = "fleet", params(("id" = String, Path)),
    request_body = Confirmation, responses((status = 200, body = Agent)),
)]
pub(in crate::http) async fn confirm(
    State(web): State<Web>,
    Known(caller): Known,
    Path(text): Path<String>,
    Json(Confirmation { words }): Json<Confirmation>,
) -> Result<impl IntoResponse, Problem> {
    let id = named(&web, &text).await?;
    Ok(tagged(service::confirm(&web.app, &caller, id, &words).await?))
}

/// Routes that tell an agent what to be: one function each, so that each has its own place in the document.
macro_rules! commands {
    ($($(#[doc = $doc:literal])* $name:ident, $path:literal, $command:ident;)*) => {$(
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = "fleet", params(("id" = String, Path)),
            request_body(content = Empty),
            responses((status = 200, body = Agent)),
        )]
        pub(in crate::http) async fn $name(
            State(web): State<Web>,
            Known(caller): Known,
            Path(text): Path<String>,
            Json(Empty {}): Json<Empty>,
        ) -> Result<impl IntoResponse, Problem> {
            let id = named(&web, &text).await?;
            Ok(tagged(service::command(&web.app, &caller, id, AgentCommand::$command).await?))
        }
    )*};
}

commands! {
    /// Let an agent finish what runs and take nothing new
    drain, "/v1/fleet/agents/{id}/drain", Drain;
    /// Let an agent take nothing new for now
    pause, "/v1/fleet/agents/{id}/pause", Pause;
    /// Undo drain, pause or quarantine
    resume, "/v1/fleet/agents/{id}/resume", Resume;
    /// Stop what runs on an agent and offer it nothing
    quarantine, "/v1/fleet/agents/{id}/quarantine", Quarantine;
    /// Take an agent's authority away for good
    revoke, "/v1/fleet/agents/{id}/revoke", Revoke;
}

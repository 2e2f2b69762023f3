//! `/v1/fleet/flags`, `/v1/fleet/rates`, `/v1/fleet/plugins`: what is switched off or slowed down.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use nexusmon_shared::time::Span;

use super::mission_body::Duration;
use super::shape::{Empty, seconds, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Page;
use crate::service::flags as service;

/// A capability, or a whole plugin, that is switched off somewhere.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Flag {
    /// `plugin.action`, or `plugin.*`.
    pub(super) capability: String,
    /// `fleet`, `label:key=value`, or an agent's id.
    scope: String,
    reason: Option<String>,
    by: String,
    since: String,
}

impl From<service::FlagView> for Flag {
    fn from(flag: service::FlagView) -> Self {
        let service::FlagView { capability, scope, reason, by, at } = flag;
        Self { capability, scope, reason, by: by.to_string(), since: time(at) }
    }
}

/// Where a flag holds unless it says otherwise.
fn fleet() -> String {
    "fleet".to_owned()
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FlagChange {
    disabled: bool,
    /// `fleet` (if absent), `label:key=value`, an agent's id or name.
    #[serde(default = "fleet")]
    scope: String,
    /// At most 1,000 bytes; goes into the audit log.
    reason: Option<String>,
    /// End what runs of it there, too.
    #[serde(default)]
    stop: bool,
}

fn page(flags: Vec<service::FlagView>) -> Answer<Page<Flag>> {
    Answer(Page { items: flags.into_iter().map(Into::into).collect(), next_cursor: None })
}

/// Everything that is switched off
#[utoipa::path(
    get, path = "/v1/fleet/flags", tag = "fleet", operation_id = "flags",
    responses((status = 200, body = Page<Flag>)),
)]
pub(in crate::http) async fn list(State(web): State<Web>) -> Result<Answer<Page<Flag>>, Problem> {
    Ok(page(service::list(&web.app).await?))
}

/// Switch a capability off or on: for the fleet, a label or an agent
///
/// `plugin.*` means everything of a plugin. Answers with all flags that hold then; off wins where several speak.
#[utoipa::path(
    put, path = "/v1/fleet/flags/{capability}", tag = "fleet", operation_id = "flag",
    params(("capability" = String, Path)), request_body = FlagChange,
    responses((status = 200, body = Page<Flag>)),
)]
pub(in crate::http) async fn set(
    State(web): State<Web>,
    Known(caller): Known,
    Path(capability): Path<String>,
    Json(FlagChange { disabled, scope, reason, stop }): Json<FlagChange>,
) -> Result<Answer<Page<Flag>>, Problem> {
    let change = service::FlagChange { scope, disabled, reason, stop };
    Ok(page(service::set(&web.app, &caller, &capability, change).await?))
}

async fn plugin(
    web: &Web,
    caller: &crate::service::Caller,
    name: &str,
    out: bool,
) -> Result<Answer<Page<Flag>>, Problem> {
    let change = service::FlagChange {
        scope: fleet(),
        disabled: out,
        reason: out.then(|| "quarantined".to_owned()),
        stop: out,
    };
    Ok(page(service::set(&web.app, caller, &format!("{name}.*"), change).await?))
}

/// Switch a whole plugin off everywhere, and end what runs of it
#[utoipa::path(
    post, path = "/v1/fleet/plugins/{plugin}/quarantine", tag = "fleet", operation_id = "plugin_quarantine",
    params(("plugin" = String, Path)), request_body(content = Empty),
    responses((status = 200, body = Page<Flag>)),
)]
pub(in crate::http) async fn quarantine(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    Json(Empty {}): Json<Empty>,
) -> Result<Answer<Page<Flag>>, Problem> {
    plugin(&web, &caller, &name, true).await
}

/// Undo the quarantine of a plugin
#[utoipa::path(
    post, path = "/v1/fleet/plugins/{plugin}/resume", tag = "fleet", operation_id = "plugin_resume",
    params(("plugin" = String, Path)), request_body(content = Empty),
    responses((status = 200, body = Page<Flag>)),
)]
pub(in crate::http) async fn resume(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    Json(Empty {}): Json<Empty>,
) -> Result<Answer<Page<Flag>>, Problem> {
    plugin(&web, &caller, &name, false).await
}

/// At most so many starts in any stretch of time of that length.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RateLimit {
    /// `capability:NAME`, `agent:ID`, or `key:NAME`.
    key: String,
    most: u32,
    /// Seconds.
    per: f64,
    /// Starts that count just now.
    used: u32,
    by: String,
    since: String,
}

impl From<service::RateView> for RateLimit {
    fn from(rate: service::RateView) -> Self {
        let service::RateView { key, most, per, used, by, at } = rate;
        Self { key, most, per: seconds(per), used, by: by.to_string(), since: time(at) }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewRate {
    /// Starts, 1 to 100,000.
    most: u32,
    /// 1 second to 24 hours.
    #[schema(value_type = Duration)]
    per: Span,
}

fn rates(rates: Vec<service::RateView>) -> Answer<Page<RateLimit>> {
    Answer(Page { items: rates.into_iter().map(Into::into).collect(), next_cursor: None })
}

/// Every rate of starts, and how far it is spent
#[utoipa::path(
    get, path = "/v1/fleet/rates", tag = "fleet", operation_id = "rates",
    responses((status = 200, body = Page<RateLimit>)),
)]
pub(in crate::http) async fn rate_list(State(web): State<Web>) -> Result<Answer<Page<RateLimit>>, Problem> {
    Ok(rates(service::rate_list(&web.app).await?))
}

/// Bound how often work starts: by capability, agent, or key of a task's `limits`
#[utoipa::path(
    put, path = "/v1/fleet/rates/{key}", tag = "fleet", operation_id = "rate_set",
    params(("key" = String, Path, description = "`capability:NAME`, `agent:NAME` or `key:NAME`")),
    request_body = NewRate, responses((status = 200, body = Page<RateLimit>)),
)]
pub(in crate::http) async fn rate_set(
    State(web): State<Web>,
    Known(caller): Known,
    Path(key): Path<String>,
    Json(NewRate { most, per }): Json<NewRate>,
) -> Result<Answer<Page<RateLimit>>, Problem> {
    let rate = service::NewRate { most, per: per.0 };
    Ok(rates(service::set_rate(&web.app, &caller, &key, rate).await?))
}

/// Take a rate away
#[utoipa::path(
    delete, path = "/v1/fleet/rates/{key}", tag = "fleet", operation_id = "rate_remove",
    params(("key" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn rate_remove(
    State(web): State<Web>,
    Known(caller): Known,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    service::remove_rate(&web.app, &caller, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

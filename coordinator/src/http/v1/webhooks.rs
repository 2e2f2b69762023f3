//! `/v1/engine/webhooks`: calls from outside that make missions; and `/v1/hooks/{id}`, where they arrive.

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::id::{PrincipalId, TriggerId};
use serde_json::Value;

use super::schedules::{Firing, read, work};
use super::shape::{json as shown, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::http::{etag, json};
use crate::service::triggers::webhooks as service;

/// A webhook: how its calls are signed, and what it makes missions of.
#[expect(dead_code, reason = "it only documents what the service reads")]
#[derive(utoipa::ToSchema)]
pub(in crate::http) struct NewWebhook {
    name: String,
    /// `github`, `gitlab`, or `generic` (Standard Webhooks).
    format: String,
    /// Only these events, as the sender names them (`push`, `Push Hook`); all if absent.
    events: Option<Vec<String>>,
    /// Missions within an hour, after which it pauses and an alert is raised: 1 to 100,000, 1,000 if absent.
    per_hour: Option<u32>,
    /// Of calls by this system's own notifications: how deep in a chain their missions may lie: 1 to 16, 3 if absent.
    max_depth: Option<u32>,
    /// Of the same: missions of the same shape, inputs and outcome within an hour, above which it pauses: 1 to 1,000, 10
    /// if absent.
    max_repeats: Option<u32>,
    /// `name` or `name@version`. A bare name is the newest version at each call.
    playbook: Option<String>,
    /// May ask for `${{ trigger.body.… }}`, `${{ trigger.event }}`, `${{ trigger.delivery }}` and `${{ trigger.name }}`,
    /// each as a whole value.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    /// Instead of a playbook: a mission's body, without `start`.
    #[schema(value_type = Option<Object>)]
    mission: Option<Value>,
    paused: Option<bool>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Webhook {
    id: String,
    name: String,
    /// `active` or `paused`.
    state: &'static str,
    /// Why the system paused it.
    reason: Option<String>,
    format: String,
    events: Vec<String>,
    per_hour: u32,
    max_depth: u32,
    max_repeats: u32,
    /// Where calls go, below the coordinator's address.
    path: String,
    playbook: Option<String>,
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    #[schema(value_type = Option<Object>)]
    mission: Option<Value>,
    /// In whose name its missions are made.
    owner: String,
    last_mission: Option<String>,
    created_at: String,
    changed_at: String,
}

impl From<service::WebhookView> for Webhook {
    fn from(view: service::WebhookView) -> Self {
        let (playbook, inputs, mission) = work(view.work);
        Self {
            id: view.id.to_string(),
            name: view.name.to_string(),
            state: view.state.as_str(),
            reason: view.reason,
            format: shown(&view.rule.format).as_str().unwrap_or_default().to_owned(),
            events: view.rule.events,
            per_hour: view.rule.per_hour,
            max_depth: view.rule.max_depth,
            max_repeats: view.rule.max_repeats,
            path: format!("/v1/hooks/{}", view.id),
            playbook,
            inputs,
            mission,
            owner: view.owner.to_string(),
            last_mission: view.last_mission.map(|id| id.to_string()),
            created_at: time(view.created_at),
            changed_at: time(view.changed_at),
        }
    }
}

/// A webhook with the key of its signatures, which is shown this once.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct WebhookWithSecret {
    webhook: Webhook,
    secret: String,
}

fn tagged(view: service::WebhookView) -> impl IntoResponse {
    let tag = etag::tag(view.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(Webhook::from(view)))
}

fn keyed(made: service::NewlyKeyed) -> Answer<WebhookWithSecret> {
    let service::NewlyKeyed { webhook, secret } = made;
    Answer(WebhookWithSecret { webhook: webhook.into(), secret: secret.to_string() })
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct WebhookListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List webhooks, newest first
#[utoipa::path(
    get, path = "/v1/engine/webhooks", tag = "engine", operation_id = "webhooks", params(WebhookListing),
    responses((status = 200, body = Page<Webhook>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Query(WebhookListing { limit, cursor }): Query<WebhookListing>,
) -> Result<Answer<Page<Webhook>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, page(limit, cursor)?).await?)))
}

/// Keep a webhook; the answer holds the key of its signatures, once
#[utoipa::path(
    post, path = "/v1/engine/webhooks", tag = "engine", operation_id = "webhook_create",
    request_body = NewWebhook,
    responses((status = 201, body = WebhookWithSecret, headers(("Location" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let made = service::create(&web.app, &caller, &read(request).await?).await?;
    let location = format!("/v1/engine/webhooks/{}", made.webhook.id);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), keyed(made)))
}

/// One webhook
#[utoipa::path(
    get, path = "/v1/engine/webhooks/{id}", tag = "engine", operation_id = "webhook",
    params(("id" = String, Path)), responses((status = 200, body = Webhook, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn get(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::get(&web.app, id).await?))
}

/// Change a webhook as a whole, but for its key
///
/// From then on its missions are made in the caller's name.
#[utoipa::path(
    put, path = "/v1/engine/webhooks/{id}", tag = "engine", operation_id = "webhook_change",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = NewWebhook,
    responses((status = 200, body = Webhook, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
    headers: HeaderMap,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    let body = read(request).await?;
    Ok(tagged(service::change(&web.app, &caller, id, &body, if_match).await?))
}

/// Remove a webhook; its address answers nobody from then on
#[utoipa::path(
    delete, path = "/v1/engine/webhooks/{id}", tag = "engine", operation_id = "webhook_remove",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<StatusCode, Problem> {
    service::remove(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a webhook: calls are answered and make nothing
#[utoipa::path(
    post, path = "/v1/engine/webhooks/{id}/pause", tag = "engine", operation_id = "webhook_pause",
    params(("id" = String, Path)), responses((status = 200, body = Webhook)),
)]
pub(in crate::http) async fn pause(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::pause(&web.app, &caller, id).await?))
}

/// Resume a webhook
#[utoipa::path(
    post, path = "/v1/engine/webhooks/{id}/resume", tag = "engine", operation_id = "webhook_resume",
    params(("id" = String, Path)), responses((status = 200, body = Webhook)),
)]
pub(in crate::http) async fn resume(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(tagged(service::resume(&web.app, &caller, id).await?))
}

/// Give a webhook another key, shown once; the one before opens nothing from then on
#[utoipa::path(
    post, path = "/v1/engine/webhooks/{id}/rotate", tag = "engine", operation_id = "webhook_rotate",
    params(("id" = String, Path)), responses((status = 200, body = WebhookWithSecret)),
)]
pub(in crate::http) async fn rotate(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TriggerId>,
) -> Result<Answer<WebhookWithSecret>, Problem> {
    Ok(keyed(service::rotate(&web.app, &caller, id).await?))
}

/// What a webhook has fired for, newest first
#[utoipa::path(
    get, path = "/v1/engine/webhooks/{id}/firings", tag = "engine", operation_id = "webhook_firings",
    params(("id" = String, Path), WebhookListing), responses((status = 200, body = Page<Firing>)),
)]
pub(in crate::http) async fn firings(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
    Query(WebhookListing { limit, cursor }): Query<WebhookListing>,
) -> Result<Answer<Page<Firing>>, Problem> {
    Ok(Answer(Page::of(service::firings(&web.app, id, page(limit, cursor)?).await?)))
}

/// What came of a call.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct HookAnswer {
    /// `fired`; `already`: this delivery counted before; `ignored`: paused, or not an event it listens to; `failed`: no
    /// mission could be made of it, and the webhook's firings say why.
    result: &'static str,
}

/// Call a webhook
///
/// Nobody logs in here: the call's signature counts, and cookies do not. Every delivery counts once.
#[utoipa::path(
    post, path = "/v1/hooks/{id}", tag = "engine", operation_id = "hook",
    params(("id" = String, Path)), responses((status = 202, body = HookAnswer)),
)]
pub(in crate::http) async fn receive(
    State(web): State<Web>,
    Id(id): Id<TriggerId>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let headers = request.headers().clone();
    let body = json::document(request, json::BODY_LIMIT).await?;
    // One that is named twice is one that two readers understand differently.
    let header = |name: &str| {
        let mut found = headers.get_all(name).iter();
        found.next().filter(|_| found.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let received = service::receive(&web.app, id, &header, &body, || {
        // Whoever has the key may call as often as anybody who is known; ids of no principal are keys of their own.
        web.callers.spend(PrincipalId::from_bits(id.to_bits()), web.app.clock.boot())
    });
    let result = received.await?.as_str();
    Ok((StatusCode::ACCEPTED, Answer(HookAnswer { result })))
}

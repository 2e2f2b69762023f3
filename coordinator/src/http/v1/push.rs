//! `/v1/me/push-subscriptions`: browsers of yours that are told of approvals and alerts.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{StatusCode, header};
use nexusmon_shared::id::PushId;

use super::shape::{Empty, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page};
use crate::service::push as service;

/// A browser of yours.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PushSubscription {
    id: String,
    name: String,
    /// Host of its push service.
    service: String,
    created_at: String,
    last_sent_at: Option<String>,
    /// Messages in a row that did not arrive.
    failures: u64,
}

impl From<service::PushView> for PushSubscription {
    fn from(view: service::PushView) -> Self {
        let service::PushView { id, name, service, created_at, last_sent_at, failures } = view;
        let (created_at, last_sent_at) = (time(created_at), maybe(last_sent_at));
        Self { id: id.to_string(), name, service, created_at, last_sent_at, failures }
    }
}

/// What `pushManager.subscribe` is given.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PushKey {
    /// `applicationServerKey`, base64url; null where push is off, because nobody said who answers for it.
    public_key: Option<String>,
}

/// Read the key browsers subscribe with
#[utoipa::path(
    get, path = "/v1/me/push-key", tag = "me", operation_id = "push_key", responses((status = 200, body = PushKey)),
)]
pub(in crate::http) async fn key(State(web): State<Web>) -> Answer<PushKey> {
    Answer(PushKey { public_key: service::public_key(&web.app) })
}

/// List your subscribed browsers
#[utoipa::path(
    get, path = "/v1/me/push-subscriptions", tag = "me", operation_id = "push_subscriptions",
    responses((status = 200, body = Page<PushSubscription>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Known(caller): Known,
) -> Result<Answer<Page<PushSubscription>>, Problem> {
    let items = service::list(&web.app, &caller).await?;
    Ok(Answer(Page::of(crate::service::Page { items, next_cursor: None })))
}

/// As the browser gives them, base64url.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PushKeys {
    p256dh: String,
    auth: String,
}

#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewPushSubscription {
    /// To tell yours apart.
    name: String,
    /// Of a public push service, over https.
    endpoint: String,
    keys: PushKeys,
}

/// Have a browser told
///
/// Of approvals, if you may decide them, and of alerts, if you run machines: id and rank, sealed for that browser.
#[utoipa::path(
    post, path = "/v1/me/push-subscriptions", tag = "me", operation_id = "push_subscribe",
    request_body = NewPushSubscription,
    responses((status = 201, body = PushSubscription, headers(("Location" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    Json(NewPushSubscription { name, endpoint, keys: PushKeys { p256dh, auth } }): Json<NewPushSubscription>,
) -> Result<impl IntoResponse, Problem> {
    let new = service::NewPush { name, endpoint, p256dh, auth };
    let view = service::create(&web.app, &caller, new).await?;
    let location = format!("/v1/me/push-subscriptions/{}", view.id);
    let body = Answer(PushSubscription::from(view));
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), body))
}

/// Send a browser of yours something, to try it
#[utoipa::path(
    post, path = "/v1/me/push-subscriptions/{id}/test", tag = "me", operation_id = "push_test",
    params(("id" = String, Path)), request_body(content = Empty), responses((status = 204)),
)]
pub(in crate::http) async fn test(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<PushId>,
    Json(Empty {}): Json<Empty>,
) -> Result<StatusCode, Problem> {
    service::test(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Have a browser of yours told nothing more
#[utoipa::path(
    delete, path = "/v1/me/push-subscriptions/{id}", tag = "me", operation_id = "push_unsubscribe",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<PushId>,
) -> Result<StatusCode, Problem> {
    service::remove(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

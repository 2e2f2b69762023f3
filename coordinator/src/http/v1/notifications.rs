//! `/v1/notifications`: where you are told, of what, and what became of it.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::id::{ApprovalId, ChannelId, RuleId};
use serde_json::Value;

use super::shape::{Empty, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::service::notifications::{self as service, Hidden, channel, rule};

/// A place of yours to be told.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NotificationChannel {
    id: String,
    name: String,
    /// `webhook`, `ntfy`, `slack`, `email`, `push`.
    kind: &'static str,
    /// What may be read of where it leads: a host, mail addresses. Nothing that opens a door.
    #[schema(value_type = Object)]
    shown: Value,
    created_at: String,
    last_sent_at: Option<String>,
    /// Messages in a row that did not arrive.
    failures: u64,
    last_error: Option<String>,
}

impl From<service::ChannelView> for NotificationChannel {
    fn from(view: service::ChannelView) -> Self {
        let service::ChannelView { id, name, kind, shown, created_at, last_sent_at, failures, last_error } =
            view;
        let (created_at, last_sent_at) = (time(created_at), maybe(last_sent_at));
        Self { id: id.to_string(), name, kind, shown, created_at, last_sent_at, failures, last_error }
    }
}

/// A new channel; with the key of a webhook where one was made.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MadeNotificationChannel {
    channel: NotificationChannel,
    /// Shown this once: receivers check signatures (Standard Webhooks) with it.
    key: Option<String>,
}

/// A mail server.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MailServer {
    host: String,
    port: u16,
    /// `tls`, `starttls`, or `none` for networks of `NEXUSMON_NOTIFY_INSIDE`.
    security: String,
    username: Option<String>,
    #[schema(value_type = Option<String>)]
    password: Option<Hidden>,
}

/// Where to; what opens the door there is never shown again.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewNotificationChannel {
    name: String,
    /// `webhook`, `ntfy`, `slack`, `email`, or `push` for your browsers.
    kind: String,
    /// Webhook, ntfy (of the topic), Slack-compatible.
    url: Option<String>,
    /// Webhook: `whsec_…`; one is made where it is absent.
    #[schema(value_type = Option<String>)]
    key: Option<Hidden>,
    /// ntfy: an access token.
    #[schema(value_type = Option<String>)]
    token: Option<Hidden>,
    /// E-mail.
    server: Option<MailServer>,
    /// E-mail.
    from: Option<String>,
    /// E-mail: 1 to 20 addresses.
    #[serde(default)]
    to: Vec<String>,
}

/// List your channels
#[utoipa::path(
    get, path = "/v1/notifications/channels", tag = "notifications", operation_id = "notification_channels",
    responses((status = 200, body = Page<NotificationChannel>)),
)]
pub(in crate::http) async fn channels(
    State(web): State<Web>,
    Known(caller): Known,
) -> Result<Answer<Page<NotificationChannel>>, Problem> {
    let items = channel::list(&web.app, &caller).await?;
    Ok(Answer(Page::of(crate::service::Page { items, next_cursor: None })))
}

/// Make a channel
#[utoipa::path(
    post, path = "/v1/notifications/channels", tag = "notifications", operation_id = "notification_channel_create",
    request_body = NewNotificationChannel,
    responses((status = 201, body = MadeNotificationChannel, headers(("Location" = String)))),
)]
pub(in crate::http) async fn create_channel(
    State(web): State<Web>,
    Known(caller): Known,
    Json(body): Json<NewNotificationChannel>,
) -> Result<impl IntoResponse, Problem> {
    let NewNotificationChannel { name, kind, url, key, token, server, from, to } = body;
    let server = server.map(|MailServer { host, port, security, username, password }| service::GivenServer {
        host,
        port,
        security,
        username,
        password,
    });
    let new = service::NewChannel { name, kind, url, key, token, server, from, to };
    let made = channel::create(&web.app, &caller, new).await?;
    let location = format!("/v1/notifications/channels/{}", made.channel.id);
    let key = made.key.map(|key| key.to_string());
    let body = Answer(MadeNotificationChannel { channel: made.channel.into(), key });
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), body))
}

/// Send a channel of yours something, to try it
#[utoipa::path(
    post, path = "/v1/notifications/channels/{id}/test", tag = "notifications",
    operation_id = "notification_channel_test",
    params(("id" = String, Path)), request_body(content = Empty), responses((status = 204)),
)]
pub(in crate::http) async fn test_channel(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ChannelId>,
    Json(Empty {}): Json<Empty>,
) -> Result<StatusCode, Problem> {
    channel::test(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a channel of yours away
#[utoipa::path(
    delete, path = "/v1/notifications/channels/{id}", tag = "notifications",
    operation_id = "notification_channel_remove",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove_channel(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ChannelId>,
) -> Result<StatusCode, Problem> {
    channel::remove(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hours of a time zone in which nothing is said; what comes meanwhile is said together at their end.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it only documents what the core reads")]
pub(in crate::http) struct QuietHours {
    /// `22:00`
    from: String,
    /// `07:00`; earlier than `from` is the next morning.
    to: String,
    /// IANA name; `UTC` if absent.
    time_zone: Option<String>,
}

/// Another channel for an approval that nobody who may decide has looked at.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it only documents what the core reads")]
pub(in crate::http) struct NotificationEscalation {
    /// `15m`; seconds on output.
    after: String,
    channel: String,
}

/// What you want to be told of, and where.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewNotificationRule {
    name: String,
    #[schema(value_type = String)]
    channel: ChannelId,
    /// `approval`, `review`, `failure`, `suspension`, `budget`, `agent_lost`, `alert`, `halt`.
    kinds: Vec<String>,
    /// Nothing about work below it.
    rank: Option<String>,
    /// Only about missions with these labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[schema(value_type = Option<QuietHours>)]
    quiet: Option<Value>,
    /// Gathered over this time, as in `30m`, and said together.
    #[schema(value_type = Option<String>)]
    digest: Option<Value>,
    #[schema(value_type = Option<NotificationEscalation>)]
    escalate: Option<Value>,
    #[serde(default)]
    paused: bool,
}

impl NewNotificationRule {
    fn read(self) -> Result<service::NewRule, Problem> {
        let Self { name, channel, kinds, rank, labels, quiet, digest, escalate, paused } = self;
        let rule = serde_json::json!({"kinds": kinds, "rank": rank, "labels": labels, "quiet": quiet,
            "digest": digest, "escalate": escalate});
        let rule = rule::read(&rule)?;
        Ok(service::NewRule { name, channel, rule, paused })
    }
}

/// A rule of yours.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NotificationRule {
    id: String,
    name: String,
    channel: String,
    kinds: Vec<&'static str>,
    rank: Option<String>,
    labels: BTreeMap<String, String>,
    #[schema(value_type = Option<QuietHours>)]
    quiet: Option<Value>,
    /// Seconds.
    digest: Option<f64>,
    #[schema(value_type = Option<NotificationEscalation>)]
    escalate: Option<Value>,
    paused: bool,
    created_at: String,
    changed_at: String,
}

impl From<service::RuleView> for NotificationRule {
    fn from(view: service::RuleView) -> Self {
        let service::RuleView { id, name, channel, rule, paused, created_at, changed_at, version: _ } = view;
        Self {
            id: id.to_string(),
            name,
            channel: channel.to_string(),
            kinds: rule.kinds.iter().map(|kind| kind.as_str()).collect(),
            rank: rule.rank.map(|rank| rank.to_string()),
            labels: rule.labels,
            quiet: rule.quiet.and_then(|quiet| serde_json::to_value(quiet).ok()),
            digest: rule.digest.map(|span| span.0.as_secs_f64()),
            escalate: rule.escalate.and_then(|escalate| serde_json::to_value(escalate).ok()),
            paused,
            created_at: time(created_at),
            changed_at: time(changed_at),
        }
    }
}

fn tagged(view: service::RuleView) -> impl IntoResponse {
    let tag = etag::tag(view.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(NotificationRule::from(view)))
}

/// List your rules
#[utoipa::path(
    get, path = "/v1/notifications/rules", tag = "notifications", operation_id = "notification_rules",
    responses((status = 200, body = Page<NotificationRule>)),
)]
pub(in crate::http) async fn rules(
    State(web): State<Web>,
    Known(caller): Known,
) -> Result<Answer<Page<NotificationRule>>, Problem> {
    let items = rule::list(&web.app, &caller).await?;
    Ok(Answer(Page::of(crate::service::Page { items, next_cursor: None })))
}

/// Make a rule
#[utoipa::path(
    post, path = "/v1/notifications/rules", tag = "notifications", operation_id = "notification_rule_create",
    request_body = NewNotificationRule,
    responses((status = 201, body = NotificationRule, headers(("Location" = String), ("ETag" = String)))),
)]
pub(in crate::http) async fn create_rule(
    State(web): State<Web>,
    Known(caller): Known,
    Json(body): Json<NewNotificationRule>,
) -> Result<impl IntoResponse, Problem> {
    let view = rule::create(&web.app, &caller, body.read()?).await?;
    let location = format!("/v1/notifications/rules/{}", view.id);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), tagged(view)))
}

/// Change a rule of yours as a whole
#[utoipa::path(
    put, path = "/v1/notifications/rules/{id}", tag = "notifications", operation_id = "notification_rule_change",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = NewNotificationRule,
    responses((status = 200, body = NotificationRule, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change_rule(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<RuleId>,
    headers: HeaderMap,
    Json(body): Json<NewNotificationRule>,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    Ok(tagged(rule::change(&web.app, &caller, id, body.read()?, if_match).await?))
}

/// Take a rule of yours away; what waits by it is not told
#[utoipa::path(
    delete, path = "/v1/notifications/rules/{id}", tag = "notifications", operation_id = "notification_rule_remove",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove_rule(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<RuleId>,
) -> Result<StatusCode, Problem> {
    rule::remove(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One thing you were told, are being told, or could not be told.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NotificationDelivery {
    id: String,
    /// A rule, or `browser`.
    rule: String,
    /// A channel, or a browser.
    target: String,
    kind: String,
    subject: String,
    rank: Option<String>,
    escalated: bool,
    /// `waiting`, `sent`, `failed`, or `moot`: over before it was sent.
    state: &'static str,
    attempts: u64,
    /// When it is sent, where it waits.
    due_at: String,
    error: Option<String>,
    created_at: String,
    settled_at: Option<String>,
}

impl From<service::DeliveryView> for NotificationDelivery {
    fn from(view: service::DeliveryView) -> Self {
        Self {
            id: view.id.to_string(),
            rule: view.rule,
            target: view.target,
            kind: view.kind,
            subject: view.subject,
            rank: view.rank.map(|rank| rank.to_string()),
            escalated: view.escalated,
            state: view.state,
            attempts: view.attempts,
            due_at: time(view.due_at),
            error: view.error,
            created_at: time(view.created_at),
            settled_at: maybe(view.settled_at),
        }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DeliveryListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// What you were told, newest first
#[utoipa::path(
    get, path = "/v1/notifications/deliveries", tag = "notifications", operation_id = "notification_deliveries",
    params(DeliveryListing), responses((status = 200, body = Page<NotificationDelivery>)),
)]
pub(in crate::http) async fn deliveries(
    State(web): State<Web>,
    Known(caller): Known,
    Query(DeliveryListing { limit, cursor }): Query<DeliveryListing>,
) -> Result<Answer<Page<NotificationDelivery>>, Problem> {
    Ok(Answer(Page::of(service::deliveries(&web.app, &caller, page(limit, cursor)?).await?)))
}

/// Say that you have looked at an approval
///
/// Nobody else is told then that nobody has. Whoever decides has looked.
#[utoipa::path(
    post, path = "/v1/governance/approvals/{id}/seen", tag = "governance", operation_id = "approval_seen",
    params(("id" = String, Path)), request_body(content = Empty), responses((status = 204)),
)]
pub(in crate::http) async fn saw(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<ApprovalId>,
    Json(Empty {}): Json<Empty>,
) -> Result<StatusCode, Problem> {
    service::saw(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

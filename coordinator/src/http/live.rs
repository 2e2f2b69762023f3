//! Server-sent events (WHATWG HTML, section 9.2): a heartbeat every fifteen seconds, an end at shutdown, and no event
//! for a session that is over.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Web;
use super::problem::Problem;
use crate::service::{Caller, auth};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);

/// Where a client that had a stream before wants to go on.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number
        .map(Some)
        .ok_or_else(|| Problem::field("Last-Event-ID", "invalid_value", "is not the id of an event"))
}

/// An answer that goes on for as long as `events`, the session, and this process do.
pub(super) fn answer(
    web: &Web,
    caller: Caller,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response {
    let over = Box::pin(session_over(web.clone(), caller));
    let stopping = web.app.lifecycle.soft().cancelled_owned();
    let opening = stream::iter([Event::default().retry(RETRY).comment("open")]);
    let events = opening.chain(events).take_until(over).take_until(stopping).map(Ok::<_, Infallible>);
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    // Proxies that buffer would turn events into history.
    let unbuffered = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (unbuffered, Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// Resolves when the caller's session has ended: looked at with every heartbeat.
async fn session_over(web: Web, caller: Caller) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.tick().await;
    loop {
        heartbeat.tick().await;
        match auth::me(&web.app, &caller).await {
            Ok(me) if me.session_expires_at.is_none_or(|end| end > web.app.clock.now()) => {}
            _ => return,
        }
    }
}

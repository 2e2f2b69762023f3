//! The outermost layer: what every answer carries, whatever happened inside. Trace id, span, timing, security headers,
//! and the body of a refusal.

use std::fmt;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use nexusmon_shared::telemetry;
use tracing::Instrument as _;

use super::Web;
use super::problem::{MEDIA_TYPE, Problem};

const TRACEPARENT: &str = "traceparent";
/// What an answer that is not a page may load: nothing.
const API_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Trace context (W3C Trace Context, level 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    id: u128,
    span: u64,
    sampled: bool,
}

impl Trace {
    /// Continues the trace a `traceparent` names, or begins one.
    fn of(given: Option<&str>, fresh: impl FnOnce() -> (u128, u64)) -> Self {
        let (id, span) = fresh();
        match given.and_then(parse) {
            Some((id, _, sampled)) => Self { id, span, sampled },
            None => Self { id, span, sampled: true },
        }
    }

    /// The trace and span a `traceparent` names.
    fn named(text: &str) -> Option<Self> {
        parse(text).map(|(id, span, sampled)| Self { id, span, sampled })
    }

    pub(super) fn text(&self) -> String {
        format!("{:032x}", self.id)
    }

    fn flags(self) -> u8 {
        u8::from(self.sampled)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags())
    }
}

fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.trim().split('-');
    let mut hex = |length: usize| {
        let lower = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        parts.next().filter(|part| part.len() == length && lower(part))
    };
    let (version, trace, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let trace = u128::from_str_radix(trace, 16).ok()?;
    let parent = u64::from_str_radix(parent, 16).ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    // Later versions may add fields; ours has none.
    let good = version != "ff" && (version != "00" || parts.next().is_none());
    (good && trace != 0 && parent != 0).then_some((trace, parent, flags & 1 == 1))
}

pub(super) async fn wrap(State(web): State<Web>, request: Request, next: Next) -> Response {
    let clock = &web.app.clock;
    let begun = clock.boot();
    let given = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let mut trace = Trace::of(given, || web.fresh_trace());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "http.request",
        %method,
        route,
        trace_id = trace.text(),
        principal = tracing::field::Empty,
        status = tracing::field::Empty,
    );
    if let Some(given) = given {
        telemetry::set_parent(&span, given);
    }
    if let Some(ours) = span.in_scope(telemetry::current_traceparent) {
        // Spans are exported: they decide what this request is called.
        trace = Trace::named(&ours).unwrap_or(trace);
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = problem_of(&response) {
        response = render(&problem, &trace, response);
    }
    let elapsed = clock.boot().saturating_sub(begun);
    span.record("status", response.status().as_u16());
    web.metrics.answered(&route, &method, response.status(), elapsed);
    let headers = response.headers_mut();
    protect(headers);
    set(headers, HeaderName::from_static(TRACEPARENT), &trace.to_string());
    if method == Method::GET || method == Method::HEAD {
        let milliseconds = elapsed.as_secs_f64() * 1000.0;
        set(headers, HeaderName::from_static("server-timing"), &format!("total;dur={milliseconds:.2}"));
    }
    response
}

/// The refusal in an answer: ours, or one that a layer below us made without a body.
fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let status = response.status();
    let bare = (status.is_client_error() || status.is_server_error())
        && response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != MEDIA_TYPE);
    let (code, detail) = match status {
        _ if !bare => return None,
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method_not_allowed", "The route does not take this method; `Allow` names those it takes.")
        }
        StatusCode::NOT_FOUND => ("not_found", "There is nothing at this path."),
        _ if status.is_server_error() => return Some(Problem::internal()),
        _ => ("refused", "The request was refused."),
    };
    Some(Problem::new(status, code, detail))
}

fn render(problem: &Problem, trace: &Trace, response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    let body = serde_json::to_vec(&problem.body(&trace.text())).unwrap_or_default();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// Headers every answer carries unless a handler chose its own.
fn protect(headers: &mut HeaderMap) {
    let defaults = [
        (header::CONTENT_SECURITY_POLICY, API_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What a panicking handler is answered with; the panic hook has logged it.
pub(super) fn panicked(_panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: &str) -> Trace {
        Trace::of(Some(value), || (7, 9))
    }

    #[test]
    fn a_trace_is_continued() {
        let trace = of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(trace.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000009-01");
    }

    #[test]
    fn a_bad_one_begins_anew() {
        for bad in ["", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "é", "ff-x"] {
            assert_eq!(of(bad).id, 7, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}

//! `/v1/engine/tasks/{id}/log`: stored lines by number or text, raw bytes by range, live lines by events.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::LogSource;

use super::shape::time;
use crate::error::Error;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::live;
use crate::http::problem::Problem;
use crate::http::query::{Id, Query};
use crate::http::range::{self, Asked};
use crate::service::logs as service;

/// The most lines of one answer.
const MAX_LINES: u32 = 10_000;

/// A line of a log.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Line {
    /// From 1.
    n: u64,
    at: String,
    /// `stdout`, `stderr`, or `agent`.
    source: &'static str,
    text: String,
}

impl From<service::LogLine> for Line {
    fn from(line: service::LogLine) -> Self {
        let service::LogLine { number, source, at, text } = line;
        let source = match source {
            LogSource::Stdout => "stdout",
            LogSource::Stderr => "stderr",
            LogSource::Agent => "agent",
        };
        Self { n: number, at: time(at), source, text }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Reading {
    /// Number of the attempt; the newest if absent.
    attempt: Option<u32>,
    /// First line, from 1; negative counts from the end.
    from_line: Option<i64>,
    /// At most 10,000; 1,000 if absent.
    lines: Option<u32>,
    /// Only lines that hold this text.
    search: Option<String>,
    /// `text` is `Accept: text/plain` for a link, and a file to keep; it is the only one.
    format: Option<String>,
}

/// Read a task's log
///
/// As JSON lines, or as text with `Accept: text/plain`. Text without line parameters is the log as it was written,
/// whole or by `Range`.
#[utoipa::path(
    get, path = "/v1/engine/tasks/{id}/log", tag = "engine", params(("id" = String, Path), Reading),
    responses(
        (status = 200, content((Line = "application/x-ndjson"), (String = "text/plain"))),
        (status = 206, body = String, content_type = "text/plain"),
    ),
)]
pub(in crate::http) async fn read(
    State(web): State<Web>,
    Id(id): Id<TaskId>,
    Query(Reading { attempt, from_line, lines, search, format }): Query<Reading>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if lines.is_some_and(|lines| !(1..=MAX_LINES).contains(&lines)) {
        return Err(Problem::field("?lines", "out_of_range", format!("must be from 1 to {MAX_LINES}")));
    }
    if format.as_deref().is_some_and(|format| format != "text") {
        return Err(Problem::field("?format", "unknown_value", "must be `text`, or absent"));
    }
    let text = format.is_some() || wants_text(&headers);
    if text && from_line.is_none() && lines.is_none() && search.is_none() {
        let mut answer = raw(&web, id, attempt, &headers).await?;
        if format.is_some() {
            let of = attempt.map(|number| format!("-{number}")).unwrap_or_default();
            let name = format!("attachment; filename=\"{id}{of}.log\"");
            let name = HeaderValue::from_str(&name).map_err(|_| Problem::internal())?;
            answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
        return Ok(answer);
    }
    let query = service::LogQuery { attempt, from_line, lines, search };
    let page = service::read(&web.app, id, query).await?;
    let mut answer = Response::new(Body::empty());
    let facts = [
        ("x-log-lines", page.total_lines.to_string()),
        ("x-log-bytes", page.total_bytes.to_string()),
        ("x-log-sealed", page.sealed.to_string()),
        ("x-log-next-line", page.next_line.map(|line| line.to_string()).unwrap_or_default()),
    ];
    for (name, value) in facts {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    let mut body = Vec::new();
    for line in page.lines {
        if text {
            body.extend_from_slice(line.text.as_bytes());
        } else {
            body.extend(serde_json::to_vec(&Line::from(line)).map_err(|_| Problem::internal())?);
        }
        body.push(b'\n');
    }
    let kind = if text { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    *answer.body_mut() = Body::from(body);
    Ok(answer)
}

/// Text is for those who ask for it and not for JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/plain") && !accept.contains("json")
}

/// The log as it was written.
async fn raw(web: &Web, id: TaskId, attempt: Option<u32>, headers: &HeaderMap) -> Result<Response, Problem> {
    let asked = range::asked(headers);
    let wanted = match asked {
        Some(Asked::From(first, last)) => Some((first, last.map(|last| last.saturating_add(1)))),
        Some(Asked::Last(_)) | None => None,
    };
    let mut bytes = service::bytes(&web.app, id, attempt, wanted).await?;
    if let Some(Asked::Last(length)) = asked
        && length > 0
        && length < bytes.total
    {
        bytes = service::bytes(&web.app, id, attempt, Some((bytes.total - length, None))).await?;
    }
    let part = bytes.end - bytes.start < bytes.total;
    let mut answer = Response::new(Body::from_stream(bytes.body.map_err(std::io::Error::other)));
    *answer.status_mut() = if part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    if part && bytes.end > bytes.start {
        let text = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, bytes.total);
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&text).map_err(|_| Problem::internal())?);
    }
    Ok(answer)
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Following {
    /// First line, from 1; resumed after `Last-Event-ID`.
    from_line: Option<u64>,
}

/// Follow a task's log
///
/// An event `line` for each line, its number as the event's id; `end` when no more will come.
#[utoipa::path(
    get, path = "/v1/engine/tasks/{id}/log/live", tag = "engine", params(("id" = String, Path), Following),
    responses((status = 200, body = Line, content_type = "text/event-stream")),
)]
pub(in crate::http) async fn follow(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<TaskId>,
    Query(Following { from_line }): Query<Following>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let resumed = live::last_event_id(&headers)?.and_then(|seen| u64::try_from(seen).ok());
    let from = resumed.map_or(from_line.unwrap_or(1), |seen| seen.saturating_add(1));
    let tail = service::tail(&web.app, id, from.max(1)).await?;
    let events = tail.flat_map(|piece| futures::stream::iter(piece_events(piece)));
    Ok(live::answer(&web, caller, events))
}

fn piece_events(piece: Result<service::LogTail, Error>) -> Vec<Event> {
    let Ok(service::LogTail { lines, last }) = piece else {
        return vec![Event::default().event("lost").data("{}")];
    };
    let mut events: Vec<_> = lines
        .into_iter()
        .filter_map(|line| {
            let line = Line::from(line);
            Event::default().event("line").id(line.n.to_string()).json_data(line).ok()
        })
        .collect();
    if last {
        events.push(Event::default().event("end").data("{}"));
    }
    events
}

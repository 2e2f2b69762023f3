//! `/v1/events` and a mission's own: every change as it is committed, resumable at any place.

use std::future::ready;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event as Sent;
use futures::StreamExt as _;
use http::HeaderMap;
use nexusmon_shared::id::MissionId;
use serde_json::Value;

use super::shape::time;
use crate::app::events::{Event, EventFilter};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::live;
use crate::http::problem::Problem;
use crate::http::query::{Id, Query};
use crate::service::{Caller, events, missions};

/// Something that happened.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub(in crate::http) struct Change {
    /// Place in the audit trail and the event's id; null for what is only told live.
    seq: Option<i64>,
    /// For example `mission.created`, `task.settled`.
    kind: String,
    actor: String,
    subject_kind: String,
    subject: String,
    mission: Option<String>,
    at: String,
    #[schema(value_type = Object)]
    body: Value,
    /// Places in the body (JSON pointers) of words that were erased; absent if none were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    erased: Vec<String>,
}

impl From<&Event> for Change {
    fn from(event: &Event) -> Self {
        let Event { seq, kind, actor, subject_kind, subject, mission, at, body, erased } = event;
        Self {
            seq: *seq,
            kind: kind.clone(),
            actor: actor.clone(),
            subject_kind: subject_kind.clone(),
            subject: subject.clone(),
            mission: mission.map(|id| id.to_string()),
            at: time(*at),
            body: body.clone(),
            erased: erased.clone(),
        }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Watching {
    /// Only what came after this `seq`; `Last-Event-ID` wins. From now on if absent.
    after: Option<i64>,
    /// Only kinds that begin with this: `task.`.
    kind: Option<String>,
}

async fn watch(
    web: &Web,
    caller: Caller,
    headers: &HeaderMap,
    mission: Option<MissionId>,
    Watching { after, kind }: Watching,
) -> Result<Response, Problem> {
    let after = live::last_event_id(headers)?.or(after);
    let filter = EventFilter { mission, kind_prefix: kind };
    let changes = events::subscribe(&web.app, after, filter).await?;
    // A reader that cannot go on ends here; the client resumes from the last id it saw.
    let events = changes
        .take_while(|change| ready(change.is_ok()))
        .filter_map(|change| ready(change.ok().and_then(|change| sent(&change))));
    Ok(live::answer(web, caller, events))
}

fn sent(event: &Event) -> Option<Sent> {
    let sent = Sent::default().event("change").json_data(Change::from(event)).ok()?;
    Some(match event.seq {
        Some(seq) => sent.id(seq.to_string()),
        None => sent,
    })
}

/// Watch everything that happens
///
/// Server-sent events named `change`. A broken line is resumed with `Last-Event-ID`.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(Watching, ("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, body = Change, content_type = "text/event-stream")),
)]
pub(in crate::http) async fn all(
    State(web): State<Web>,
    Known(caller): Known,
    headers: HeaderMap,
    Query(watching): Query<Watching>,
) -> Result<Response, Problem> {
    watch(&web, caller, &headers, None, watching).await
}

/// Watch one mission
#[utoipa::path(
    get, path = "/v1/engine/missions/{id}/events", tag = "engine",
    params(("id" = String, Path), Watching, ("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, body = Change, content_type = "text/event-stream")),
)]
pub(in crate::http) async fn of_mission(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<MissionId>,
    headers: HeaderMap,
    Query(watching): Query<Watching>,
) -> Result<Response, Problem> {
    // A mission that does not exist is a 404, not a silent stream.
    missions::get(&web.app, id).await?;
    watch(&web, caller, &headers, Some(id), watching).await
}

//! `Idempotency-Key`: the same key and body give the same answer for a day; another body is refused.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::MissionId;

use super::Web;
use super::json::{self, MISSION_LIMIT};
use super::problem::Problem;
use super::v1::missions::created;
use crate::error::Error;
use crate::service::idempotency::{self as service, Begun, Key, Remembered};
use crate::service::{Caller, missions};

pub(super) const HEADER: &str = "idempotency-key";
/// Set on an answer that was given before.
const REPLAYED: &str = "idempotent-replayed";
/// An upload may be too large to be held for its digest.
const UPLOAD_PATH: &str = "/v1/vault/artifacts";
/// Their answers hold a secret that is shown once, so they are kept nowhere. A repetition meets the name that is taken.
const SHOWN_ONCE: [&str; 4] = [
    "/v1/governance/principals",
    "/v1/governance/tokens",
    "/v1/engine/webhooks",
    "/v1/notifications/channels",
];
/// Questions: nothing is done that could be done twice, and the answer is a stream.
const ASKED: &str = "/v1/companion/messages";
/// As above, of one of them.
const ROTATED: (&str, &str) = ("/v1/engine/webhooks/", "/rotate");

/// Runs the request, or repeats the answer its first copy got. Only success is remembered: a refusal changed nothing.
pub(super) async fn once(
    web: &Web,
    caller: &Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = key(request.headers())?;
    let route = request.uri().path().to_owned();
    let rotates = route.starts_with(ROTATED.0) && route.ends_with(ROTATED.1);
    if rotates || route == ASKED || SHOWN_ONCE.contains(&route.as_str()) {
        return Ok(next.run(request).await);
    }
    let (request, body) = if route == UPLOAD_PATH {
        let fingerprint = upload_fingerprint(&request);
        (request, fingerprint)
    } else {
        let (parts, body) = request.into_parts();
        let bytes = json::read(&parts.headers, body, MISSION_LIMIT).await?;
        let digest = Digest::of(&bytes);
        (Request::from_parts(parts, Body::from(bytes)), digest)
    };
    match service::begin(&web.app, caller, Key { route: route.clone(), key, body }).await? {
        Begun::Seen(remembered) => Ok(replay(remembered)),
        Begun::Done { subject_kind, subject } => retell(web, &route, &subject_kind, &subject).await,
        Begun::New(reserved) => {
            let response = service::carry_out(&web.app, caller, &reserved, next.run(request)).await;
            if !response.status().is_success() {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|_| Problem::internal())?.to_bytes();
            let location = parts.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let answer = Remembered {
                status: parts.status.as_u16(),
                location: location.map(str::to_owned),
                body: bytes.to_vec(),
            };
            service::finish(&web.app, caller, reserved, answer).await?;
            Ok(Response::from_parts(parts, Body::from(bytes)))
        }
    }
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let good = (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if good {
        Ok(key.to_owned())
    } else {
        let message = "must be 1 to 128 printable characters without spaces";
        Err(Problem::field("Idempotency-Key", "invalid_value", message))
    }
}

/// What tells one upload from another before its bytes are read: name, kind and stated size; exact where the query
/// holds the `digest`.
fn upload_fingerprint(request: &Request) -> Digest {
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default().as_bytes();
    Digest::of(&[query, header(header::CONTENT_TYPE), header(header::CONTENT_LENGTH)].join(&b'\n'))
}

/// The request was carried out, but the coordinator went down before the answer was kept: a mission that was made is
/// shown as it is now, of everything else the caller learns where to look.
async fn retell(web: &Web, route: &str, kind: &str, subject: &str) -> Result<Response, Problem> {
    let makes_a_mission = route == "/v1/engine/missions" || route.ends_with("/rerun");
    if makes_a_mission && let (true, Ok(id)) = (kind == "mission", subject.parse::<MissionId>()) {
        let mission = missions::get(&web.app, id).await?;
        let mut response = created(mission);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        return Ok(response);
    }
    let detail = format!(
        "a request with this Idempotency-Key was carried out and concerned the {kind} {subject}; its answer was lost \
         with the coordinator that gave it: read the {kind} to see what came of it"
    );
    Err(Error::conflict("already_done", detail).with("subject", subject).into())
}

fn replay(remembered: Remembered) -> Response {
    let Remembered { status, location, body } = remembered;
    let empty = body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if !empty {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}

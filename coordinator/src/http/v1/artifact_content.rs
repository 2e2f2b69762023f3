//! The bytes of artifacts: down as attachments that no browser will run, up as new versions.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ArtifactId, MissionId};

use super::artifacts::{ArtifactDetail, version};
use crate::error::Error;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::problem::Problem;
use crate::http::query::{Id, Query, parameter};
use crate::http::{etag, range};
use crate::service::vault as service;

/// Whatever the bytes are: no scripts, no frames, an origin of their own.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
const OCTETS: &str = "application/octet-stream";

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Downloading {
    /// Number or id; the newest if absent.
    version: Option<String>,
}

/// Download a version, whole or by `Range`
#[utoipa::path(
    get, path = "/v1/vault/artifacts/{id}/content", tag = "vault",
    params(("id" = String, Path), Downloading),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304),
    ),
)]
pub(in crate::http) async fn download(
    State(web): State<Web>,
    Id(id): Id<ArtifactId>,
    Query(Downloading { version: text }): Query<Downloading>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = version(&web, id, "?version", text.as_deref()).await?;
    let tag = format!("\"{}\"", wanted.digest);
    if etag::none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, AppendHeaders([(header::ETAG, tag)])).into_response());
    }
    let part = range::requested(&headers, wanted.size, &tag)?;
    let asked = part.map(|part| (part.first, Some(part.last + 1)));
    let content = service::content(&web.app, id, Some(wanted.number), asked).await?;
    let mut answer = Response::new(Body::from_stream(content.body.map_err(std::io::Error::other)));
    let headers = answer.headers_mut();
    let media_type = HeaderValue::from_str(&wanted.media_type).unwrap_or(HeaderValue::from_static(OCTETS));
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.end - content.start));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let texts = [
        (header::ETAG, tag),
        (header::CONTENT_DISPOSITION, disposition(&content.name)),
        (header::CONTENT_RANGE, part.map(range::ByteRange::content_range).unwrap_or_default()),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        headers.insert(name, HeaderValue::from_str(&text).map_err(|_| Problem::internal())?);
    }
    if part.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

/// `Content-Disposition` (RFC 6266) with the last part of the artifact's name.
fn disposition(name: &str) -> String {
    use std::fmt::Write as _;
    let file = name.rsplit('/').next().unwrap_or(name);
    let mut encoded = String::new();
    for byte in file.bytes().take(200) {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename*=UTF-8''{encoded}")
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Uploading {
    name: String,
    /// Puts it beside what that mission made.
    mission: Option<String>,
    /// SHA-256 in hexadecimal; other bytes are refused.
    digest: Option<String>,
}

/// Upload bytes as a new version
///
/// The body is the bytes as they are; `Content-Type` says what they are.
#[utoipa::path(
    post, path = "/v1/vault/artifacts", tag = "vault", params(Uploading),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = ArtifactDetail, headers(("Location" = String)))),
)]
pub(in crate::http) async fn upload(
    State(web): State<Web>,
    Known(caller): Known,
    Query(Uploading { name, mission, digest }): Query<Uploading>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let upload = service::NewUpload {
        name,
        media_type: media_type.unwrap_or(OCTETS).to_owned(),
        mission: parameter::<MissionId>("mission", mission.as_deref(), "a mission's id")?,
        digest: parameter::<Digest>("digest", digest.as_deref(), "a SHA-256 digest: 64 hexadecimal digits")?,
    };
    let broken = |_| Error::field("", "body_incomplete", "the body ended before it was complete");
    let body = request.into_body().into_data_stream().map_err(broken).boxed();
    let detail = service::upload(&web.app, &caller, upload, body).await?;
    let location = format!("/v1/vault/artifacts/{}", detail.artifact.id);
    let headers = AppendHeaders([(header::LOCATION, location)]);
    Ok((StatusCode::CREATED, headers, Answer(ArtifactDetail::from(detail))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(disposition("a/b.txt"), "attachment; filename*=UTF-8''b.txt");
        let hostile = disposition("x\"\r\nSet-Cookie: a=b;é");
        assert_eq!(hostile, "attachment; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20a%3Db%3B%C3%A9");
    }
}

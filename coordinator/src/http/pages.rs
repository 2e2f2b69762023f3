//! Pages and their assets, embedded in the binary. They hold no data: everything they show comes from the API.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{Extension, Path};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nexusmon_shared::digest::Digest;

use super::admission::Site;
use super::etag;
use super::problem::Problem;

#[derive(rust_embed::RustEmbed)]
#[folder = "../web/plain"]
struct Embedded;

/// Only our own files; no inline script or style.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

fn serve(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = Embedded::get(name).ok_or_else(|| Problem::not_found("There is nothing at this path."))?;
    let tag = format!("\"{}\"", Digest::from_bytes(file.metadata.sha256_hash()));
    let mut answer = Response::new(Body::empty());
    if etag::none_match(headers, &tag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *answer.body_mut() = match file.data {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(answer)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The console. On an address it moves to `localhost`, because a passkey cannot belong to an address.
pub(super) async fn organism(
    Extension(site): Extension<Site>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match site.authority.strip_prefix("127.0.0.1") {
        Some(port) if !site.secure => {
            Ok(Redirect::temporary(&format!("http://localhost{port}/organism")).into_response())
        }
        _ => serve("organism.html", &headers),
    }
}

pub(super) async fn landing(headers: HeaderMap) -> Result<Response, Problem> {
    serve("landing.html", &headers)
}

/// The API, browsable; it reads the document with the visitor's session.
pub(super) async fn docs(headers: HeaderMap) -> Result<Response, Problem> {
    serve("docs.html", &headers)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    if media_type(&name).starts_with("text/html") {
        return Err(Problem::not_found("There is nothing at this path."));
    }
    serve(&name, &headers)
}

pub(super) async fn home() -> Redirect {
    Redirect::temporary("/organism")
}

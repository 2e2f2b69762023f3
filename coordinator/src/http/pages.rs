//! Pages and their assets, embedded in the binary. They hold no data: everything they show comes from the API.

use axum::body::Body;
use axum::extract::{Extension, OriginalUri, Path};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nexusmon_shared::digest::Digest;

use super::admission::Site;
use super::etag;
use super::problem::Problem;

/// A file of the pages, as it is and compressed.
struct Page {
    name: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Only our own files; no inline script or style. Text becomes markup and addresses become scripts only where a policy made
/// them: the framework has one for its own templates, the console one for each of its two workers.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; \
     connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types svelte-trusted-html nexusmon-worker nexusmon-service-worker",
);
/// The name of an asset changes with its content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

fn nothing() -> Problem {
    Problem::not_found("There is nothing at this path.")
}

fn serve(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let found = PAGES.binary_search_by(|page| page.name.cmp(name)).map_err(|_| nothing())?;
    let page = PAGES.get(found).ok_or_else(nothing)?;
    let lasting = page.name.starts_with("assets/");
    let tag = format!("\"{}\"", Digest::of(page.plain));
    let mut answer = Response::new(Body::empty());
    if etag::none_match(headers, &tag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let (bytes, encoding) = encoded(page, headers);
        *answer.body_mut() = Body::from(bytes);
        let media_type = HeaderValue::from_static(media_type(name));
        answer.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if let Some(encoding) = encoding {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    headers.insert(header::CACHE_CONTROL, if lasting { FOREVER } else { ASK_AGAIN });
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(answer)
}

/// The smallest form the caller reads.
fn encoded(page: &Page, headers: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let accepts = |encoding: &str| {
        accepted.unwrap_or_default().split(',').any(|part| {
            let mut parts = part.split(';');
            let named = parts.next().is_some_and(|name| name.trim().eq_ignore_ascii_case(encoding));
            named && !parts.any(|weight| weight.trim().trim_end_matches(['0', '.']) == "q=")
        })
    };
    match (page.brotli, page.gzip) {
        (Some(bytes), _) if accepts("br") => (bytes, Some("br")),
        (_, Some(bytes)) if accepts("gzip") => (bytes, Some("gzip")),
        _ => (page.plain, None),
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The console, at every address below its own: which screen that is, the page decides. On an address it moves to
/// `localhost`, because a passkey cannot belong to an address.
pub(super) async fn organism(
    Extension(site): Extension<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match site.authority.strip_prefix("127.0.0.1") {
        Some(port) if !site.secure => {
            let rest = uri.path_and_query().map_or("/organism", http::uri::PathAndQuery::as_str);
            Ok(Redirect::temporary(&format!("http://localhost{port}{rest}")).into_response())
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
    serve(&format!("assets/{name}"), &headers)
}

/// What installs the console, and what runs while it is closed: under names that never change.
pub(super) async fn beside(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Result<Response, Problem> {
    serve(uri.path().trim_start_matches('/'), &headers)
}

pub(super) async fn home() -> Redirect {
    Redirect::temporary("/organism")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_form_a_caller_reads_is_sent() {
        let page = Page { name: "assets/a.js", plain: b"plain", brotli: Some(b"br"), gzip: Some(b"gz") };
        let form = |accepted: &'static str| {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))];
            encoded(&page, &headers.into_iter().collect()).1
        };
        assert_eq!(form("gzip, deflate, br, zstd"), Some("br"));
        assert_eq!(form("gzip, br;q=0"), Some("gzip"));
        assert_eq!(form("gzip;q=0.0"), None);
        assert_eq!(form("identity"), None);
        assert_eq!(encoded(&page, &HeaderMap::new()), (&b"plain"[..], None));
    }

    #[test]
    fn pages_are_sorted_for_the_search() {
        assert!(PAGES.is_sorted_by_key(|page| page.name));
        assert!(PAGES.iter().any(|page| page.name == "organism.html"));
    }
}

//! Who asks, and whether they may: one layer around every protected route, given the action the route stands for.
//!
//! A bearer token wins and then cookies do not exist. A cookie is honoured for unsafe methods only from our own pages
//! (RFC 6265bis calls what this prevents cross-site request forgery).

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::HeaderName;
use http::{HeaderMap, Method, header, request};

use super::admission::Site;
use super::problem::Problem;
use super::{Web, idempotency};
use crate::error::Error;
use crate::service::{Caller, Origin, auth};

/// Cookie of a browser session on loopback HTTP; browsers drop `__Host-` cookies there.
const PLAIN_COOKIE: &str = "nexusmon_session";
/// Cookie of a browser session on HTTPS.
const SECURE_COOKIE: &str = "__Host-nexusmon";

/// On answers that are read from the database: a place in the stream of events. Following the stream from there misses
/// nothing that is not in the answer.
const SEQ: HeaderName = HeaderName::from_static("x-seq");

/// What these read is kept in memory, too, or summed up now and then: it may lag behind the database, and claims no place.
const BEHIND: [&str; 10] = [
    "agent.read",
    "background.read",
    "cognition.read",
    "event.read",
    "evolution.read",
    "halt.read",
    "log.read",
    "metrics.read",
    "organism.read",
    "stats.read",
];

/// A protected route: the application, and the policy action the route stands for.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) web: Web,
    pub(super) action: &'static str,
}

/// The caller of a protected route, as the guard found them.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _state: &S) -> Result<Self, Problem> {
        // A route without a guard has no caller, so it cannot take one.
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

fn unauthenticated() -> Problem {
    let detail = "Log in first: `POST /v1/auth/login`, then send `Authorization: Bearer …`.".to_owned();
    Error::Unauthenticated { code: "credentials_missing", detail }.into()
}

/// Layer: finds the caller, asks the policy, counts, and answers repeated requests from memory.
pub(super) async fn check(
    State(guard): State<Guard>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Guard { web, action } = guard;
    let (mut parts, body) = request.into_parts();
    let caller = authenticate(&web, &parts).await?;
    tracing::Span::current().record("principal", tracing::field::display(caller.principal));
    if !web.callers.spend(caller.principal, web.app.clock.boot()) {
        return Err(Error::RateLimited { retry_after: Duration::from_secs(1) }.into());
    }
    auth::authorize(&web.app, &caller, action)?;
    parts.extensions.insert(Known(caller.clone()));
    let request = Request::from_parts(parts, body);
    if request.method() == Method::GET && !BEHIND.contains(&action) {
        // Taken before anything is read: the answer holds at least what was written down up to here.
        let seq = web.app.store.seq();
        let mut response = next.run(request).await;
        if response.status().is_success() {
            response.headers_mut().insert(SEQ, seq.into());
        }
        return Ok(response);
    }
    if request.method() == Method::POST && request.headers().contains_key(idempotency::HEADER) {
        return idempotency::once(&web, &caller, request, next).await;
    }
    Ok(next.run(request).await)
}

async fn authenticate(web: &Web, request: &request::Parts) -> Result<Caller, Problem> {
    let headers = &request.headers;
    if let Some(token) = bearer_token(headers)? {
        return Ok(auth::bearer(&web.app, token, origin(headers)).await?);
    }
    let site = request.extensions.get::<Site>();
    let value = site.and_then(|site| session_cookie(headers, site)).ok_or_else(unauthenticated)?;
    if !request.method.is_safe() && !from_our_pages(headers, site) {
        return Err(Error::Forbidden {
            code: "cross_site",
            detail: "A browser session may change things only from this coordinator's own pages.".to_owned(),
        }
        .into());
    }
    Ok(auth::cookie(&web.app, value).await?)
}

/// The bearer token, if there is an `Authorization` header at all; one that holds something else is refused.
pub(super) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = authorization.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        let detail = "The `Authorization` header must be `Bearer` and a token.".to_owned();
        return Err(Error::Unauthenticated { code: "credentials_malformed", detail }.into());
    }
    Ok(Some(token.trim()))
}

/// The command line names itself; everything else with a token is a program.
fn origin(headers: &HeaderMap) -> Origin {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with("nexusmon-cli/")) { Origin::Cli } else { Origin::Api }
}

/// Whether a page of ours sent this: the browser says so, or the origin it names is the site asked.
fn from_our_pages(headers: &HeaderMap, site: Option<&Site>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(relation) => relation == "same-origin",
        None => site.is_some_and(|site| text("origin").is_some_and(|origin| origin == site.origin())),
    }
}

/// Whether a browser on one of our pages asks: it gets the cookie, everybody else the token.
pub(super) fn is_same_origin_browser(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|value| value == "same-origin")
}

fn session_cookie<'a>(headers: &'a HeaderMap, site: &Site) -> Option<&'a str> {
    cookie(headers, cookie_name(site))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = found.next().filter(|value| !value.is_empty())?;
    // Two sessions under one name: somebody planted one, and we cannot know which.
    found.next().is_none().then_some(first)
}

/// The session cookie as it was sent; whose it is is not asked.
pub(super) fn sent_cookie(headers: &HeaderMap, site: &Site) -> Option<String> {
    session_cookie(headers, site).map(str::to_owned)
}

fn cookie_name(site: &Site) -> &'static str {
    if site.secure { SECURE_COOKIE } else { PLAIN_COOKIE }
}

/// The `Set-Cookie` of a new session.
pub(super) fn set_cookie(site: &Site, value: &str) -> String {
    let secure = if site.secure { "; Secure" } else { "" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}", cookie_name(site))
}

fn away_name(site: &Site) -> &'static str {
    if site.secure { "__Host-nexusmon-away" } else { "nexusmon_away" }
}

/// The `Set-Cookie` of a browser on its way to an OpenID provider: it has to come along when another site sends it back.
pub(super) fn away_cookie(site: &Site, ticket: &str, life: Duration) -> String {
    let secure = if site.secure { "; Secure" } else { "" };
    let age = life.as_secs();
    format!("{}={ticket}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}", away_name(site))
}

pub(super) fn away_ticket(headers: &HeaderMap, site: &Site) -> Option<String> {
    cookie(headers, away_name(site)).map(str::to_owned)
}

/// The `Set-Cookie` that ends a session.
pub(super) fn clear_cookie(site: &Site) -> String {
    format!("{}; Max-Age=0", set_cookie(site, ""))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn site(secure: bool) -> Site {
        Site { authority: "localhost:7300".to_owned(), secure }
    }

    #[test]
    fn cookies_count_only_under_the_right_name() {
        let jar = headers(&[("cookie", "a=1; nexusmon_session=x; __Host-nexusmon=y")]);
        assert_eq!(session_cookie(&jar, &site(false)), Some("x"));
        assert_eq!(session_cookie(&jar, &site(true)), Some("y"));
        let planted = headers(&[("cookie", "nexusmon_session=x; nexusmon_session=z")]);
        assert_eq!(session_cookie(&planted, &site(false)), None);
    }

    #[test]
    fn unsafe_requests_come_from_our_pages() {
        let ours = |pairs| from_our_pages(&headers(pairs), Some(&site(false)));
        assert!(ours(&[("sec-fetch-site", "same-origin")]));
        assert!(ours(&[("origin", "http://localhost:7300")]));
        assert!(!ours(&[("sec-fetch-site", "same-site"), ("origin", "http://localhost:7300")]));
        assert!(!ours(&[("sec-fetch-site", "none")]));
        assert!(!ours(&[("origin", "http://localhost:7301")]));
        assert!(!ours(&[("origin", "null")]));
        assert!(!ours(&[]));
    }
}

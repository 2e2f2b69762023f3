//! `/v1/auth/oidc`: browsers on their way to an OpenID provider and back.

use axum::extract::{Extension, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::{HeaderMap, header};

use crate::error::Error;
use crate::http::Web;
use crate::http::access;
use crate::http::admission::Site;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::service::auth::outside::{self as service, Back};

const HOME: &str = "/organism";

/// Where the provider sends browsers back to; it knows this address.
fn redirect(web: &Web, site: &Site) -> String {
    let public = web.app.config.public_url.clone();
    format!("{}/v1/auth/oidc/callback", public.unwrap_or_else(|| site.origin()))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Start {
    /// A screen of the console to open afterwards.
    to: Option<String>,
    /// Prove anew who you are, for what needs a fresh log-in.
    #[serde(default)]
    anew: bool,
}

/// Log in at the OpenID provider
///
/// For browsers: sends them there.
#[utoipa::path(
    get, path = "/v1/auth/oidc/start", tag = "auth", operation_id = "oidc_start", params(Start),
    responses((status = 303)),
)]
pub(in crate::http) async fn start(
    State(web): State<Web>,
    Extension(site): Extension<Site>,
    Query(Start { to, anew }): Query<Start>,
) -> Result<Response, Problem> {
    let to = to.filter(|to| is_screen(to)).unwrap_or_else(|| HOME.to_owned());
    let away = service::start(&web.app, &redirect(&web, &site), &to, anew).await?;
    let cookie = access::away_cookie(&site, &away.ticket, service::LIFE);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&away.address)).into_response())
}

/// A place in the console and nothing a browser could take for another site.
fn is_screen(to: &str) -> bool {
    let plain = to.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>#".contains(&b));
    plain && to.len() <= 400 && (to == HOME || to.starts_with("/organism/") || to.starts_with("/organism?"))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Callback {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// Come back from the OpenID provider
///
/// Ends on a page in any case: logged in, or with a word that says why not.
#[utoipa::path(
    get, path = "/v1/auth/oidc/callback", tag = "auth", operation_id = "oidc_callback", params(Callback),
    responses((status = 303)),
)]
pub(in crate::http) async fn callback(
    State(web): State<Web>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
    Query(Callback { state, code, error }): Query<Callback>,
) -> Response {
    let gone = access::away_cookie(&site, "", std::time::Duration::ZERO);
    let not_in = |word: &str| {
        let page = Redirect::to(&format!("{HOME}?login={word}"));
        (AppendHeaders([(header::SET_COOKIE, gone.clone())]), page).into_response()
    };
    let (Some(state), Some(code), Some(ticket)) = (state, code, access::away_ticket(&headers, &site)) else {
        return not_in(if error.is_some() { "cancelled" } else { "stale" });
    };
    let back = Back {
        code,
        state,
        ticket,
        redirect: redirect(&web, &site),
        // Strict cookies do not come along from another site; a session before this one ends by itself.
        replaces: access::sent_cookie(&headers, &site),
    };
    match service::finish(&web.app, back).await {
        Ok((logged_in, to)) => {
            let joint = if to.contains('?') { '&' } else { '?' };
            let page = Redirect::to(&format!("{to}{joint}login=done"));
            let cookies = [
                (header::SET_COOKIE, access::set_cookie(&site, &logged_in.token)),
                (header::SET_COOKIE, gone),
            ];
            (AppendHeaders(cookies), page).into_response()
        }
        Err(error) => {
            tracing::info!(error = %error, "a log-in at the OpenID provider came to nothing");
            not_in(word(&error))
        }
    }
}

/// What the page says it with.
fn word(error: &Error) -> &'static str {
    match error {
        Error::Forbidden { code, .. }
        | Error::Unauthenticated { code, .. }
        | Error::Conflict { code, .. } => code,
        Error::Unavailable { .. } => "unavailable",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_to_the_console_and_nowhere_else() {
        for good in ["/organism", "/organism/approve/apr_1", "/organism/missions?status=failed"] {
            assert!(is_screen(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "/organism.evil.example",
            "/organism\\..",
            "/organismx",
            "/organism/\nx",
            "/v1/auth/me",
            "javascript:alert(1)",
        ] {
            assert!(!is_screen(bad), "{bad}");
        }
    }
}

//! `/v1/auth`: logging in and out. Same-origin browsers get a cookie, everybody else a token, nobody both.

use axum::Json as Answer;
use axum::extract::{Extension, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::shape::{Empty, maybe};
use crate::error::Error;
use crate::http::Web;
use crate::http::access::{self, Known};
use crate::http::admission::{Network, Site};
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::auth::{self as service, SessionKind};

#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Login {
    /// The owner's; or `name` and `password`.
    operator_key: Option<String>,
    /// Of a person.
    name: Option<String>,
    /// The key that was shown when the person was made.
    password: Option<String>,
}

/// Who logged in, and with what to go on.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LoggedIn {
    /// Send it as `Authorization: Bearer …`; null for a browser, which has a cookie instead.
    access_token: Option<String>,
    /// `Bearer` or `Cookie`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    principal: String,
    name: String,
    role: &'static str,
}

fn logged_in(answer: service::LoggedIn, site: &Site) -> Response {
    let service::LoggedIn { token, kind, expires_in, caller } = answer;
    let body = |access_token, token_type| LoggedIn {
        access_token,
        token_type,
        expires_in: expires_in.as_secs(),
        principal: caller.principal.to_string(),
        name: caller.name.clone(),
        role: caller.role.as_str(),
    };
    match kind {
        SessionKind::Bearer => Answer(body(Some(token), "Bearer")).into_response(),
        SessionKind::Cookie => {
            let cookie = access::set_cookie(site, &token);
            (AppendHeaders([(header::SET_COOKIE, cookie)]), Answer(body(None, "Cookie"))).into_response()
        }
    }
}

/// Log in
///
/// Answers with a token of at most ten minutes; a browser on one of our own pages gets a session cookie instead.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", request_body = Login,
    responses((status = 200, body = LoggedIn)),
)]
pub(in crate::http) async fn login(
    State(web): State<Web>,
    Extension(Network(network)): Extension<Network>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
    Json(Login { operator_key, name, password }): Json<Login>,
) -> Result<Response, Problem> {
    let browser = access::is_same_origin_browser(&headers);
    let kind = if browser { SessionKind::Cookie } else { SessionKind::Bearer };
    let (name, secret) = match (operator_key, name, password) {
        (Some(key), None, None) => (None, key),
        (None, Some(name), Some(password)) => (Some(name), password),
        _ => {
            let message = "give either `operator_key`, or `name` and `password`";
            return Err(Problem::field("", "required", message));
        }
    };
    let login = service::Login { name, secret, kind, network };
    Ok(logged_in(service::login(&web.app, login).await?, &site))
}

/// Get a fresh token for a session that lives
///
/// Takes the bearer token, which may have expired, as long as its session has not.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", request_body(content = Empty),
    responses((status = 200, body = LoggedIn)),
)]
pub(in crate::http) async fn refresh(
    State(web): State<Web>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
    body: Result<Json<Empty>, Problem>,
) -> Result<Response, Problem> {
    let Some(token) = access::bearer_token(&headers)? else {
        let detail = "Send the token to be renewed as `Authorization: Bearer …`.".to_owned();
        return Err(Error::Unauthenticated { code: "credentials_missing", detail }.into());
    };
    let answer = service::refresh(&web.app, token).await?;
    body?;
    Ok(logged_in(answer, &site))
}

/// End the session
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", request_body(content = Empty),
    responses((status = 204)),
)]
pub(in crate::http) async fn logout(
    State(web): State<Web>,
    Known(caller): Known,
    Extension(site): Extension<Site>,
    Json(Empty {}): Json<Empty>,
) -> Result<impl IntoResponse, Problem> {
    service::logout(&web.app, &caller).await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, access::clear_cookie(&site))])))
}

/// Who asks.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Me {
    id: String,
    name: String,
    /// `owner`, `operator`, `approver`, `viewer`, `service`.
    role: &'static str,
    session_expires_at: Option<String>,
}

/// Who am I
#[utoipa::path(get, path = "/v1/auth/me", tag = "auth", responses((status = 200, body = Me)))]
pub(in crate::http) async fn me(State(web): State<Web>, Known(caller): Known) -> Result<Answer<Me>, Problem> {
    let service::Me { principal, name, role, session_expires_at } = service::me(&web.app, &caller).await?;
    Ok(Answer(Me {
        id: principal.to_string(),
        name,
        role: role.as_str(),
        session_expires_at: maybe(session_expires_at),
    }))
}

//! `/v1/auth`: logging in and out. Same-origin browsers get a cookie, everybody else a token, nobody both.

use axum::Json as Answer;
use axum::extract::{Extension, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::trust::passkey::Assertion;

use super::shape::{self, Empty, maybe};
use crate::error::Error;
use crate::http::Web;
use crate::http::access::{self, Known};
use crate::http::admission::{Network, Site};
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::service::auth::link::{self, LinkLogin};
use crate::service::auth::passkeys::{self, PasskeyLogin};
use crate::service::auth::password;
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
    /// Answers `POST /v1/auth/passkeys/challenge`.
    passkey: Option<PasskeyAnswer>,
    /// From the log-in link that `nexusmon up` prints: what stands behind `#login=`.
    link: Option<String>,
}

/// What a passkey answered to a challenge.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasskeyAnswer {
    /// base64url.
    #[schema(value_type = String)]
    credential_id: CredentialId,
    /// As it came with the challenge.
    ticket: String,
    #[schema(value_type = shape::Assertion)]
    assertion: Assertion,
}

/// Bytes as base64url without padding.
#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
struct CredentialId(Vec<u8>);

impl TryFrom<String> for CredentialId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(|_| "not base64url without padding")
    }
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
    Json(Login { operator_key, name, password, passkey, link }): Json<Login>,
) -> Result<Response, Problem> {
    let browser = access::is_same_origin_browser(&headers);
    let kind = if browser { SessionKind::Cookie } else { SessionKind::Bearer };
    let replaces = if browser { access::sent_cookie(&headers, &site) } else { None };
    let (name, secret) = match (operator_key, name, password, passkey, link) {
        (Some(key), None, None, None, None) => (None, key),
        (None, Some(name), Some(password), None, None) => (Some(name), password),
        (None, None, None, None, Some(link)) => {
            let login = LinkLogin { link, kind, replaces, network };
            return Ok(logged_in(link::login(&web.app, login).await?, &site));
        }
        (None, None, None, Some(answer), None) => {
            let PasskeyAnswer { credential_id: CredentialId(credential), ticket, assertion } = answer;
            let place = super::passkeys::place(&site)?;
            let login = PasskeyLogin { credential, ticket, assertion, place, kind, replaces, network };
            return Ok(logged_in(passkeys::login(&web.app, login).await?, &site));
        }
        _ => {
            let message = "give one of `operator_key`, `name` with `password`, `passkey`, or `link`";
            return Err(Problem::field("", "required", message));
        }
    };
    let login = service::Login { name, secret, kind, replaces, network };
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

/// How one may log in here.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Methods {
    /// Whether passkeys work at the address that was asked.
    passkey: bool,
    /// What the OpenID provider is called, if there is one: `GET /v1/auth/oidc/start` leads there.
    oidc: Option<String>,
}

/// How may I log in
#[utoipa::path(get, path = "/v1/auth/methods", tag = "auth", responses((status = 200, body = Methods)))]
pub(in crate::http) async fn methods(
    State(web): State<Web>,
    Extension(site): Extension<Site>,
) -> Answer<Methods> {
    Answer(Methods { passkey: site.place().is_some(), oidc: service::outside::name(&web.app) })
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

/// Another password for yourself.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasswordChange {
    current: String,
    /// 16 to 256 characters.
    new: String,
}

/// Change your own password
///
/// Ends your other sessions. The owner's key is changed on the host.
#[utoipa::path(
    post, path = "/v1/auth/password", tag = "auth", operation_id = "password_change",
    request_body = PasswordChange, responses((status = 204)),
)]
pub(in crate::http) async fn change_password(
    State(web): State<Web>,
    Known(caller): Known,
    Extension(Network(network)): Extension<Network>,
    Json(PasswordChange { current, new }): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    password::change(&web.app, &caller, password::PasswordChange { current, new, network }).await?;
    Ok(StatusCode::NO_CONTENT)
}

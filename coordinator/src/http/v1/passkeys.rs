//! `/v1/auth/passkeys`: a person's own. Logging in with one is `POST /v1/auth/login`.

use axum::Json as Answer;
use axum::extract::{Extension, Path, State};
use http::StatusCode;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::passkey::Registration;
use serde_json::Value;

use super::shape::{self, Empty, maybe, time};
use crate::error::Error;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::admission::Site;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page};
use crate::service::auth::Challenge;
use crate::service::auth::passkeys as service;

/// What passkeys of this site belong to.
pub(super) fn place(site: &Site) -> Result<service::Place, Problem> {
    site.place().map(|(rp_id, origin)| service::Place { rp_id, origin }).ok_or_else(|| {
        let detail = "passkeys belong to a name over HTTPS, or to `localhost`: open this coordinator by \
                      `http://localhost:…` on its own machine, or by its `public_url`";
        Error::conflict("no_passkeys_here", detail).into()
    })
}

/// A passkey, as its person sees it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Passkey {
    /// As the roster and signatures name it: digest of `roster_key`.
    key: String,
    name: String,
    /// The domain it belongs to.
    rp_id: String,
    /// The one place it answers at.
    origin: String,
    /// base64url.
    credential_id: String,
    /// What the roster would list.
    #[schema(value_type = Object)]
    roster_key: Value,
    created_at: String,
    last_used_at: Option<String>,
    /// The roster lists it as this person's: it signs, if their role there approves.
    in_roster: bool,
}

impl From<service::PasskeyView> for Passkey {
    fn from(view: service::PasskeyView) -> Self {
        let service::PasskeyView { key, name, passkey, created_at, last_used_at, in_roster } = view;
        let roster_key = shape::json(&PersonKey::Passkey(passkey.clone()));
        Self {
            key: key.to_string(),
            name,
            rp_id: passkey.rp_id,
            origin: passkey.origin,
            credential_id: roster_key["credential_id"].as_str().unwrap_or_default().to_owned(),
            roster_key,
            created_at: time(created_at),
            last_used_at: maybe(last_used_at),
            in_roster,
        }
    }
}

/// What to ask an authenticator, and what to send back with its answer.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PasskeyChallenge {
    /// base64url.
    challenge: String,
    /// Comes back with the answer, within five minutes.
    ticket: String,
    rp_id: String,
}

fn asked(challenge: Challenge, rp_id: String) -> PasskeyChallenge {
    let Challenge { challenge, ticket } = challenge;
    PasskeyChallenge { challenge: text(challenge.as_bytes()), ticket, rp_id }
}

fn text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// What to give to `navigator.credentials.create()`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MakeOptions {
    #[serde(flatten)]
    asked: PasskeyChallenge,
    /// The user handle, base64url.
    user_id: String,
    user_name: String,
    /// Credentials that are registered already, base64url.
    exclude: Vec<String>,
    /// COSE algorithms: EdDSA and ES256.
    algorithms: [i32; 2],
}

/// List your passkeys
#[utoipa::path(
    get, path = "/v1/auth/passkeys", tag = "auth", operation_id = "passkeys",
    responses((status = 200, body = Page<Passkey>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Known(caller): Known,
) -> Result<Answer<Page<Passkey>>, Problem> {
    let items = service::of(&web.app, caller.principal).await?;
    Ok(Answer(Page::of(crate::service::Page { items, next_cursor: None })))
}

/// List a person's passkeys
///
/// For the owner, who signs them into the roster.
#[utoipa::path(
    get, path = "/v1/governance/principals/{id}/passkeys", tag = "governance", operation_id = "principal_passkeys",
    params(("id" = String, Path)), responses((status = 200, body = Page<Passkey>)),
)]
pub(in crate::http) async fn of_person(
    State(web): State<Web>,
    Id(id): Id<PrincipalId>,
) -> Result<Answer<Page<Passkey>>, Problem> {
    let items = service::of(&web.app, id).await?;
    Ok(Answer(Page::of(crate::service::Page { items, next_cursor: None })))
}

/// Begin making a passkey
///
/// After a log-in of the last five minutes.
#[utoipa::path(
    post, path = "/v1/auth/passkeys/options", tag = "auth", operation_id = "passkey_options",
    request_body(content = Empty), responses((status = 200, body = MakeOptions)),
)]
pub(in crate::http) async fn options(
    State(web): State<Web>,
    Known(caller): Known,
    Extension(site): Extension<Site>,
    Json(Empty {}): Json<Empty>,
) -> Result<Answer<MakeOptions>, Problem> {
    let options = service::options(&web.app, &caller, place(&site)?).await?;
    Ok(Answer(MakeOptions {
        asked: asked(options.challenge, options.place.rp_id),
        user_id: text(caller.principal.to_string().as_bytes()),
        user_name: caller.name.clone(),
        exclude: options.known.iter().map(|id| text(id)).collect(),
        algorithms: [-8, -7],
    }))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewPasskey {
    /// To tell yours apart.
    name: String,
    ticket: String,
    #[schema(value_type = shape::Registration)]
    registration: Registration,
}

/// Keep a new passkey
#[utoipa::path(
    post, path = "/v1/auth/passkeys", tag = "auth", operation_id = "passkey_register", request_body = NewPasskey,
    responses((status = 201, body = Passkey)),
)]
pub(in crate::http) async fn register(
    State(web): State<Web>,
    Known(caller): Known,
    Extension(site): Extension<Site>,
    Json(NewPasskey { name, ticket, registration }): Json<NewPasskey>,
) -> Result<(StatusCode, Answer<Passkey>), Problem> {
    let new = service::NewPasskey { name, ticket, registration, place: place(&site)? };
    Ok((StatusCode::CREATED, Answer(service::register(&web.app, &caller, new).await?.into())))
}

/// Remove one of your passkeys
#[utoipa::path(
    delete, path = "/v1/auth/passkeys/{key}", tag = "auth", operation_id = "passkey_remove",
    params(("key" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove(
    State(web): State<Web>,
    Known(caller): Known,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    let key: Digest = key.parse().map_err(|_| Problem::not_found("There is no such passkey."))?;
    service::remove(&web.app, &caller, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A challenge to log in with a passkey
///
/// Says nothing about who has one: the authenticator knows whose it holds.
#[utoipa::path(
    post, path = "/v1/auth/passkeys/challenge", tag = "auth", operation_id = "passkey_challenge",
    request_body(content = Empty), responses((status = 200, body = PasskeyChallenge)),
)]
pub(in crate::http) async fn challenge(
    State(web): State<Web>,
    Extension(site): Extension<Site>,
    Json(Empty {}): Json<Empty>,
) -> Result<Answer<PasskeyChallenge>, Problem> {
    let place = place(&site)?;
    Ok(Answer(asked(service::challenge(&web.app, &place), place.rp_id)))
}

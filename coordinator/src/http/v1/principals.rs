//! `/v1/governance/principals` and `/v1/governance/tokens`: who may act.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Span;

use super::mission_body::Duration;
use super::shape::{self, maybe, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page, Query, page};
use crate::service::Role as Granted;
use crate::service::principals as service;

/// How long a token lives unless it says otherwise.
const TOKEN_LIFE: Span = Span::from_secs(90 * 24 * 60 * 60);

/// What somebody may do; `owner` is made at first start and never given.
#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Role {
    Operator,
    Approver,
    Viewer,
    Service,
}

impl From<Role> for Granted {
    fn from(role: Role) -> Self {
        match role {
            Role::Operator => Self::Operator,
            Role::Approver => Self::Approver,
            Role::Viewer => Self::Viewer,
            Role::Service => Self::Service,
        }
    }
}

/// A person, a token, or the system itself.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Principal {
    id: String,
    /// `person`, `token`, `system`.
    kind: &'static str,
    name: String,
    /// `owner`, `operator`, `approver`, `viewer`, `service`.
    role: &'static str,
    /// Work above it waits for approval; null for people.
    #[schema(value_type = Option<shape::Rank>)]
    rank_ceiling: Option<Rank>,
    created_by: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl From<service::PrincipalView> for Principal {
    fn from(view: service::PrincipalView) -> Self {
        let service::PrincipalView {
            id,
            kind,
            name,
            role,
            rank_ceiling,
            created_by,
            created_at,
            expires_at,
            revoked_at,
            version: _,
        } = view;
        Self {
            id: id.to_string(),
            kind,
            name,
            role: role.as_str(),
            rank_ceiling,
            created_by: created_by.map(|id| id.to_string()),
            created_at: time(created_at),
            expires_at: maybe(expires_at),
            revoked_at: maybe(revoked_at),
        }
    }
}

/// Somebody new, with a secret that is shown once.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NewlyMade {
    principal: Principal,
    /// A person's `password` to log in with, or the token to send as `Authorization: Bearer …`.
    secret: String,
}

fn made(made: service::Made) -> (StatusCode, Answer<NewlyMade>) {
    let service::Made { principal, secret } = made;
    (StatusCode::CREATED, Answer(NewlyMade { principal: principal.into(), secret }))
}

fn tagged(view: service::PrincipalView) -> impl IntoResponse {
    let tag = etag::tag(view.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(Principal::from(view)))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Listing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List people, and the system itself
#[utoipa::path(
    get, path = "/v1/governance/principals", tag = "governance", operation_id = "principals", params(Listing),
    responses((status = 200, body = Page<Principal>)),
)]
pub(in crate::http) async fn people(
    State(web): State<Web>,
    Query(Listing { limit, cursor }): Query<Listing>,
) -> Result<Answer<Page<Principal>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, Some(false), page(limit, cursor)?).await?)))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewPerson {
    #[schema(value_type = String)]
    name: Name,
    role: Role,
}

/// Let another person in
///
/// The owner's, after a log-in of the last five minutes. The answer holds the key to log in with, once.
#[utoipa::path(
    post, path = "/v1/governance/principals", tag = "governance", operation_id = "principal_create",
    request_body = NewPerson, responses((status = 201, body = NewlyMade)),
)]
pub(in crate::http) async fn create_person(
    State(web): State<Web>,
    Known(caller): Known,
    Json(NewPerson { name, role }): Json<NewPerson>,
) -> Result<impl IntoResponse, Problem> {
    Ok(made(service::create_person(&web.app, &caller, name, role.into()).await?))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PrincipalChange {
    role: Role,
}

/// Give a person or token another role
#[utoipa::path(
    patch, path = "/v1/governance/principals/{id}", tag = "governance", operation_id = "principal_change",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = PrincipalChange,
    responses((status = 200, body = Principal, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<PrincipalId>,
    headers: HeaderMap,
    Json(PrincipalChange { role }): Json<PrincipalChange>,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    Ok(tagged(service::set_role(&web.app, &caller, id, role.into(), if_match).await?))
}

/// Take a person's authority away for good
#[utoipa::path(
    delete, path = "/v1/governance/principals/{id}", tag = "governance", operation_id = "principal_revoke",
    params(("id" = String, Path)), responses((status = 200, body = Principal)),
)]
pub(in crate::http) async fn revoke_person(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<PrincipalId>,
) -> Result<Answer<Principal>, Problem> {
    Ok(Answer(service::revoke(&web.app, &caller, id, false).await?.into()))
}

/// List tokens
#[utoipa::path(
    get, path = "/v1/governance/tokens", tag = "governance", operation_id = "tokens", params(Listing),
    responses((status = 200, body = Page<Principal>)),
)]
pub(in crate::http) async fn tokens(
    State(web): State<Web>,
    Query(Listing { limit, cursor }): Query<Listing>,
) -> Result<Answer<Page<Principal>>, Problem> {
    Ok(Answer(Page::of(service::list(&web.app, Some(true), page(limit, cursor)?).await?)))
}

#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewToken {
    #[schema(value_type = String)]
    name: Name,
    /// `service` if absent; never `approver`.
    role: Option<Role>,
    /// Work above it waits for approval; D if absent.
    #[schema(value_type = Option<shape::Rank>)]
    rank_ceiling: Option<Rank>,
    /// 90 days if absent, at most 365.
    #[schema(value_type = Option<Duration>)]
    ttl: Option<Span>,
}

/// Make a token for a program
///
/// The owner's, after a log-in of the last five minutes. The answer holds the token, once.
#[utoipa::path(
    post, path = "/v1/governance/tokens", tag = "governance", operation_id = "token_create",
    request_body = NewToken, responses((status = 201, body = NewlyMade)),
)]
pub(in crate::http) async fn create_token(
    State(web): State<Web>,
    Known(caller): Known,
    Json(NewToken { name, role, rank_ceiling, ttl }): Json<NewToken>,
) -> Result<impl IntoResponse, Problem> {
    let wanted = service::NewToken {
        name,
        role: role.unwrap_or(Role::Service).into(),
        rank_ceiling: rank_ceiling.unwrap_or(Rank::D),
        ttl: ttl.unwrap_or(TOKEN_LIFE).0,
    };
    Ok(made(service::create_token(&web.app, &caller, wanted).await?))
}

/// Take a token's authority away for good
#[utoipa::path(
    delete, path = "/v1/governance/tokens/{id}", tag = "governance", operation_id = "token_revoke",
    params(("id" = String, Path)), responses((status = 200, body = Principal)),
)]
pub(in crate::http) async fn revoke_token(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<PrincipalId>,
) -> Result<Answer<Principal>, Problem> {
    Ok(Answer(service::revoke(&web.app, &caller, id, true).await?.into()))
}

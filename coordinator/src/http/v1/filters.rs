//! `/v1/me/filters`: what one filters for again and again, under a name.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use http::{HeaderMap, StatusCode, header};
use nexusmon_shared::id::FilterId;

use super::shape::time;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::etag;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Id, Page};
use crate::service::filters as service;

/// A filter of yours.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SavedFilter {
    id: String,
    /// `missions`, `audit`, `artifacts`.
    list: &'static str,
    name: String,
    /// As in the query of that list.
    query: BTreeMap<String, String>,
    created_at: String,
}

impl From<service::FilterView> for SavedFilter {
    fn from(view: service::FilterView) -> Self {
        let service::FilterView { id, list, name, query, created_at, version: _ } = view;
        Self { id: id.to_string(), list, name, query, created_at: time(created_at) }
    }
}

fn tagged(view: service::FilterView) -> impl IntoResponse {
    let tag = etag::tag(view.version);
    (AppendHeaders([(header::ETAG, tag)]), Answer(SavedFilter::from(view)))
}

/// List your filters
#[utoipa::path(
    get, path = "/v1/me/filters", tag = "me", operation_id = "filters",
    responses((status = 200, body = Page<SavedFilter>)),
)]
pub(in crate::http) async fn list(
    State(web): State<Web>,
    Known(caller): Known,
) -> Result<Answer<Page<SavedFilter>>, Problem> {
    let items = service::list(&web.app, &caller).await?;
    Ok(Answer(Page::of(crate::service::Page { items, next_cursor: None })))
}

/// What to keep.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewFilter {
    /// `missions`, `audit`, `artifacts`.
    list: String,
    name: String,
    /// Parameters of that list with their values.
    query: BTreeMap<String, String>,
}

/// Keep a filter
#[utoipa::path(
    post, path = "/v1/me/filters", tag = "me", operation_id = "filter_create", request_body = NewFilter,
    responses((status = 201, body = SavedFilter, headers(("Location" = String), ("ETag" = String)))),
)]
pub(in crate::http) async fn create(
    State(web): State<Web>,
    Known(caller): Known,
    Json(NewFilter { list, name, query }): Json<NewFilter>,
) -> Result<impl IntoResponse, Problem> {
    let view = service::create(&web.app, &caller, service::NewFilter { list, name, query }).await?;
    let location = format!("/v1/me/filters/{}", view.id);
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), tagged(view)))
}

/// Another name or another query.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FilterChange {
    name: Option<String>,
    query: Option<BTreeMap<String, String>>,
}

/// Change a filter of yours
#[utoipa::path(
    put, path = "/v1/me/filters/{id}", tag = "me", operation_id = "filter_change",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = FilterChange,
    responses((status = 200, body = SavedFilter, headers(("ETag" = String)))),
)]
pub(in crate::http) async fn change(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<FilterId>,
    headers: HeaderMap,
    Json(FilterChange { name, query }): Json<FilterChange>,
) -> Result<impl IntoResponse, Problem> {
    let if_match = etag::if_match(&headers)?;
    Ok(tagged(service::change(&web.app, &caller, id, name, query, if_match).await?))
}

/// Forget a filter of yours
#[utoipa::path(
    delete, path = "/v1/me/filters/{id}", tag = "me", operation_id = "filter_remove",
    params(("id" = String, Path)), responses((status = 204)),
)]
pub(in crate::http) async fn remove(
    State(web): State<Web>,
    Known(caller): Known,
    Id(id): Id<FilterId>,
) -> Result<StatusCode, Problem> {
    service::remove(&web.app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! What stands in the address: ids in the path, parameters in the query, pages of lists.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use nexusmon_shared::id::IdError;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::service::{self, PageRequest};

/// Items of a page unless the caller says otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// The most items of a page.
pub(super) const MAX_LIMIT: u32 = 200;

/// Query parameters; unknown, repeated and malformed ones are refused.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::field("?", "nul_character", "a parameter holds the character U+0000"));
        }
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(refused) => Err(explain(&refused.body_text())),
        }
    }
}

fn explain(text: &str) -> Problem {
    let text: String =
        text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text).chars().take(400).collect();
    if let Some(name) = text.split("unknown field `").nth(1).and_then(|rest| rest.split('`').next()) {
        return Problem::field(format!("?{name}"), "unknown_parameter", text.clone());
    }
    match text.split_once(": ") {
        Some((name, reason)) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            Problem::field(format!("?{name}"), "invalid_value", reason)
        }
        _ => Problem::field("", "invalid_query", text),
    }
}

/// The one id in the path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for Id<T>
where
    S: Send + Sync,
    T: FromStr<Err = IdError>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found("The path does not hold one readable id."))?;
        text.parse().map(Self).map_err(|error: IdError| Problem::not_found(error.to_string()))
    }
}

/// Which page of a list, checked.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, Problem> {
    match limit {
        Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => {
            Err(Problem::field("?limit", "out_of_range", format!("must be from 1 to {MAX_LIMIT}")))
        }
        _ if cursor.as_ref().is_some_and(|cursor| cursor.is_empty() || cursor.len() > 200) => {
            Err(Problem::field("?cursor", "invalid_value", "is not a cursor of this list"))
        }
        limit => Ok(PageRequest { limit: Some(limit.unwrap_or(DEFAULT_LIMIT)), cursor }),
    }
}

/// Lists have one order each; naming another is refused rather than ignored.
pub(super) fn only_sort(asked: Option<&str>, order: &str) -> Result<(), Problem> {
    match asked {
        Some(asked) if asked != order => {
            Err(Problem::field("?sort", "invalid_value", format!("this list is sorted by `{order}` only")))
        }
        _ => Ok(()),
    }
}

/// A query parameter written as text, checked; `what` names what was expected.
pub(super) fn parameter<T: FromStr>(
    name: &str,
    text: Option<&str>,
    what: &str,
) -> Result<Option<T>, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Problem::field(format!("?{name}"), "invalid_value", format!("`{shown}` is not {what}"))
        })
    };
    text.map(parse).transpose()
}

/// One page of a list.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub(super) fn of<S: Into<T>>(page: service::Page<S>) -> Self {
        let service::Page { items, next_cursor } = page;
        Self { items: items.into_iter().map(Into::into).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listing {
        limit: Option<u32>,
    }

    fn read(query: &str) -> Result<Option<u32>, String> {
        let uri: http::Uri = format!("http://x/y?{query}").parse().expect("a good address");
        axum::extract::Query::<Listing>::try_from_uri(&uri).map(|found| found.0.limit).map_err(|refused| {
            let body = serde_json::to_value(explain(&refused.body_text()).body("")).expect("JSON");
            format!("{} {}", body["errors"][0]["pointer"], body["errors"][0]["code"])
        })
    }

    #[test]
    fn parameters_are_strict() {
        assert_eq!(read("limit=3"), Ok(Some(3)));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("limt=3"), Err("\"?limt\" \"unknown_parameter\"".to_owned()));
        assert_eq!(read("limit=x"), Err("\"?limit\" \"invalid_value\"".to_owned()));
    }

    #[test]
    fn pages_are_bounded() {
        assert!(page(Some(0), None).is_err());
        assert!(page(Some(201), None).is_err());
        assert_eq!(page(Some(200), None).ok().and_then(|page| page.limit), Some(200));
    }
}

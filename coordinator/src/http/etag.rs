//! Entity tags: the version of what can be edited, so that nobody overwrites what they have not seen.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::Problem;

/// The strong tag of version `version`.
pub(super) fn tag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// The version `If-Match` names; `None` where the header is absent or `*`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if text == "*" {
        return Ok(None);
    }
    let version =
        text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "etag_unknown",
            "`If-Match` names no tag this resource ever had: read it again and use its `ETag`.",
        )
    })
}

/// Whether `If-None-Match` already holds `etag`.
pub(super) fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let weak = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| list.trim() == "*" || list.split(',').any(|one| weak(one) == etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &'static str) -> HeaderMap {
        [(header::IF_MATCH, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn tags_are_versions() {
        assert_eq!(if_match(&HeaderMap::new()).ok(), Some(None));
        assert_eq!(if_match(&with("*")).ok(), Some(None));
        assert_eq!(if_match(&with("\"7\"")).ok(), Some(Some(7)));
        for bad in ["7", "\"x\"", "W/\"7\"", "\""] {
            assert!(if_match(&with(bad)).is_err(), "{bad}");
        }
    }
}

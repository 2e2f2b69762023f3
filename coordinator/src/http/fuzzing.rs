//! Entries for `make prove RUN=fuzz`: headers and queries of requests. Only with the feature `fuzzing`.

use http::{HeaderMap, HeaderValue, header};

use super::{etag, json, query, range};

/// The bytes as every header and query value that is parsed here, and as a JSON body.
pub fn query(bytes: &[u8]) -> bool {
    let mut taken = json::parse::<serde_json::Map<String, serde_json::Value>>(bytes).is_ok();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let mut headers = HeaderMap::new();
        for name in [header::RANGE, header::IF_MATCH, header::IF_NONE_MATCH] {
            headers.insert(name, value.clone());
        }
        taken |= range::asked(&headers).is_some();
        for total in [0, 1, 100, u64::MAX] {
            if let Ok(Some(found)) = range::requested(&headers, total, "\"x\"") {
                assert!(found.first <= found.last && found.last < total, "a range lies within what there is");
            }
        }
        taken |= etag::if_match(&headers).is_ok_and(|version| version.is_some());
        let _ = etag::none_match(&headers, "\"x\"");
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        taken |= query::page(text.parse().ok(), Some(text.to_owned())).is_ok();
    }
    taken
}

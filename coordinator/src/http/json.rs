//! Request bodies: bounded in size and depth, strict about fields, and wrong ones answered with JSON pointers.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::problem::Problem;

/// The most bytes of an ordinary body.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;
/// The most bytes of a mission.
pub(super) const MISSION_LIMIT: usize = nexusmon_shared::plan::MAX_MISSION_BYTES;
/// Bytes beyond the limit that are still read.
const THROWN_AWAY: usize = 4 * 1024 * 1024;
/// Nesting beyond this is refused before anything is built from it.
const DEPTH_LIMIT: usize = 64;
/// A body larger than this is parsed off the async threads.
const INLINE_LIMIT: usize = 256 * 1024;

/// Fields of parts that do not exist yet: refused by name, so that nobody believes they were obeyed.
const NOT_BUILT: [&str; 4] = ["accept", "playbook", "inputs", "signature"];

/// A JSON body of at most `LIMIT` bytes. An absent body reads as `{}`.
#[derive(Debug)]
pub(super) struct Json<T, const LIMIT: usize = BODY_LIMIT>(pub(super) T);

impl<S, T, const LIMIT: usize> FromRequest<S> for Json<T, LIMIT>
where
    S: Send + Sync,
    T: DeserializeOwned + Send + 'static,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = document(request, LIMIT).await?;
        off_thread(bytes, parse).await?.map(Self)
    }
}

/// The bytes of a JSON body, whose kind, size and depth have been checked.
pub(super) async fn document(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = read(&parts.headers, body, limit).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Bytes::from_static(b"{}"));
    }
    require_json(&parts.headers)?;
    let found = scan(&bytes);
    if found.depth > DEPTH_LIMIT {
        return Err(Problem::field(
            "",
            "too_deep",
            format!("The body nests deeper than {DEPTH_LIMIT} levels."),
        ));
    }
    if found.nul {
        // No name, script or comment needs it, and databases refuse it.
        return Err(Problem::field("", "nul_character", "The body holds the character U+0000."));
    }
    Ok(bytes)
}

/// Runs `parse` here when the body is small, elsewhere when it would hold up others.
pub(super) async fn off_thread<T: Send + 'static>(
    bytes: Bytes,
    parse: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, Problem> {
    if bytes.len() <= INLINE_LIMIT {
        return Ok(parse(&bytes));
    }
    tokio::task::spawn_blocking(move || parse(&bytes)).await.map_err(|_| Problem::internal())
}

/// Reads a body of at most `limit` bytes. Of a larger one a little more is read and thrown away, so that a client that
/// sends first and listens later hears why it was refused.
pub(super) async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > (limit + THROWN_AWAY) as u64) {
        return Err(too_large(limit));
    }
    let mut kept = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let detail = "The body ended before it was complete.";
            Problem::new(StatusCode::BAD_REQUEST, "body_incomplete", detail)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total <= limit {
            kept.extend_from_slice(&data);
        } else if total > limit + THROWN_AWAY {
            break;
        }
    }
    if total > limit { Err(too_large(limit)) } else { Ok(kept.freeze()) }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("The body is larger than the {limit} bytes this route takes."),
    )
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json") => Ok(()),
        Some(other) if other.starts_with("application/") && other.ends_with("+json") => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "json_required",
            "Send the body as JSON with `Content-Type: application/json`.",
        )),
    }
}

/// Parses one JSON document into `T`; total for any bytes.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Knowing the path of every value costs time, so only a body that turned out wrong pays for it.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let value = parsed.map_err(|error| explain(error.path(), error.inner()))?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// What can be said of a document in one pass, without recursion.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    /// The deepest nesting of brackets outside strings.
    depth: usize,
    /// Whether a string holds U+0000.
    nul: bool,
}

fn scan(bytes: &[u8]) -> Scan {
    let (mut found, mut now, mut quoted, mut escaped) = (Scan::default(), 0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => {
                escaped = false;
                found.nul |= bytes[at..].starts_with(b"u0000");
            }
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                found.depth = found.depth.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    found
}

fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_json",
        format!("The body is not JSON at line {line}, column {column}: {}", reason(error)),
    )
}

fn explain(path: &Path, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return not_json(error);
    }
    let message = reason(error);
    let mut pointer = pointer(path);
    let (code, message) = if let Some(field) = quoted(&message, "unknown field `") {
        let field = field.to_owned();
        if !pointer.ends_with(&format!("/{}", escape(&field))) {
            pointer = format!("{pointer}/{}", escape(&field));
        }
        if NOT_BUILT.contains(&field.as_str()) {
            ("unsupported_field", format!("`{field}` belongs to a part this version does not have yet"))
        } else {
            ("unknown_field", message)
        }
    } else if let Some(field) = quoted(&message, "missing field `") {
        pointer = format!("{pointer}/{}", escape(field));
        ("missing_field", message)
    } else if message.starts_with("unknown variant `") {
        ("unknown_value", message)
    } else if message.starts_with("invalid type") {
        ("wrong_type", message)
    } else {
        ("invalid_value", message)
    };
    Problem::field(pointer, code, message)
}

/// serde's message without the position it appends.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].chars().take(400).collect()
}

fn quoted<'a>(message: &'a str, opening: &str) -> Option<&'a str> {
    message.strip_prefix(opening)?.split('`').next()
}

fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{}", escape(variant)),
            Segment::Unknown => String::new(),
        })
        .collect()
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only parsed")]
        name: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only parsed")]
        items: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        size: u32,
    }

    fn first(body: &str) -> (String, String) {
        let problem = parse::<Outer>(body.as_bytes()).expect_err("refused");
        let body = serde_json::to_value(problem.body("")).expect("a problem is JSON");
        let field = &body["errors"][0];
        (
            field["pointer"].as_str().unwrap_or("-").to_owned(),
            field["code"].as_str().unwrap_or("-").to_owned(),
        )
    }

    #[test]
    fn refusals_point_at_the_place() {
        let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(
            first(r#"{"name": "a", "items": [{"size": 1}, {"sise": 2}]}"#),
            pair("/items/1/sise", "unknown_field")
        );
        assert_eq!(first(r#"{"name": "a", "items": [{"size": "x"}]}"#), pair("/items/0/size", "wrong_type"));
        assert_eq!(first(r#"{"items": [{}]}"#), pair("/items/0/size", "missing_field"));
        assert_eq!(first(r#"{"items": []}"#), pair("/name", "missing_field"));
        assert_eq!(first(r#"{"name": "a", "accept": []}"#), pair("/accept", "unsupported_field"));
        assert_eq!(first(r#"{"name": "a", "x/y~": 1}"#), pair("/x~1y~0", "unknown_field"));
        assert_eq!(parse::<Outer>(b"{\"name\": ").expect_err("refused").code(), "invalid_json");
        assert_eq!(parse::<Outer>(b"{\"name\": \"a\"} x").expect_err("refused").code(), "invalid_json");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(scan(deep.as_bytes()).depth, 100_000);
        assert_eq!(parse::<Outer>(deep.as_bytes()).expect_err("refused").code(), "invalid");
        assert_eq!(scan(br#"{"a": "[[[[\"[["}"#), Scan { depth: 1, nul: false });
        assert!(scan(br#"["a\u0000"]"#).nul);
        assert!(!scan(br#"["a\\u0000"]"#).nul, "an escaped backslash and plain digits");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Outer>(&bytes);
        }

        #[test]
        fn any_near_json_is_answered(text in r#"[\[\]{}",:a-z0-9\\ ~/]{0,80}"#) {
            let _ = parse::<Outer>(text.as_bytes());
        }
    }
}

//! JSON Schema for what a capability takes and gives: compile once, check values, name the place that is wrong.
//!
//! Schemas come from outside. So nothing is ever fetched (no remote references), patterns run on an engine without
//! backtracking, and sizes are bounded.

use std::fmt;

use serde_json::Value;

/// A schema's text form may not be larger.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Violations listed for one value.
pub const MAX_VIOLATIONS: usize = 20;

const MAX_MESSAGE_CHARS: usize = 300;

/// A compiled schema.
pub struct Schema(jsonschema::Validator);

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is {0} bytes, more than {MAX_SCHEMA_BYTES}")]
    TooLarge(usize),
    #[error("not a usable JSON Schema: at `{pointer}`: {message}")]
    Invalid { pointer: String, message: String },
}

/// One thing that is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// JSON pointer (RFC 6901) to the offending place; empty for the whole value.
    pub pointer: String,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.pointer, self.message)
        }
    }
}

impl Schema {
    /// Compiles a schema (draft 2020-12 unless it names another).
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        let size = schema.to_string().len();
        if size > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLarge(size));
        }
        let patterns = jsonschema::PatternOptions::regex().size_limit(1 << 20);
        jsonschema::options()
            .with_pattern_options(patterns)
            .with_retriever(Nowhere)
            .build(schema)
            .map(Self)
            .map_err(|error| SchemaError::Invalid {
                pointer: error.instance_path().to_string(),
                message: bounded(&error),
            })
    }

    pub fn accepts(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    /// The violations, at most [`MAX_VIOLATIONS`].
    pub fn check(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.0.is_valid(value) {
            return Ok(());
        }
        let violations = self.0.iter_errors(value).take(MAX_VIOLATIONS);
        Err(violations
            .map(|error| Violation { pointer: error.instance_path().to_string(), message: bounded(&error) })
            .collect())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

/// Messages quote the value, which may be large.
fn bounded(message: &impl fmt::Display) -> String {
    let text = message.to_string();
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Refuses every reference out of the schema.
struct Nowhere;

impl jsonschema::Retrieve for Nowhere {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("references to other documents are not followed: {uri}").into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn violations_point_at_the_place() {
        let schema = Schema::compile(&json!({
            "type": "object",
            "required": ["command"],
            "properties": {"command": {"type": "string"}, "env": {"type": "object", "additionalProperties": {"type": "string"}}},
            "additionalProperties": false
        }))
        .unwrap();
        assert_eq!(schema.check(&json!({"command": "true", "env": {"A": "b"}})), Ok(()));
        let violations = schema.check(&json!({"command": 3, "env": {"A": []}, "x": 1})).unwrap_err();
        let mut pointers: Vec<_> = violations.iter().map(|v| v.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["", "/command", "/env/A"]);
        assert!(violations.iter().any(|v| v.message.contains('x')), "{violations:?}");
    }

    #[test]
    fn references_out_of_the_schema_are_refused() {
        for uri in ["http://127.0.0.1:1/x.json", "file:///etc/passwd", "other.json"] {
            let error = Schema::compile(&json!({"$ref": uri})).unwrap_err();
            assert!(matches!(error, SchemaError::Invalid { .. }), "{error}");
        }
        assert!(Schema::compile(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}})).is_ok());
    }

    #[test]
    fn bad_schemas_are_named() {
        assert!(Schema::compile(&json!({"type": "strnig"})).is_err());
        assert!(Schema::compile(&json!({"pattern": "("})).is_err());
        assert!(Schema::compile(&json!({"pattern": "(a)\\1"})).is_err(), "needs backtracking");
        let large = json!({"description": "x".repeat(MAX_SCHEMA_BYTES)});
        assert!(matches!(Schema::compile(&large), Err(SchemaError::TooLarge(_))));
    }

    #[test]
    fn long_values_do_not_make_long_messages() {
        let schema = Schema::compile(&json!({"type": "null"})).unwrap();
        let violations = schema.check(&json!("ä".repeat(100_000))).unwrap_err();
        assert!(violations[0].message.chars().count() <= MAX_MESSAGE_CHARS + 1);
    }
}

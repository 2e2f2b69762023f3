//! The JSON Schema of a mission's body, for editors of `mission.yaml`.

use serde_json::Value;

/// JSON Schema (2020-12) of a mission's body.
pub fn mission_schema() -> Value {
    todo!()
}

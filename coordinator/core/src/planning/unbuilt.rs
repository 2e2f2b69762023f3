//! Parts of the language that are designed but not built: refused by name rather than as unknown fields.

use serde_json::Value;

use super::Invalid;

/// Refuses `playbook`, `secrets`, `spawn`, `accept` and network allow-lists wherever they stand in a mission's body.
pub fn refuse_unbuilt(body: &Value) -> Vec<Invalid> {
    let _ = body;
    todo!()
}

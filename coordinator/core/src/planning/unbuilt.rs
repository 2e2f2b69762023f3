//! Parts of the language that are designed but not built: refused by name rather than as unknown fields.

use serde_json::Value;

use super::Invalid;

const OF_TASK: [(&str, &str); 1] = [("spawn", "tasks that add tasks are not built yet: use `for_each`")];

/// Refuses `spawn` wherever it stands in a mission's body. Anything else about the body is left to [`super::parse_mission`].
pub fn refuse_unbuilt(body: &Value) -> Vec<Invalid> {
    let mut errors = Vec::new();
    for (index, task) in body.get("tasks").and_then(Value::as_array).into_iter().flatten().enumerate() {
        for (field, message) in OF_TASK {
            if task.get(field).is_some() {
                errors.push(Invalid::new(format!("/tasks/{index}/{field}"), "not_built", message));
            }
        }
    }
    errors
}

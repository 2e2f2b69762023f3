//! Parts of the language that are designed but not built: refused by name rather than as unknown fields.

use serde_json::Value;

use super::Invalid;

const OF_TASK: [(&str, &str); 2] = [
    ("secrets", "secrets are not built yet: nothing secret can be handed to a task"),
    ("spawn", "tasks that add tasks are not built yet: use `for_each`"),
];

/// Refuses `secrets`, `spawn` and network allow-lists wherever they stand in a mission's
/// body. Anything else about the body is left to [`super::parse_mission`].
pub fn refuse_unbuilt(body: &Value) -> Vec<Invalid> {
    let mut errors = Vec::new();
    for (index, task) in body.get("tasks").and_then(Value::as_array).into_iter().flatten().enumerate() {
        for (field, message) in OF_TASK {
            if task.get(field).is_some() {
                errors.push(Invalid::new(format!("/tasks/{index}/{field}"), "not_built", message));
            }
        }
        let sandbox = task.get("sandbox");
        let listed = sandbox.and_then(|sandbox| sandbox.get("network"));
        let named = |value: &Value| value.as_str() == Some("network");
        let profile =
            sandbox.is_some_and(|sandbox| named(sandbox) || sandbox.get("profile").is_some_and(named));
        let opens = listed.is_some_and(|hosts| hosts.as_array().is_none_or(|hosts| !hosts.is_empty()));
        if profile || opens {
            let place = if opens { "sandbox/network" } else { "sandbox" };
            let message = "allow-listed network access is not built yet: use `user` for open egress (rank B)";
            errors.push(Invalid::new(format!("/tasks/{index}/{place}"), "not_built", message));
        }
    }
    errors
}

//! A task's parameters against what its capability takes.

use nexusmon_shared::expression::is_open;
use nexusmon_shared::plan::{MAX_PARAMETER_BYTES, TaskDraft};
use serde_json::Value;

use super::{Invalid, Known};
use crate::expression::template::escape;

/// Parameters that are code, or choose what reads it: values reach code as data, never spliced into its text.
const CODE: [&str; 4] = ["script", "source", "interpreter", "shell"];

/// Checks `with`. Where expressions are still open, only the top-level keys are checked now; the whole is checked by
/// the agent when it is known.
pub(super) fn check(index: usize, draft: &TaskDraft, known: &Known, errors: &mut Vec<Invalid>) {
    let base = format!("/tasks/{index}/with");
    let size = serde_json::to_vec(&draft.with).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_PARAMETER_BYTES {
        let message = format!(
            "the parameters are {size} bytes of JSON; at most {MAX_PARAMETER_BYTES} are sent: put large data in an artifact"
        );
        errors.push(Invalid::new(base, "parameters_too_large", message));
        return;
    }
    let mut open = false;
    for (key, value) in &draft.with {
        let is_code = known.plugin.is_none() && CODE.contains(&key.as_str());
        if is_code && value.as_str().is_some_and(|text| text.contains("${{")) {
            let message = format!(
                "`{key}` takes no expressions: pass the value through `env` (or read it from $NEXUSMON_PARAMS)"
            );
            errors.push(Invalid::new(format!("{base}/{key}"), "expression_in_code", message));
        } else {
            open |= is_open(value);
        }
    }
    if let Some(schema) = known.params.as_ref().filter(|_| !open) {
        for violation in schema.check(&Value::Object(draft.with.clone())).err().into_iter().flatten() {
            let pointer = format!("{base}{}", violation.pointer);
            errors.push(Invalid::new(pointer, "bad_parameters", violation.message));
        }
    } else if let Some(schema) = &known.spec.params {
        check_keys(&base, draft, schema, errors);
    }
}

fn check_keys(base: &str, draft: &TaskDraft, schema: &Value, errors: &mut Vec<Invalid>) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for key in required.filter_map(Value::as_str).filter(|key| !draft.with.contains_key(*key)) {
        let message = format!("`{}` needs `{key}`", draft.uses);
        errors.push(Invalid::new(base, "bad_parameters", message));
    }
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let properties = schema.get("properties").and_then(Value::as_object);
    if let (true, Some(properties)) = (closed && schema.get("patternProperties").is_none(), properties) {
        for key in draft.with.keys().filter(|key| !properties.contains_key(*key)) {
            let known: Vec<&str> = properties.keys().map(String::as_str).collect();
            let message = format!("`{}` has no `{key}`; known are {}", draft.uses, known.join(", "));
            errors.push(Invalid::new(format!("{base}/{}", escape(key)), "bad_parameters", message));
        }
    }
}

//! Values of a firing put into the inputs of a playbook: `${{ trigger.body.repository.name }}` as a whole value, nothing
//! else. What comes from outside stays data: it is looked up, never evaluated, never spliced into text.

use serde_json::{Map, Value};

use crate::planning::Invalid;

const MAX_STEPS: usize = 16;
const MAX_PATH_BYTES: usize = 512;
/// Inputs nest no deeper.
const MAX_DEPTH: usize = 32;

/// The steps behind `trigger.`, where the text asks for a value; `Err` where it almost does.
fn path(text: &str) -> Result<Option<Vec<&str>>, String> {
    if !text.contains("${{") {
        return Ok(None);
    }
    let inner = text.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
    let expected = "a value is plain, or as a whole `${{ trigger.… }}`, such as `${{ trigger.body.ref }}`";
    let inner = inner.filter(|inner| inner.len() <= MAX_PATH_BYTES).ok_or(expected)?;
    let mut steps = inner.split('.');
    if steps.next() != Some("trigger") {
        return Err(expected.to_owned());
    }
    let steps: Vec<&str> = steps.collect();
    let plain = |step: &&str| {
        !step.is_empty() && step.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    if steps.is_empty() || steps.len() > MAX_STEPS || !steps.iter().all(plain) {
        return Err(expected.to_owned());
    }
    Ok(Some(steps))
}

fn look_up<'a>(context: &'a Value, steps: &[&str]) -> Option<&'a Value> {
    steps.iter().try_fold(context, |at, step| match at {
        Value::Object(fields) => fields.get(*step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Whether every value of the inputs is plain or asks for one in the right way, and for something that such a trigger has.
pub fn check(inputs: &Map<String, Value>, known: &[&str]) -> Result<(), Vec<Invalid>> {
    let mut errors = Vec::new();
    for (name, value) in inputs {
        let pointer = format!("/inputs/{}", crate::expression::template::escape(name));
        check_value(value, &pointer, known, 0, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn check_value(value: &Value, pointer: &str, known: &[&str], depth: usize, errors: &mut Vec<Invalid>) {
    if depth > MAX_DEPTH {
        errors.push(Invalid::new(pointer, "too_deep", format!("at most {MAX_DEPTH} levels")));
        return;
    }
    match value {
        Value::String(text) => match path(text) {
            Ok(Some(steps)) if !steps.first().is_some_and(|first| known.contains(first)) => {
                let message = format!("this trigger has only {}", known.join(", "));
                errors.push(Invalid::new(pointer, "unknown_value", message));
            }
            Ok(_) => {}
            Err(message) => errors.push(Invalid::new(pointer, "bad_mapping", message)),
        },
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_value(item, &format!("{pointer}/{index}"), known, depth + 1, errors);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                let place = format!("{pointer}/{}", crate::expression::template::escape(name));
                check_value(item, &place, known, depth + 1, errors);
            }
        }
        _ => {}
    }
}

/// The inputs with the values of this firing in them. What is not there is left out at the top, so that defaults count,
/// and null further down.
pub fn fill(inputs: &Map<String, Value>, context: &Value) -> Map<String, Value> {
    let filled = inputs.iter().filter_map(|(name, value)| match value {
        Value::String(text) => match path(text) {
            Ok(Some(steps)) => Some((name.clone(), look_up(context, &steps)?.clone())),
            _ => Some((name.clone(), value.clone())),
        },
        other => Some((name.clone(), fill_value(other, context, 0))),
    });
    filled.collect()
}

fn fill_value(value: &Value, context: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match value {
        Value::String(text) => match path(text) {
            Ok(Some(steps)) => look_up(context, &steps).cloned().unwrap_or(Value::Null),
            _ => value.clone(),
        },
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill_value(item, context, depth + 1)).collect())
        }
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, item)| (name.clone(), fill_value(item, context, depth + 1))).collect(),
        ),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn values_are_looked_up_and_never_spliced() {
        let context =
            json!({"body": {"ref": "main", "commits": [{"id": "a"}], "evil": "${{ trigger.body.ref }}"}});
        let inputs =
            map(json!({"branch": "${{ trigger.body.ref }}", "first": "${{trigger.body.commits.0.id}}",
            "plain": "x", "deep": {"a": ["${{ trigger.body.none }}", 1]}, "gone": "${{ trigger.body.none }}",
            "evil": "${{ trigger.body.evil }}"}));
        assert_eq!(check(&inputs, &["body"]), Ok(()));
        let filled = Value::Object(fill(&inputs, &context));
        assert_eq!(
            filled,
            json!({"branch": "main", "first": "a", "plain": "x", "deep": {"a": [null, 1]},
                "evil": "${{ trigger.body.ref }}"}),
            "a value that looks like a question is not asked again"
        );
    }

    #[test]
    fn what_is_not_a_whole_question_is_refused_by_place() {
        for wrong in [
            "v${{ trigger.due }}",
            "${{ due }}",
            "${{ trigger }}",
            "${{ trigger.a..b }}",
            "${{ inputs.x }}",
            "${{ trigger.due",
            "${{ trigger.body.size() }}",
        ] {
            let errors = check(&map(json!({"a": {"b": [wrong]}})), &["due", "body"]).unwrap_err();
            assert_eq!(
                (errors[0].pointer.as_str(), errors[0].code),
                ("/inputs/a/b/0", "bad_mapping"),
                "{wrong}"
            );
        }
        let errors = check(&map(json!({"a": "${{ trigger.body.x }}"})), &["due"]).unwrap_err();
        assert_eq!((errors[0].pointer.as_str(), errors[0].code), ("/inputs/a", "unknown_value"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,80}", asked in r"\$\{\{ ?[a-z.0-9]{0,20} ?\}\}") {
            for text in [text, asked] {
                let inputs = map(json!({"a": text}));
                if check(&inputs, &["body"]).is_ok() {
                    let filled = fill(&inputs, &json!({"body": {"a": 1}}));
                    prop_assert!(filled.len() <= 1);
                }
            }
        }
    }
}

//! Conditions and inputs over an event: CEL in which `event` is what happened, and nothing else is known.

use serde_json::{Map, Value};

use crate::expression::{Context, Expression, Templates, evaluate_with};
use crate::planning::Invalid;

const EVENT: &str = "event";

/// Whether every expression of the inputs can be read and names only `event`.
pub(crate) fn check(inputs: &Map<String, Value>) -> Result<(), Vec<Invalid>> {
    let templates = Templates::parse(inputs).map_err(|errors| {
        let wrong = errors.into_iter();
        wrong
            .map(|(pointer, error)| {
                Invalid::new(format!("/inputs{pointer}"), "bad_expression", error.to_string())
            })
            .collect::<Vec<_>>()
    })?;
    let wrong: Vec<Invalid> = templates
        .found
        .iter()
        .filter_map(|(pointer, expression)| {
            let message = stranger(expression)?;
            Some(Invalid::new(format!("/inputs{pointer}"), "unknown_value", message))
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Whether a condition can be read and names only `event`.
pub(crate) fn check_condition(source: &str, pointer: &str) -> Result<(), Invalid> {
    let expression = Expression::parse(source)
        .map_err(|error| Invalid::new(pointer, "bad_expression", error.to_string()))?;
    match stranger(&expression) {
        Some(message) => Err(Invalid::new(pointer, "unknown_value", message)),
        None => Ok(()),
    }
}

fn stranger(expression: &Expression) -> Option<String> {
    let named = expression.references().variables.into_iter().find(|name| name != EVENT)?;
    let named: String = named.chars().take(64).collect();
    Some(format!("there is no `{named}` here, only `event`, as in `event.mission.goal`"))
}

/// The inputs with their expressions evaluated over this event.
pub fn fill(inputs: &Map<String, Value>, event: &Value) -> Result<Map<String, Value>, Vec<Invalid>> {
    evaluate_with(inputs, &Context::of_event(event.clone()))
        .map_err(|error| vec![Invalid::new("/inputs", "bad_input", error.to_string())])
}

/// Whether this event is meant; what cannot be said is an error in words.
pub fn condition(source: &str, event: &Value) -> Result<bool, String> {
    let expression = Expression::parse(source).map_err(|error| error.to_string())?;
    expression.condition(&Context::of_event(event.clone())).map_err(|error| error.to_string())
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
    fn inputs_and_conditions_see_the_event_and_nothing_else() {
        let event = json!({"kind": "mission.failed", "mission": {"goal": "x", "labels": {"env": "prod"},
            "evil": "${{ event.kind }}"}});
        let inputs = map(json!({"goal": "${{ event.mission.goal }}", "text": "after ${{ event.kind }}",
            "deep": [{"e": "${{ event.mission.evil }}"}], "plain": 3}));
        assert_eq!(check(&inputs), Ok(()));
        assert_eq!(
            Value::Object(fill(&inputs, &event).unwrap()),
            json!({"goal": "x", "text": "after mission.failed", "deep": [{"e": "${{ event.kind }}"}], "plain": 3}),
            "a value that looks like an expression is not evaluated again"
        );
        assert_eq!(condition("event.mission.labels.env == 'prod'", &event), Ok(true));
        assert_eq!(condition("has(event.mission.labels.team)", &event), Ok(false));
        assert!(condition("event.mission.labels.team == 'a'", &event).is_err());
        assert!(condition("event.kind", &event).is_err(), "not a condition");
        assert!(fill(&map(json!({"a": "${{ event.none }}"})), &event).is_err());
        let errors = check(&map(json!({"a": {"b": ["${{ inputs.x }}"]}, "c": "${{ event. }}"}))).unwrap_err();
        assert_eq!((errors[0].pointer.as_str(), errors[0].code), ("/inputs/c", "bad_expression"));
        let errors = check(&map(json!({"a": {"b": ["${{ inputs.x }}"]}}))).unwrap_err();
        assert_eq!((errors[0].pointer.as_str(), errors[0].code), ("/inputs/a/b/0", "unknown_value"));
        assert_eq!(check_condition("size(tasks) > 0", "/if").unwrap_err().code, "unknown_value");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,80}", asked in r"\$\{\{ ?[a-z.0-9()]{0,20} ?\}\}") {
            for text in [text, asked] {
                let inputs = map(json!({"a": text}));
                if check(&inputs).is_ok() {
                    let _ = fill(&inputs, &json!({"kind": "agent.lost"}));
                }
                let _ = condition(inputs["a"].as_str().unwrap_or_default(), &json!({}));
            }
        }
    }
}

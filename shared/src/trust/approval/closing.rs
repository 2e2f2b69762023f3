//! From an open leaf (with `inputs.*`) to the closed one of a mission: what an agent does itself before it believes
//! that work falls under a standing approval.
//!
//! It knows no CEL. So `${{ inputs.name }}` is all that may stand for an input, alone or within text; an expression
//! that names no input stays as it is and is checked as in any other plan.

mod names;

use serde_json::{Map, Value};

use crate::expression::{self, Piece, Unclosed};
use crate::plan::{TaskDraft, TaskSpec};

/// Why an open leaf cannot be closed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenLeafError {
    #[error("a parameter cannot be taken apart")]
    Unclosed(#[from] Unclosed),
    #[error("the input `{0}` is not given")]
    Missing(String),
    #[error("the input `{0}` holds an expression of its own, which nobody approved")]
    Expression(String),
    #[error("`{0}` does more with an input than put it in; only `inputs.name` can be checked by an agent")]
    Complex(String),
    #[error("a text holds both inputs and run-time values, which cannot be checked apart")]
    Mixed,
}

/// The leaf with every `${{ inputs.name }}` in `with` replaced: a whole string by the value, within text by its text
/// (strings as they are, others as JSON). In `if`, `for_each.in` and `verify`, `inputs.name` becomes a literal.
///
/// Work is covered if this equals, in canonical form, the leaf of its own plan.
pub fn close(open: &TaskSpec, inputs: &Map<String, Value>) -> Result<TaskSpec, OpenLeafError> {
    let mut closed = open.clone();
    let TaskSpec { with, condition, for_each, verify, .. } = &mut closed;
    close_parameters(with, inputs)?;
    let list = for_each.as_mut().map(|each| &mut each.list);
    close_expressions([condition.as_mut(), list, verify.as_mut()], inputs)?;
    Ok(closed)
}

/// The same for a task as it is written in a playbook.
pub fn close_draft(open: &TaskDraft, inputs: &Map<String, Value>) -> Result<TaskDraft, OpenLeafError> {
    let mut closed = open.clone();
    let TaskDraft { with, condition, for_each, verify, .. } = &mut closed;
    close_parameters(with, inputs)?;
    let list = for_each.as_mut().map(|each| &mut each.list);
    close_expressions([condition.as_mut(), list, verify.as_mut()], inputs)?;
    Ok(closed)
}

/// Text with every `${{ inputs.name }}` replaced by the input's text.
pub fn close_line(text: &str, inputs: &Map<String, Value>) -> Result<String, OpenLeafError> {
    Ok(match close_text(text, inputs)? {
        None => text.to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    })
}

fn close_parameters(with: &mut Map<String, Value>, inputs: &Map<String, Value>) -> Result<(), OpenLeafError> {
    with.values_mut().try_for_each(|value| close_value(value, inputs))
}

fn close_expressions(
    expressions: [Option<&mut String>; 3],
    inputs: &Map<String, Value>,
) -> Result<(), OpenLeafError> {
    for expression in expressions.into_iter().flatten() {
        *expression = names::replace(expression, inputs)?;
    }
    Ok(())
}

fn close_value(value: &mut Value, inputs: &Map<String, Value>) -> Result<(), OpenLeafError> {
    match value {
        Value::String(text) => {
            if let Some(closed) = close_text(text, inputs)? {
                *value = closed;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| close_value(item, inputs)),
        Value::Object(fields) => fields.values_mut().try_for_each(|field| close_value(field, inputs)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn close_text(text: &str, inputs: &Map<String, Value>) -> Result<Option<Value>, OpenLeafError> {
    let pieces = expression::pieces(text)?;
    if let [Piece::Expression(source)] = pieces.as_slice() {
        return Ok(input(source, inputs)?.cloned());
    }
    let (mut closed, mut given, mut left) = (String::new(), 0, 0);
    for piece in pieces {
        match piece {
            Piece::Text(text) => closed.push_str(text),
            Piece::Expression(source) => match input(source, inputs)? {
                Some(Value::String(text)) => {
                    closed.push_str(text);
                    given += 1;
                }
                Some(other) => {
                    closed.push_str(&other.to_string());
                    given += 1;
                }
                None => left += 1,
            },
        }
    }
    match (given, left) {
        (0, _) => Ok(None),
        (_, 0) if closed.contains("${{") => Err(OpenLeafError::Mixed),
        (_, 0) => Ok(Some(Value::String(closed))),
        _ => Err(OpenLeafError::Mixed),
    }
}

/// The value of an expression that is exactly `inputs.name`; nothing for one that names no input.
fn input<'a>(source: &str, inputs: &'a Map<String, Value>) -> Result<Option<&'a Value>, OpenLeafError> {
    let shown = || source.chars().take(80).collect::<String>();
    let Some(name) = source.strip_prefix("inputs.") else {
        return if source.contains("inputs") { Err(OpenLeafError::Complex(shown())) } else { Ok(None) };
    };
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if !is_name {
        return Err(OpenLeafError::Complex(shown()));
    }
    let value = inputs.get(name).ok_or_else(|| OpenLeafError::Missing(shown()))?;
    if holds_expression(value) { Err(OpenLeafError::Expression(shown())) } else { Ok(Some(value)) }
}

/// Field names count too: what is put in must not become a template anywhere.
fn holds_expression(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, v)| key.contains("${{") || holds_expression(v)),
        Value::Array(items) => items.iter().any(holds_expression),
        other => expression::is_open(other),
    }
}

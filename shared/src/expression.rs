//! Finding `${{ … }}` in parameters. What stands inside is CEL, evaluated elsewhere; this module only takes apart.
//!
//! Both sides need it: the coordinator to evaluate, the agent to check that everything outside is as planned.

use serde_json::Value;

/// A piece of a string parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    /// The CEL source between `${{` and `}}`, trimmed.
    Expression(&'a str),
}

/// Why a template cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`${{{{` at byte {0} has no closing `}}}}`")]
pub struct Unclosed(pub usize);

/// Takes a string apart. A string without `${{` is one `Text`.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Unclosed> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("${{").map(|offset| at + offset) {
        let end = text[start..].find("}}").map(|offset| start + offset).ok_or(Unclosed(start))?;
        if start > at {
            pieces.push(Piece::Text(&text[at..start]));
        }
        pieces.push(Piece::Expression(text[start + 3..end].trim()));
        at = end + 2;
    }
    if at < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[at..]));
    }
    Ok(pieces)
}

/// Whether any string in `value` holds an expression.
pub fn is_open(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${{"),
        Value::Array(items) => items.iter().any(is_open),
        Value::Object(fields) => fields.values().any(is_open),
        _ => false,
    }
}

/// Whether `evaluated` equals `planned` everywhere outside expressions: the agent's check.
///
/// A string that is one whole expression may have become any value; a string with text around expressions must still
/// be a string that begins, continues and ends with that text.
pub fn agrees(planned: &Value, evaluated: &Value) -> bool {
    match (planned, evaluated) {
        (Value::String(template), found) if template.contains("${{") => match pieces(template) {
            Ok(pieces) if matches!(pieces.as_slice(), [Piece::Expression(_)]) => true,
            Ok(pieces) => found.as_str().is_some_and(|text| text_agrees(&pieces, text)),
            Err(_) => false,
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| agrees(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(key).is_some_and(|r| agrees(l, r)))
        }
        (left, right) => left == right,
    }
}

fn text_agrees(pieces: &[Piece<'_>], text: &str) -> bool {
    let mut rest = text;
    let mut free = false;
    for (position, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Expression(_) => free = true,
            Piece::Text(wanted) if !free => match rest.strip_prefix(wanted) {
                Some(tail) => rest = tail,
                None => return false,
            },
            Piece::Text(wanted) if position + 1 == pieces.len() => return rest.ends_with(wanted),
            Piece::Text(wanted) => match rest.find(wanted) {
                Some(found) => {
                    rest = &rest[found + wanted.len()..];
                    free = false;
                }
                None => return false,
            },
        }
    }
    free || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn text_around_expressions_is_held() {
        let planned = json!({"a": "x ${{ 1 }} y", "b": "${{ 2 }}", "c": 3});
        assert!(agrees(&planned, &json!({"a": "x 1 y", "b": [1, 2], "c": 3})));
        assert!(!agrees(&planned, &json!({"a": "z 1 y", "b": 2, "c": 3})));
        assert!(!agrees(&planned, &json!({"a": "x 1 y", "b": 2, "c": 4})));
        assert!(!agrees(&planned, &json!({"a": "x 1 y", "b": 2, "c": 3, "d": 4})));
    }

    proptest! {
        #[test]
        fn taking_apart_never_panics(text in ".{0,200}") {
            let _ = pieces(&text);
        }

        #[test]
        fn plain_text_agrees_only_with_itself(a in "[a-z]{0,8}", b in "[a-z]{0,8}") {
            prop_assert_eq!(agrees(&json!(a), &json!(b)), a == b);
        }
    }
}

//! `${{ … }}` in parameters.

use nexusmon_shared::expression::{Piece, pieces};
use nexusmon_shared::plan::MAX_PARAMETER_BYTES;
use serde_json::{Map, Value};

use super::{Context, Expression, ExpressionError, References, value};

/// The parsed expressions of a `with`.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    /// JSON pointer beneath `with`, and each expression found there.
    pub found: Vec<(String, Expression)>,
}

impl Templates {
    /// Parses every expression in `with`; errors with the pointer beneath `with`.
    pub fn parse(with: &Map<String, Value>) -> Result<Self, Vec<(String, ExpressionError)>> {
        let mut templates = Self::default();
        let mut errors = Vec::new();
        for (key, value) in with {
            templates.collect(value, &mut format!("/{}", escape(key)), &mut errors);
        }
        if errors.is_empty() { Ok(templates) } else { Err(errors) }
    }

    fn collect(&mut self, value: &Value, pointer: &mut String, errors: &mut Vec<(String, ExpressionError)>) {
        let length = pointer.len();
        match value {
            Value::String(text) if text.contains("${{") => match pieces(text) {
                Err(_) => errors.push((pointer.clone(), ExpressionError::Unclosed)),
                Ok(pieces) => {
                    for piece in pieces {
                        let Piece::Expression(source) = piece else { continue };
                        match Expression::parse(source) {
                            Ok(expression) => self.found.push((pointer.clone(), expression)),
                            Err(error) => errors.push((pointer.clone(), error)),
                        }
                    }
                }
            },
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                    self.collect(item, pointer, errors);
                    pointer.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (key, item) in fields {
                    pointer.push('/');
                    pointer.push_str(&escape(key));
                    self.collect(item, pointer, errors);
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn references(&self) -> References {
        let mut all = References::default();
        for (_, expression) in &self.found {
            all.merge(expression.references());
        }
        all
    }
}

/// A key as a segment of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Evaluates every `${{ … }}` in `with`. A string that is one expression becomes whatever JSON it gives; in a string
/// with text around it values are written as text (strings as they are, others as JSON). Refused above
/// [`nexusmon_shared::plan::MAX_PARAMETER_BYTES`].
pub fn evaluate_with(
    with: &Map<String, Value>,
    context: &Context,
) -> Result<Map<String, Value>, ExpressionError> {
    let mut left = MAX_PARAMETER_BYTES;
    let mut evaluated = Map::new();
    for (key, value) in with {
        evaluated.insert(key.clone(), fill(value, context, &mut left)?);
    }
    let found = serde_json::to_vec(&evaluated).map_or(usize::MAX, |bytes| bytes.len());
    if found > MAX_PARAMETER_BYTES {
        return Err(ExpressionError::ParametersTooLarge { found, max: MAX_PARAMETER_BYTES });
    }
    Ok(evaluated)
}

/// `left`: bytes that evaluated values may still add, so that many large ones are not all made before they are counted.
fn fill(template: &Value, context: &Context, left: &mut usize) -> Result<Value, ExpressionError> {
    match template {
        Value::String(text) if text.contains("${{") => {
            let filled = fill_text(text, context)?;
            let size = usize::try_from(value::weight(&filled, value::MAX_VALUE_DEPTH)?).unwrap_or(usize::MAX);
            // Weight overstates small values; only what is far too large is refused here.
            match left.checked_mul(16).and_then(|most| most.checked_sub(size)) {
                Some(rest) => *left = rest / 16,
                None => {
                    return Err(ExpressionError::ParametersTooLarge {
                        found: size,
                        max: MAX_PARAMETER_BYTES,
                    });
                }
            }
            Ok(filled)
        }
        Value::Array(items) => {
            items.iter().map(|item| fill(item, context, left)).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(key, item)| Ok((key.clone(), fill(item, context, left)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object),
        closed => Ok(closed.clone()),
    }
}

fn fill_text(text: &str, context: &Context) -> Result<Value, ExpressionError> {
    let pieces = pieces(text).map_err(|_| ExpressionError::Unclosed)?;
    if let [Piece::Expression(source)] = pieces.as_slice() {
        return Expression::parse(source)?.evaluate(context);
    }
    let mut filled = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Expression(source) => {
                filled.push_str(&value::text(&Expression::parse(source)?.evaluate(context)?));
            }
        }
    }
    Ok(Value::String(filled))
}

//! `${{ … }}` in parameters.

use serde_json::{Map, Value};

use super::{Context, Expression, ExpressionError, References};

/// The parsed expressions of a `with`.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    /// JSON pointer beneath `with`, and each expression found there.
    pub found: Vec<(String, Expression)>,
}

impl Templates {
    /// Parses every expression in `with`; errors with the pointer beneath `with`.
    pub fn parse(with: &Map<String, Value>) -> Result<Self, Vec<(String, ExpressionError)>> {
        let _ = with;
        todo!()
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

/// Evaluates every `${{ … }}` in `with`. A string that is one expression becomes whatever JSON it gives; in a string
/// with text around it values are written as text (strings as they are, others as JSON). Refused above
/// [`nexusmon_shared::plan::MAX_PARAMETER_BYTES`].
pub fn evaluate_with(
    with: &Map<String, Value>,
    context: &Context,
) -> Result<Map<String, Value>, ExpressionError> {
    let _ = (with, context);
    todo!()
}

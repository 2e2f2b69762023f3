//! Source to tree.

use super::ExpressionError;

pub(super) fn parse(source: &str) -> Result<cel::IdedExpr, ExpressionError> {
    let _ = source;
    todo!()
}

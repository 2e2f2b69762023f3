//! What a parsed tree may hold: known functions, the comprehensions macros make, a bounded depth.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

use super::ExpressionError;
use super::comprehension::Comprehension;
use super::functions::Function;

/// Walks the tree once. The tree's depth is bounded by the parser's bounds; this makes it a promise.
pub(super) fn check(tree: &IdedExpr, depth: usize) -> Result<(), ExpressionError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(ExpressionError::TooDeep) };
    let unsupported = |what: &str| Err(ExpressionError::Evaluation(format!("{what} are not supported")));
    match &tree.expr {
        Expr::Unspecified => Err(ExpressionError::Evaluation("the expression has a hole".to_owned())),
        Expr::Literal(LiteralValue::Bytes(_)) => unsupported("byte literals"),
        Expr::Literal(_) | Expr::Ident(_) => Ok(()),
        Expr::Select(select) => check(&select.operand, depth),
        Expr::List(list) => list.elements.iter().try_for_each(|element| check(element, depth)),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => check(&entry.key, depth).and_then(|()| check(&entry.value, depth)),
            EntryExpr::StructField(_) => unsupported("message fields"),
        }),
        Expr::Call(call) => {
            Function::find(&call.func_name, call.target.is_some(), call.args.len())?;
            if let Some(target) = &call.target {
                check(target, depth)?;
            }
            call.args.iter().try_for_each(|argument| check(argument, depth))
        }
        Expr::Comprehension(comprehension) => {
            let Some(found) = Comprehension::of(comprehension) else { return unsupported("such loops") };
            check(found.range, depth)?;
            found.filter.into_iter().chain(found.body).try_for_each(|inner| check(inner, depth))
        }
        Expr::Struct(_) => unsupported("messages"),
    }
}

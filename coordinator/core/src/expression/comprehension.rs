//! The loops of CEL's macros, taken back from the folds the parser expands them to.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};

/// Which macro it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loop {
    All,
    Exists,
    ExistsOne,
    /// `map`, with or without its filter; `filter` where there is no body.
    Map,
}

/// A loop as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comprehension<'t> {
    pub(super) kind: Loop,
    pub(super) range: &'t IdedExpr,
    pub(super) variable: &'t str,
    /// What an element must meet to be kept.
    pub(super) filter: Option<&'t IdedExpr>,
    /// What is asked of, or made from, each element; `None`: the element itself.
    pub(super) body: Option<&'t IdedExpr>,
}

impl<'t> Comprehension<'t> {
    /// `None` for a fold no standard macro makes.
    pub(super) fn of(fold: &'t ComprehensionExpr) -> Option<Self> {
        let (range, variable) = (&fold.iter_range, fold.iter_var.as_str());
        let asks = |kind, body| Some(Self { kind, range, variable, filter: None, body: Some(body) });
        let Expr::Call(step) = &fold.loop_step.expr else { return None };
        match (&fold.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, body]) => {
                asks(Loop::Exists, body)
            }
            (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, body]) => {
                asks(Loop::All, body)
            }
            (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [body, _, _]) => {
                asks(Loop::ExistsOne, body)
            }
            (Expr::List(_), operators::ADD, _) => asks(Loop::Map, appended(step)?),
            (Expr::List(_), operators::CONDITIONAL, [filter, kept, _]) => {
                let Expr::Call(kept) = &kept.expr else { return None };
                let body = appended(kept)?;
                let itself = matches!(&body.expr, Expr::Ident(name) if name == variable);
                let body = (!itself).then_some(body);
                Some(Self { kind: Loop::Map, range, variable, filter: Some(filter), body })
            }
            _ => None,
        }
    }
}

/// The `x` of `accumulated + [x]`.
fn appended(call: &CallExpr) -> Option<&IdedExpr> {
    match call.args.as_slice() {
        [_, IdedExpr { expr: Expr::List(list), .. }] if call.func_name == operators::ADD => {
            list.elements.first()
        }
        _ => None,
    }
}

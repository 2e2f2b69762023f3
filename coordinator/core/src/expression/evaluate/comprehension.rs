//! `all`, `exists`, `exists_one`, `map` and `filter` over lists and, by their keys, objects.

use std::borrow::Cow;

use cel::common::ast::{CallExpr, Expr};
use serde_json::Value;

use super::super::functions::Function;
use super::super::value::kind;
use super::calls::boolean;
use super::{Answer, Evaluator, Scope, is_limit, refuse};

impl Evaluator<'_> {
    pub(super) fn comprehension<'s>(
        &'s self,
        function: Function,
        call: &'s CallExpr,
        scope: Option<&'s Scope<'s>>,
    ) -> Answer<'s> {
        let Some(range) = call.target.as_deref() else { return Err(refuse("this needs a list before the dot")) };
        let (Some(Expr::Ident(name)), Some(body)) = (call.args.first().map(|arg| &arg.expr), call.args.last())
        else {
            return Err(refuse("this takes a name and an expression"));
        };
        // `map` may carry a filter between the name and the body.
        let filter = (call.args.len() == 3).then(|| &call.args[1]);
        let range = self.eval(range, scope)?;
        let keys;
        let items: &[Value] = match range.as_ref() {
            Value::Array(items) => items,
            Value::Object(fields) => {
                keys = fields.keys().map(|key| Value::String(key.clone())).collect::<Vec<_>>();
                self.make(keys.len() as u64 * 64)?;
                &keys
            }
            other => return Err(refuse(format!("only lists and objects can be gone through, not {}", kind(other)))),
        };
        let mut made = Vec::new();
        let mut held = 0_u64;
        let mut failed = None;
        for item in items {
            self.iterate()?;
            let inner = Scope { name, value: item, outer: scope };
            // The inner scope ends with this round, so what comes out of it is decided or copied here.
            match function {
                Function::Map => {
                    if let Some(filter) = filter
                        && !boolean(self.eval_in(filter, &inner)?.as_ref())?
                    {
                        continue;
                    }
                    let item = self.eval_in(body, &inner)?;
                    made.push(self.copy(item)?);
                }
                Function::Filter => {
                    if boolean(self.eval_in(body, &inner)?.as_ref())? {
                        made.push(self.copy(Cow::Borrowed(item))?);
                    }
                }
                Function::ExistsOne => held += u64::from(boolean(self.eval_in(body, &inner)?.as_ref())?),
                _ => {
                    let deciding = function == Function::Exists;
                    match self.eval_in(body, &inner).and_then(|answer| boolean(&answer)) {
                        Ok(answer) if answer == deciding => return Ok(Cow::Owned(Value::Bool(deciding))),
                        Ok(_) => {}
                        Err(error) if is_limit(&error) => return Err(error),
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(Cow::Owned(match function {
            Function::Map | Function::Filter => Value::Array(made),
            Function::ExistsOne => Value::Bool(held == 1),
            _ => Value::Bool(function == Function::All),
        }))
    }

    fn eval_in<'i>(&'i self, tree: &'i cel::IdedExpr, scope: &'i Scope<'i>) -> Answer<'i> {
        self.eval(tree, Some(scope))
    }
}

//! `all`, `exists`, `exists_one`, `map` and `filter` over lists and, by their keys, objects.

use std::borrow::Cow;

use cel::IdedExpr;
use serde_json::Value;

use super::super::comprehension::{Comprehension, Loop};
use super::super::value::kind;
use super::calls::boolean;
use super::{Answer, Evaluator, Scope, is_limit, refuse};
use crate::expression::ExpressionError;

impl Evaluator<'_> {
    pub(super) fn comprehension<'s>(
        &'s self,
        comprehension: Comprehension<'s>,
        scope: Option<&'s Scope<'s>>,
    ) -> Answer<'s> {
        let range = self.eval(comprehension.range, scope)?;
        let keys;
        let items: &[Value] = match range.as_ref() {
            Value::Array(items) => items,
            Value::Object(fields) => {
                keys = fields.keys().map(|key| Value::String(key.clone())).collect::<Vec<_>>();
                self.make(keys.len() as u64 * 64)?;
                &keys
            }
            other => {
                return Err(refuse(format!(
                    "only lists and objects can be gone through, not {}",
                    kind(other)
                )));
            }
        };
        let answer = match comprehension.kind {
            Loop::Map => self.collect(comprehension, items, scope).map(Value::Array),
            Loop::ExistsOne => self.count(comprehension, items, scope).map(|held| Value::Bool(held == 1)),
            Loop::Exists => self.quantify(comprehension, items, scope, true).map(Value::Bool),
            Loop::All => self.quantify(comprehension, items, scope, false).map(Value::Bool),
        };
        answer.map(Cow::Owned)
    }

    /// What comes out of a round is decided or copied before its scope ends.
    fn asks<'o>(
        &self,
        question: Option<&'o IdedExpr>,
        variable: &'o str,
        item: &'o Value,
        outer: Option<&'o Scope<'o>>,
    ) -> Result<bool, ExpressionError> {
        let Some(question) = question else { return Ok(true) };
        let inner = Scope { name: variable, value: item, outer };
        boolean(self.eval_in(question, &inner)?.as_ref())
    }

    fn collect<'s>(
        &'s self,
        of: Comprehension<'s>,
        items: &[Value],
        outer: Option<&Scope<'_>>,
    ) -> Result<Vec<Value>, ExpressionError> {
        let mut made = Vec::new();
        for item in items {
            self.iterate()?;
            if !self.asks(of.filter, of.variable, item, outer)? {
                continue;
            }
            let Some(body) = of.body else {
                made.push(self.copy(Cow::Borrowed(item))?);
                continue;
            };
            let inner = Scope { name: of.variable, value: item, outer };
            made.push(self.copy(self.eval_in(body, &inner)?)?);
        }
        Ok(made)
    }

    fn count(
        &self,
        of: Comprehension<'_>,
        items: &[Value],
        outer: Option<&Scope<'_>>,
    ) -> Result<u64, ExpressionError> {
        let mut held = 0;
        for item in items {
            self.iterate()?;
            held += u64::from(self.asks(of.body, of.variable, item, outer)?);
        }
        Ok(held)
    }

    /// One deciding element decides, whatever errors the others make.
    fn quantify(
        &self,
        of: Comprehension<'_>,
        items: &[Value],
        outer: Option<&Scope<'_>>,
        deciding: bool,
    ) -> Result<bool, ExpressionError> {
        let mut failed = None;
        for item in items {
            self.iterate()?;
            match self.asks(of.body, of.variable, item, outer) {
                Ok(answer) if answer == deciding => return Ok(deciding),
                Ok(_) => {}
                Err(error) if is_limit(&error) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(!deciding), Err)
    }

    fn eval_in<'i>(&'i self, tree: &'i IdedExpr, scope: &'i Scope<'i>) -> Answer<'i> {
        self.eval(tree, Some(scope))
    }
}

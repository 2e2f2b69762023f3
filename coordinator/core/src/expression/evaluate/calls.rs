//! Operators and functions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::LazyLock;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, SelectExpr};
use cel::parser::PrattParser;
use serde_json::Value;

use super::super::ExpressionError;
use super::super::functions::{Arithmetic, Comparison, Function};
use super::super::value::{self, kind};
use super::{Answer, Evaluator, Scope, element, is_limit, refuse};

impl Evaluator<'_> {
    pub(super) fn call<'s>(&'s self, call: &'s CallExpr, scope: Option<&'s Scope<'s>>) -> Answer<'s> {
        let function = Function::find(&call.func_name, call.target.is_some(), call.args.len())?;
        // The operand a function is about: its target, or its first argument.
        let operands = || call.target.as_deref().into_iter().chain(&call.args);
        let operand = |place: usize| operands().nth(place).ok_or_else(|| refuse("an argument is missing"));
        let nth = |place: usize| self.eval(operand(place)?, scope);
        match function {
            Function::Conditional => {
                if boolean(nth(0)?.as_ref())? {
                    nth(1)
                } else {
                    nth(2)
                }
            }
            Function::And => self.logical(&call.args, scope, false),
            Function::Or => self.logical(&call.args, scope, true),
            Function::Not => Ok(owned(!boolean(nth(0)?.as_ref())?)),
            Function::Negate => match nth(0)?.as_ref() {
                Value::Number(number) => match value::whole(number) {
                    Some(whole) => value::from_whole(-whole).map(Cow::Owned),
                    None => value::from_decimal(-number.as_f64().unwrap_or_default()).map(Cow::Owned),
                },
                other => Err(refuse(format!("`-` needs a number, not {}", kind(other)))),
            },
            Function::Index => {
                let index = nth(1)?;
                element(nth(0)?, &index)
            }
            Function::In => self.contained(nth(0)?.as_ref(), nth(1)?.as_ref()).map(owned),
            Function::Arithmetic(operator) => self.arithmetic(operator, nth(0)?, nth(1)?),
            Function::Compare(comparison) => {
                self.compare(comparison, nth(0)?.as_ref(), nth(1)?.as_ref()).map(owned)
            }
            Function::Size => match nth(0)?.as_ref() {
                Value::String(text) => {
                    self.pay(text.len() as u64 / 64)?;
                    Ok(Cow::Owned(Value::from(text.chars().count())))
                }
                Value::Array(items) => Ok(Cow::Owned(Value::from(items.len()))),
                Value::Object(fields) => Ok(Cow::Owned(Value::from(fields.len()))),
                other => {
                    Err(refuse(format!("size(…) needs a text, a list or an object, not {}", kind(other))))
                }
            },
            Function::Contains | Function::StartsWith | Function::EndsWith | Function::Matches => {
                self.textual(function, nth(0)?.as_ref(), nth(1)?.as_ref()).map(owned)
            }
            Function::ToInt | Function::ToDouble | Function::ToText | Function::ToBool => {
                let converted = convert(function, nth(0)?.as_ref())?;
                self.make(value::weight(&converted, value::MAX_VALUE_DEPTH)?)?;
                Ok(Cow::Owned(converted))
            }
        }
    }

    /// `&&` and `||` as CEL has them: the deciding answer wins over an error on the other side.
    fn logical<'s>(
        &'s self,
        arguments: &'s [IdedExpr],
        scope: Option<&'s Scope<'s>>,
        deciding: bool,
    ) -> Answer<'s> {
        let mut failed = None;
        for argument in arguments {
            match self.eval(argument, scope).and_then(|answer| boolean(&answer)) {
                Ok(answer) if answer == deciding => return Ok(owned(deciding)),
                Ok(_) => {}
                Err(error) if is_limit(&error) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(owned(!deciding)), Err)
    }

    pub(super) fn has<'s>(&'s self, select: &'s SelectExpr, scope: Option<&'s Scope<'s>>) -> Answer<'s> {
        match self.eval(&select.operand, scope)?.as_ref() {
            Value::Object(fields) => Ok(owned(fields.contains_key(&select.field))),
            other => Err(refuse(format!("has(…) needs an object, not {}", kind(other)))),
        }
    }

    fn contained(&self, item: &Value, of: &Value) -> Result<bool, ExpressionError> {
        match (item, of) {
            (item, Value::Array(items)) => {
                for candidate in items {
                    if self.same(item, candidate)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Value::String(key), Value::Object(fields)) => Ok(fields.contains_key(key)),
            (item, of) => Err(refuse(format!("`in` does not look for {} in {}", kind(item), kind(of)))),
        }
    }

    fn same(&self, left: &Value, right: &Value) -> Result<bool, ExpressionError> {
        let mut steps = 0;
        let same = value::equal(left, right, &mut steps);
        self.pay(steps)?;
        Ok(same)
    }

    fn arithmetic<'s>(
        &self,
        operator: Arithmetic,
        left: Cow<'s, Value>,
        right: Cow<'s, Value>,
    ) -> Answer<'s> {
        match (operator, left.as_ref(), right.as_ref()) {
            (_, Value::Number(l), Value::Number(r)) => value::arithmetic(operator, l, r).map(Cow::Owned),
            (Arithmetic::Add, Value::String(l), Value::String(r)) => {
                self.make((l.len() + r.len()) as u64)?;
                Ok(Cow::Owned(Value::String(format!("{l}{r}"))))
            }
            (Arithmetic::Add, Value::Array(_), Value::Array(_)) => {
                let mut joined = self.copy(left)?;
                let more = self.copy(right)?;
                if let (Value::Array(items), Value::Array(more)) = (&mut joined, more) {
                    items.extend(more);
                }
                Ok(Cow::Owned(joined))
            }
            (_, l, r) => Err(refuse(format!("{} and {} cannot be calculated with", kind(l), kind(r)))),
        }
    }

    fn compare(&self, comparison: Comparison, left: &Value, right: &Value) -> Result<bool, ExpressionError> {
        let order = match (comparison, left, right) {
            (Comparison::Equal, _, _) => return self.same(left, right),
            (Comparison::NotEqual, _, _) => return self.same(left, right).map(|same| !same),
            (_, Value::Number(l), Value::Number(r)) => value::order(l, r),
            (_, Value::String(l), Value::String(r)) => {
                self.pay(l.len().min(r.len()) as u64 / 64)?;
                Some(l.cmp(r))
            }
            (_, Value::Bool(l), Value::Bool(r)) => Some(l.cmp(r)),
            (_, l, r) => return Err(refuse(format!("{} and {} have no order", kind(l), kind(r)))),
        };
        let order = order.ok_or_else(|| refuse("these numbers have no order"))?;
        Ok(match comparison {
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::GreaterOrEqual => order != Ordering::Less,
            Comparison::Equal => order == Ordering::Equal,
            Comparison::NotEqual => order != Ordering::Equal,
        })
    }

    fn textual(&self, function: Function, text: &Value, wanted: &Value) -> Result<bool, ExpressionError> {
        let (Value::String(text), Value::String(wanted)) = (text, wanted) else {
            return Err(refuse(format!("this needs two texts, not {} and {}", kind(text), kind(wanted))));
        };
        self.pay((text.len() + wanted.len()) as u64 / 16)?;
        match function {
            Function::Contains => Ok(text.contains(wanted.as_str())),
            Function::StartsWith => Ok(text.starts_with(wanted.as_str())),
            Function::EndsWith => Ok(text.ends_with(wanted.as_str())),
            _ => self.matches(text, wanted),
        }
    }

    /// Regular expressions are the `cel` crate's, without backtracking. A pattern is compiled for each call, which is
    /// dear: it costs as many steps.
    fn matches(&self, text: &str, pattern: &str) -> Result<bool, ExpressionError> {
        static CALL: LazyLock<Option<IdedExpr>> =
            LazyLock::new(|| PrattParser::new().parse("text.matches(pattern)").ok());
        const MAX_PATTERN: usize = 256;
        if pattern.len() > MAX_PATTERN {
            return Err(refuse(format!("a pattern may have {MAX_PATTERN} bytes at most")));
        }
        self.pay(10_000)?;
        let mut context = cel::Context::default();
        context.add_variable_from_value("text", text.to_owned());
        context.add_variable_from_value("pattern", pattern.to_owned());
        let call = CALL.as_ref().ok_or_else(|| refuse("patterns are not supported"))?;
        match cel::Value::resolve(call, &context) {
            Ok(cel::Value::Bool(answer)) => Ok(answer),
            _ => Err(refuse(format!("`{pattern}` is not a regular expression"))),
        }
    }
}

fn owned<'s>(answer: bool) -> Cow<'s, Value> {
    Cow::Owned(Value::Bool(answer))
}

pub(super) fn boolean(value: &Value) -> Result<bool, ExpressionError> {
    match value {
        Value::Bool(answer) => Ok(*answer),
        other => Err(refuse(format!("expected true or false, found {}", kind(other)))),
    }
}

fn convert(function: Function, from: &Value) -> Result<Value, ExpressionError> {
    let cannot = || {
        let shown: String = value::text(from).chars().take(40).collect();
        refuse(format!("{} `{shown}` cannot be converted", kind(from)))
    };
    match (function, from) {
        (Function::ToText, Value::String(_) | Value::Bool(_) | Value::Number(_)) => {
            Ok(Value::String(value::text(from)))
        }
        (Function::ToBool, Value::Bool(_)) => Ok(from.clone()),
        (Function::ToBool, Value::String(text)) => match text.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(cannot()),
        },
        (Function::ToInt, Value::Number(number)) => match value::whole(number) {
            Some(_) => Ok(from.clone()),
            None => truncated(number.as_f64().unwrap_or(f64::NAN)).ok_or_else(cannot),
        },
        (Function::ToInt, Value::String(text)) => text.parse::<i64>().map(Value::from).map_err(|_| cannot()),
        (Function::ToDouble, Value::Number(number)) => {
            value::from_decimal(number.as_f64().unwrap_or(f64::NAN))
        }
        (Function::ToDouble, Value::String(text)) => {
            text.parse::<f64>().map_err(|_| cannot()).and_then(value::from_decimal)
        }
        _ => Err(cannot()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to lie within the range first")]
fn truncated(number: f64) -> Option<Value> {
    (number.abs() < 9.2e18).then(|| Value::from(number.trunc() as i64))
}

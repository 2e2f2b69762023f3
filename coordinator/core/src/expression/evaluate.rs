//! The bounded evaluator over the parsed tree. Everything costs: a step per node and iteration, bytes for what is made.

mod calls;
mod rounds;

use std::borrow::Cow;
use std::cell::Cell;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use serde_json::{Map, Value};

use super::comprehension::Comprehension;
use super::value::{self, MAX_VALUE_DEPTH};
use super::{ExpressionError, MAX_ITERATIONS, MAX_MADE_BYTES, MAX_STEPS};

type Answer<'s> = Result<Cow<'s, Value>, ExpressionError>;

/// Evaluates a checked tree.
pub(super) fn evaluate(tree: &IdedExpr, variables: &Map<String, Value>) -> Result<Value, ExpressionError> {
    let evaluator =
        Evaluator { variables, steps: Cell::new(0), iterations: Cell::new(0), made: Cell::new(0) };
    let answer = evaluator.eval(tree, None)?;
    value::weight(&answer, MAX_VALUE_DEPTH)?;
    Ok(answer.into_owned())
}

/// A comprehension's variable, and those around it.
struct Scope<'s> {
    name: &'s str,
    value: &'s Value,
    outer: Option<&'s Scope<'s>>,
}

struct Evaluator<'e> {
    variables: &'e Map<String, Value>,
    steps: Cell<u64>,
    iterations: Cell<u64>,
    made: Cell<u64>,
}

fn refuse(message: impl Into<String>) -> ExpressionError {
    ExpressionError::Evaluation(message.into())
}

/// A limit was reached: never absorbed by `&&`, `||` or a comprehension.
fn is_limit(error: &ExpressionError) -> bool {
    matches!(error, ExpressionError::TooManySteps | ExpressionError::TooBig | ExpressionError::TooDeep)
}

impl Evaluator<'_> {
    fn pay(&self, steps: u64) -> Result<(), ExpressionError> {
        let total = self.steps.get().saturating_add(steps);
        self.steps.set(total);
        if total > MAX_STEPS { Err(ExpressionError::TooManySteps) } else { Ok(()) }
    }

    fn iterate(&self) -> Result<(), ExpressionError> {
        let total = self.iterations.get() + 1;
        self.iterations.set(total);
        if total > MAX_ITERATIONS { Err(ExpressionError::TooManySteps) } else { self.pay(1) }
    }

    fn make(&self, bytes: u64) -> Result<(), ExpressionError> {
        let total = self.made.get().saturating_add(bytes);
        self.made.set(total);
        if total > MAX_MADE_BYTES { Err(ExpressionError::TooBig) } else { Ok(()) }
    }

    /// Pays for a copy of `value`, then makes it.
    fn copy(&self, value: Cow<'_, Value>) -> Result<Value, ExpressionError> {
        self.make(value::weight(&value, MAX_VALUE_DEPTH)?)?;
        Ok(value.into_owned())
    }

    fn eval<'s>(&'s self, tree: &'s IdedExpr, scope: Option<&'s Scope<'s>>) -> Answer<'s> {
        self.pay(1)?;
        match &tree.expr {
            Expr::Literal(literal) => literal_value(literal).map(Cow::Owned),
            Expr::Ident(name) => self.variable(name, scope).map(Cow::Borrowed),
            Expr::Select(select) if select.test => self.has(select, scope),
            Expr::Select(select) => {
                let operand = self.eval(&select.operand, scope)?;
                field(operand, &select.field)
            }
            Expr::List(list) => {
                let mut items = Vec::with_capacity(list.elements.len());
                for element in &list.elements {
                    let item = self.eval(element, scope)?;
                    items.push(self.copy(item)?);
                }
                Ok(Cow::Owned(Value::Array(items)))
            }
            Expr::Map(map) => {
                let mut fields = Map::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(refuse("message fields are not supported"));
                    };
                    let key = match self.eval(&entry.key, scope)?.as_ref() {
                        Value::String(key) => key.clone(),
                        other => {
                            return Err(refuse(format!("a key must be a text, not {}", value::kind(other))));
                        }
                    };
                    let item = self.eval(&entry.value, scope)?;
                    let item = self.copy(item)?;
                    if fields.insert(key.clone(), item).is_some() {
                        return Err(refuse(format!("the key `{key}` stands twice")));
                    }
                }
                Ok(Cow::Owned(Value::Object(fields)))
            }
            Expr::Call(call) => self.call(call, scope),
            Expr::Comprehension(comprehension) => match Comprehension::of(comprehension) {
                Some(comprehension) => self.comprehension(comprehension, scope),
                None => Err(refuse("such loops are not supported")),
            },
            Expr::Struct(_) | Expr::Unspecified => Err(refuse("this is not supported")),
        }
    }

    fn variable<'s>(
        &'s self,
        name: &str,
        mut scope: Option<&'s Scope<'s>>,
    ) -> Result<&'s Value, ExpressionError> {
        while let Some(inner) = scope {
            if inner.name == name {
                return Ok(inner.value);
            }
            scope = inner.outer;
        }
        self.variables.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
            refuse(format!("there is no `{name}` here; known are {}", known.join(", ")))
        })
    }
}

fn literal_value(literal: &LiteralValue) -> Result<Value, ExpressionError> {
    match literal {
        LiteralValue::Boolean(inner) => Ok(Value::Bool(*inner.inner())),
        LiteralValue::Double(inner) => value::from_decimal(*inner.inner()),
        LiteralValue::Int(inner) => Ok(Value::from(*inner.inner())),
        LiteralValue::UInt(inner) => Ok(Value::from(*inner.inner())),
        LiteralValue::Null => Ok(Value::Null),
        LiteralValue::String(inner) => Ok(Value::from(inner.inner())),
        LiteralValue::Bytes(_) => Err(refuse("byte literals are not supported")),
    }
}

fn no_field(name: &str) -> ExpressionError {
    let shown: String = name.chars().take(64).collect();
    refuse(format!("there is no field `{shown}`"))
}

fn field<'s>(operand: Cow<'s, Value>, name: &str) -> Answer<'s> {
    match operand {
        Cow::Borrowed(Value::Object(fields)) => {
            fields.get(name).map(Cow::Borrowed).ok_or_else(|| no_field(name))
        }
        Cow::Owned(Value::Object(mut fields)) => {
            fields.remove(name).map(Cow::Owned).ok_or_else(|| no_field(name))
        }
        other => Err(refuse(format!("`.{name}` needs an object, not {}", value::kind(&other)))),
    }
}

fn element<'s>(operand: Cow<'s, Value>, index: &Value) -> Answer<'s> {
    match (operand, index) {
        (operand @ (Cow::Borrowed(Value::Object(_)) | Cow::Owned(Value::Object(_))), Value::String(name)) => {
            field(operand, name)
        }
        (Cow::Borrowed(Value::Array(items)), Value::Number(number)) => {
            let place = place(number, items.len())?;
            items.get(place).map(Cow::Borrowed).ok_or_else(|| refuse("the index is outside the list"))
        }
        (Cow::Owned(Value::Array(mut items)), Value::Number(number)) => {
            let place = place(number, items.len())?;
            Ok(Cow::Owned(items.swap_remove(place)))
        }
        (operand, index) => {
            Err(refuse(format!("{} has no element by {}", value::kind(&operand), value::kind(index))))
        }
    }
}

fn place(number: &serde_json::Number, length: usize) -> Result<usize, ExpressionError> {
    let place = value::whole(number).and_then(|whole| usize::try_from(whole).ok());
    place
        .filter(|place| *place < length)
        .ok_or_else(|| refuse(format!("the index {number} is outside the list of {length}")))
}

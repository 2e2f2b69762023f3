//! JSON values as CEL sees them: whole numbers stay whole, sizes and comparisons are paid for.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::ExpressionError;
use super::functions::Arithmetic;

/// The deepest value an expression may make or compare.
pub(super) const MAX_VALUE_DEPTH: usize = 160;

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Roughly the bytes a value takes, and whether it is too deep.
pub(super) fn weight(value: &Value, depth: usize) -> Result<u64, ExpressionError> {
    let Some(below) = depth.checked_sub(1) else { return Err(ExpressionError::TooDeep) };
    let inner = match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => {
            items.iter().try_fold(0, |sum: u64, item| Ok(sum.saturating_add(weight(item, below)?)))?
        }
        Value::Object(fields) => fields.iter().try_fold(0_u64, |sum, (key, item)| {
            Ok(sum.saturating_add(key.len() as u64).saturating_add(weight(item, below)?))
        })?,
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    Ok(inner.saturating_add(32))
}

/// CEL's equality over JSON: numbers by value whatever their kind, everything else by structure. `steps` counts what
/// was looked at.
pub(super) fn equal(left: &Value, right: &Value, steps: &mut u64) -> bool {
    *steps = steps.saturating_add(1);
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => order(l, r) == Some(Ordering::Equal),
        (Value::String(l), Value::String(r)) => {
            *steps = steps.saturating_add(l.len().min(r.len()) as u64 / 64);
            l == r
        }
        (Value::Array(l), Value::Array(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|(l, r)| equal(l, r, steps))
        }
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(key, l)| r.get(key).is_some_and(|r| equal(l, r, steps)))
        }
        (l, r) => l == r,
    }
}

/// Order of two numbers; `None` only with NaN, which JSON cannot hold.
pub(super) fn order(left: &Number, right: &Number) -> Option<Ordering> {
    match (whole(left), whole(right)) {
        (Some(l), Some(r)) => Some(l.cmp(&r)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A whole number without loss.
pub(super) fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// A whole number as JSON, where it fits 64 bits.
pub(super) fn from_whole(number: i128) -> Result<Value, ExpressionError> {
    i64::try_from(number)
        .map(Value::from)
        .or_else(|_| u64::try_from(number).map(Value::from))
        .map_err(|_| ExpressionError::Evaluation("the number does not fit 64 bits".to_owned()))
}

pub(super) fn from_decimal(number: f64) -> Result<Value, ExpressionError> {
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| ExpressionError::Evaluation("the number is not finite".to_owned()))
}

/// Arithmetic on two numbers of one kind, as CEL has it: whole with whole, decimal with decimal.
pub(super) fn arithmetic(
    operator: Arithmetic,
    left: &Number,
    right: &Number,
) -> Result<Value, ExpressionError> {
    let refuse = |message: &str| ExpressionError::Evaluation(message.to_owned());
    match (whole(left), whole(right)) {
        (Some(l), Some(r)) => {
            let result = match operator {
                Arithmetic::Add => l.checked_add(r),
                Arithmetic::Subtract => l.checked_sub(r),
                Arithmetic::Multiply => l.checked_mul(r),
                Arithmetic::Divide if r == 0 => return Err(refuse("division by zero")),
                Arithmetic::Modulo if r == 0 => return Err(refuse("remainder by zero")),
                Arithmetic::Divide => l.checked_div(r),
                Arithmetic::Modulo => l.checked_rem(r),
            };
            from_whole(result.ok_or_else(|| refuse("the number does not fit 64 bits"))?)
        }
        (None, None) => {
            let (Some(l), Some(r)) = (left.as_f64(), right.as_f64()) else {
                return Err(refuse("not a number"));
            };
            match operator {
                Arithmetic::Add => from_decimal(l + r),
                Arithmetic::Subtract => from_decimal(l - r),
                Arithmetic::Multiply => from_decimal(l * r),
                Arithmetic::Divide => from_decimal(l / r),
                Arithmetic::Modulo => Err(refuse("`%` takes whole numbers")),
            }
        }
        _ => Err(refuse("a whole and a decimal number do not mix: convert one with double(…) or int(…)")),
    }
}

/// A value as text: strings as they are, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

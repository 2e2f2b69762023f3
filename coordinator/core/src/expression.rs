//! CEL expressions of plans: `if`, `for_each`, `verify` and `${{ … }}` in parameters.
//!
//! The `cel` crate parses (with its macros); evaluation is our own, over JSON, since it must stop: every step and every
//! byte made is paid from a budget, so no expression runs away, and nothing in here panics. Knows nothing of plans.

mod check;
mod comprehension;
mod evaluate;
mod functions;
mod parse;
mod references;
pub(crate) mod template;
mod value;

use nexusmon_shared::task::TaskStatus;
use serde_json::{Map, Value};

pub use references::References;
pub use template::{Templates, evaluate_with};

/// The longest source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 4 * 1024;
/// The deepest expression tree.
pub const MAX_DEPTH: usize = 64;
/// Rounds of all comprehensions of one evaluation: where they nest, the product of their list sizes.
pub const MAX_ITERATIONS: u64 = 1_000_000;
/// Steps one evaluation may take: every node looked at is one.
pub const MAX_STEPS: u64 = 10_000_000;
/// Bytes (roughly) one evaluation may make: concatenations and lists built.
pub const MAX_MADE_BYTES: u64 = 16 * 1024 * 1024;

/// Why an expression cannot be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("the expression is {0} bytes long; at most {MAX_SOURCE_BYTES} are read")]
    TooLong(usize),
    #[error("the expression is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// With line and column, from 1.
    #[error("line {line}, column {column}: {message}")]
    Syntax { line: usize, column: usize, message: String },
    #[error("`${{{{` of an expression has no closing `}}}}`")]
    Unclosed,
    #[error("{0}")]
    Evaluation(String),
    #[error("the expression takes too long: at most {MAX_ITERATIONS} rounds and {MAX_STEPS} steps")]
    TooManySteps,
    #[error("the expression makes more than {MAX_MADE_BYTES} bytes")]
    TooBig,
    #[error("expected {expected}, found {found}")]
    WrongType { expected: &'static str, found: &'static str },
    #[error("the list has {found} elements; `max` is {max}")]
    ListTooLong { found: usize, max: usize },
    #[error(
        "the evaluated parameters are {found} bytes of JSON; at most {max} are sent: pass large data as an artifact"
    )]
    ParametersTooLarge { found: usize, max: usize },
}

/// What expressions see. Absent parts are undeclared names.
#[derive(Debug, Clone, Default)]
pub struct Context {
    variables: Map<String, Value>,
}

impl Context {
    /// For parameters, `if` and `for_each`: `inputs` of the mission, the `mission` itself, and what the `tasks` named
    /// came to.
    pub fn new(inputs: Map<String, Value>, mission: Map<String, Value>) -> Self {
        let mut variables = Map::new();
        variables.insert("inputs".to_owned(), Value::Object(inputs));
        variables.insert("mission".to_owned(), Value::Object(mission));
        variables.insert("tasks".to_owned(), Value::Object(Map::new()));
        Self { variables }
    }

    /// For `verify`: `outputs` and `exit_code`.
    pub fn of_outcome(outputs: Map<String, Value>, exit_code: i32) -> Self {
        let mut variables = Map::new();
        variables.insert("outputs".to_owned(), Value::Object(outputs));
        variables.insert("exit_code".to_owned(), Value::from(exit_code));
        Self { variables }
    }

    /// For triggers and follow-ups: what happened, as `event`.
    pub fn of_event(event: Value) -> Self {
        let mut variables = Map::new();
        variables.insert("event".to_owned(), event);
        Self { variables }
    }

    /// Adds `tasks.<id>`: its state and, where it succeeded, its outputs. `outputs` is an object, or for a `for_each`
    /// the list of its children's outputs in index order.
    pub fn task(&mut self, id: &str, status: TaskStatus, outputs: Option<Value>) {
        let mut task = Map::new();
        task.insert("state".to_owned(), Value::from(status.as_str()));
        task.insert("outputs".to_owned(), outputs.unwrap_or_else(|| Value::Object(Map::new())));
        if let Some(Value::Object(tasks)) = self.variables.get_mut("tasks") {
            tasks.insert(id.to_owned(), Value::Object(task));
        }
    }

    /// Adds `item` and `index` of a `for_each` child.
    pub fn item(&mut self, item: Value, index: u32) {
        self.variables.insert("item".to_owned(), item);
        self.variables.insert("index".to_owned(), Value::from(index));
    }
}

/// A parsed expression; evaluate it as often as wanted.
#[derive(Debug, Clone)]
pub struct Expression {
    source: String,
    tree: cel::IdedExpr,
}

impl Expression {
    /// Parses. Total: any text gives an answer, with the position of the first mistake.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        let tree = parse::parse(source)?;
        Ok(Self { source: source.to_owned(), tree })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Which tasks, outputs and variables it names, without evaluating.
    pub fn references(&self) -> References {
        References::of(&self.tree)
    }

    /// Evaluates to any JSON value.
    pub fn evaluate(&self, context: &Context) -> Result<Value, ExpressionError> {
        evaluate::evaluate(&self.tree, &context.variables)
    }

    /// Evaluates an `if` or `verify`.
    pub fn condition(&self, context: &Context) -> Result<bool, ExpressionError> {
        match self.evaluate(context)? {
            Value::Bool(answer) => Ok(answer),
            other => {
                Err(ExpressionError::WrongType { expected: "true or false", found: value::kind(&other) })
            }
        }
    }

    /// Evaluates the list of a `for_each`, refusing more than `max` elements.
    pub fn list(&self, context: &Context, max: usize) -> Result<Vec<Value>, ExpressionError> {
        match self.evaluate(context)? {
            Value::Array(items) if items.len() <= max => Ok(items),
            Value::Array(items) => Err(ExpressionError::ListTooLong { found: items.len(), max }),
            other => Err(ExpressionError::WrongType { expected: "a list", found: value::kind(&other) }),
        }
    }
}

/// Parses and evaluates a condition in one go.
pub fn evaluate_condition(source: &str, context: &Context) -> Result<bool, ExpressionError> {
    Expression::parse(source)?.condition(context)
}

/// Parses and evaluates a list in one go.
pub fn evaluate_list(source: &str, context: &Context, max: usize) -> Result<Vec<Value>, ExpressionError> {
    Expression::parse(source)?.list(context, max)
}

#[cfg(test)]
mod tests;

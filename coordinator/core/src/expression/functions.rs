//! The functions and operators of CEL that plans have: those of its standard library that make sense over JSON.

use cel::common::ast::operators;

use super::ExpressionError;

/// What a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Conditional,
    And,
    Or,
    Not,
    Negate,
    Index,
    In,
    Arithmetic(Arithmetic),
    Compare(Comparison),
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    ToInt,
    ToDouble,
    ToText,
    ToBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Function {
    /// The function of a call, by name, style and number of arguments.
    pub(super) fn find(name: &str, receiver: bool, arguments: usize) -> Result<Self, ExpressionError> {
        let found = match (name, receiver, arguments) {
            (operators::CONDITIONAL, false, 3) => Some(Self::Conditional),
            (operators::LOGICAL_AND, false, 2..) => Some(Self::And),
            (operators::LOGICAL_OR, false, 2..) => Some(Self::Or),
            (operators::LOGICAL_NOT, false, 1) => Some(Self::Not),
            (operators::NEGATE, false, 1) => Some(Self::Negate),
            (operators::INDEX, false, 2) => Some(Self::Index),
            (operators::IN, false, 2) => Some(Self::In),
            (operators::ADD, false, 2) => Some(Self::Arithmetic(Arithmetic::Add)),
            (operators::SUBSTRACT, false, 2) => Some(Self::Arithmetic(Arithmetic::Subtract)),
            (operators::MULTIPLY, false, 2) => Some(Self::Arithmetic(Arithmetic::Multiply)),
            (operators::DIVIDE, false, 2) => Some(Self::Arithmetic(Arithmetic::Divide)),
            (operators::MODULO, false, 2) => Some(Self::Arithmetic(Arithmetic::Modulo)),
            (operators::EQUALS, false, 2) => Some(Self::Compare(Comparison::Equal)),
            (operators::NOT_EQUALS, false, 2) => Some(Self::Compare(Comparison::NotEqual)),
            (operators::LESS, false, 2) => Some(Self::Compare(Comparison::Less)),
            (operators::LESS_EQUALS, false, 2) => Some(Self::Compare(Comparison::LessOrEqual)),
            (operators::GREATER, false, 2) => Some(Self::Compare(Comparison::Greater)),
            (operators::GREATER_EQUALS, false, 2) => Some(Self::Compare(Comparison::GreaterOrEqual)),
            ("size", false, 1) | ("size", true, 0) => Some(Self::Size),
            ("contains", true, 1) => Some(Self::Contains),
            ("startsWith", true, 1) => Some(Self::StartsWith),
            ("endsWith", true, 1) => Some(Self::EndsWith),
            ("matches", true, 1) | ("matches", false, 2) => Some(Self::Matches),
            ("int", false, 1) => Some(Self::ToInt),
            ("double", false, 1) => Some(Self::ToDouble),
            ("string", false, 1) => Some(Self::ToText),
            ("bool", false, 1) => Some(Self::ToBool),
            _ => None,
        };
        found.ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            refuse(&format!(
                "there is no `{shown}` with {} arguments {}: known are size, has, all, exists, exists_one, map, \
                 filter, contains, startsWith, endsWith, matches, int, double, string and bool",
                arguments,
                if receiver { "on a value" } else { "as a function" },
            ))
        })
    }
}

fn refuse(message: &str) -> ExpressionError {
    ExpressionError::Evaluation(message.to_owned())
}

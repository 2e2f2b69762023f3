//! Source to tree, by the `cel` crate's parser without macros: comprehensions stay the calls they are written as.
//!
//! That parser descends recursively, so what it is given is bounded first: nesting, and the number of operators that can
//! chain into a deep tree. What is left fits a thread's stack many times over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ExpressionError, MAX_DEPTH, MAX_SOURCE_BYTES};

/// Operators and brackets of one source: each may add a level to the tree.
const MAX_OPERATORS: usize = 256;
/// Open brackets at once.
const MAX_BRACKETS: usize = 24;

pub(super) fn parse(source: &str) -> Result<cel::IdedExpr, ExpressionError> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(ExpressionError::TooLong(source.len()));
    }
    if source.trim().is_empty() {
        return Err(syntax(1, 1, "the expression is empty"));
    }
    bounded(source)?;
    let parser = cel::Env::default().with_optional_support(false).parser();
    let parser = parser.max_recursion_depth(64).error_recovery_limit(8);
    // The generated parser indexes and unwraps; a mistake in it must cost a message, not the process.
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(source).map_err(|errors| first(&errors))));
    let tree = parsed.unwrap_or_else(|_| Err(syntax(1, 1, "this cannot be read as CEL")))?;
    super::check::check(&tree, MAX_DEPTH)?;
    Ok(tree)
}

fn syntax(line: usize, column: usize, message: &str) -> ExpressionError {
    ExpressionError::Syntax { line, column, message: message.to_owned() }
}

fn first(errors: &cel::ParseErrors) -> ExpressionError {
    let Some(error) = errors.errors.first() else { return syntax(1, 1, "this cannot be read as CEL") };
    let place = |number: isize| usize::try_from(number).unwrap_or(0).max(1);
    let message: String = error.msg.chars().take(200).collect();
    syntax(place(error.pos.0), place(error.pos.1), &message)
}

/// Counts operators and brackets outside string literals.
fn bounded(source: &str) -> Result<(), ExpressionError> {
    let (mut operators, mut open) = (0_usize, 0_usize);
    let mut bytes = source.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' | b'\'' => skip_literal(byte, &mut bytes),
            b'(' | b'[' | b'{' => {
                open += 1;
                operators += 1;
            }
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'?' | b'&' | b'|' | b'<' | b'>' | b'=' | b',' => {
                operators += 1;
            }
            _ => {}
        }
        if open > MAX_BRACKETS || operators > MAX_OPERATORS {
            return Err(ExpressionError::TooDeep);
        }
    }
    // `in` chains without punctuation.
    if source.split_whitespace().filter(|word| *word == "in").count() > MAX_OPERATORS {
        return Err(ExpressionError::TooDeep);
    }
    Ok(())
}

/// Skips to the closing quote. An escape hides the next byte; in a raw literal that skips at most one quote too few,
/// and then what follows is counted as code or the literal as longer: either way the parser is bounded by the length.
fn skip_literal(quote: u8, bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'\n' => return,
            other if other == quote => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs on a stack far smaller than any thread of the coordinator.
    fn on_a_small_stack(source: String) -> Result<(), ExpressionError> {
        std::thread::Builder::new()
            .stack_size(1 << 20)
            .spawn(move || parse(&source).map(drop))
            .unwrap()
            .join()
            .expect("no overflow, no panic")
    }

    #[test]
    fn deep_sources_are_refused_on_a_small_stack() {
        for unit in ["(", "[", "{1:", "!", "-", "a.", "a+", "a?b:", "a&&", "a||", "a[", "f(", "a in ", "'", "\"\\", "a<"] {
            let deep = unit.repeat(MAX_SOURCE_BYTES / unit.len());
            assert!(on_a_small_stack(deep).is_err(), "{unit}");
        }
        for (unit, end) in [("a.", "a"), ("a+", "a"), ("a&&", "a"), ("!", "a"), ("a?b:", "a"), ("a in ", "a")] {
            for count in [10, 40, 100, 120, 250] {
                let _ = on_a_small_stack(format!("{}{end}", unit.repeat(count)));
            }
        }
        for count in [10, 20, 24, 25, 60] {
            let _ = on_a_small_stack(format!("{}1{}", "(".repeat(count), ")".repeat(count)));
            let _ = on_a_small_stack(format!("{}1{}", "[".repeat(count), "]".repeat(count)));
        }
    }

    #[test]
    fn mistakes_name_their_place() {
        let error = parse("1 +\n* 2").unwrap_err();
        assert!(matches!(error, ExpressionError::Syntax { line: 2, .. }), "{error:?}");
        assert!(parse("").is_err());
        assert!(parse("tasks.a.outputs.lines > 0 && inputs.name == 'x'").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(source in ".{0,120}") {
            let _ = parse(&source);
        }

        #[test]
        fn anything_that_looks_like_cel_gets_an_answer(source in r#"([a-z0-9 .+*/%&|!?:<>=,'"(){}\[\]\\-]|in|map\(|\$\{\{){0,60}"#) {
            let _ = parse(&source);
        }
    }
}

//! `inputs.name` within a CEL expression, replaced by the value as a literal. A lexer, no more: it knows names, numbers
//! and quoted texts, and refuses what it cannot be sure of.

use serde_json::{Map, Value};

use super::{OpenLeafError, holds_expression};

/// The expression with every `inputs.name` replaced; the same text where it names none.
pub(super) fn replace(source: &str, inputs: &Map<String, Value>) -> Result<String, OpenLeafError> {
    let complex = || OpenLeafError::Complex(source.chars().take(80).collect());
    if !source.contains("inputs") {
        return Ok(source.to_owned());
    }
    let bytes = source.as_bytes();
    let (mut out, mut at, mut after_dot) = (String::new(), 0, false);
    while at < bytes.len() {
        let byte = bytes[at];
        if matches!(byte, b'"' | b'\'') {
            let end = quoted(bytes, at).ok_or_else(complex)?;
            out.push_str(&source[at..end]);
            (at, after_dot) = (end, false);
        } else if is_start(byte) {
            let end = word(bytes, at);
            let name = &source[at..end];
            // A prefix of a quoted text (`r"…"`, `b'…'`) changes what its backslashes mean.
            if matches!(bytes.get(end), Some(b'"' | b'\'')) {
                return Err(complex());
            }
            if name == "inputs" && !after_dot {
                let (field, end) = field(source, end).ok_or_else(complex)?;
                let value =
                    inputs.get(field).ok_or_else(|| OpenLeafError::Missing(format!("inputs.{field}")))?;
                if holds_expression(value) {
                    return Err(OpenLeafError::Expression(format!("inputs.{field}")));
                }
                out.push('(');
                out.push_str(&value.to_string());
                out.push(')');
                at = end;
            } else {
                out.push_str(name);
                at = end;
            }
            after_dot = false;
        } else if byte == b'/' && bytes.get(at + 1) == Some(&b'/') {
            return Err(complex());
        } else {
            let wide = source[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&source[at..at + wide]);
            if !byte.is_ascii_whitespace() {
                after_dot = byte == b'.';
            }
            at += wide;
        }
    }
    Ok(out)
}

const fn is_start(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| !is_start(*byte)).map_or(bytes.len(), |length| from + length)
}

/// Behind `inputs`: a dot and a name, and no call of it.
fn field(source: &str, from: usize) -> Option<(&str, usize)> {
    let bytes = source.as_bytes();
    let start = from + 1;
    if bytes.get(from) != Some(&b'.')
        || !bytes.get(start).is_some_and(|b| is_start(*b) && !b.is_ascii_digit())
    {
        return None;
    }
    let end = word(bytes, start);
    if source[end..].trim_start().starts_with('(') { None } else { Some((&source[start..end], end)) }
}

/// The end of a text that begins at `from`. Texts in three quotes are not taken.
fn quoted(bytes: &[u8], from: usize) -> Option<usize> {
    let quote = bytes[from];
    if bytes.get(from + 1) == Some(&quote) && bytes.get(from + 2) == Some(&quote) {
        return None;
    }
    let mut at = from + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            byte if *byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

//! What a person signs, in full: every field that the digest covers can be read, and two that differ never read the same.

use nexusmon_shared::effects::Effects;
use nexusmon_shared::plan::{PlanHeader, TaskSpec};
use nexusmon_shared::time::Span;
use serde_json::{Value, json};

/// Longer lists and objects get a line for each thing in them.
const WIDTH: usize = 120;

pub(super) fn header(header: &PlanHeader) -> String {
    header_of(&whole(header))
}

fn header_of(header: &Value) -> String {
    let usual = json!({"input_digests": [], "playbook": null, "plugins": {}});
    block("plan", &["goal", "author"], &usual, header)
}

pub(super) fn task(spec: &TaskSpec) -> String {
    task_of(&whole(spec))
}

fn task_of(leaf: &Value) -> String {
    block("task", &["id", "uses", "sandbox", "on"], &usual(), leaf)
}

/// What a leaf need not say. A field that is not named here is shown whatever it holds.
fn usual() -> Value {
    json!({"with": {}, "needs": [], "if": null, "for_each": null, "on": {}, "idempotent": false,
        "offline": whole(Span::default()), "inputs": [], "artifacts": [], "verify": null,
        "effects": whole(Effects::default()), "limits": {}})
}

/// A document, or what was found out at run time.
pub(super) fn document(title: &str, fields: &Value) -> String {
    block(title, &[], &Value::Null, fields)
}

fn whole(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("plans have plain fields")
}

fn block(title: &str, first: &[&str], usual: &Value, fields: &Value) -> String {
    let mut out = format!("{title}\n");
    let Value::Object(fields) = fields else { return out };
    let ahead = first.iter().filter_map(|name| fields.get_key_value(*name));
    let rest = fields.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    for (name, value) in ahead.chain(rest) {
        if usual.get(name) != Some(value) {
            put(&mut out, &headed(name), value, 1);
        }
    }
    out
}

fn put(out: &mut String, label: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    if let Some(line) = in_line(value) {
        out.push_str(&format!("{indent}{label} {line}\n"));
        return;
    }
    out.push_str(&format!("{indent}{label}\n"));
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                put(out, &headed(name), value, depth + 1);
            }
        }
        Value::Array(items) => {
            for item in items {
                put(out, "-", item, depth + 1);
            }
        }
        // Line by line, the last empty one too: what cannot be seen cannot be approved.
        Value::String(text) => {
            for line in text.split('\n') {
                out.push_str(&format!("{indent}  | {}\n", inert(line)));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A value behind its label, if it fits there.
fn in_line(value: &Value) -> Option<String> {
    let line = match value {
        Value::String(text) if text.contains('\n') => return None,
        Value::String(text) => return Some(word(text)),
        Value::Object(fields) if !fields.is_empty() => {
            let fields =
                fields.iter().map(|(name, value)| Some(format!("{} {}", atom(name)?, simple(value)?)));
            format!("{{{}}}", fields.collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Array(items) if !items.is_empty() => {
            format!("[{}]", items.iter().map(simple).collect::<Option<Vec<_>>>()?.join(", "))
        }
        other => return Some(other.to_string()),
    };
    (line.chars().count() <= WIDTH).then_some(line)
}

/// What may stand among others in one line.
fn simple(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => atom(text).filter(|text| word(text) == *text),
        Value::Object(fields) if !fields.is_empty() => None,
        Value::Array(items) if !items.is_empty() => None,
        other => Some(other.to_string()),
    }
}

fn atom(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/@*+".contains(&byte);
    (!text.is_empty() && text.bytes().all(plain)).then(|| text.to_owned())
}

/// A name as a label.
fn headed(name: &str) -> String {
    match atom(name) {
        Some(name) if !name.contains(':') => name + ":",
        _ => quoted(name) + ":",
    }
}

/// Bare, unless it could be taken for something that is no text.
fn word(text: &str) -> String {
    let is_bare = text.trim() == text
        && !text.is_empty()
        && !text.starts_with(['[', '{', '"'])
        && serde_json::from_str::<Value>(text).is_err();
    if is_bare { inert(text) } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    inert(&Value::from(text).to_string())
}

/// What a terminal would obey or not show is shown by its number.
fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        // The sign that numbers are shown with, too: nothing else can be made to look like one.
        if is_unseen(letter) || letter == '‹' {
            out.push_str(&format!("‹U+{:04X}›", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Controls, white space that is no space, and what Unicode calls `Default_Ignorable_Code_Point`: bidi marks, joiners, tags.
fn is_unseen(letter: char) -> bool {
    let ignorable = matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    ignorable || letter.is_control() || (letter.is_whitespace() && letter != ' ')
}

#[cfg(test)]
mod tests;

//! Printing for people: tables, times, sizes; colour only on a terminal. And JSON for programs.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Pretty JSON on standard output.
pub(super) fn json(value: &Value) {
    println!("{}", serde_json::to_string_pretty(value).expect("a JSON value prints"));
}

/// A table with a header; columns give way to the terminal's width.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    println!("{}", table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n"));
}

/// Text of a field: strings bare, null as a dash. Control characters are shown, not obeyed.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// Makes outside text harmless on a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| {
            let hidden =
                matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if letter.is_control() || hidden { '\u{fffd}' } else { letter }
        })
        .collect()
}

/// At most `width` characters, with an ellipsis.
pub(super) fn short(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `2026-05-01 12:00:00` of an RFC 3339 time.
pub(super) fn time(value: &Value) -> String {
    match value.as_str() {
        Some(time) if time.len() >= 19 => time[..19].replace('T', " "),
        _ => "-".to_owned(),
    }
}

/// With so many decimals.
pub(super) fn number(value: &Value, decimals: usize) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.decimals$}"))
}

/// `12.3 MB` of a number of bytes.
pub(super) fn size(value: &Value) -> String {
    let Some(bytes) = value.as_f64() else { return "-".to_owned() };
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < units.len() {
        amount /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{amount:.0} B") } else { format!("{amount:.1} {}", units[unit]) }
}

/// The status with its colour.
pub(super) fn status(word: &str) -> String {
    let code = match word {
        "succeeded" | "active" | "online" | "approved" | "accepted" | "acknowledged" => "32",
        "failed" | "rejected" | "revoked" | "quarantined" | "expired" | "halt" | "stop" | "unreachable" => {
            "31"
        }
        "running" | "leased" | "planning" => "36",
        "awaiting_approval" | "gated" | "uncertain" | "needs_plan" | "backoff" => "33",
        _ => "2",
    };
    colour(word, code)
}

fn colour(text: &str, code: &str) -> String {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outside_text_is_inert() {
        assert_eq!(plain("a\u{1b}[31mb\u{202e}c\nd"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(size(&json!(999)), "999 B");
        assert_eq!(size(&json!(12_300_000)), "12.3 MB");
        assert_eq!(time(&json!("2031-05-01T12:00:00.000000Z")), "2031-05-01 12:00:00");
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(number(&json!(0.126), 2), "0.13");
        assert_eq!(number(&json!(3), 0), "3");
        assert_eq!(number(&Value::Null, 2), "-");
    }
}

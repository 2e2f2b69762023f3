//! The forms in which tools print a value: as it is, base64, hexadecimal, percent-encoded, escaped in JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use nexusmon_shared::masking::{LEAST_BYTES, is_masked, is_masked_line};

/// `base64` breaks its lines there, and PEM there.
const LINES: [usize; 2] = [76, 64];

/// Everything to look for; nothing for values that are too short or too simple.
pub(super) fn all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut forms = BTreeSet::new();
    for value in values {
        for one in [value, value.trim_ascii()] {
            if is_masked(one) {
                of_one(one, &mut forms);
            }
        }
        if value.contains(&b'\n') {
            // Tools that print line by line put something before each.
            for line in value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
                if is_masked_line(line) {
                    of_one(line, &mut forms);
                }
            }
        }
    }
    forms.into_iter().collect()
}

fn of_one(value: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let mut keep = |form: Vec<u8>| {
        if form.len() >= LEAST_BYTES {
            forms.insert(form);
        }
    };
    keep(value.to_vec());
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        let whole = engine.encode(value).into_bytes();
        for width in LINES {
            if whole.len() > width {
                for line in whole.chunks(width) {
                    keep(line.to_vec());
                }
            }
        }
        keep(whole);
    }
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for before in 0..3 {
            keep(within_base64(value, before, |bytes| engine.encode(bytes)));
        }
    }
    for lower in [true, false] {
        keep(hexadecimal(value, "", lower).into_bytes());
        keep(hexadecimal(value, "%", lower).into_bytes());
        for kept in [b"-_.~".as_slice(), b"-_.!~*'()", b";/?:@&=+$,-_.!~*'()#", b"/-_.~"] {
            keep(percent(value, kept, false, lower));
        }
        keep(percent(value, b"*-._", true, lower));
    }
    if let Ok(text) = std::str::from_utf8(value) {
        for lower in [true, false] {
            for ascii in [true, false] {
                for html in [true, false] {
                    for slash in [true, false] {
                        keep(escaped(text, Escapes { lower, ascii, html, slash }).into_bytes());
                    }
                }
            }
        }
    }
}

/// The characters of base64 that this value alone decides, where it stands behind so many other bytes (modulo three).
fn within_base64(value: &[u8], before: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let text = encode(&[vec![0; before], value.to_vec()].concat()).into_bytes();
    let first = (before * 8).div_ceil(6);
    let last = (before + value.len()) * 8 / 6;
    text.get(first..last).unwrap_or_default().to_vec()
}

fn hexadecimal(value: &[u8], before: &str, lower: bool) -> String {
    let mut text = String::with_capacity(value.len() * 3);
    for byte in value {
        put_hex(&mut text, before, *byte, lower);
    }
    text
}

fn put_hex(text: &mut String, before: &str, byte: u8, lower: bool) {
    let written = if lower { write!(text, "{before}{byte:02x}") } else { write!(text, "{before}{byte:02X}") };
    written.expect("a string takes everything");
}

fn percent(value: &[u8], kept: &[u8], plus: bool, lower: bool) -> Vec<u8> {
    let mut text = String::with_capacity(value.len() * 3);
    for byte in value {
        match byte {
            b' ' if plus => text.push('+'),
            _ if byte.is_ascii_alphanumeric() || kept.contains(byte) => text.push(char::from(*byte)),
            _ => put_hex(&mut text, "%", *byte, lower),
        }
    }
    text.into_bytes()
}

/// What encoders of JSON differ in.
#[derive(Clone, Copy)]
struct Escapes {
    /// Digits of `\u` in lower case.
    lower: bool,
    /// Everything beyond ASCII is written as `\u`.
    ascii: bool,
    /// So are `<`, `>` and `&`, for pages.
    html: bool,
    /// `/` gets a backslash.
    slash: bool,
}

fn escaped(text: &str, escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut units = [0_u16; 2];
    for one in text.chars() {
        match one {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if escapes.slash => out.push_str("\\/"),
            _ if u32::from(one) < 0x20
                || (escapes.ascii && !one.is_ascii())
                || (escapes.html && matches!(one, '<' | '>' | '&')) =>
            {
                for unit in one.encode_utf16(&mut units) {
                    let written = if escapes.lower {
                        write!(out, "\\u{unit:04x}")
                    } else {
                        write!(out, "\\u{unit:04X}")
                    };
                    written.expect("a string takes everything");
                }
            }
            _ => out.push(one),
        }
    }
    out
}

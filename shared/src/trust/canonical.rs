//! Canonical JSON: RFC 8785 (JCS). The same value always gives the same bytes.

mod object;

use crate::digest::Digest;

pub use object::Object;

/// Why a value has no canonical form: it is not JSON, or holds a number JSON cannot carry.
#[derive(Debug, thiserror::Error)]
#[error("this value has no canonical JSON form")]
pub struct CanonicalError(#[source] serde_json::Error);

/// The canonical bytes of `value`.
pub fn to_bytes<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    serde_jcs::to_vec(value).map_err(CanonicalError)
}

/// As [`to_bytes`], for a value that is a tree already: several times as fast for the usual ones (keys in ASCII), the
/// same bytes for all.
pub fn of_value(value: &serde_json::Value) -> Result<String, CanonicalError> {
    let mut out = String::with_capacity(256);
    if write(value, &mut out) {
        return Ok(out);
    }
    Ok(String::from_utf8(to_bytes(value)?).expect("JSON is UTF-8"))
}

/// False where only the general way knows the form.
fn write(value: &serde_json::Value, out: &mut String) -> bool {
    use serde_json::Value;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            // Beyond 2^53 the RFC rounds.
            if number.as_i64().is_some_and(|number| number.unsigned_abs() <= 1 << 53) {
                out.push_str(&number.to_string());
                return true;
            }
            // Between these bounds JavaScript, too, writes the shortest digits without an exponent.
            match number.as_f64().filter(|fraction| number.is_f64() && (1e-6..1e21).contains(&fraction.abs()))
            {
                Some(fraction) => out.push_str(&fraction.to_string()),
                None => return false,
            }
        }
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                if !write(item, out) {
                    return false;
                }
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            // For ASCII the order of bytes is that of UTF-16.
            if sorted.iter().any(|(key, _)| !key.is_ascii()) {
                return false;
            }
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (place, (key, member)) in sorted.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                if !write(member, out) {
                    return false;
                }
            }
            out.push('}');
        }
    }
    true
}

/// A JSON string, escaped as the RFC does it.
pub fn write_text(text: &str, out: &mut String) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(text).expect("a string is JSON"));
    }
}

/// As [`to_bytes`], by way of a tree: for what holds no number that JSON cannot carry.
pub fn of<T: serde::Serialize>(value: &T) -> Result<String, CanonicalError> {
    of_value(&serde_json::to_value(value).map_err(CanonicalError)?)
}

/// SHA-256 over the canonical bytes.
pub fn digest<T: serde::Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    to_bytes(value).map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        let value = json!({
            "numbers": [333_333_333.333_333_3, 1e30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
            "string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/",
            "literals": [null, true, false]
        });
        let text = String::from_utf8(to_bytes(&value).unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn the_short_way_gives_the_same_bytes() {
        for value in [
            json!(null),
            json!({"b": [1, -2, 9_007_199_254_740_992_i64, true], "a": {"z": "x\u{1}\"\\é\u{7f}", "A": {}}, "": []}),
            json!({"big": 9_007_199_254_740_993_i64, "most": u64::MAX}),
            json!([0.2, 1.0, -1.5, 0.1 + 0.2, 123_456_789.125, 1e-6, 9.9e-7, 1e20, 1e21, 0.0, -0.0, 5e-324]),
            json!([1.0, 0.5, {"\u{20ac}": 1, "\u{1f600}": 2}]),
            json!("\u{8}\u{c}\n\r\t/\u{1f}"),
        ] {
            assert_eq!(of_value(&value).unwrap().as_bytes(), to_bytes(&value).unwrap(), "{value}");
        }
    }

    #[test]
    fn keys_sort_by_utf16() {
        let value =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let text = String::from_utf8(to_bytes(&value).unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }
}

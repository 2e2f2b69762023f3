//! Which values are looked for in logs and artifacts: short or simple ones would be found everywhere, and masking them
//! would leave logs nobody can read. The coordinator says so when one is set; the agent obeys the same rule.

/// Fewer bytes are not masked.
pub const LEAST_BYTES: usize = 6;
/// Fewer different bytes are not masked either.
pub const LEAST_DIFFERENT: usize = 4;
/// Of one line of a value with several, which is looked for by itself as well.
pub const LEAST_LINE_BYTES: usize = 8;

/// Whether a value is looked for.
pub fn is_masked(value: &[u8]) -> bool {
    holds(value, LEAST_BYTES)
}

/// Whether a line of a longer value is looked for by itself: `{` and its like are not.
pub fn is_masked_line(line: &[u8]) -> bool {
    let letters = line.iter().filter(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii()).count();
    letters >= LEAST_BYTES && holds(line, LEAST_LINE_BYTES)
}

fn holds(value: &[u8], least: usize) -> bool {
    let value = value.trim_ascii();
    let mut seen = [false; 256];
    for byte in value {
        seen[usize::from(*byte)] = true;
    }
    value.len() >= least && seen.iter().filter(|seen| **seen).count() >= LEAST_DIFFERENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_simple_values_are_left_alone() {
        for plain in ["", "{", "}", "true", "12345", "aaaaaaaa", "  x  ", "0000000000", "\n\n\n\n\n\n\n"] {
            assert!(!is_masked(plain.as_bytes()), "{plain:?}");
        }
        for secret in ["hunter2!", "123456", "correct horse", "\u{1F511}key"] {
            assert!(is_masked(secret.as_bytes()), "{secret:?}");
        }
        for line in ["{", "  }", "------------", "\"a\": {"] {
            assert!(!is_masked_line(line.as_bytes()), "{line:?}");
        }
        assert!(is_masked_line(b"MIIEvQIBADANBg"));
    }
}

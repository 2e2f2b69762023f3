//! Entry for `make prove RUN=fuzz`: the headers and bodies of calls from outside. Only with the feature `fuzzing`.

use nexusmon_core::trigger::Format;
use nexusmon_shared::time::Timestamp;

use super::verify::check;

/// The bytes as every header and as the body, under a key that is the first of them.
pub fn delivery(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (secret, value) = text.split_once('\n').unwrap_or(("whsec_AAAA", &text));
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    let mut taken = false;
    for format in [Format::Github, Format::Gitlab, Format::Generic] {
        taken |= check(format, secret, &|_| Some(value), bytes, now).is_ok();
        let _ = check(format, secret, &|_| None, bytes, now);
    }
    taken
}

//! Entries for `make prove RUN=fuzz`: what plugins say and how they are declared. Only with the feature `fuzzing`.

use super::folder::{self, Declared};
use super::{manifest as manifests, wire};

/// A line of a plugin.
pub fn line(bytes: &[u8]) -> bool {
    !matches!(wire::parse(bytes), wire::Incoming::Nonsense(_))
}

/// A `plugin.toml`.
pub fn declaration(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| folder::parse(text).is_ok())
}

/// What `initialize` answered.
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice(bytes) else { return false };
    let declared: Declared = folder::parse("command = [\"x\"]").expect("a declaration as it should be");
    manifests::admit(answer, "demo", &declared).is_ok()
}

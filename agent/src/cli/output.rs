//! What people and scripts read: results on stdout, problems on stderr.

use std::io::Write as _;

use nexusmon_shared::lifecycle::chain;

/// One line to stdout; a closed pipe is nobody's problem.
pub(super) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub(super) fn json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        line(text);
    }
}

/// What is wrong with something that was looked at.
pub(super) fn problem(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(super) fn error(error: &(dyn std::error::Error + 'static)) {
    let _ = writeln!(std::io::stderr(), "nexusmon-agent: {}", chain(error));
}

//! Opens a page where somebody sits in front of a screen, and nowhere else.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

/// Best effort: no screen, no terminal or no opener is no error.
pub(super) fn open(url: &str) {
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if !screen || !std::io::stdout().is_terminal() {
        return;
    }
    let opened = Command::new("xdg-open")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, "no way to open a page here");
    }
}

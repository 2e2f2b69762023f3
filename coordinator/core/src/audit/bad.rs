//! What is wrong with an export, and where.

use std::fmt;

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Of the file, from 1.
    pub line: u64,
    /// First and last entry that it may be; none where it is not about entries.
    pub entries: Option<(u64, u64)>,
    /// Stable, for programs: `gap`, `digest`, `root`, `fence`, …
    pub code: &'static str,
    pub reason: String,
}

impl Bad {
    pub(super) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { line: 0, entries: None, code, reason: reason.into() }
    }

    pub(super) fn at(mut self, line: u64) -> Self {
        self.line = line;
        self
    }

    pub(super) fn of(mut self, first: u64, last: u64) -> Self {
        self.entries = Some((first, last));
        self
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries {
            Some((first, last)) if first == last => write!(f, "entry {first} ")?,
            Some((first, last)) => write!(f, "entries {first} to {last} ")?,
            None => {}
        }
        write!(f, "(line {}) [{}]: {}", self.line, self.code, self.reason)
    }
}

//! What `doctor` finds, on either side: each finding says what is the matter, why that matters, and what to do.

use std::fmt::Write as _;

use serde::Serialize;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It could not be looked at; `found` says why.
    Skipped,
    /// It works, but not as it should, or not for long.
    Warn,
    /// Something does not work.
    Fail,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable, for programs.
    pub name: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What comes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into(), why: None, advice: None }
    }

    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    pub fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, found)
    }

    pub fn warn(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, found)
    }

    pub fn fail(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, found)
    }

    /// What comes of it, if it stays.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// All findings, in the order they were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub checks: Vec<Check>,
}

impl Report {
    pub fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// Nothing fails.
    pub fn healthy(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        serde_json::json!({ "healthy": self.healthy(), "checks": self.checks }).to_string()
    }

    /// For people, without a line's end.
    pub fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Skipped => "  - ",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{mark}  {:width$}  {}", check.name, check.found);
            for line in check.why.iter().map(|why| format!("because {why}")).chain(check.advice.clone()) {
                let _ = writeln!(text, "      {:width$}  -> {line}", "");
            }
        }
        let (bad, odd) = (self.count(Verdict::Fail), self.count(Verdict::Warn));
        let _ = write!(text, "{} looked at, {bad} failed, {odd} warnings", self.checks.len());
        text
    }
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_advice() {
        let mut report = Report::default();
        report.add(Check::ok("disk", "9 GiB free"));
        assert!(report.healthy());
        report.add(Check::warn("clock", "40 s apart"));
        assert!(report.healthy());
        report.add(Check::fail("port", "taken").because("two want it").advise("stop one"));
        assert!(!report.healthy());
        let text = report.text();
        assert!(text.contains("FAIL  port   taken\n             -> because two want it\n"), "{text}");
        assert!(text.ends_with("3 looked at, 1 failed, 1 warnings"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["checks"][2]["verdict"], "fail");
        assert_eq!(json["checks"][2]["why"], "two want it");
    }
}

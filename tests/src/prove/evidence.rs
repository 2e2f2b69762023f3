//! Lines of evidence: what was run, on which commit, what was measured, what it should have been.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Bound, Run, Tier};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Held,
    Violated,
    /// The case could not be carried out; says nothing.
    Broken,
}

/// One case, as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    pub run: String,
    pub case: u32,
    pub seed: u64,
    pub tier: Tier,
    pub commit: String,
    /// There were changes beside the commit.
    pub changed: bool,
    pub at: String,
    pub seconds: f64,
    pub parameters: Map<String, Value>,
    pub measured: BTreeMap<String, u64>,
    /// What each measure has to be in this case; sums over a run have targets of their own.
    pub target: BTreeMap<String, u64>,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// The commit this was built from, and whether files differ from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    pub changed: bool,
}

impl Commit {
    /// Asks git in the source folder; "unknown" outside a clone.
    pub fn current() -> Self {
        let git = |arguments: &[&str]| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
            let output = std::process::Command::new("git").arg("-C").arg(folder).args(arguments).output();
            output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
        };
        let id = git(&["rev-parse", "--short=12", "HEAD"]);
        let id = id.map_or("unknown".to_owned(), |id| String::from_utf8_lossy(&id).trim().to_owned());
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|out| !out.is_empty());
        Self { id, changed }
    }
}

/// Per-case targets of a run: only what must be none is checked in each case.
pub fn targets(run: &Run) -> BTreeMap<String, u64> {
    let none = run.targets().filter(|target| target.bound == Bound::None);
    none.map(|target| (target.measure.to_owned(), 0)).collect()
}

/// Everything written so far; lines that cannot be read are named.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}:{} is no line of evidence", path.display(), number + 1))
        })
        .collect()
}

/// Appends one line, whole or not at all.
pub fn append(path: &Path, line: &Line) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&text).with_context(|| format!("writing {}", path.display()))
}

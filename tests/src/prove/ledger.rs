//! What tasks really did, written by the tasks themselves outside the system: one appended line per effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

/// A file that only grows.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: tempfile::TempDir,
}

/// Effects of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Effects {
    pub(super) begun: u32,
    pub(super) ended: u32,
}

impl Ledger {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("nexusmon-ledger-").tempdir()? })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("effects")
    }

    /// A task that leaves a line when it begins and one when it ends, `seconds` apart.
    pub(super) fn task(&self, id: &str, seconds: f64, idempotent: bool, needs: &[String]) -> Value {
        let file = self.path();
        let file = file.display();
        let script = format!(
            "printf '%s begin\\n' \"$NEXUSMON_TASK_ID\" >> {file}; sleep {seconds:.2}; \
             printf '%s end\\n' \"$NEXUSMON_TASK_ID\" >> {file}"
        );
        json!({"id": id, "uses": "shell.run", "idempotent": idempotent, "timeout": "60s", "needs": needs,
            "sandbox": {"profile": "user", "paths": [{"path": self.folder(), "write": true}]},
            "with": {"script": script}})
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// By the task's id. A line that is cut short would be a broken promise of the kernel, not ours.
    pub(super) fn read(&self) -> Result<BTreeMap<String, Effects>> {
        let mut effects: BTreeMap<String, Effects> = BTreeMap::new();
        let text = match std::fs::read_to_string(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        for line in text.lines() {
            let (task, what) = line.split_once(' ').unwrap_or((line, ""));
            let one = effects.entry(task.to_owned()).or_default();
            match what {
                "begin" => one.begun += 1,
                "end" => one.ended += 1,
                other => anyhow::bail!("the ledger holds `{task} {other}`"),
            }
        }
        Ok(effects)
    }
}

//! Running `doctor` and reading what it found.

use std::ffi::OsString;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};
use nexusmon_tests::binaries;
use serde_json::Value;
use tokio::process::Command;

/// A port on which nothing listens.
pub(crate) fn nowhere() -> String {
    nexusmon_tests::ports::free_address().expect("a port is free")
}

/// What is examined: a program with arguments and an environment of its own.
#[derive(Debug, Clone)]
pub(crate) struct Patient {
    program: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    /// A shell line that runs first, in namespaces of its own; then the program takes its place.
    before: Option<String>,
}

impl Patient {
    /// A coordinator's host: nothing is running, unless `url` says otherwise.
    pub(crate) fn coordinator(home: &Path) -> Self {
        let this = Self::new("nexusmon", home);
        this.with(["doctor", "--json", "--url"]).with([format!("http://{}", nowhere())])
    }

    pub(crate) fn coordinator_at(url: &str, home: &Path) -> Self {
        Self::new("nexusmon", home).with(["doctor", "--json", "--url", url])
    }

    pub(crate) fn agent(data_dir: &Path) -> Self {
        Self::new("nexusmon-agent", data_dir).with(["doctor", "--json", "--data-dir"]).with([data_dir])
    }

    fn new(program: &'static str, home: &Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self { program, arguments: Vec::new(), environment: Vec::new(), before: None }
            .environment("PATH", path)
            .environment("HOME", home)
    }

    pub(crate) fn with<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn after(mut self, line: &str) -> Self {
        self.before = Some(line.to_owned());
        self
    }

    async fn run(&self) -> Result<Output> {
        let program = binaries::path(self.program);
        let mut command = match &self.before {
            None => Command::new(program),
            Some(line) => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
                command.arg(format!("{line}; exec \"$0\" \"$@\"")).arg(program);
                command
            }
        };
        command.args(&self.arguments).env_clear().envs(self.environment.clone()).kill_on_drop(true);
        Ok(command.output().await?)
    }

    pub(crate) async fn examine(&self) -> Result<Findings> {
        let output = self.run().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value = serde_json::from_str(said.trim())
            .with_context(|| format!("{said}\n{}", String::from_utf8_lossy(&output.stderr)))?;
        assert_eq!(
            report["healthy"] == true,
            output.status.success(),
            "exit code and verdict agree: {report:#}"
        );
        Ok(Findings(report))
    }
}

pub(crate) struct Findings(Value);

impl Findings {
    pub(crate) fn check(&self, name: &str) -> &Value {
        let checks = self.0["checks"].as_array().expect("a report has checks");
        checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("no `{name}` in {:#}", self.0))
    }

    /// It has this verdict, says what comes of it and what to do, and names `words`.
    #[track_caller]
    pub(crate) fn trouble(&self, name: &str, verdict: &str, words: &str) {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check:#}");
        let all = check.to_string();
        assert!(all.contains(words), "`{words}` is not in {check:#}");
        assert!(check["why"].as_str().is_some_and(|why| why.len() > 10), "{check:#}");
        assert!(check["advice"].as_str().is_some_and(|advice| advice.len() > 10), "{check:#}");
    }

    #[track_caller]
    pub(crate) fn fine(&self, name: &str) {
        let check = self.check(name);
        assert_eq!(check["verdict"], "ok", "{check:#}");
    }
}

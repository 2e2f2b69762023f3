//! A child process whose output goes to a file, ended by its id and never left behind.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: PathBuf,
}

impl Process {
    /// Starts `program`; its standard error is appended to `<folder>/<name>.log`.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        let errors = folder.join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(&errors)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("RUST_BACKTRACE", "1")
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        Ok(Self { name: name.to_owned(), child, lines: BufReader::new(stdout).lines(), errors })
    }

    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next line of standard output; an error with the log's end if it ends instead.
    pub async fn line(&mut self) -> Result<String> {
        match self.lines.next_line().await? {
            Some(line) => Ok(line),
            None => bail!("{} ended: {:?}\n{}", self.name, self.child.try_wait()?, self.log_end()),
        }
    }

    /// The next line of standard output; `None` at its end.
    pub async fn next_line(&mut self) -> Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    /// SIGKILL, and wait until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// SIGTERM, and its exit status.
    pub async fn terminate(mut self) -> Result<std::process::ExitStatus> {
        let id = self.child.id().context("it still runs")?;
        let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("a process id is not zero")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        Ok(self.child.wait().await?)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its own end.
    pub async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// The last lines of its log, for failure messages.
    pub fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

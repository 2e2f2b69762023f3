//! The agent of this machine, as a process of its own: found, joined, kept running, ended with us.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nexusmon_shared::id::AgentId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = "nexusmon-agent";
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Running this long, it counts as well again.
const WELL_AFTER: Duration = Duration::from_mins(1);
/// What the coordinator may know and its agent must not.
const SECRETS: [&str; 14] = [
    "OPERATOR_KEY",
    "OPERATOR_KEY_FILE",
    "NEXUSMON_MASTER_KEY",
    "NEXUSMON_MASTER_KEY_FILE",
    "NEXUSMON_JWT_SECRET",
    "NEXUSMON_JWT_SECRET_FILE",
    "SWARMZ_JWT_SECRET",
    "NEXUSMON_DATABASE_URL",
    "NEXUSMON_DATABASE_URL_FILE",
    "AWS_ACCESS_KEY_ID_FILE",
    "AWS_SECRET_ACCESS_KEY_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "ANTHROPIC_API_KEY",
];

/// What keeps the local agent from working.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(
        "`{PROGRAM}` is neither beside this program nor in PATH; build or install it, or use `nexusmon serve`"
    )]
    Missing,
    #[error("cannot start {}", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the agent of this machine could not join: {0}")]
    Join(String),
    #[error("the agent of this machine does not connect; its log is {}", log.display())]
    Silent { log: PathBuf },
}

/// Beside this program, else in PATH.
pub(super) fn find() -> Result<PathBuf, AgentError> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = beside.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)));
    places.into_iter().find(|place| place.is_file()).ok_or(AgentError::Missing)
}

#[derive(Debug)]
pub(super) struct LocalAgent {
    binary: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    /// Holds the agent's id once it has joined.
    joined: PathBuf,
    process: PathBuf,
    /// Where the coordinator really listens, which may differ from start to start.
    coordinator: SocketAddr,
    child: watch::Sender<Option<Pid>>,
    ending: CancellationToken,
}

impl LocalAgent {
    pub(super) fn new(binary: PathBuf, data: &Path, coordinator: SocketAddr) -> Self {
        Self {
            binary,
            folder: super::agent_folder(data),
            log: data.join("agent.log"),
            joined: data.join("agent.id"),
            process: data.join("agent.pid"),
            coordinator,
            child: watch::Sender::new(None),
            ending: CancellationToken::new(),
        }
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Who it is, if it has joined.
    pub(super) fn joined(&self) -> Option<AgentId> {
        std::fs::read_to_string(&self.joined).ok()?.trim().parse().ok()
    }

    /// Redeems the invite.
    pub(super) async fn join(&self, token: &str) -> Result<AgentId, AgentError> {
        let output = self
            .command(&["join", token, "--json"])
            .output()
            .await
            .map_err(|source| AgentError::Start { path: self.binary.clone(), source })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let line: Option<serde_json::Value> = said.lines().find_map(|line| serde_json::from_str(line).ok());
        let agent = line.as_ref().and_then(|line| line["agent_id"].as_str()?.parse().ok());
        match agent {
            Some(agent) if output.status.success() => {
                note(&self.joined, &format!("{agent}\n"))?;
                Ok(agent)
            }
            _ => {
                let errors = String::from_utf8_lossy(&output.stderr);
                let reason = errors.lines().last().unwrap_or("it said nothing").to_owned();
                Err(AgentError::Join(reason))
            }
        }
    }

    /// The words it shows, to be compared with those known here.
    pub(super) async fn words(&self) -> Result<Option<String>, AgentError> {
        let failed = |source| AgentError::Start { path: self.binary.clone(), source };
        let shown = self.command(&["status", "--json"]).output().await.map_err(failed)?;
        let said: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        Ok(said["words"].as_str().map(ToOwned::to_owned))
    }

    /// Has it believe this owner key, unless it believes one already.
    pub(super) async fn believe(&self, owner_key: &str) -> Result<(), AgentError> {
        let failed = |source| AgentError::Start { path: self.binary.clone(), source };
        let shown = self.command(&["roster", "show", "--json"]).output().await.map_err(failed)?;
        let said: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        if !said["owner_key"].is_null() {
            return Ok(());
        }
        let reset = self.command(&["roster", "reset", "--yes", "--owner-key", owner_key]).output().await;
        let reset = reset.map_err(failed)?;
        if reset.status.success() {
            tracing::info!(owner_key, "the agent of this machine believes the owner key");
        } else {
            let reason = String::from_utf8_lossy(&reset.stderr).trim().to_owned();
            tracing::warn!(reason, "the agent of this machine could not be told the owner key");
        }
        Ok(())
    }

    /// Keeps it running until [`Self::stop`]; a dead one is started again, later each time.
    pub(super) async fn supervise(&self) -> Result<(), AgentError> {
        let mut backoff = FIRST_BACKOFF;
        while !self.ending.is_cancelled() {
            let began = tokio::time::Instant::now();
            let mut child = self.start()?;
            let status = child.wait().await;
            self.child.send_replace(None);
            if self.ending.is_cancelled() {
                break;
            }
            if began.elapsed() > WELL_AFTER {
                backoff = FIRST_BACKOFF;
            }
            let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
            tracing::warn!(status, log = %self.log.display(), "the agent of this machine ended; starting it again");
            tokio::select! {
                () = self.ending.cancelled() => break,
                () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(LONGEST_BACKOFF),
            }
        }
        Ok(())
    }

    fn start(&self) -> Result<Child, AgentError> {
        let failed = |source| AgentError::Start { path: self.binary.clone(), source };
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|source| AgentError::Write { path: self.log.clone(), source })?;
        let errors = log.try_clone().map_err(failed)?;
        // A group of its own: Ctrl-C is for us, and we end it in order.
        let child = self
            .command(&["run", "--coordinator", &self.coordinator.to_string()])
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            self.child.send_replace(Some(pid));
            note(&self.process, &format!("{}\n", pid.as_raw_nonzero()))?;
        }
        Ok(child)
    }

    /// Asks it to end and waits; after `grace` the end of our own process takes it along.
    pub(super) async fn stop(&self, grace: Duration) {
        self.ending.cancel();
        let mut child = self.child.subscribe();
        let running = *child.borrow_and_update();
        if let Some(pid) = running {
            let _ = kill_process(pid, Signal::TERM);
            if tokio::time::timeout(grace, child.wait_for(Option::is_none)).await.is_err() {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = std::fs::remove_file(&self.process);
    }

    /// An agent left behind by a killed `up` holds the folder; it is ours, so it ends.
    pub(super) async fn end_orphan(&self, grace: Duration) {
        let pid = std::fs::read_to_string(&self.process).ok().and_then(|text| text.trim().parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { return };
        if !self.is_ours(pid) {
            return;
        }
        tracing::info!("ending the agent a killed coordinator left behind");
        let _ = kill_process(pid, Signal::TERM);
        let gone = async {
            while self.is_ours(pid) {
                tokio::time::sleep(FIRST_BACKOFF / 10).await;
            }
        };
        if tokio::time::timeout(grace, gone).await.is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Whether that process works on our folder.
    fn is_ours(&self, pid: Pid) -> bool {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        let folder = self.folder.as_os_str().as_encoded_bytes();
        line.split(|byte| *byte == 0).any(|word| word == folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let folder = [OsString::from("--data-dir"), self.folder.clone().into()];
        command.args(arguments).args(folder).env_remove("NEXUSMON_DATA_DIR").stdin(Stdio::null());
        for secret in SECRETS {
            command.env_remove(secret);
        }
        command
    }
}

fn note(path: &Path, text: &str) -> Result<(), AgentError> {
    std::fs::write(path, text).map_err(|source| AgentError::Write { path: path.to_owned(), source })
}

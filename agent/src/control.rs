//! How the machine's admin reaches a running agent: files in the data folder and a signal. No socket, so that nothing is
//! there for a task to talk to.
//!
//! `lock` holds the process id and is locked while an agent runs; `paused` exists while it is paused; `status.json` says
//! how it is. SIGUSR1 asks it to look at `paused` and `roster.json` and write `status.json`.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusmon_shared::id::AgentId;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::{SharedClock, Timestamp};
use rustix::fs::{FlockOperation, flock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::attempts::{Attempts, Command, Summary};
use crate::error::AgentError;
use crate::link::LineState;
use crate::roster::{Believed, FileError};
use crate::witness::{Kept, Witness};

/// Held as long as an agent runs on a data folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the data folder, or says which process has it.
    pub fn take(data_dir: &Path) -> Result<Self, AgentError> {
        let path = data_dir.join("lock");
        let mut file =
            open_lock(&path, true).map_err(|error| AgentError::io("open the lock file", &path, error))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let process = read_process(&mut file).unwrap_or(0);
            return Err(AgentError::Running { path: data_dir.to_owned(), process });
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|error| AgentError::io("write the lock file", &path, error))?;
        Ok(Self { _file: file })
    }

    /// The process that runs on this data folder, if one does.
    pub fn holder(data_dir: &Path) -> Option<u32> {
        let mut file = open_lock(&data_dir.join("lock"), false).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => read_process(&mut file),
        }
    }
}

fn open_lock(path: &Path, create: bool) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

fn read_process(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether the machine's admin has paused the agent.
pub fn is_paused(data_dir: &Path) -> bool {
    data_dir.join("paused").exists()
}

/// Pauses or resumes, now and after a restart; a running agent still has to be told.
pub fn set_paused(data_dir: &Path, on: bool) -> Result<(), AgentError> {
    let path = data_dir.join("paused");
    let done = if on {
        std::fs::write(&path, b"paused by the machine's admin\n")
    } else {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    };
    done.map_err(|error| AgentError::io("write", &path, error))
}

/// What a running agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    pub process: u32,
    pub agent: AgentId,
    pub name: String,
    pub coordinator: String,
    pub build: String,
    pub line: LineState,
    pub attempts: Summary,
    pub certificate_expires: Option<Timestamp>,
    pub sandbox_levels: Vec<String>,
    /// Levels this machine has not, and why.
    #[serde(default)]
    pub sandbox_missing: std::collections::BTreeMap<String, String>,
    pub capabilities: Vec<String>,
    /// Of the coordinator's audit log.
    #[serde(default)]
    pub witness: Option<Kept>,
    /// When this was written.
    pub at: Timestamp,
}

impl Status {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("status.json")
    }

    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data_dir)).ok()?).ok()
    }

    fn write(&self, data_dir: &Path) {
        let fresh = data_dir.join("status.new");
        let text = serde_json::to_vec_pretty(self).expect("plain fields always serialize");
        let written =
            std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, Self::path(data_dir)));
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write the status file");
        }
    }
}

/// Whom the admin's wishes are told, and how what is kept in files is read anew.
pub(crate) struct Told {
    pub(crate) attempts: Attempts,
    pub(crate) witness: Arc<Witness>,
    pub(crate) reopen: Box<dyn Fn() -> Result<Believed, FileError> + Send + Sync>,
}

/// Listens to the admin and keeps `status.json` true.
pub(crate) fn spawn(
    data_dir: PathBuf,
    told: Told,
    mut line: watch::Receiver<LineState>,
    describe: impl Fn(LineState, Summary) -> Status + Send + Sync + 'static,
    lifecycle: &Lifecycle,
) -> Result<(), AgentError> {
    let mut asked = signal(SignalKind::user_defined1())
        .map_err(|error| AgentError::io("listen to signals for", &data_dir, error))?;
    let soft = lifecycle.soft();
    let Told { attempts, witness, reopen } = told;
    lifecycle.spawn("control", async move {
        loop {
            let state = line.borrow_and_update().clone();
            describe(state, attempts.summary().await).write(&data_dir);
            tokio::select! {
                _ = asked.recv() => {
                    attempts.tell(Command::Pause(is_paused(&data_dir))).await;
                    attempts.tell(Command::Distrust(witness.reload())).await;
                    match reopen() {
                        Ok(believed) => attempts.tell(Command::RosterReset(Box::new(believed))).await,
                        Err(error) => tracing::error!(%error, "the roster's file cannot be read"),
                    }
                }
                Ok(()) = line.changed() => {}
                () = soft.cancelled() => return Ok::<(), std::convert::Infallible>(()),
            }
        }
    });
    Ok(())
}

/// Describes an agent to [`spawn`].
pub(crate) struct Portrait {
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    pub(crate) coordinator: String,
    pub(crate) clock: SharedClock,
}

//! What can keep the agent from running, with the exit code for each.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::enroll::EnrollError;
use crate::executor::ExecutorError;
use crate::journal::JournalError;
use crate::link::LinkError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    #[error(transparent)]
    Roster(#[from] crate::roster::FileError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("another agent (process {process}) runs on {path}; stop it, or use another --data-dir")]
    Running { path: PathBuf, process: u32 },
    #[error("cannot {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start {part}")]
    Part {
        part: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl AgentError {
    pub(crate) fn io(what: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    /// Documented in `--help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Enroll(EnrollError::NotEnrolled(_))
            | Self::Link(LinkError::Enroll(EnrollError::NotEnrolled(_))) => 3,
            Self::Link(LinkError::Revoked(_)) => 4,
            Self::Running { .. } => 5,
            _ => 1,
        }
    }
}

//! Why the coordinator does not start, or had to end: one line that says what to do, and an exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use nexusmon_shared::lifecycle::TaskFailure;
use nexusmon_shared::telemetry::TelemetryError;
use nexusmon_store::StoreError;

use crate::blobs::BlobError;
use crate::config::ConfigError;
use crate::error::Error;
use crate::keys::KeyringError;
use crate::ops::OpsError;
use crate::up::AgentError;

/// Exit codes: 1 it broke while running; 2 the configuration; 3 a port; 4 the data folder or the disk; 5 the database;
/// 6 the master key; 7 the local agent of `up`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("{}", port(*address, what, flag, source))]
    Port { address: SocketAddr, what: &'static str, flag: &'static str, source: io::Error },
    #[error("cannot read the address of a port just bound")]
    Address(#[source] io::Error),
    #[error(
        "cannot write to the data folder {}: make it writable for this user, or choose another with --data-dir",
        path.display()
    )]
    DataFolder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error("the machine gives no randomness")]
    Randomness,
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Ops(#[from] OpsError),
    #[error(transparent)]
    Failed(#[from] Error),
    #[error("ended because a part of it went down; what was accepted is kept, start it again")]
    Task(#[source] Arc<TaskFailure>),
}

impl StartError {
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Ops(OpsError::Refused(_))
            | Self::Telemetry(_)
            | Self::Blobs(BlobError::Config { .. })
            | Self::Store(StoreError::Url { .. }) => 2,
            Self::Port { .. } | Self::Address(_) => 3,
            Self::DataFolder { .. }
            | Self::Blobs(_)
            | Self::Store(StoreError::Full)
            | Self::Ops(OpsError::Blobs(_) | OpsError::Io { .. }) => 4,
            Self::Store(_) | Self::Ops(OpsError::Store(_)) | Self::Keys(KeyringError::Store(_)) => 5,
            Self::Keys(_) => 6,
            Self::Agent(_) => 7,
            Self::Randomness
            | Self::Signals(_)
            | Self::Ops(OpsError::Differs(_))
            | Self::Failed(_)
            | Self::Task(_) => 1,
        }
    }
}

fn port(address: SocketAddr, what: &str, flag: &str, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the {what} port {address} is taken: stop what uses it (another coordinator?), or choose another with {flag}"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("this user may not bind the {what} port {address}: choose one above 1023 with {flag}")
        }
        _ => format!("cannot bind the {what} port {address}: choose another address with {flag}"),
    }
}

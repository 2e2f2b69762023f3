//! A door before a database's socket that can be shut: connections break, new ones are refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// PostgreSQL's name for the socket of its default port.
const SOCKET: &str = ".s.PGSQL.5432";

/// Nobody waits longer for somebody to come.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Gate {
    folder: tempfile::TempDir,
    open: watch::Sender<bool>,
    refused: watch::Receiver<u64>,
    _task: JoinSet<()>,
}

impl Gate {
    /// Stands before the socket in `target`.
    pub(super) fn start(target: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nexusmon-gate-").tempdir()?;
        let listener = UnixListener::bind(folder.path().join(SOCKET))?;
        let target = target.join(SOCKET);
        let (open, watched) = watch::channel(true);
        let (count, refused) = watch::channel(0);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, target, watched, count));
        Ok(Self { folder, open, refused, _task: task })
    }

    /// The database's address through this gate.
    pub(super) fn url(&self, url: &str) -> Result<String> {
        let (base, _) = url.split_once("host=").context("the test server is reached by its socket")?;
        Ok(format!("{base}host={}", self.folder.path().display()))
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Waits until somebody stands before the shut door who did not when this was called.
    pub(super) async fn refused_again(&self) -> Result<()> {
        let mut refused = self.refused.clone();
        refused.mark_unchanged();
        tokio::time::timeout(PATIENCE, refused.changed()).await.context("nobody comes to the door")??;
        Ok(())
    }
}

/// The folder of the socket in a database's address.
pub(super) fn folder_of(url: &str) -> Option<PathBuf> {
    url.split_once("host=").map(|(_, folder)| PathBuf::from(folder))
}

async fn accept(
    listener: UnixListener,
    target: PathBuf,
    open: watch::Receiver<bool>,
    refused: watch::Sender<u64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if !*open.borrow() {
            refused.send_modify(|count| *count += 1);
            continue;
        }
        let (target, mut open) = (target.clone(), open.clone());
        connections.spawn(async move {
            let Ok(mut far) = UnixStream::connect(target).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = async { open.wait_for(|open| !open).await.map(drop) } => {}
            }
        });
    }
}

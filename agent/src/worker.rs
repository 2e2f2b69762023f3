//! The border between deciding what runs and running it: what the supervisor and the link ask of whatever executes.
//!
//! The real implementation stands on the executor and the plugin host; tests and benches use one in memory. Nothing
//! here knows of processes, sandboxes or connections.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::LogRun;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::run::{Exit, Job};

/// A boxed future, so that the traits here can be used as objects.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Says when, and how gently, an execution is to be ended.
#[derive(Debug, Clone)]
pub struct CancelToken(watch::Receiver<Option<Duration>>);

/// The other end of a [`CancelToken`].
#[derive(Debug)]
pub struct Canceller(watch::Sender<Option<Duration>>);

/// A token nobody has cancelled yet.
pub fn cancellation() -> (Canceller, CancelToken) {
    let (sender, receiver) = watch::channel(None);
    (Canceller(sender), CancelToken(receiver))
}

impl Canceller {
    /// Asks for the end: SIGTERM to the tree, SIGKILL after `grace`. A later call can only shorten the grace.
    pub fn cancel(&self, grace: Duration) {
        self.0.send_if_modified(|current| {
            let shorter = current.is_none_or(|known| grace < known);
            if shorter {
                *current = Some(grace);
            }
            shorter
        });
    }
}

impl CancelToken {
    /// The grace, if the end has been asked for.
    pub fn requested(&self) -> Option<Duration> {
        *self.0.borrow()
    }

    /// Waits until the end is asked for; never returns if nobody can ask any more.
    pub async fn cancelled(&mut self) -> Duration {
        loop {
            let asked = *self.0.borrow_and_update();
            if let Some(grace) = asked {
                return grace;
            }
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until nobody can ask any more: the attempt is gone.
    pub async fn abandoned(&mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// Waits for the next change: a shorter grace than the one known. Never returns if nobody can ask any more.
    pub async fn changed(&mut self) -> Duration {
        loop {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let current = *self.0.borrow_and_update();
            if let Some(grace) = current {
                return grace;
            }
        }
    }
}

/// What an execution tells while it goes on.
pub struct Hooks {
    /// Called once, right after the process (or the plugin call) exists.
    pub started: Box<dyn FnOnce(Timestamp) + Send>,
    /// Fraction from 0 to 1 where known, and a text of at most 200 bytes.
    pub progress: Arc<dyn Fn(Option<f64>, String) + Send + Sync>,
    /// Where the leaf lets the task add others.
    pub spawn: Option<Spawner>,
}

/// Takes a task as its process wrote it; answers once the coordinator has it durably, or with why it is not added. A
/// report of success is only the truth after all answers.
pub type Spawner = Arc<dyn Fn(Value) -> Later<'static, Result<TaskId, String>> + Send + Sync>;

/// What is left of an attempt from an earlier life of this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftover {
    pub attempt: AttemptRef,
    /// Its exit is in the journal: the files it collected are still needed.
    pub finished: bool,
}

/// Whatever executes jobs.
pub trait Worker: Send + Sync + 'static {
    /// For work that starts no process and takes microseconds: done at once, without a task of its own.
    fn immediate(&self, job: &Job, now: Timestamp) -> Option<Exit> {
        let _ = (job, now);
        None
    }

    /// Executes a job to its end. Always answers; a job that could not start is a failed one with its cause. An end for
    /// want of lease renewal is `Ending::Unknown`; one asked for by the token is `Ending::Cancelled`.
    fn execute(&self, job: Job, cancel: CancelToken, hooks: Hooks) -> Later<'_, Exit>;

    /// What can be executed now; changes while the agent runs.
    fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>>;

    /// The confinements measured at start.
    fn levels(&self) -> BTreeSet<Level>;

    /// Why this machine has not the others.
    fn missing_levels(&self) -> BTreeMap<Level, String> {
        BTreeMap::new()
    }

    /// Running work may live until this reading of the boot clock, plus its own `offline`; the margin before the real
    /// end of the lease is already taken off. Only ever moves forward.
    fn renew(&self, live_until: Duration);

    /// Once, before the first session: ends every tree an earlier life left behind, drops the remains of every attempt
    /// that is not `finished` here, closes their logs.
    fn recover(&self, leftovers: Vec<Leftover>) -> Later<'_, ()>;

    /// The report of this attempt is durable at the coordinator: its files may go. Logs stay until stored.
    fn release(&self, attempt: AttemptRef);
}

/// A piece of a log as it lies in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Of its first byte in the attempt's log.
    pub offset: u64,
    /// At most 256 KiB; empty only together with `last`.
    pub data: Bytes,
    /// Lengths add up to that of `data`.
    pub runs: Vec<LogRun>,
    /// When the first byte was read.
    pub at: Timestamp,
    /// The log ends after this piece.
    pub last: bool,
}

/// Logs between the pump that fills them and the link that sends them.
pub trait LogSpool: Send + Sync + 'static {
    /// Every attempt with a log that is not sealed yet: those on disk first, then each as its first byte (or its end,
    /// for a log that is to exist though empty) is written. An attempt that logged nothing never appears. To be taken
    /// once.
    fn begun(&self) -> mpsc::UnboundedReceiver<AttemptRef>;

    /// What lies at `offset`, waiting for more if the log has not ended; `None` once the log is gone.
    fn next(&self, attempt: AttemptRef, offset: u64) -> Later<'_, std::io::Result<Option<LogPiece>>>;

    /// Bytes before `offset` are in the object store: their room may be used again.
    fn stored(&self, attempt: AttemptRef, offset: u64);

    /// Sealed or refused: nothing of this log is needed any more, and more bytes are thrown away.
    fn forget(&self, attempt: AttemptRef);
}

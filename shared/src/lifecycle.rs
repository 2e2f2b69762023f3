//! The only place that spawns tasks: tracked, named, cancellable, and never failing in silence.
//!
//! Shutdown is soft first (stop taking work, finish what runs), then hard (every await point ends). A critical task that
//! panics or returns an error makes [`Lifecycle::failed`] resolve, so that `main` can end the process with failure.

mod signals;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use signals::{Signal, Signals, termination};

/// What a task's error may be.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// The handle everything that spawns holds; cheap to clone.
#[derive(Clone)]
pub struct Lifecycle(Arc<Shared>);

struct Shared {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    failure: OnceLock<Arc<TaskFailure>>,
    failed: Notify,
}

/// The first critical task that went down, and why.
#[derive(Debug, thiserror::Error)]
#[error("the task `{task}` went down")]
pub struct TaskFailure {
    pub task: &'static str,
    #[source]
    pub reason: TaskError,
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Every task ended by itself within the grace.
    Clean,
    /// Some had to be cut off; this many at the end of the grace.
    Forced(usize),
}

#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
struct Panicked(String);

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            tracker: TaskTracker::new(),
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            failure: OnceLock::new(),
            failed: Notify::new(),
        }))
    }

    /// Spawns a critical task: one without which the process makes no sense. An error or a panic is the process's.
    ///
    /// It should end when [`Self::soft`] fires; it is dropped at its next await point when [`Self::hard`] does.
    pub fn spawn<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<TaskError>,
    {
        let lifecycle = self.clone();
        self.track(name, async move {
            let reason = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.into(),
                Err(panic) => panicked(panic.as_ref()),
            };
            lifecycle.fail(name, reason);
        });
    }

    /// Spawns a task that belongs to one connection, stream or attempt: its errors are normal and logged; a panic is
    /// still a defect and fails the process.
    pub fn spawn_quiet<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<TaskError>,
    {
        let lifecycle = self.clone();
        self.track(name, async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error: TaskError = error.into();
                    tracing::debug!(task = name, error = %chain(error.as_ref()), "task ended with an error");
                }
                Err(panic) => lifecycle.fail(name, panicked(panic.as_ref())),
            }
        });
    }

    /// Fires when the shutdown begins: take no new work, finish what runs.
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Fires when the grace is over.
    pub fn hard(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    pub fn is_stopping(&self) -> bool {
        self.0.soft.is_cancelled()
    }

    /// Begins a soft shutdown without waiting for it.
    pub fn begin_shutdown(&self) {
        self.0.soft.cancel();
    }

    /// Tasks that live now.
    pub fn len(&self) -> usize {
        self.0.tracker.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.tracker.is_empty()
    }

    /// Resolves when a critical task has gone down.
    pub async fn failed(&self) -> Arc<TaskFailure> {
        loop {
            let notified = self.0.failed.notified();
            if let Some(failure) = self.0.failure.get() {
                return failure.clone();
            }
            notified.await;
        }
    }

    /// The failure, if there has been one.
    pub fn failure(&self) -> Option<Arc<TaskFailure>> {
        self.0.failure.get().cloned()
    }

    /// Soft, then up to `grace` for the tasks to end, then hard.
    pub async fn shutdown(&self, grace: Duration) -> Shutdown {
        self.0.soft.cancel();
        self.0.tracker.close();
        let clean = tokio::time::timeout(grace, self.0.tracker.wait()).await.is_ok();
        let left = self.0.tracker.len();
        self.0.hard.cancel();
        if clean {
            return Shutdown::Clean;
        }
        tracing::warn!(tasks = left, "cutting off tasks that did not end within the grace");
        self.0.tracker.wait().await;
        Shutdown::Forced(left)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    fn track(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.0.hard.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = hard.cancelled() => {}
                () = task => {}
            }
        };
        let span = tracing::info_span!(parent: None, "task", name);
        tokio::spawn(self.0.tracker.track_future(task.instrument(span)));
    }

    fn fail(&self, task: &'static str, reason: TaskError) {
        tracing::error!(task, error = %chain(reason.as_ref()), "a critical task went down");
        let _ = self.0.failure.set(Arc::new(TaskFailure { task, reason }));
        self.0.failed.notify_waiters();
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("tasks", &self.len())
            .field("stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

/// An error with all its sources, on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> TaskError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Panicked(text.unwrap_or_else(|| "without a message".to_owned())).into()
}

#[cfg(test)]
mod tests;

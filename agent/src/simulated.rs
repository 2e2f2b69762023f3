//! A worker in memory: for tests, and for fleets of thousands of agents in one process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::{SharedClock, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::run::{Exit, Job};
use crate::worker::{CancelToken, Hooks, Later, Leftover, Spawner, Worker};

/// What a simulated job does.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ends at once, without a task of its own.
    AtOnce(Ending),
    /// Takes this long, unless it is cancelled.
    After(Duration, Ending),
    /// Runs until it is cancelled.
    UntilCancelled,
    /// Adds these tasks and succeeds, with what came of each as its outputs.
    Adds(Vec<Value>),
}

/// See the module.
pub struct SimulatedWorker {
    act: Box<dyn Fn(&Job) -> Act + Send + Sync>,
    manifests: watch::Sender<Arc<Vec<Manifest>>>,
    levels: BTreeSet<Level>,
    clock: SharedClock,
    seen: Mutex<Seen>,
}

/// What a simulated worker was told, for tests to look at.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub executed: Vec<AttemptRef>,
    pub recovered: Vec<Leftover>,
    pub released: Vec<AttemptRef>,
    pub live_until: Duration,
}

impl SimulatedWorker {
    /// Offers `core.noop` and `shell.run`, which do what `act` says.
    pub fn new(clock: SharedClock, act: impl Fn(&Job) -> Act + Send + Sync + 'static) -> Self {
        let manifest = json!([
            {"name": "core", "version": "1", "capabilities": [{"name": "core.noop"}]},
            {"name": "shell", "version": "1", "capabilities": [{"name": "shell.run"}]},
        ]);
        let manifests: Vec<Manifest> = serde_json::from_value(manifest).expect("a manifest as they are");
        Self {
            act: Box::new(act),
            manifests: watch::channel(Arc::new(manifests)).0,
            levels: BTreeSet::from([Level::L0, Level::L1, Level::L3]),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Does everything at once, successfully.
    pub fn idle(clock: SharedClock) -> Self {
        Self::new(clock, |_| Act::AtOnce(Ending::Succeeded { outputs: serde_json::Map::new() }))
    }

    /// Replaces what is offered.
    pub fn offer(&self, manifests: Vec<Manifest>) {
        self.manifests.send_replace(Arc::new(manifests));
    }

    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }

    fn exit(&self, ending: Ending, started_at: Timestamp) -> Exit {
        Exit {
            ending,
            artifacts: Vec::new(),
            sandbox_level: None,
            log_bytes: 0,
            log_digest: None,
            provenance: None,
            started_at: Some(started_at),
            finished_at: self.clock.now(),
        }
    }
}

async fn add_all(tasks: Vec<Value>, spawn: Option<Spawner>) -> Ending {
    let Some(spawn) = spawn else { return Ending::Succeeded { outputs: serde_json::Map::new() } };
    // All are asked for before the first is answered.
    let asked: Vec<_> = tasks.into_iter().map(|task| spawn(task)).collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(match answer.await {
            Ok(task) => task.to_string(),
            Err(refused) => refused,
        });
    }
    let outputs = json!({"answers": answers}).as_object().cloned().unwrap_or_default();
    Ending::Succeeded { outputs }
}

impl Worker for SimulatedWorker {
    fn immediate(&self, job: &Job, now: Timestamp) -> Option<Exit> {
        match (self.act)(job) {
            Act::AtOnce(ending) => Some(self.exit(ending, now)),
            Act::After(..) | Act::UntilCancelled | Act::Adds(_) => None,
        }
    }

    fn execute(&self, job: Job, mut cancel: CancelToken, hooks: Hooks) -> Later<'_, Exit> {
        Box::pin(async move {
            self.lock().executed.push(job.attempt);
            let started_at = self.clock.now();
            (hooks.started)(started_at);
            let ending = match (self.act)(&job) {
                Act::AtOnce(ending) => ending,
                Act::After(duration, ending) => tokio::select! {
                    () = tokio::time::sleep(duration) => ending,
                    _ = cancel.cancelled() => Ending::Cancelled,
                },
                Act::UntilCancelled => {
                    cancel.cancelled().await;
                    Ending::Cancelled
                }
                Act::Adds(tasks) => tokio::select! {
                    ending = add_all(tasks, hooks.spawn) => ending,
                    _ = cancel.cancelled() => Ending::Cancelled,
                },
            };
            self.exit(ending, started_at)
        })
    }

    fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.manifests.subscribe()
    }

    fn levels(&self) -> BTreeSet<Level> {
        self.levels.clone()
    }

    fn renew(&self, live_until: Duration) {
        self.lock().live_until = live_until;
    }

    fn recover(&self, leftovers: Vec<Leftover>) -> Later<'_, ()> {
        Box::pin(async move { self.lock().recovered = leftovers })
    }

    fn release(&self, attempt: AttemptRef) {
        self.lock().released.push(attempt);
    }
}

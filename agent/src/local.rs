//! The worker of a real machine, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::{SharedClock, Timestamp};
use tokio::sync::watch;

use crate::config::Config;
use crate::error::AgentError;
use crate::run::{Exit, Job};
use crate::worker::{CancelToken, Hooks, Later, Leftover, LogSpool, Worker};

/// See the module.
pub struct Local {
    pub worker: Arc<dyn Worker>,
    pub spool: Option<Arc<dyn LogSpool>>,
}

/// Confinements this machine gives, and why it does not give the others.
#[derive(Debug, Default)]
pub struct Measured {
    pub available: BTreeSet<Level>,
    pub missing: BTreeMap<Level, String>,
}

impl Local {
    pub async fn start(
        config: &Config,
        lifecycle: &Lifecycle,
        clock: SharedClock,
    ) -> Result<Self, AgentError> {
        let _ = (config, lifecycle);
        Ok(Self { worker: Arc::new(Core::new(clock)), spool: None })
    }
}

/// Tries each confinement, without touching an agent that runs.
pub async fn measure(config: &Config) -> Result<Measured, AgentError> {
    let _ = config;
    Ok(Measured { available: BTreeSet::from([Level::L0]), missing: BTreeMap::new() })
}

/// `core.noop`, for measuring.
struct Core {
    manifests: watch::Sender<Arc<Vec<Manifest>>>,
    clock: SharedClock,
}

impl Core {
    fn new(clock: SharedClock) -> Self {
        let manifest = serde_json::json!([{
            "name": "core", "version": env!("CARGO_PKG_VERSION"),
            "capabilities": [{"name": "core.noop", "description": "Does nothing, successfully", "idempotent": true}]
        }]);
        let manifests = serde_json::from_value(manifest).expect("a manifest as they are");
        Self { manifests: watch::channel(Arc::new(manifests)).0, clock }
    }

    fn exit(&self, ending: Ending, started_at: Timestamp) -> Exit {
        let finished_at = self.clock.now();
        let started_at = Some(started_at);
        Exit { ending, artifacts: Vec::new(), sandbox_level: None, log_bytes: 0, started_at, finished_at }
    }
}

impl Worker for Core {
    fn immediate(&self, job: &Job, now: Timestamp) -> Option<Exit> {
        (job.spec.uses.as_str() == "core.noop")
            .then(|| self.exit(Ending::Succeeded { outputs: serde_json::Map::new() }, now))
    }

    fn execute(&self, job: Job, _cancel: CancelToken, hooks: Hooks) -> Later<'_, Exit> {
        Box::pin(async move {
            let now = self.clock.now();
            (hooks.started)(now);
            self.immediate(&job, now).unwrap_or_else(|| {
                let detail = format!("nothing here provides {}", job.spec.uses);
                self.exit(Ending::Failed { cause: Cause::PluginError { detail } }, now)
            })
        })
    }

    fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.manifests.subscribe()
    }

    fn levels(&self) -> BTreeSet<Level> {
        BTreeSet::from([Level::L0])
    }

    fn renew(&self, _live_until: Duration) {}

    fn recover(&self, _leftovers: Vec<Leftover>) -> Later<'_, ()> {
        Box::pin(async {})
    }

    fn release(&self, _attempt: AttemptRef) {}
}

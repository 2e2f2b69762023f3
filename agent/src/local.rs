//! The worker of a real machine, put together: what is built in, processes, plugins.

mod helper;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::{SharedClock, Timestamp};
use tokio::sync::watch;

use crate::config::{Config, RootHelper};
use crate::egress::EgressConfig;
use crate::enroll::Home;
use crate::error::AgentError;
use crate::executor::{Executor, ExecutorConfig, Levels};
use crate::plugins::{self, Plugins, PluginsConfig, Probe};
use crate::run::{Exit, Job};
use crate::worker::{CancelToken, Hooks, Later, Leftover, LogSpool, Worker};

/// See the module.
pub struct Local {
    pub worker: Arc<dyn Worker>,
    pub spool: Option<Arc<dyn LogSpool>>,
}

impl Local {
    pub async fn start(
        config: &Config,
        lifecycle: &Lifecycle,
        clock: SharedClock,
    ) -> Result<Self, AgentError> {
        let (executor, spool) = Executor::start(settings(config), lifecycle, Arc::clone(&clock)).await?;
        let settings = PluginsConfig {
            folder: config.plugin_dir.clone(),
            data_dir: config.data_dir.clone(),
            built_in: built_in().into_iter().chain(helper::manifest(&config.root_helpers)).collect(),
        };
        let plugins = Plugins::start(settings, executor.clone(), lifecycle, Arc::clone(&clock))
            .map_err(|error| AgentError::io("clean up after plugins in", &config.data_dir, error))?;
        let helpers = config.root_helpers.clone();
        let worker = LocalWorker { executor, plugins, helpers, clock };
        Ok(Self { worker: Arc::new(worker), spool: Some(spool) })
    }
}

/// Where the coordinator is looked for, which is where no task may go.
fn coordinators(config: &Config) -> Vec<String> {
    let joined = Home::open(&config.data_dir).ok().map(|home| home.membership().address.clone());
    let known = config.coordinator.iter().cloned().chain(joined);
    known.map(|address| address.host().to_owned()).collect()
}

fn settings(config: &Config) -> ExecutorConfig {
    let egress =
        EgressConfig { allow_private: config.allow_private.clone(), coordinators: coordinators(config) };
    let usual = ExecutorConfig::new(config.data_dir.clone());
    ExecutorConfig {
        egress,
        task_processes: config.task_processes.unwrap_or(usual.task_processes),
        task_memory: config.task_memory.map_or(usual.task_memory, crate::config::Size::bytes),
        hidden_paths: [&config.plugin_dir].into_iter().chain(&config.join_from).cloned().collect(),
        spool_limit: config.spool_limit.bytes(),
        ..usual
    }
}

/// Tries each confinement, without touching an agent that runs.
pub async fn measure(
    config: &Config,
    lifecycle: &Lifecycle,
    clock: SharedClock,
) -> Result<Levels, AgentError> {
    let folder =
        tempfile::tempdir_in(&config.data_dir).map_err(|e| AgentError::io("use", &config.data_dir, e))?;
    let settings = ExecutorConfig { data_dir: folder.path().to_owned(), ..settings(config) };
    let (executor, _) = Executor::start(settings, lifecycle, clock).await?;
    Ok(executor.levels().clone())
}

/// Starts the plugin of a folder as the agent would, without touching an agent that runs. The inner error says what is
/// wrong with the plugin.
pub async fn check_plugin(
    config: &Config,
    folder: &std::path::Path,
    lifecycle: &Lifecycle,
    clock: SharedClock,
) -> Result<Result<Probe, String>, AgentError> {
    let data_dir =
        tempfile::tempdir().map_err(|error| AgentError::io("use", &std::env::temp_dir(), error))?;
    let hidden = [config.data_dir.clone(), config.plugin_dir.clone()];
    let settings =
        ExecutorConfig { hidden_paths: hidden.to_vec(), ..ExecutorConfig::new(data_dir.path().to_owned()) };
    let (executor, _) = Executor::start(settings, lifecycle, Arc::clone(&clock)).await?;
    Ok(plugins::probe(&executor, data_dir.path(), folder, clock).await)
}

/// What every agent offers.
fn built_in() -> Vec<Manifest> {
    let version = env!("CARGO_PKG_VERSION");
    let variables = serde_json::json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}});
    let manifests = serde_json::json!([
        {"name": "core", "version": version, "capabilities": [
            {"name": "core.noop", "description": "Does nothing, successfully", "idempotent": true}]},
        {"name": "shell", "version": version, "capabilities": [
            {"name": "shell.run", "description": "Runs a shell script in a fresh workspace",
             "params": {"type": "object", "required": ["script"], "additionalProperties": false, "properties": {
                "script": {"type": "string"}, "shell": {"type": "string"}, "cwd": {"type": "string"}, "env": variables}}}]},
        {"name": "script", "version": version, "capabilities": [
            {"name": "script.run", "description": "Runs a script with an interpreter in a fresh workspace",
             "params": {"type": "object", "required": ["interpreter"], "additionalProperties": false, "properties": {
                "interpreter": {"type": "string"}, "source": {"type": "string"}, "artifact": {"type": "string"},
                "args": {"type": "array", "items": {"type": ["string", "number", "boolean"]}}, "env": variables}}}]},
    ]);
    serde_json::from_value(manifests).expect("manifests as they are")
}

/// Routes a job to what provides its capability.
struct LocalWorker {
    executor: Executor,
    plugins: Plugins,
    helpers: Vec<RootHelper>,
    clock: SharedClock,
}

impl LocalWorker {
    fn exit(&self, ending: Ending, started_at: Timestamp) -> Exit {
        let finished_at = self.clock.now();
        let started_at = Some(started_at);
        Exit {
            ending,
            artifacts: Vec::new(),
            sandbox_level: None,
            log_bytes: 0,
            log_digest: None,
            provenance: None,
            started_at,
            finished_at,
        }
    }
}

impl Worker for LocalWorker {
    fn immediate(&self, job: &Job, now: Timestamp) -> Option<Exit> {
        (job.spec.uses.as_str() == "core.noop")
            .then(|| self.exit(Ending::Succeeded { outputs: serde_json::Map::new() }, now))
    }

    fn execute(&self, job: Job, cancel: CancelToken, hooks: Hooks) -> Later<'_, Exit> {
        Box::pin(async move {
            if let Some(job) = helper::job(&self.helpers, &job) {
                return self.executor.execute(job, cancel, hooks).await;
            }
            match job.spec.uses.as_str() {
                "shell.run" | "script.run" => self.executor.execute(job, cancel, hooks).await,
                _ => self.plugins.execute(job, cancel, hooks).await,
            }
        })
    }

    fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.plugins.manifests()
    }

    fn levels(&self) -> BTreeSet<Level> {
        self.executor.levels().available.clone()
    }

    fn missing_levels(&self) -> BTreeMap<Level, String> {
        let short = |why: &String| why.chars().take(250).collect();
        self.executor.levels().missing.iter().map(|(level, why)| (*level, short(why))).collect()
    }

    fn renew(&self, live_until: Duration) {
        self.executor.renew(live_until);
    }

    fn recover(&self, leftovers: Vec<Leftover>) -> Later<'_, ()> {
        Box::pin(self.executor.recover(leftovers))
    }

    fn release(&self, attempt: AttemptRef) {
        self.executor.release(attempt);
    }
}

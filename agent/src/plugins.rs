//! Plugins of this machine: folders watched while the agent runs, each a process that is started, kept and confined, and
//! asked over a line protocol.
//!
//! Knows nothing of the coordinator. What a plugin says is believed only as far as it lowers nothing: see `manifest`.

mod adding;
mod attempt;
mod board;
mod folder;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod instance;
mod keeper;
mod manifest;
mod sdk;
mod stderr;
mod survey;
mod wire;
mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::outcome::{Cause, Ending, Refusal};
use nexusmon_shared::time::SharedClock;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::executor::{self, Executor};
use crate::run::{Exit, Job};
use crate::worker::{CancelToken, Hooks};
use board::{Board, Standing};
use folder::Fingerprint;
use instance::Instance;
use keeper::Keeper;

pub use board::{OfferedCapability, PluginState, State};
pub use survey::{Probe, new, probe, read_states, survey};

/// How often the folders are looked at.
const PACE: Duration = Duration::from_secs(1);
/// A folder counts once it stays the same for this long: it may be in the middle of being copied.
const SETTLE: Duration = Duration::from_millis(150);

/// What the host needs to know.
#[derive(Debug, Clone)]
pub struct PluginsConfig {
    /// Its subfolders are the plugins.
    pub folder: PathBuf,
    /// Holds `plugins-work`, `uploads` and `plugins.json`.
    pub data_dir: PathBuf,
    /// Offered beside the plugins', and first.
    pub built_in: Vec<Manifest>,
}

/// The plugin host; cheap to clone.
#[derive(Debug, Clone)]
pub struct Plugins(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    config: PluginsConfig,
    executor: Executor,
    clock: SharedClock,
    board: Arc<Board>,
}

impl Plugins {
    /// Starts watching; the plugins come as they are found. To be called once the executor has ended what an earlier life
    /// left.
    pub fn start(
        mut config: PluginsConfig,
        executor: Executor,
        lifecycle: &Lifecycle,
        clock: SharedClock,
    ) -> std::io::Result<Self> {
        // A confined process does not start where the agent did.
        config.folder = std::path::absolute(&config.folder)?;
        workspace::clean(&config.data_dir)?;
        let board = Arc::new(Board::new(config.built_in.clone()));
        let plugins = Self(Arc::new(Parts { config, executor, clock, board }));
        let watcher = Watcher {
            plugins: plugins.clone(),
            lifecycle: lifecycle.clone(),
            known: BTreeMap::new(),
            generation: 0,
        };
        lifecycle.spawn("plugins", watcher.watch());
        Ok(plugins)
    }

    /// Everything offered: what is built in and what the plugins that run declare.
    pub fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.0.board.manifests()
    }

    /// How each plugin stands.
    pub fn states(&self) -> watch::Receiver<Arc<Vec<PluginState>>> {
        self.0.board.states()
    }

    /// Executes a job in the plugin that provides its capability.
    pub async fn execute(&self, job: Job, mut cancel: CancelToken, hooks: Hooks) -> Exit {
        let attempt = job.attempt;
        let (done, level) = match self.ready(&job, &mut cancel).await {
            Ok((instance, _permit)) => {
                let doing = attempt::Doing {
                    scratch: Arc::clone(instance.scratch()),
                    instance,
                    clock: Arc::clone(&self.0.clock),
                    log: self.0.executor.spool().writer(attempt),
                    uploads: executor::uploads(&self.0.config.data_dir, attempt),
                    job,
                };
                let level = self.0.executor.level_for(doing.job.spec.sandbox.profile);
                (doing.run(cancel, hooks).await, level)
            }
            Err(ending) => (
                attempt::Done {
                    ending,
                    artifacts: Vec::new(),
                    log_bytes: 0,
                    log_digest: None,
                    started_at: None,
                },
                None,
            ),
        };
        Exit {
            ending: done.ending,
            artifacts: done.artifacts,
            sandbox_level: level.filter(|_| done.started_at.is_some()),
            log_bytes: done.log_bytes,
            log_digest: done.log_digest,
            provenance: None,
            started_at: done.started_at,
            finished_at: self.0.clock.now(),
        }
    }

    /// Waits for a plugin that can take the job.
    async fn ready(
        &self,
        job: &Job,
        cancel: &mut CancelToken,
    ) -> Result<(Arc<Instance>, OwnedSemaphorePermit), Ending> {
        let waiting = async {
            loop {
                let found = self.0.board.standing(job.spec.uses.plugin());
                let mut standing = found.ok_or_else(|| nobody(job, "nothing here provides it"))?;
                let instance = settled(&mut standing, job).await?;
                let Some(instance) = instance else { continue };
                check(&instance, job)?;
                let permits = Arc::clone(&instance.permits);
                if let Ok(permit) = permits.acquire_owned().await {
                    return Ok((instance, permit));
                }
                // It has ended; its keeper says so in a moment.
                let _ = standing.changed().await;
            }
        };
        tokio::select! {
            found = waiting => found,
            _ = cancel.cancelled() => Err(Ending::Cancelled),
        }
    }
}

/// Waits until a plugin either runs or will not. `None`: look for it again.
async fn settled(
    standing: &mut watch::Receiver<Standing>,
    job: &Job,
) -> Result<Option<Arc<Instance>>, Ending> {
    let unsettled =
        |now: &Standing| matches!(now, Standing::Starting | Standing::Restarting { .. } | Standing::Gone);
    let Ok(now) = standing.wait_for(|now| !unsettled(now)).await else { return Ok(None) };
    match &*now {
        Standing::Ready(instance) => Ok(Some(Arc::clone(instance))),
        Standing::Refused(reason) => Err(nobody(job, &format!("the plugin is refused: {reason}"))),
        Standing::Quarantined(reason) => Err(nobody(job, &format!("the plugin is in quarantine: {reason}"))),
        Standing::Starting | Standing::Restarting { .. } | Standing::Gone => Ok(None),
    }
}

/// Whether the plugin as it runs is what the job was planned for.
fn check(instance: &Instance, job: &Job) -> Result<(), Ending> {
    let refused = |reason, detail: String| Err(Ending::Refused { reason, detail });
    let uses = &job.spec.uses;
    let Some(spec) = instance.admitted().manifest.capabilities.iter().find(|spec| spec.name == *uses) else {
        return refused(Refusal::UnknownCapability, format!("the plugin does not provide {uses} any more"));
    };
    let sandbox = &job.spec.sandbox;
    let runs_in = spec.sandbox.unwrap_or_default();
    if sandbox.profile != runs_in {
        let (wanted, given) = (sandbox.profile.as_str(), runs_in.as_str());
        let detail =
            format!("the plugin runs in profile `{given}` on this machine, the task wants `{wanted}`");
        return refused(Refusal::SandboxUnavailable, detail);
    }
    if !sandbox.paths.is_empty() || !sandbox.network.is_empty() {
        let detail =
            "a plugin's confinement is its plugin.toml's; a task cannot open paths or hosts in it".to_owned();
        return refused(Refusal::SandboxUnavailable, detail);
    }
    Ok(())
}

fn nobody(job: &Job, why: &str) -> Ending {
    Ending::Failed { cause: Cause::PluginError { detail: format!("{}: {why}", job.spec.uses) } }
}

/// Looks at the folders and gives each a keeper.
struct Watcher {
    plugins: Plugins,
    lifecycle: Lifecycle,
    known: BTreeMap<String, Known>,
    generation: u64,
}

struct Known {
    fingerprint: Result<Fingerprint, String>,
    /// Absent while the folder has not come to rest.
    stop: Option<CancellationToken>,
}

impl Watcher {
    async fn watch(mut self) -> Result<(), std::io::Error> {
        let soft = self.lifecycle.soft();
        let mut states = self.plugins.states();
        states.mark_changed();
        let mut pace = Duration::ZERO;
        let mut looking = std::pin::pin!(tokio::time::sleep(pace));
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                Ok(()) = states.changed() => {
                    let now = states.borrow_and_update().clone();
                    let data_dir = self.plugins.0.config.data_dir.clone();
                    tokio::task::spawn_blocking(move || survey::write_states(&data_dir, &now)).await?;
                }
                () = &mut looking => {
                    let folder = self.plugins.0.config.folder.clone();
                    let found = tokio::task::spawn_blocking(move || folder::scan(&folder)).await?;
                    pace = if self.follow(found) { PACE } else { SETTLE };
                    looking.set(tokio::time::sleep(pace));
                }
            }
        }
    }

    /// True if every folder has come to rest.
    fn follow(&mut self, found: BTreeMap<String, Result<Fingerprint, String>>) -> bool {
        let board = Arc::clone(&self.plugins.0.board);
        self.known.retain(|name, known| {
            let there = found.contains_key(name);
            if !there {
                tracing::info!(plugin = %name, "a plugin's folder is gone");
                known.stop.iter().for_each(CancellationToken::cancel);
                board.remove(name);
            }
            there
        });
        let mut at_rest = true;
        for (name, fingerprint) in found {
            let known = self.known.remove(&name);
            let known = match known {
                Some(known) if known.fingerprint == fingerprint => {
                    let stop = known.stop.unwrap_or_else(|| self.keep(&name));
                    Known { fingerprint, stop: Some(stop) }
                }
                changed => {
                    at_rest = false;
                    changed.and_then(|known| known.stop).iter().for_each(CancellationToken::cancel);
                    Known { fingerprint, stop: None }
                }
            };
            self.known.insert(name, known);
        }
        at_rest
    }

    fn keep(&mut self, name: &str) -> CancellationToken {
        self.generation += 1;
        let parts = &self.plugins.0;
        let stop = self.lifecycle.soft().child_token();
        parts.board.begin(name, self.generation);
        let keeper = Keeper {
            board: Arc::clone(&parts.board),
            executor: parts.executor.clone(),
            clock: Arc::clone(&parts.clock),
            plugin: name.to_owned(),
            generation: self.generation,
            folder: parts.config.folder.join(name),
            data_dir: parts.config.data_dir.clone(),
            stop: stop.clone(),
        };
        self.lifecycle.spawn_quiet("plugin", async move {
            keeper.keep().await;
            Ok::<(), std::convert::Infallible>(())
        });
        stop
    }
}

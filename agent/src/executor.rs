//! Processes on this machine: confined as measured, their logs spooled, their outputs collected, their trees ended.
//!
//! Knows nothing of the coordinator. What must outlive the agent lies with the spawner, a process of its own.

mod birth;
mod client;
pub(crate) mod collect;
mod command;
mod confine;
mod descriptor;
mod doorway;
mod handed;
mod measure;
mod protocol;
mod pump;
mod room;
mod ruleset;
mod seccomp;
mod spawned;
mod spawner;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::outcome::{Cause, Ending, Refusal};
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::time::{SharedClock, Timestamp};

use crate::egress::{EgressConfig, Gate};
use crate::redact::Redactor;
use crate::run::{Exit, Job};
use crate::spool::Spool;
use crate::worker::{CancelToken, Hooks, Leftover};
use client::{Client, Tree};
use protocol::{Event, Lease, Limits, Reason, Start, Status};
use workspace::{View, Workspace};

pub use client::{Ended, Process};
pub use confine::Host;

/// What the executor needs to know.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// Holds `work`, `uploads`, `spool` and the spawner's mark.
    pub data_dir: PathBuf,
    /// The agent's own binary, which is also the spawner's.
    pub program: PathBuf,
    /// What no confined task may see beside the data folder.
    pub hidden_paths: Vec<PathBuf>,
    pub bubblewrap: PathBuf,
    /// Between SIGTERM and SIGKILL when a deadline ends a tree.
    pub grace: Duration,
    /// `PATH` of tasks.
    pub path: String,
    /// Room for logs that wait to be stored.
    pub spool_limit: u64,
    /// Whether to ask the kernel for a process table of the spawner's own.
    pub isolated: bool,
    /// What the profile `network` lets out.
    pub egress: EgressConfig,
    /// Processes and threads one confined attempt may have.
    pub task_processes: u64,
    /// Bytes of memory each process of a confined attempt may write to.
    pub task_memory: u64,
    /// Bytes of the data folder's disk that tasks must leave free. Absent: a twentieth of it, at most 512 MiB.
    pub reserve: Option<u64>,
}

impl ExecutorConfig {
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("nexusmon-agent")),
            hidden_paths: Vec::new(),
            bubblewrap: PathBuf::from("bwrap"),
            grace: Duration::from_secs(5),
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            spool_limit: 1024 * 1024 * 1024,
            isolated: true,
            egress: EgressConfig::default(),
            task_processes: 1024,
            task_memory: most_memory(),
            reserve: None,
        }
    }

    fn limits(&self) -> Limits {
        // A single file as large as any disk in use; what fills the disk in many is looked for elsewhere.
        Limits { processes: self.task_processes, memory: self.task_memory, file: 16 << 40 }
    }
}

/// Three quarters of the machine's memory.
fn most_memory() -> u64 {
    let memory = rustix::system::sysinfo();
    memory.totalram.saturating_mul(u64::from(memory.mem_unit)) / 4 * 3
}

/// Why processes cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error("cannot use the folder {path}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the spawner does not start: {0}")]
    Spawner(String),
}

/// Confinements this machine gives, and why it does not give the others.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    pub available: BTreeSet<Level>,
    pub missing: BTreeMap<Level, String>,
}

/// The handle; cheap to clone.
#[derive(Clone)]
pub struct Executor(Arc<Parts>);

struct Parts {
    config: ExecutorConfig,
    host: Host,
    lifecycle: Lifecycle,
    clock: SharedClock,
    spool: Arc<Spool>,
    room: room::Room,
    levels: Levels,
    client: Mutex<Option<Client>>,
    /// One restart at a time.
    restarting: tokio::sync::Mutex<()>,
    /// Boot-clock milliseconds; a spawner that had to be started again is told at once.
    live_until: AtomicU64,
}

/// The hidden subcommands of the agent's binary: the spawner, and the first program of some sandboxes. To be asked before anything else is set up.
pub fn hidden_command() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == spawner::COMMAND => Some(spawner::main(rest)),
        _ => doorway::main(&arguments),
    }
}

impl Executor {
    /// Ends what an earlier life left running, starts the spawner, tries every confinement.
    pub async fn start(
        config: ExecutorConfig,
        lifecycle: &Lifecycle,
        clock: SharedClock,
    ) -> Result<(Self, Arc<Spool>), ExecutorError> {
        let folders = ["work", "uploads", "spool"].map(|folder| config.data_dir.join(folder));
        for path in folders.into_iter().chain([workspace::no_inputs(&config.data_dir)]) {
            std::fs::create_dir_all(&path).map_err(|source| ExecutorError::Folder { path, source })?;
        }
        client::end_earlier(&config.data_dir);
        let spool = Spool::open(&config.data_dir.join("spool"), config.spool_limit, Arc::clone(&clock))
            .map_err(|source| ExecutorError::Folder { path: config.data_dir.join("spool"), source })?;
        let host = Host::look(&config);
        let client = Client::start(&config, &host, lifecycle).await?;
        let levels = measure::levels(&client, &config, &host).await;
        for (level, reason) in &levels.missing {
            tracing::info!(level = level.as_str(), %reason, "this confinement is not available here");
        }
        let room = room::Room::watch(&config.data_dir, config.reserve, lifecycle);
        let parts = Parts {
            room,
            host,
            lifecycle: lifecycle.clone(),
            clock,
            spool: Arc::clone(&spool),
            levels,
            client: Mutex::new(Some(client)),
            restarting: tokio::sync::Mutex::new(()),
            live_until: AtomicU64::new(0),
            config,
        };
        Ok((Self(Arc::new(parts)), spool))
    }

    pub fn levels(&self) -> &Levels {
        &self.0.levels
    }

    pub fn spool(&self) -> &Arc<Spool> {
        &self.0.spool
    }

    /// What `profile` means here; never less than asked for.
    pub(crate) fn level_for(&self, profile: Profile) -> Option<Level> {
        let has = |level: &Level| self.0.levels.available.contains(level);
        match profile {
            Profile::Strict => [Level::L3, Level::L3Lite].into_iter().find(has),
            Profile::Network => Some(Level::L2).filter(has),
            Profile::User => Some(Level::L1).filter(has),
            Profile::None => Some(Level::L0).filter(has),
        }
    }

    /// Executes `shell.run` and `script.run`.
    pub async fn execute(&self, job: Job, cancel: CancelToken, hooks: Hooks) -> Exit {
        let mut report = Report { started_at: None, level: None, log: pump::Written::default() };
        let attempt = job.attempt;
        let outcome = self.attempt(job, cancel, hooks, &mut report).await;
        let (ending, artifacts) = match outcome {
            Ok(done) => done,
            Err(ending) => {
                let data_dir = self.0.config.data_dir.clone();
                // Waited for: what filled the disk has to be gone before the next is begun.
                let removed =
                    tokio::task::spawn_blocking(move || workspace::remove_attempt(&data_dir, attempt)).await;
                if let Err(error) = removed {
                    tracing::warn!(%error, "a workspace was not removed");
                }
                (ending, Vec::new())
            }
        };
        Exit {
            ending,
            artifacts,
            sandbox_level: report.level,
            log_bytes: report.log.bytes,
            log_digest: report.log.digest,
            provenance: None,
            started_at: report.started_at,
            finished_at: self.0.clock.now(),
        }
    }

    async fn attempt(
        &self,
        job: Job,
        mut cancel: CancelToken,
        hooks: Hooks,
        report: &mut Report,
    ) -> Result<(Ending, Vec<crate::run::Collected>), Ending> {
        let profile = job.spec.sandbox.profile;
        let level = self.level_for(profile).ok_or_else(|| Ending::Refused {
            reason: Refusal::SandboxUnavailable,
            detail: format!("this machine cannot give the sandbox profile `{}`", profile.as_str()),
        })?;
        report.level = Some(level);
        let view = match level {
            Level::L0 => View::Open,
            Level::L1 | Level::L3Lite => View::Confined,
            Level::L2 | Level::L3 => View::Moved,
        };
        let data_dir = self.0.config.data_dir.clone();
        let job = Arc::new(job);
        let prepared = {
            let job = Arc::clone(&job);
            let path = self.0.config.path.clone();
            tokio::task::spawn_blocking(move || {
                let mut workspace = Workspace::create(&data_dir, &job, view)?;
                let command = command::of(&job, &mut workspace, &path)?;
                Ok::<_, Cause>((workspace, command))
            })
        };
        let (workspace, command) = prepared.await.map_err(|error| internal(&error))?.map_err(failed)?;
        let confinement =
            confine::of(&self.0.config, &self.0.host, level, &job.spec.sandbox, &workspace, &command)
                .map_err(failed)?;
        let mut pipes = pump::Pipes::open().map_err(|error| internal(&error))?;
        let served = match level {
            Level::L2 => Some(self.gate(&job.spec.sandbox.network, &mut pipes)?),
            _ => None,
        };
        pipes.outer.secrets = handed::descriptors(&job.secrets).map_err(|error| internal(&error))?;
        let redactor = handed::redactor(&job.secrets);
        let start = Start {
            id: 0,
            key: attempt_key(job.attempt),
            program: confinement.program,
            args: confinement.arguments,
            env: confinement.environment,
            cwd: confinement.cwd,
            confinement: confinement.confinement,
            stdin: false,
            doorway: served.is_some(),
            secrets: workspace.secret_paths(&job),
            timeout: Some(millis(job.timeout)),
            grace: millis(self.0.config.grace),
            lease: Lease::Until { offline: millis(job.offline) },
        };
        let mut tree = self.start_tree(start, pipes.outer).await?;
        let mut log = self.0.spool.writer(job.attempt);
        if !job.spec.artifacts.is_empty() {
            // What will be signed about them names the log as well.
            log = log.hashed();
        }
        let mut output = pump::Output::new(pipes.inner, log, redactor.as_ref(), Arc::clone(&self.0.clock))
            .map_err(|error| internal(&error))?;
        let Hooks { started, spawn, .. } = hooks;
        let mut started = Some(started);
        let served = async {
            match served {
                Some((near, gate)) => doorway::serve(near, gate).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(served);
        let crowded = self.0.room.crowded_by(workspace.folder());
        tokio::pin!(crowded);
        let mut is_crowded = false;
        let ended = loop {
            let asked = tree.asked;
            tokio::select! {
                event = tree.next() => match event {
                    Some(Event::Started { .. }) => {
                        let now = self.0.clock.now();
                        report.started_at = Some(now);
                        if let Some(started) = started.take() {
                            started(now);
                        }
                    }
                    Some(Event::Failed { detail, .. }) => break Err(Cause::PluginError { detail }),
                    Some(Event::Ended { status, reason, .. }) => break Ok((status, reason)),
                    Some(Event::Ready) => {}
                    // The spawner is gone, and the tree with it; what it did is not known.
                    None => break Ok((Status::Signalled(9), Reason::Lease)),
                },
                () = output.turn() => {}
                () = &mut served => {}
                () = &mut crowded, if !is_crowded => {
                    is_crowded = true;
                    tree.end(Duration::ZERO);
                }
                grace = next_cancel(&mut cancel, asked) => {
                    tree.asked = Some(grace);
                    tree.end(grace);
                }
            }
        };
        report.log = output.finish().await.map_err(|error| internal(&error))?;
        let (status, reason) = ended.map_err(failed)?;
        if is_crowded {
            return Err(failed(Cause::BudgetExceeded { budget: "disk".to_owned() }));
        }
        let (answer, finished) = tokio::sync::oneshot::channel();
        let uploads = uploads(&self.0.config.data_dir, job.attempt);
        tokio::task::spawn_blocking(move || {
            let _ = answer.send(finish(&job, &workspace, &uploads, (status, reason), redactor.as_ref()));
            // Nobody waits for the folder to be gone.
            workspace.remove();
        });
        let Finished { ending, artifacts, added } = finished.await.map_err(|error| internal(&error))?;
        match ending {
            Ending::Succeeded { .. } => match spawned::add(added, spawn, &mut cancel).await {
                Ok(()) => Ok((ending, artifacts)),
                Err(ending) => Ok((ending, artifacts)),
            },
            ending => Ok((ending, artifacts)),
        }
    }

    /// The way out for these hosts; its far end goes with the pipes.
    fn gate(
        &self,
        network: &[String],
        pipes: &mut pump::Pipes,
    ) -> Result<(tokio::net::UnixDatagram, Arc<Gate>), Ending> {
        let hosts = network.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        let hosts = hosts.map_err(|error: nexusmon_shared::egress::HostError| {
            failed(Cause::BadParameters { detail: format!("sandbox.network: {error}") })
        })?;
        let (near, far) = doorway::Doorway::open().map_err(|error| internal(&error))?.split();
        pipes.outer.doorway = Some(far);
        Ok((near, Arc::new(Gate::new(hosts, self.0.config.egress.clone()))))
    }

    async fn start_tree(&self, start: Start, outer: pump::Outer) -> Result<Tree, Ending> {
        let refused =
            |error: &dyn std::fmt::Display| failed(Cause::PluginError { detail: error.to_string() });
        let client = match self.living_client() {
            Some(client) => client,
            // It ended because the agent stops and nothing ran; another one would end as well.
            None if self.0.lifecycle.is_stopping() => return Err(Ending::Returned),
            None => self.another_client().await.map_err(|error| refused(&error))?,
        };
        client.start_tree(start, outer).map_err(|error| refused(&error))
    }

    fn living_client(&self) -> Option<Client> {
        let held = self.0.client.lock().expect("no holder panics");
        held.as_ref().filter(|client| !client.is_gone()).cloned()
    }

    async fn another_client(&self) -> Result<Client, ExecutorError> {
        let _one = self.0.restarting.lock().await;
        if let Some(client) = self.living_client() {
            return Ok(client);
        }
        tracing::warn!("the spawner is gone; starting another");
        let client = Client::start(&self.0.config, &self.0.host, &self.0.lifecycle).await?;
        client.renew(self.0.live_until.load(Ordering::Relaxed));
        *self.0.client.lock().expect("no holder panics") = Some(client.clone());
        Ok(client)
    }

    /// Leased trees may live until this reading of the boot clock, plus their own `offline`.
    pub fn renew(&self, live_until: Duration) {
        let millis = millis(live_until);
        let before = self.0.live_until.fetch_max(millis, Ordering::Relaxed);
        if before < millis
            && let Some(client) = self.living_client()
        {
            client.renew(millis);
        }
    }

    /// Drops what an earlier life left behind, but for what finished attempts still have to deliver. Their trees were
    /// ended at [`Self::start`].
    pub async fn recover(&self, leftovers: Vec<Leftover>) {
        let keep: BTreeSet<String> =
            leftovers.iter().filter(|left| left.finished).map(|left| attempt_key(left.attempt)).collect();
        let data_dir = self.0.config.data_dir.clone();
        let cleaned = tokio::task::spawn_blocking(move || workspace::clean(&data_dir, &keep));
        if cleaned.await.is_err() {
            tracing::warn!("old workspaces could not be removed");
        }
        self.0.spool.close_leftovers();
    }

    /// The files of this attempt have been delivered.
    pub fn release(&self, attempt: AttemptRef) {
        let uploads = uploads(&self.0.config.data_dir, attempt);
        if uploads.exists() {
            tokio::task::spawn_blocking(move || workspace::remove(&uploads));
        }
    }

    /// Starts a long-lived process that ends with the agent: a plugin. Its standard error is the caller's to read.
    pub async fn start_process(
        &self,
        name: &str,
        profile: Profile,
        folder: &std::path::Path,
        command: &[String],
        environment: BTreeMap<String, String>,
        writable: &[PathBuf],
    ) -> Result<Process, String> {
        let level = self
            .level_for(profile)
            .ok_or_else(|| format!("this machine cannot give the sandbox profile `{}`", profile.as_str()))?;
        let confinement =
            confine::process(&self.0.config, &self.0.host, level, folder, command, environment, writable)?;
        let pipes = pump::Pipes::open_with_input().map_err(|error| error.to_string())?;
        let start = Start {
            id: 0,
            key: format!("plugin-{name}"),
            program: confinement.program,
            args: confinement.arguments,
            env: confinement.environment,
            cwd: confinement.cwd,
            confinement: confinement.confinement,
            stdin: true,
            doorway: false,
            secrets: Vec::new(),
            timeout: None,
            grace: millis(self.0.config.grace),
            lease: Lease::Agent,
        };
        let tree = self.start_tree(start, pipes.outer).await.map_err(|ending| match ending {
            Ending::Failed { cause: Cause::PluginError { detail } } => detail,
            _ => "the agent is stopping".to_owned(),
        })?;
        Process::new(tree, pipes.inner).map_err(|error| error.to_string())
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("levels", &self.0.levels.available).finish_non_exhaustive()
    }
}

struct Report {
    started_at: Option<Timestamp>,
    level: Option<Level>,
    log: pump::Written,
}

/// The next request to end that says something new.
async fn next_cancel(cancel: &mut CancelToken, asked: Option<Duration>) -> Duration {
    match asked {
        None => cancel.cancelled().await,
        Some(_) => cancel.changed().await,
    }
}

/// What came of a process.
struct Finished {
    ending: Ending,
    artifacts: Vec<crate::run::Collected>,
    added: Vec<serde_json::Value>,
}

fn finish(
    job: &Job,
    workspace: &Workspace,
    uploads: &std::path::Path,
    (status, reason): (Status, Reason),
    redactor: Option<&Redactor>,
) -> Finished {
    let mut collected = collect::artifacts(workspace, &job.spec.artifacts, uploads);
    if let (Some(redactor), Ok(files)) = (redactor, &mut collected)
        && let Err(error) = handed::withhold(redactor, files)
    {
        collected = Err(format!("they could not be looked through for secrets: {error}"));
    }
    let mut added = Vec::new();
    let ending = match (reason, status) {
        (Reason::Lease, _) => Ending::Unknown,
        (Reason::Asked, _) => Ending::Cancelled,
        (Reason::Timeout, _) => Ending::Failed { cause: Cause::Timeout },
        (Reason::Processes, _) => {
            Ending::Failed { cause: Cause::BudgetExceeded { budget: "processes".to_owned() } }
        }
        (Reason::Itself, Status::Exited(0)) => match left(workspace, redactor) {
            Ok((outputs, tasks)) => {
                added = tasks;
                Ending::Succeeded { outputs }
            }
            Err(cause) => Ending::Failed { cause },
        },
        (Reason::Itself, Status::Exited(code)) => Ending::Failed { cause: Cause::ExitStatus { code } },
        (Reason::Itself, Status::Signalled(signal)) => Ending::Failed { cause: Cause::Signal { signal } },
    };
    match (ending, collected) {
        (Ending::Succeeded { .. }, Err(detail)) => {
            let ending = Ending::Failed { cause: Cause::ArtifactFailed { detail } };
            Finished { ending, artifacts: Vec::new(), added }
        }
        (ending, collected) => Finished { ending, artifacts: collected.unwrap_or_default(), added },
    }
}

/// What a process that ended well has written: its outputs, and the tasks it adds.
fn left(
    workspace: &Workspace,
    redactor: Option<&Redactor>,
) -> Result<(nexusmon_shared::task::Outputs, Vec<serde_json::Value>), Cause> {
    let outputs = workspace.outputs()?;
    let added = workspace.added()?;
    let holds_secret = |text: &[u8]| redactor.is_some_and(|redactor| redactor.finds(text));
    for (name, text) in
        [("OUTPUTS", serde_json::to_vec(&outputs).unwrap_or_default()), ("SPAWN", added.clone())]
    {
        if holds_secret(&text) {
            let detail = format!("NEXUSMON_{name} holds a secret; nothing of it was kept");
            return Err(Cause::ArtifactFailed { detail });
        }
    }
    Ok((outputs, spawned::read(&added)?))
}

/// An attempt's name in paths and in the environment of its processes.
pub(crate) fn attempt_key(attempt: AttemptRef) -> String {
    format!("{}.{}", attempt.task, attempt.fence)
}

pub(crate) fn uploads(data_dir: &std::path::Path, attempt: AttemptRef) -> PathBuf {
    data_dir.join("uploads").join(attempt_key(attempt))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn internal(error: &dyn std::fmt::Display) -> Ending {
    failed(Cause::PluginError { detail: format!("the agent failed: {error}") })
}

const fn failed(cause: Cause) -> Ending {
    Ending::Failed { cause }
}

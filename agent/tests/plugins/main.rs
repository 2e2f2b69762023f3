//! The plugin host with real plugin processes, most of them in Python, some of them hostile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command_line;
mod confinement;
mod crashes;
mod executions;
mod hostile;
mod offering;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_agent::executor::{Executor, ExecutorConfig};
use nexusmon_agent::plugins::{PluginState, Plugins, PluginsConfig, State};
use nexusmon_agent::run::{Exit, Job};
use nexusmon_agent::spool::Spool;
use nexusmon_agent::worker::{CancelToken, Canceller, Hooks, LogSpool as _, Spawner, cancellation};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::lifecycle::{Lifecycle, Shutdown};
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::{Clock as _, SharedClock, SystemClock, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A plugin in plain Python that speaks the protocol without the package. `{execute}` is called with the request.
const RAW: &str = r#"
import json, os, sys, time
def send(message):
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()
manifest = {"name": "NAME", "version": "1", "concurrency": 4, "capabilities": [{"name": "NAME.go"}]}
STARTING
for line in sys.stdin:
    request = json.loads(line)
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        send({"jsonrpc": "2.0", "id": request["id"], "result": manifest})
    elif method == "shutdown":
        send({"jsonrpc": "2.0", "id": request["id"], "result": {}})
        break
    elif method == "execute":
        EXECUTE
"#;

/// A running host on a data folder of its own.
pub(crate) struct Host {
    pub(crate) plugins: Plugins,
    pub(crate) executor: Executor,
    pub(crate) data: PathBuf,
    spool: Arc<Spool>,
    lifecycle: Lifecycle,
    folder: tempfile::TempDir,
    next: Mutex<u64>,
}

/// An execution that goes on.
pub(crate) struct Running {
    pub(crate) attempt: AttemptRef,
    pub(crate) canceller: Canceller,
    pub(crate) progress: watch::Receiver<Vec<(Option<f64>, String)>>,
    started: watch::Receiver<bool>,
    exit: tokio::sync::oneshot::Receiver<Exit>,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::start_with("bwrap").await
    }

    /// With another bubblewrap, or with none: then `strict` is what Landlock and seccomp give.
    pub(crate) async fn start_with(bubblewrap: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("plugins")).unwrap();
        let lifecycle = Lifecycle::new();
        let clock: SharedClock = Arc::new(SystemClock);
        let config = ExecutorConfig {
            program: PathBuf::from(env!("CARGO_BIN_EXE_nexusmon-agent")),
            hidden_paths: vec![data.join("plugins")],
            bubblewrap: PathBuf::from(bubblewrap),
            ..ExecutorConfig::new(data.clone())
        };
        let (executor, spool) = Executor::start(config, &lifecycle, Arc::clone(&clock)).await.unwrap();
        let config =
            PluginsConfig { folder: data.join("plugins"), data_dir: data.clone(), built_in: Vec::new() };
        let plugins = Plugins::start(config, executor.clone(), &lifecycle, clock).unwrap();
        Self { plugins, executor, data, spool, lifecycle, folder, next: Mutex::new(1) }
    }

    /// Writes a plugin complete, then moves it to where plugins are looked for.
    pub(crate) fn put(&self, name: &str, code: &str, toml: &str) {
        let fresh = self.folder.path().join(format!("fresh-{name}"));
        std::fs::create_dir_all(&fresh).unwrap();
        std::fs::write(fresh.join("plugin.py"), code).unwrap();
        std::fs::write(fresh.join("plugin.toml"), format!("command = [\"python3\", \"plugin.py\"]\n{toml}"))
            .unwrap();
        self.take(name);
        std::fs::rename(fresh, self.place(name)).unwrap();
    }

    /// Unconfined, speaking for itself.
    pub(crate) fn put_raw(&self, name: &str, starting: &str, execute: &str) {
        let execute = execute.replace('\n', "\n        ");
        let code = RAW.replace("NAME", name).replace("STARTING", starting).replace("EXECUTE", &execute);
        self.put(name, &code, "profile = \"none\"");
    }

    pub(crate) fn take(&self, name: &str) {
        let place = self.place(name);
        if place.exists() {
            let mut number = self.next.lock().unwrap();
            *number += 1;
            std::fs::rename(place, self.folder.path().join(format!("old-{number}"))).unwrap();
        }
    }

    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.data.join("plugins").join(name)
    }

    pub(crate) async fn reaches(&self, name: &str, wanted: impl Fn(&PluginState) -> bool) -> PluginState {
        let mut states = self.plugins.states();
        let found = states.wait_for(|states| states.iter().any(|state| state.name == name && wanted(state)));
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Ok(states)) => states.iter().find(|state| state.name == name).cloned().unwrap(),
            _ => panic!("{name} never gets there: {:?}", self.plugins.states().borrow()),
        }
    }

    pub(crate) async fn offered(&self, name: &str) -> PluginState {
        self.reaches(name, |state| state.state == State::Offered).await
    }

    pub(crate) fn job(&self, uses: &str, with: &Value, change: impl FnOnce(&mut Value)) -> Job {
        let mut number = self.next.lock().unwrap();
        *number += 1;
        let mut spec = json!({
            "id": "a", "uses": uses, "with": with, "needs": [], "if": null, "for_each": null, "on": {},
            "timeout": 50, "retry": {"max": 1, "backoff": 1, "jitter": 0.1, "on": []}, "idempotent": true,
            "offline": 0, "sandbox": "none", "inputs": [], "artifacts": [], "verify": null,
            "effects": {}, "limits": {}
        });
        change(&mut spec);
        let spec: nexusmon_shared::plan::TaskSpec = serde_json::from_value(spec).unwrap();
        Job {
            attempt: AttemptRef {
                task: TaskId::from_bits(u128::from(*number)),
                fence: Fence { epoch: 1, number: *number },
            },
            attempt_number: 1,
            mission: MissionId::from_bits(1),
            item_index: None,
            rank: Rank::A,
            agent: AgentId::from_bits(1),
            playbook: None,
            parameters: spec.with.clone(),
            inputs: Vec::new(),
            timeout: spec.timeout.0,
            offline: Duration::ZERO,
            idempotency_key: "key".to_owned(),
            traceparent: None,
            secrets: Vec::new(),
            provenance: None,
            spec: Arc::new(spec),
        }
    }

    pub(crate) fn begin(&self, job: Job) -> Running {
        self.begin_with(job, None)
    }

    /// With whoever takes the tasks it adds.
    pub(crate) fn begin_with(&self, job: Job, spawn: Option<Spawner>) -> Running {
        let (canceller, token) = cancellation();
        let (started_sender, started) = watch::channel(false);
        let (progress_sender, progress) = watch::channel(Vec::new());
        let (sender, exit) = tokio::sync::oneshot::channel();
        let hooks = Hooks {
            started: Box::new(move |_: Timestamp| {
                started_sender.send_replace(true);
            }),
            progress: Arc::new(move |fraction, text| {
                progress_sender.send_modify(|all| all.push((fraction, text)));
            }),
            spawn,
        };
        let (attempt, plugins) = (job.attempt, self.plugins.clone());
        self.lifecycle.spawn_quiet("execution", async move {
            let _ = sender.send(execute(plugins, job, token, hooks).await);
            Ok::<(), std::convert::Infallible>(())
        });
        Running { attempt, canceller, progress, started, exit }
    }

    pub(crate) async fn run(&self, uses: &str, with: Value) -> Exit {
        self.begin(self.job(uses, &with, |_| {})).finish().await
    }

    pub(crate) async fn log(&self, attempt: AttemptRef) -> String {
        let (mut text, mut offset) = (Vec::new(), 0);
        loop {
            let Some(piece) = self.spool.next(attempt, offset).await.unwrap() else { break };
            text.extend_from_slice(&piece.data);
            offset += piece.data.len() as u64;
            if piece.last {
                break;
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// Everything the host started ends by itself.
    pub(crate) async fn stop(self) {
        let Self { lifecycle, plugins, executor, folder, .. } = self;
        drop((plugins, executor));
        assert_eq!(lifecycle.shutdown(PATIENCE).await, Shutdown::Clean);
        drop(folder);
    }
}

async fn execute(plugins: Plugins, job: Job, token: CancelToken, hooks: Hooks) -> Exit {
    plugins.execute(job, token, hooks).await
}

impl Running {
    pub(crate) async fn started(&mut self) {
        tokio::time::timeout(PATIENCE, self.started.wait_for(|started| *started)).await.unwrap().unwrap();
    }

    /// Waits until the plugin itself has said something about it.
    pub(crate) async fn at_work(&mut self) {
        tokio::time::timeout(PATIENCE, self.progress.wait_for(|all| !all.is_empty())).await.unwrap().unwrap();
    }

    pub(crate) async fn finish(self) -> Exit {
        tokio::time::timeout(PATIENCE, self.exit).await.expect("an execution always answers").unwrap()
    }
}

/// The class of the documentation.
pub(crate) fn greeter() -> &'static str {
    "from nexusmon_plugin import Result, WorkerPlugin, run\n\
     class Greeter(WorkerPlugin):\n    name = \"greeter\"\n    capabilities = [\"greeter.hello\"]\n    \
     risk_level = \"E\"\n    requires_approval = False\n    \
     async def execute(self, task, who: str = \"world\"):\n        task.log(f\"greeting {who}\")\n        \
     return Result(outputs={\"greeting\": f\"hello {who}\"})\n\
     run(Greeter)\n"
}

pub(crate) fn outputs(exit: &Exit) -> &Map<String, Value> {
    match &exit.ending {
        Ending::Succeeded { outputs } => outputs,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn plugin_error(exit: &Exit) -> &str {
    match &exit.ending {
        Ending::Failed { cause: Cause::PluginError { detail } } => detail,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Polls until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = SystemClock.boot();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        assert!(SystemClock.boot() < start + PATIENCE, "not within {PATIENCE:?}: {what}");
        pace.tick().await;
    }
}

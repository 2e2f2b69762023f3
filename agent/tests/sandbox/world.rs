//! An executor with real processes, and around it everything a task could be after.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_agent::executor::{Executor, ExecutorConfig};
use nexusmon_agent::run::{Exit, Job};
use nexusmon_agent::spool::Spool;
use nexusmon_agent::worker::{CancelToken, Canceller, Hooks, LogSpool, cancellation};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::SystemClock;
use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) struct Machine {
    pub(crate) executor: Executor,
    pub(crate) folder: tempfile::TempDir,
    spool: Arc<Spool>,
    lifecycle: Lifecycle,
    /// Open without being closed on exec, as an agent may be started with some.
    _stray: std::os::fd::OwnedFd,
}

impl Machine {
    /// Without a process table of its own, so that tasks can at least name the processes of the machine.
    pub(crate) async fn start(change: impl FnOnce(&mut ExecutorConfig)) -> Result<Self, Failure> {
        Self::start_in(tempfile::tempdir()?, change).await
    }

    pub(crate) async fn start_in(
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut ExecutorConfig),
    ) -> Result<Self, Failure> {
        let stray = rustix::fs::open("/etc/passwd", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
        let lifecycle = Lifecycle::new();
        let mut config = ExecutorConfig {
            program: env!("CARGO_BIN_EXE_nexusmon-agent").into(),
            isolated: false,
            hidden_paths: vec![folder.path().join("plugins")],
            ..ExecutorConfig::new(folder.path().join("agent"))
        };
        change(&mut config);
        let (executor, spool) = Executor::start(config, &lifecycle, Arc::new(SystemClock)).await?;
        Ok(Self { executor, folder, spool, lifecycle, _stray: stray })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    pub(crate) fn workspace(&self, number: u64) -> PathBuf {
        let attempt = attempt(number);
        self.data().join("work").join(format!("{}.{}", attempt.task, attempt.fence))
    }

    pub(crate) async fn shell(&self, number: u64, sandbox: Value, script: &str, artifacts: &[&str]) -> Exit {
        let (_keep, token) = cancellation();
        self.run(job(number, "shell.run", sandbox, json!({"script": script}), artifacts), token).await
    }

    pub(crate) async fn script(&self, number: u64, sandbox: Value, with: Value, artifacts: &[&str]) -> Exit {
        let (_keep, token) = cancellation();
        self.run(job(number, "script.run", sandbox, with, artifacts), token).await
    }

    pub(crate) async fn run(&self, job: Job, token: CancelToken) -> Exit {
        let hooks = Hooks { started: Box::new(|_| ()), progress: Arc::new(|_, _| ()), spawn: None };
        self.executor.execute(job, token, hooks).await
    }

    pub(crate) async fn log(&self, number: u64) -> String {
        let (mut text, mut offset) = (Vec::new(), 0);
        while let Ok(Some(piece)) = self.spool.next(attempt(number), offset).await {
            offset += piece.data.len() as u64;
            text.extend_from_slice(&piece.data);
            if piece.last {
                break;
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) async fn stop(self) {
        drop(self.executor);
        self.lifecycle.shutdown(Duration::from_secs(10)).await;
    }
}

pub(crate) fn attempt(number: u64) -> AttemptRef {
    AttemptRef { task: TaskId::from_bits(u128::from(number)), fence: Fence { epoch: 1, number: 1 } }
}

pub(crate) fn job(number: u64, uses: &str, sandbox: Value, with: Value, artifacts: &[&str]) -> Job {
    let spec: TaskSpec = serde_json::from_value(json!({
        "id": "t", "uses": uses, "with": with, "needs": [], "if": null, "for_each": null, "on": {},
        "timeout": "300s", "retry": {"max": 0, "backoff": "1s", "jitter": 0.0, "on": []}, "idempotent": true,
        "offline": "0s", "sandbox": sandbox, "inputs": [], "artifacts": artifacts, "verify": null, "effects": {},
        "limits": {}}))
    .expect("a task spec");
    Job {
        attempt: attempt(number),
        attempt_number: 1,
        mission: MissionId::from_bits(1),
        parameters: spec.with.clone(),
        spec: Arc::new(spec),
        item_index: None,
        rank: Rank::E,
        agent: AgentId::from_bits(1),
        playbook: None,
        inputs: Vec::new(),
        timeout: Duration::from_secs(300),
        offline: Duration::ZERO,
        idempotency_key: "key".to_owned(),
        traceparent: None,
        provenance: None,
        secrets: Vec::new(),
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Root that nothing holds back: what a probe cannot do then, it can never do.
pub(crate) fn is_powerful() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let powers = field("CapEff:").and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or(0);
    is_root() && powers.count_ones() >= 38 && field("Seccomp:") == Some("0")
}

/// What there is to be got at.
pub(crate) struct World {
    /// As the probes read it.
    pub(crate) about: Value,
    pub(crate) is_root: bool,
    neighbour: Child,
    shared: PathBuf,
    guarded: Vec<PathBuf>,
    sibling: tokio::task::JoinHandle<Exit>,
    canceller: Canceller,
    _listener: std::net::TcpListener,
}

impl World {
    pub(crate) async fn make(machine: &Machine) -> Result<Self, Failure> {
        let (folder, data) = (machine.folder.path(), machine.data());
        let mut guarded = Vec::new();
        let mut put = |path: PathBuf| -> Result<PathBuf, Failure> {
            std::fs::create_dir_all(path.parent().ok_or("a file lies in a folder")?)?;
            std::fs::write(&path, "theirs\n")?;
            guarded.push(path.clone());
            Ok(path)
        };
        let key = put(data.join("identity/identity.pem"))?;
        let spare = put(data.join("identity/spare"))?;
        let config = put(data.join("agent.toml"))?;
        let journal = put(data.join("journal/journal"))?;
        let plugin = put(folder.join("plugins/demo/plugin.toml"))?;
        let host = put(folder.join("host-file"))?;
        let shared = put(Path::new("/dev/shm").join(format!("nexusmon-probe-{}", std::process::id())))?;
        let (canceller, token) = cancellation();
        let script = "echo theirs > theirs; echo $$ > pid.new; mv pid.new pid; exec sleep 86400";
        let sibling = job(7, "shell.run", json!("user"), json!({"script": script}), &[]);
        let executor = machine.executor.clone();
        #[expect(clippy::disallowed_methods, reason = "a task of this test only")]
        let sibling = tokio::spawn(async move {
            let hooks = Hooks { started: Box::new(|_| ()), progress: Arc::new(|_, _| ()), spawn: None };
            executor.execute(sibling, token, hooks).await
        });
        let other = machine.workspace(7);
        let sibling_pid = loop {
            if let Ok(text) = std::fs::read_to_string(other.join("pid")) {
                break text.trim().parse::<u32>()?;
            }
            assert!(!sibling.is_finished(), "the other task goes on");
            tokio::task::yield_now().await;
        };
        let listener = std::net::TcpListener::bind("0.0.0.0:0")?;
        let (neighbour, known) = neighbour(folder)?;
        let about = json!({
            "data": data, "key": key, "spare": spare, "config": config, "journal": journal,
            "plugins": plugin.parent(), "host": host, "other": other, "sibling": sibling_pid,
            "agent": std::process::id(), "victim": known["victim"], "shm_key": known["shm_key"],
            "abstract": known["abstract"], "socket": folder.join("socket"), "datagrams": folder.join("datagrams"),
            "shm": shared.file_name().and_then(|name| name.to_str()), "disk": disk(), "scratch": 4096,
            "port": listener.local_addr()?.port(), "address": own_address(),
        });
        let is_root = is_root();
        guarded.retain(|path| !path.ends_with("spare"));
        Ok(Self { about, is_root, neighbour, shared, guarded, sibling, canceller, _listener: listener })
    }

    /// Whatever the probes said: nothing was changed.
    pub(crate) fn check_untouched(&self) -> Result<(), Failure> {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        for path in &self.guarded {
            assert_eq!(std::fs::read_to_string(path)?, "theirs\n", "{}", path.display());
            let found = std::fs::metadata(path)?;
            assert_eq!(found.uid(), rustix::process::geteuid().as_raw(), "{}", path.display());
            assert!(found.permissions().mode() & 0o400 != 0 && found.nlink() == 1, "{}", path.display());
        }
        Ok(())
    }

    pub(crate) async fn end(mut self) {
        self.canceller.cancel(Duration::from_millis(100));
        let _ = self.sibling.await;
        drop(self.neighbour.stdin.take());
        let _ = self.neighbour.wait();
        let _ = std::fs::remove_file(&self.shared);
    }
}

fn neighbour(folder: &Path) -> Result<(Child, Value), Failure> {
    use std::os::unix::process::CommandExt as _;
    let mut child = Command::new("python3")
        .args(["-c", include_str!("neighbour.py")])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.as_mut().ok_or("its input is a pipe")?.flush()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("its output is a pipe")?).read_line(&mut line)?;
    Ok((child, serde_json::from_str(&line)?))
}

fn disk() -> String {
    let block = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut names = block.map(|entry| format!("/dev/{}", entry.file_name().to_string_lossy()));
    names.find(|name| Path::new(name).exists()).unwrap_or_else(|| "/dev/sda".to_owned())
}

/// The address others would reach this machine by.
fn own_address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0");
    let found = socket.and_then(|socket| socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()));
    found.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string())
}

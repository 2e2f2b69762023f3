//! A coordinator and agents in this process, on clocks of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nexusmon_agent::agent::{Agent, Ingredients};
use nexusmon_agent::config::Config as AgentConfig;
use nexusmon_agent::enroll::{Home, join};
use nexusmon_agent::link::LineState;
use nexusmon_agent::run::{Exit, Job};
use nexusmon_agent::simulated::{Act, SimulatedWorker};
use nexusmon_agent::worker::{CancelToken, Hooks, Later, Leftover, Worker};
use nexusmon_coordinator::config::{Config, Settings};
use nexusmon_coordinator::service::leases;
use nexusmon_coordinator::{Coordinator, Running};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::{Clock as _, ManualClock, SharedClock, SystemClock, Timestamp};
use nexusmon_store::testing::TestDatabase;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::since;
use super::gate::{self, Gate};
use crate::Api;
use crate::cluster::OPERATOR_KEY;

const AGENTS: usize = 3;
const SLOTS: u32 = 4;
/// Real time something may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Of the epoch: some day in 2030.
const BEGIN: i64 = 1_900_000_000_000_000;

/// What runs where, and every time a task ran twice at once.
#[derive(Debug, Default)]
struct Board {
    running: BTreeMap<nexusmon_shared::id::TaskId, BTreeSet<Fence>>,
    overlaps: Vec<String>,
}

/// Work that lasts until it is let go or cancelled.
struct Watched {
    inner: SimulatedWorker,
    board: Arc<Mutex<Board>>,
    go: watch::Receiver<bool>,
    clock: SharedClock,
}

impl Watched {
    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().expect("no holder of this lock panics")
    }
}

impl Worker for Watched {
    fn execute(&self, job: Job, mut cancel: CancelToken, hooks: Hooks) -> Later<'_, Exit> {
        Box::pin(async move {
            let AttemptRef { task, fence } = job.attempt;
            {
                let mut board = self.board();
                let running = board.running.entry(task).or_default();
                running.insert(fence);
                if running.len() > 1 {
                    let overlap = format!("{task} runs under {running:?} at once");
                    board.overlaps.push(overlap);
                }
            }
            let started_at = self.clock.now();
            (hooks.started)(started_at);
            let mut go = self.go.clone();
            let ending = tokio::select! {
                _ = async { go.wait_for(|go| *go).await.map(drop) } => Ending::Succeeded { outputs: serde_json::Map::new() },
                _ = cancel.cancelled() => Ending::Cancelled,
            };
            if let Some(running) = self.board().running.get_mut(&task) {
                running.remove(&fence);
            }
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
        })
    }

    fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.inner.manifests()
    }

    fn levels(&self) -> BTreeSet<Level> {
        self.inner.levels()
    }

    fn renew(&self, live_until: Duration) {
        self.inner.renew(live_until);
    }

    fn recover(&self, leftovers: Vec<Leftover>) -> Later<'_, ()> {
        self.inner.recover(leftovers)
    }

    fn release(&self, attempt: AttemptRef) {
        self.inner.release(attempt);
    }
}

struct Member {
    agent: Agent,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

/// See the module.
pub(super) struct Fleet {
    /// The coordinator's.
    pub(super) clock: ManualClock,
    running: Running,
    members: Vec<Member>,
    lifecycle: Lifecycle,
    board: Arc<Mutex<Board>>,
    go: watch::Sender<bool>,
    gate: Option<Gate>,
    api: Api,
    mission: String,
    _folder: tempfile::TempDir,
    _database: TestDatabase,
}

impl Fleet {
    pub(super) async fn start(postgres: bool, seed: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nexusmon-clocks-").tempdir()?;
        let database = if postgres { TestDatabase::postgres().await? } else { TestDatabase::sqlite()? };
        let gate = match gate::folder_of(database.url()).filter(|_| postgres) {
            Some(target) => Some(Gate::start(&target)?),
            None => None,
        };
        let url = match &gate {
            Some(gate) => gate.url(database.url())?,
            None => database.url().to_owned(),
        };
        let settings = Settings {
            data_dir: Some(folder.path().to_owned()),
            database_url: Some(url),
            http: Some(([127, 0, 0, 1], 0).into()),
            grpc: Some(([127, 0, 0, 1], 0).into()),
            ..Settings::default()
        };
        let environment = |name: &str| (name == "OPERATOR_KEY").then(|| OPERATOR_KEY.to_owned());
        let config = Config::load(settings, &environment)?;
        let clock = ManualClock::new(Timestamp::from_micros(BEGIN));
        let running =
            Coordinator::start(config, Arc::new(clock.clone()), StdRng::seed_from_u64(seed)).await?;
        let api = Api::new(&format!("http://{}", running.http_addr), OPERATOR_KEY);
        let (go, _) = watch::channel(false);
        let mut fleet = Self {
            clock,
            running,
            members: Vec::new(),
            lifecycle: Lifecycle::new(),
            board: Arc::default(),
            go,
            gate,
            api,
            mission: String::new(),
            _folder: folder,
            _database: database,
        };
        for number in 0..AGENTS {
            fleet.add(number, seed).await?;
        }
        Ok(fleet)
    }

    async fn add(&mut self, number: usize, seed: u64) -> Result<()> {
        let body = json!({"name": format!("agent-{number}"), "max_rank": "C"});
        let invite = self.api.post("/v1/fleet/invites", body).await?;
        let token = invite["token"].as_str().context("an invite has a token")?.parse()?;
        let folder = tempfile::Builder::new().prefix("nexusmon-clocks-agent-").tempdir()?;
        let clock = ManualClock::new(self.clock.now());
        let shared: SharedClock = Arc::new(clock.clone());
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(number as u64 + 1));
        let facts = nexusmon_agent::facts::gather();
        let labels = nexusmon_shared::selector::Labels::new();
        join(&token, folder.path(), labels, facts, Arc::clone(&shared), &mut rng).await?;
        let inner = SimulatedWorker::new(Arc::clone(&shared), |_| Act::UntilCancelled);
        let worker = Watched {
            inner,
            board: Arc::clone(&self.board),
            go: self.go.subscribe(),
            clock: Arc::clone(&shared),
        };
        let ingredients = Ingredients {
            config: AgentConfig { slots: SLOTS, ..AgentConfig::on(folder.path()) },
            home: Arc::new(Home::open(folder.path())?),
            worker: Arc::new(worker),
            spool: None,
            clock: shared,
            rng,
        };
        let agent = Agent::start(ingredients, &self.lifecycle).await?;
        self.members.push(Member { agent, clock, _folder: folder });
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Work for every slot, half of it not to be repeated, until it runs everywhere.
    pub(super) async fn occupy(&mut self) -> Result<()> {
        let tasks: Vec<Value> = (0..AGENTS * SLOTS as usize)
            .map(|number| {
                json!({"id": format!("t{number}"), "uses": "shell.run", "with": {"script": "true"},
                    "idempotent": number % 2 == 0, "timeout": "24h"})
            })
            .collect();
        self.mission = self.api.create(json!({"goal": "hold every slot", "tasks": tasks})).await?;
        let count = AGENTS * SLOTS as usize;
        let board = Arc::clone(&self.board);
        until("every slot is busy", || {
            let board = board.lock().expect("no holder of this lock panics");
            board.running.values().filter(|running| !running.is_empty()).count() == count
        })
        .await
    }

    /// Every machine's clocks go on.
    pub(super) fn advance_all(&self, by: Duration) {
        self.clock.advance(by);
        for member in &self.members {
            member.clock.advance(by);
        }
    }

    /// The database is away for so long, by everybody's clock.
    pub(super) async fn without_database(&self, lasting: Duration) -> Result<()> {
        let Some(gate) = &self.gate else {
            // SQLite cannot go away by itself; time passes all the same.
            self.advance_all(lasting);
            return Ok(());
        };
        gate.set_open(false);
        for _ in 0..6 {
            self.advance_all(lasting / 6);
            // It has tried in vain, at this time too.
            gate.refused_again().await?;
        }
        gate.set_open(true);
        Ok(())
    }

    /// Waits until every agent has a session, and a heartbeat that was sent after this was called has been written.
    pub(super) async fn renewed(&self) -> Result<()> {
        let lines: Vec<_> = self.members.iter().map(|member| member.agent.line()).collect();
        until("every agent is connected", || {
            lines.iter().all(|line| matches!(&*line.borrow(), LineState::Connected { .. }))
        })
        .await?;
        let begun = SystemClock.boot();
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        let mut before: Option<Beats> = None;
        loop {
            pace.tick().await;
            ensure!(since(begun) < PATIENCE, "no heartbeats are written any more");
            // A database that was away may take a moment.
            let Ok(beats) = self.beats().await else { continue };
            match &before {
                None => before = Some(beats),
                Some(before) if beats.iter().all(|beat| is_newer(beat, before)) => return Ok(()),
                Some(_) => {}
            }
        }
    }

    async fn beats(&self) -> Result<Beats> {
        let rows = self.running.app.store.read().await?.agent_sessions().await?;
        Ok(rows.into_iter().map(|row| (row.agent, (row.session, row.heartbeat))).collect())
    }

    /// Leases and timers are looked at, by the clock as it is.
    pub(super) async fn looked_at(&self) -> Result<()> {
        leases::expire(&self.running.app).await?;
        leases::due(&self.running.app).await?;
        Ok(())
    }

    pub(super) fn overlaps(&self) -> Vec<String> {
        std::mem::take(&mut self.board.lock().expect("no holder of this lock panics").overlaps)
    }

    pub(super) async fn uncertain(&self) -> Result<Vec<String>> {
        let path = format!("/v1/engine/missions/{}/tasks?status=uncertain", self.mission);
        let tasks = self.api.list(&path).await?;
        Ok(tasks.iter().map(|task| format!("{} {}", task["id"], task["agent"]["name"])).collect())
    }

    /// A fresh access token.
    pub(super) async fn log_in(&self) -> Result<String> {
        let client = reqwest::Client::new();
        let body = json!({ "operator_key": OPERATOR_KEY });
        let response = client.post(format!("{}/v1/auth/login", self.api.url)).json(&body).send().await?;
        let answer: Value = response.error_for_status()?.json().await?;
        Ok(answer["access_token"].as_str().context("a login gives a token")?.to_owned())
    }

    pub(super) async fn is_accepted(&self, token: &str) -> Result<bool> {
        let client = reqwest::Client::new();
        let url = format!("{}/v1/engine/missions", self.api.url);
        Ok(client.get(url).bearer_auth(token).send().await?.status().is_success())
    }

    /// Lets all work end; what did not end well, in words.
    pub(super) async fn release(&self) -> Result<Vec<String>> {
        self.go.send_replace(true);
        let path = format!("/v1/engine/missions/{}", self.mission);
        let mut state = Value::Null;
        let begun = SystemClock.boot();
        let mut pace = tokio::time::interval(Duration::from_millis(300));
        while since(begun) < PATIENCE {
            pace.tick().await;
            state = self.api.get(&path).await?;
            if state["status"] == "succeeded" {
                return Ok(Vec::new());
            }
            // Backoffs are counted by the clock that moves when told to.
            self.advance_all(Duration::from_secs(2));
        }
        let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
        let open = tasks.iter().filter(|task| task["status"] != "succeeded");
        Ok(open
            .map(|task| format!("{} is {} in the end: {}", task["id"], task["status"], task["waiting"]))
            .collect())
    }

    pub(super) async fn stop(self) {
        self.lifecycle.hard().cancel();
        self.lifecycle.shutdown(Duration::ZERO).await;
        self.running.stop().await;
    }
}

/// Session and newest heartbeat of each agent.
type Beats = BTreeMap<AgentId, (u64, u64)>;

/// Of another session, or the second since: the first may have been on its way already.
fn is_newer((agent, (session, heartbeat)): (&AgentId, &(u64, u64)), before: &Beats) -> bool {
    before.get(agent).is_some_and(|known| *session > known.0 || *heartbeat > known.1 + 1)
}

async fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let waiting = async {
        while !done() {
            pace.tick().await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        bail!("it did not come about in {PATIENCE:?} that {what}");
    }
    Ok(())
}

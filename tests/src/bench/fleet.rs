//! W8: thousands of simulated agents, each with its own identity, journal and TLS connection, on one coordinator.
//!
//! The agents are the real link and supervisor around a worker in memory. They live in processes of their own
//! (`nexusmon-bench --simulate`), because descriptors are counted by process.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nexusmon_agent::agent::{Agent, Ingredients};
use nexusmon_agent::config::Config;
use nexusmon_agent::enroll::{Home, join};
use nexusmon_agent::facts;
use nexusmon_agent::link::LineState;
use nexusmon_agent::simulated::SimulatedWorker;
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::{SharedClock, SystemClock};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Row;
use super::measure::{Watch, cpu_seconds, memory_mib, quiet};
use super::workloads::{Cost, noops};
use crate::{Cluster, Options};

/// Sizes tried one after another, each on top of the one before.
const SIZES: [usize; 3] = [1000, 3000, 10_000];
/// No further size is begun after this.
const BOUND: Duration = Duration::from_secs(75);
/// Descriptors of one simulated agent: its connection, its journal, its locks.
const DESCRIPTORS: usize = 3;
/// How long heartbeats alone are watched: three of every agent.
const QUIET: Duration = Duration::from_secs(15);
/// Joining and connecting at once, in each process.
const AT_ONCE: usize = 32;

/// A process full of agents.
struct Flock {
    child: Child,
    tokens: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

impl Flock {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--simulate")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let tokens = child.stdin.take().context("standard input is a pipe")?;
        let told = BufReader::new(child.stdout.take().context("standard output is a pipe")?).lines();
        Ok(Self { child, tokens, told })
    }

    /// Gives it more agents; returns once all of them are connected.
    async fn grow(&mut self, tokens: &[String]) -> Result<()> {
        let mut text = tokens.join("\n");
        text.push('\n');
        self.tokens.write_all(text.as_bytes()).await?;
        for _ in tokens {
            let line = self.told.next_line().await?.context("the simulated agents ended")?;
            ensure!(line == "connected", "a simulated agent: {line}");
        }
        Ok(())
    }

    /// Its agents end as agents do.
    async fn end(mut self) -> Result<()> {
        drop(self.tokens);
        self.child.wait().await?;
        Ok(())
    }
}

pub(super) async fn run() -> Result<Vec<Row>> {
    let cluster = Cluster::start(Options { agents: 0, ..Options::default() }).await?;
    let coordinator = cluster.process_ids()[0];
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let each = usize::try_from(limit / 2)? / DESCRIPTORS;
    let flocks = SIZES[SIZES.len() - 1].div_ceil(each);
    let mut flocks = (0..flocks).map(|_| Flock::start()).collect::<Result<Vec<_>>>()?;
    let empty = memory_mib(coordinator);
    let begun = Watch::start();
    let mut size = 0;
    let mut rows = Vec::new();
    for next in SIZES {
        if begun.elapsed() > BOUND {
            break;
        }
        let growing = Watch::start();
        let cpu = cpu_seconds(&[coordinator]);
        let tokens = invites(&cluster, size..next).await?;
        let share = tokens.len().div_ceil(flocks.len());
        let parts = flocks.iter_mut().zip(tokens.chunks(share)).map(|(flock, part)| flock.grow(part));
        futures::future::try_join_all(parts).await?;
        let (grown, since) = (next - size, growing.elapsed());
        let joined = cpu_seconds(&[coordinator]) - cpu;
        size = next;

        let cpu = cpu_seconds(&[coordinator]);
        quiet(QUIET).await;
        let share = (cpu_seconds(&[coordinator]) - cpu) / QUIET.as_secs_f64();
        let kept = memory_mib(coordinator);
        let of_each = (kept - empty) * 1024.0 / size as f64;
        let online = cluster.api.get("/v1/engine/stats").await?;
        let figure =
            |what: &str, value: f64, unit| Row::figure("W8", format!("{size} agents: {what}"), value, unit);
        let mut connected =
            figure("invited, joined and connected", grown as f64 / since.as_secs_f64(), "per second");
        connected.cpu_seconds_per_thousand = Some(joined / grown as f64 * 1000.0);
        rows.extend([
            connected,
            figure(
                "sessions alive after the quiet",
                online["agents_online"].as_f64().unwrap_or(0.0),
                "sessions",
            )
            .against(size as f64, "as many as were started"),
            Row { peak_memory_mib: Some(kept), ..figure("memory of the coordinator each", of_each, "KiB") }
                .against(64.0, "reach: at most 64 KiB"),
            figure("heartbeats, share of a core", share * 100.0, "percent")
                .against(25.0, "reach: at most 25 %"),
        ]);
        rows.push(work(&cluster, size).await?);
    }
    futures::future::try_join_all(flocks.into_iter().map(Flock::end)).await?;
    Ok(rows)
}

/// As many tasks as there are agents, through all of them.
async fn work(cluster: &Cluster, size: usize) -> Result<Row> {
    let cost = Cost::of(cluster.process_ids());
    let mission = cluster.api.create(noops(size)).await?;
    let done = cluster.api.until("/v1/engine/missions?limit=1", "over", |page| {
        page["items"][0]["id"] == mission.as_str() && page["items"][0]["task_counts"]["open"] == 0
    });
    done.await?;
    Ok(cost.row("W8", &format!("{size} agents: no-op tasks over all of them"), size, None, ""))
}

async fn invites(cluster: &Cluster, numbers: std::ops::Range<usize>) -> Result<Vec<String>> {
    stream::iter(numbers)
        .map(|number| async move {
            let body = json!({"name": format!("simulated-{number}"), "labels": {}, "max_rank": "C"});
            let invite = cluster.api.post("/v1/fleet/invites", body).await?;
            Ok(invite["token"].as_str().context("an invite has a token")?.to_owned())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// A process full of agents: join tokens come in by line, `connected` goes out for each, the end of input ends it.
pub async fn simulate() -> Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let lifecycle = Lifecycle::new();
    // Thousands of journals are no part of what is measured: in memory where there is such a place.
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("nexusmon-fleet-").tempdir_in(place)?;
    let (lines, tokens) = tokio::sync::mpsc::channel(64);
    lifecycle.spawn("tokens", async move {
        let mut input = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = input.next_line().await? {
            if lines.send(line).await.is_err() {
                break;
            }
        }
        Ok::<(), std::io::Error>(())
    });
    let worker = Arc::new(SimulatedWorker::idle(Arc::clone(&clock)));
    let agents = stream::unfold(tokens, |mut tokens| async move { Some((tokens.recv().await?, tokens)) })
        .enumerate()
        .map(|(number, token)| {
            let (clock, worker, lifecycle) = (Arc::clone(&clock), Arc::clone(&worker), lifecycle.clone());
            let folder = folder.path().join(number.to_string());
            async move {
                let mut rng = StdRng::try_from_rng(&mut rand::rngs::SysRng)?;
                let token: JoinToken = token.parse()?;
                join(&token, &folder, Labels::new(), facts::gather(), Arc::clone(&clock), &mut rng).await?;
                let config = Config::on(&folder);
                let home = Arc::new(Home::open(&folder)?);
                let ingredients = Ingredients { config, home, worker, spool: None, clock, rng };
                let agent = Agent::start(ingredients, &lifecycle).await?;
                agent.line().wait_for(|line| matches!(line, LineState::Connected { .. })).await?;
                println!("connected");
                Ok::<_, anyhow::Error>(agent)
            }
        })
        .buffer_unordered(AT_ONCE);
    let _agents: Vec<Agent> = agents.try_collect().await?;
    lifecycle.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

//! The workloads: each starts a fresh cluster of the released binaries and drives it through the public API.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::measure::{Watch, cpu_seconds, memory_mib, peak_memory_mib, quiet};
use super::{Row, limits};
use crate::{Api, Cluster, Options};

/// Prints 1,000,000 lines of 100 bytes, as fast as a pipe takes them.
pub(super) const PRINTER: &str = "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 \
     | cut -c 1-99 | head -n 1000000";

pub(super) fn noops(count: usize) -> Value {
    let tasks: Vec<_> = (0..count).map(|n| json!({"id": format!("t{n}"), "uses": "core.noop"})).collect();
    json!({"goal": "nothing, quickly", "tasks": tasks})
}

/// Waits until no mission runs any more; one question for all, since questions cost the coordinator too.
pub(super) async fn all_succeed(api: &Api, missions: &[String]) -> Result<()> {
    let nothing = |page: &Value| page["items"].as_array().is_some_and(Vec::is_empty);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        pace.tick().await;
        if nothing(&api.get("/v1/engine/missions?status=running&limit=1").await?) {
            break;
        }
    }
    for status in ["failed", "paused", "cancelled"] {
        let page = api.get(&format!("/v1/engine/missions?status={status}&limit=1")).await?;
        let newest = page["items"][0]["id"].as_str().unwrap_or_default();
        ensure!(!missions.iter().any(|mission| mission == newest), "a mission is {status}: {page:#}");
    }
    for mission in missions.iter().step_by(missions.len().div_ceil(20)) {
        let done = api.get(&format!("/v1/engine/missions/{mission}")).await?;
        ensure!(done["status"] == "succeeded", "{mission} ended {}", done["status"]);
    }
    Ok(())
}

/// Waits for an event of this kind about this mission.
async fn told(events: &mut crate::api::EventStream, kind: &str, mission: &str) -> Result<()> {
    let mut seen = String::new();
    while let Some(chunk) = events.next().await {
        seen.push_str(&String::from_utf8_lossy(&chunk?));
        if seen.split("\n\n").any(|event| event.contains(kind) && event.contains(mission)) {
            return Ok(());
        }
        let whole = seen.rfind("\n\n").unwrap_or(0);
        seen.drain(..whole);
    }
    anyhow::bail!("the events end before {kind}")
}

pub(super) struct Cost {
    watch: Watch,
    cpu: f64,
    roots: Vec<u32>,
}

impl Cost {
    pub(super) fn start(cluster: &Cluster) -> Self {
        Self::of(cluster.process_ids())
    }

    /// Of these processes and everything below them.
    pub(super) fn of(roots: Vec<u32>) -> Self {
        Self { watch: Watch::start(), cpu: cpu_seconds(&roots), roots }
    }

    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.watch.elapsed()
    }

    pub(super) fn cpu(&self) -> f64 {
        cpu_seconds(&self.roots) - self.cpu
    }

    pub(super) fn row(
        &self,
        workload: &'static str,
        what: &str,
        units: usize,
        limit: Option<f64>,
        limit_is: &'static str,
    ) -> Row {
        Row {
            workload,
            what: what.to_owned(),
            value: units as f64 / self.watch.elapsed().as_secs_f64(),
            unit: "per second",
            limit,
            limit_is,
            cpu_seconds_per_thousand: Some((cpu_seconds(&self.roots) - self.cpu) / units as f64 * 1000.0),
            peak_memory_mib: Some(peak_memory_mib(&self.roots)),
        }
    }
}

pub(super) async fn bulk() -> Result<Vec<Row>> {
    const MISSIONS: usize = 20;
    const TASKS: usize = 1000;
    let limit = limits::sqlite_batches().await?;
    let cluster = Cluster::start(Options { agents: 2, slots: 8, ..Options::default() }).await?;
    let body = noops(TASKS);
    let cost = Cost::start(&cluster);
    let missions: Vec<_> =
        stream::iter(0..MISSIONS).map(|_| cluster.api.create(body.clone())).buffered(4).try_collect().await?;
    all_succeed(&cluster.api, &missions).await?;
    let is = "SQLite, full sync: insert, claim and finish as three transactions over 100 bare rows";
    Ok(vec![cost.row("W1", "no-op tasks in bulk", MISSIONS * TASKS, Some(limit), is)])
}

pub(super) async fn single() -> Result<Vec<Row>> {
    const MISSIONS: usize = 5000;
    let limit = limits::sqlite_singles().await?;
    let cluster = Cluster::start(Options { agents: 2, slots: 8, ..Options::default() }).await?;
    let body = noops(1);
    let cost = Cost::start(&cluster);
    let missions: Vec<_> = stream::iter(0..MISSIONS)
        .map(|_| cluster.api.create(body.clone()))
        .buffered(16)
        .try_collect()
        .await?;
    all_succeed(&cluster.api, &missions).await?;
    let is = "SQLite, full sync: one row per transaction, one after another";
    Ok(vec![cost.row("W1b", "missions of one task", MISSIONS, Some(limit), is)])
}

pub(super) async fn processes() -> Result<Vec<Row>> {
    const TASKS: usize = 2000;
    let mut rows = Vec::new();
    let bare = ("bare /bin/true with pipes, 16 at once", limits::spawns as fn() -> Result<limits::Spawns>);
    let wrapped = ("bare bubblewrap around /bin/true, 16 at once", limits::bubblewraps as fn() -> _);
    for (profile, (is, limit)) in [("user", bare), ("strict", wrapped)] {
        let cluster = Cluster::start(Options { agents: 1, slots: 16, ..Options::default() }).await?;
        let limit = limit()?;
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                json!({"id": format!("t{n}"), "uses": "shell.run", "idempotent": true, "sandbox": profile,
                    "with": {"shell": "/bin/true", "script": "exit 0"}})
            })
            .collect();
        let body = json!({"goal": "processes", "tasks": tasks});
        let cost = Cost::start(&cluster);
        let mut events = cluster.api.events("/v1/events").await?;
        let mission = cluster.api.create(body).await?;
        // Asking again and again for a mission of so many tasks would cost more than the tasks.
        told(&mut events, "mission.completed", &mission).await?;
        let what = format!("/bin/true, profile {profile}");
        let row = cost.row("W2", &what, TASKS, Some(limit.per_second), is);
        all_succeed(&cluster.api, &[mission]).await?;
        let above = row.cpu_seconds_per_thousand.unwrap_or(0.0) - limit.cpu_seconds_per_thousand;
        rows.push(row);
        rows.push(Row {
            workload: "W2",
            what: format!("{what}: CPU above the spawn itself"),
            value: above,
            unit: "CPU-s/1000",
            limit: None,
            limit_is: "",
            cpu_seconds_per_thousand: Some(limit.cpu_seconds_per_thousand),
            peak_memory_mib: None,
        });
    }
    Ok(rows)
}

pub(super) async fn latency() -> Result<Vec<Row>> {
    const MISSIONS: usize = 300;
    let sync = limits::fdatasync_ms()?;
    let cluster = Cluster::start(Options { agents: 1, slots: 8, ..Options::default() }).await?;
    let mut times = latencies(&cluster.api, MISSIONS).await?;
    times.sort_by(f64::total_cmp);
    let row = |what: &str, value: f64, limit: Option<f64>| Row {
        workload: "W3",
        what: what.to_owned(),
        value,
        unit: "ms",
        limit,
        limit_is: if limit.is_some() { "three appends of 4 KiB with fdatasync, plus 1 ms" } else { "" },
        cpu_seconds_per_thousand: None,
        peak_memory_mib: None,
    };
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(vec![
        row("submit to completed, p50", at(50), Some(3.0 * sync + 1.0)),
        row("submit to completed, p99", at(99), None),
    ])
}

/// Milliseconds from submitting to completed, of missions of one task, one after another.
pub(super) async fn latencies(api: &Api, missions: usize) -> Result<Vec<f64>> {
    let body = noops(1);
    let mut times = Vec::new();
    let mut events = api.events("/v1/events").await?;
    for _ in 0..missions {
        let watch = Watch::start();
        let mission = api.create(body.clone()).await?;
        let mut seen = String::new();
        while let Some(chunk) = events.next().await {
            seen.push_str(&String::from_utf8_lossy(&chunk?));
            if seen.split("\n\n").any(|event| event.contains("mission.completed") && event.contains(&mission))
            {
                break;
            }
        }
        times.push(watch.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

pub(super) async fn log() -> Result<Vec<Row>> {
    let limit = limits::pipe_to_file()?;
    let cluster = Cluster::start(Options { agents: 1, ..Options::default() }).await?;
    let body =
        json!({"goal": "print", "tasks": [{"id": "a", "uses": "shell.run", "with": {"script": PRINTER}}]});
    let mut events = cluster.api.events("/v1/events").await?;
    let cost = Cost::start(&cluster);
    let mission = cluster.api.create(body).await?;
    told(&mut events, "task.log_sealed", &mission).await?;
    let done = cluster.api.finished(&mission).await?;
    ensure!(done["status"] == "succeeded", "{done:#}");
    let task = done["tasks"][0]["task_id"].as_str().unwrap_or_default();
    let path = format!("/v1/engine/tasks/{task}/log?from_line=1000000&lines=1");
    cluster
        .api
        .until_bytes(&path, "application/x-ndjson", "holding the last line", |body| {
            serde_json::from_slice::<Value>(body).is_ok_and(|line| line["n"] == 1_000_000)
        })
        .await?;
    let mut row =
        cost.row("W4", "log stored and readable", 100, Some(limit), "pipe read in 64 KiB blocks to a file");
    row.unit = "MB/s";
    row.cpu_seconds_per_thousand = None;
    let watch = Watch::start();
    let middle = format!("/v1/engine/tasks/{task}/log?from_line=500000&lines=100");
    let lines = cluster.api.bytes(&middle, "application/x-ndjson").await?;
    ensure!(
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() == 100,
        "a hundred lines"
    );
    let range = Row {
        workload: "W4",
        what: "100 lines from the middle".to_owned(),
        value: watch.elapsed().as_secs_f64() * 1000.0,
        unit: "ms",
        limit: None,
        limit_is: "",
        cpu_seconds_per_thousand: None,
        peak_memory_mib: None,
    };
    Ok(vec![row, range])
}

pub(super) async fn chains() -> Result<Vec<Row>> {
    const MISSIONS: usize = 1000;
    let cluster = Cluster::start(Options { agents: 2, slots: 8, ..Options::default() }).await?;
    let body = json!({"goal": "a chain", "tasks": [
        {"id": "a", "uses": "core.noop"},
        {"id": "b", "uses": "core.noop", "needs": ["a"]},
        {"id": "c", "uses": "core.noop", "needs": ["b"]}]});
    let cost = Cost::start(&cluster);
    let missions: Vec<_> = stream::iter(0..MISSIONS)
        .map(|_| cluster.api.create(body.clone()))
        .buffered(16)
        .try_collect()
        .await?;
    all_succeed(&cluster.api, &missions).await?;
    Ok(vec![cost.row("W5", "chains of three", MISSIONS, None, "")])
}

pub(super) async fn idle() -> Result<Vec<Row>> {
    const IDLE: std::time::Duration = std::time::Duration::from_secs(12);
    let row = |what: &str, value: f64, unit: &'static str| Row {
        workload: "W7",
        what: what.to_owned(),
        value,
        unit,
        limit: None,
        limit_is: "",
        cpu_seconds_per_thousand: None,
        peak_memory_mib: None,
    };
    let mut cluster = Cluster::start(Options { agents: 1, ..Options::default() }).await?;
    let ids = cluster.process_ids();
    let memory = || (memory_mib(ids[0]), memory_mib(ids[1]));
    let fresh = memory();
    // Idle is what is left once nothing has happened for a few seconds.
    quiet(IDLE).await;
    let (coordinator, agent) = memory();
    cluster.stop_coordinator().await?;
    let watch = Watch::start();
    cluster.start_coordinator().await?;
    let start = watch.elapsed().as_secs_f64();
    Ok(vec![
        row("coordinator, resident when idle", coordinator, "MiB"),
        row("agent, resident when idle", agent, "MiB"),
        row("coordinator, resident at once", fresh.0, "MiB"),
        row("agent, resident at once", fresh.1, "MiB"),
        row("coordinator, start to ready", start, "s"),
    ])
}

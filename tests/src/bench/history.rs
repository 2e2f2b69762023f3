//! W10: the same work and the lists people look at, with a million stored missions present and without.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nexusmon_shared::id::MissionId;
use nexusmon_store::testing::fill_sqlite;
use serde_json::json;

use super::Row;
use super::measure::Watch;
use super::workloads::{Cost, all_succeed, noops};
use crate::{Cluster, Options};

const STORED: u32 = 1_000_000;
const REACH: f64 = 1.2;
const REACH_IS: &str = "reach: within 1.2 times of an empty store";
/// Each query is asked this often; the median counts.
const ASKED: usize = 21;
/// No further queries of a kind after this.
const BOUND: Duration = Duration::from_secs(5);

/// What people and programs ask for.
const QUERIES: [(&str, &str); 12] = [
    ("newest missions", "/v1/engine/missions"),
    ("newest missions, 200", "/v1/engine/missions?limit=200"),
    ("succeeded", "/v1/engine/missions?status=succeeded"),
    ("failed or cancelled", "/v1/engine/missions?status=failed,cancelled"),
    ("under way, of which there is none", "/v1/engine/missions?status=running,ready,paused"),
    ("rank D, of which there is none", "/v1/engine/missions?rank=D"),
    ("a label most carry", "/v1/engine/missions?label=team=blue"),
    ("a label few carry", "/v1/engine/missions?label=team=red"),
    ("a word in every goal", "/v1/engine/missions?q=common"),
    ("a word in one of a thousand goals", "/v1/engine/missions?q=rare"),
    ("audit trail", "/v1/governance/audit"),
    ("engine statistics", "/v1/engine/stats"),
];

pub(super) async fn run() -> Result<Vec<Row>> {
    let mut cluster = Cluster::start(Options { agents: 1, slots: 8, ..Options::default() }).await?;
    let templates = templates(&cluster).await?;
    let (empty_bulk, empty_p50) = (bulk(&cluster).await?, latency(&cluster).await?);

    for agent in &mut cluster.agents {
        agent.stop().await?;
    }
    cluster.stop_coordinator().await?;
    let watch = Watch::start();
    fill_sqlite(&cluster.path().join("coordinator/nexusmon.db"), &templates, STORED).await?;
    let filled = watch.elapsed();
    let watch = Watch::start();
    cluster.start_coordinator().await?;
    let started = watch.elapsed();
    for agent in &mut cluster.agents {
        agent.start()?;
    }
    let agent = format!("/v1/fleet/agents/{}", cluster.agents[0].name);
    cluster.api.until(&agent, "online", |agent| agent["status"] == "online").await?;

    let figure = |what: &str, value: f64, unit| Row::figure("W10", what, value, unit);
    let mut rows = vec![
        figure("a million missions written in", filled.as_secs_f64(), "s"),
        figure("start to ready with them", started.as_secs_f64(), "s").against(0.3, "reach: at most 0.3 s"),
    ];
    let (full_bulk, full_p50) = (bulk(&cluster).await?, latency(&cluster).await?);
    let cpu = full_bulk.cpu_seconds_per_thousand.zip(empty_bulk.cpu_seconds_per_thousand);
    let cpu = cpu.map_or(f64::NAN, |(full, empty)| full / empty);
    rows.extend([
        Row { what: "no-op tasks in bulk, empty store".to_owned(), ..empty_bulk },
        Row { what: "no-op tasks in bulk, a million missions".to_owned(), ..full_bulk },
        figure("bulk: CPU against an empty store", cpu, "times").against(REACH, REACH_IS),
        figure("submit to completed, p50, empty store", empty_p50, "ms"),
        figure("submit to completed, p50, a million", full_p50, "ms"),
        figure("latency against an empty store", full_p50 / empty_p50, "times").against(REACH, REACH_IS),
    ]);
    for (what, path) in QUERIES {
        rows.push(
            figure(&format!("list: {what}"), asked(&cluster, path).await?, "ms")
                .against(20.0, "reach: at most 20 ms"),
        );
    }
    rows.push(
        figure("list: deep in the past", deep(&cluster).await?, "ms").against(20.0, "reach: at most 20 ms"),
    );
    Ok(rows)
}

/// Missions to copy: one of twenty failed, one was cancelled, two carry another label.
async fn templates(cluster: &Cluster) -> Result<Vec<MissionId>> {
    let labelled = |team: &str| {
        let mut body = noops(1);
        body["labels"] = json!({"team": team});
        body
    };
    let good = cluster.api.create(labelled("blue")).await?;
    let other = cluster.api.create(labelled("red")).await?;
    let bad = json!({"goal": "fails", "labels": {"team": "blue"},
        "tasks": [{"id": "a", "uses": "shell.run", "with": {"script": "exit 1"}}]});
    let bad = cluster.api.create(bad).await?;
    let held = json!({"goal": "waits", "start": "manual", "labels": {"team": "blue"},
        "tasks": [{"id": "a", "uses": "core.noop"}]});
    let held = cluster.api.create(held).await?;
    cluster.api.post(&format!("/v1/engine/missions/{held}/cancel"), json!({})).await?;
    for mission in [&good, &other, &bad, &held] {
        cluster.api.finished(mission).await?;
    }
    let mut all = vec![good.parse()?; 17];
    for mission in [other, bad, held] {
        all.push(mission.parse()?);
    }
    Ok(all)
}

async fn bulk(cluster: &Cluster) -> Result<Row> {
    const MISSIONS: usize = 10;
    all_succeed(&cluster.api, &[cluster.api.create(noops(1000)).await?]).await?;
    let cost = Cost::start(cluster);
    let mut missions = Vec::new();
    for _ in 0..MISSIONS {
        missions.push(cluster.api.create(noops(1000)).await?);
    }
    all_succeed(&cluster.api, &missions).await?;
    Ok(cost.row("W10", "", MISSIONS * 1000, None, ""))
}

async fn latency(cluster: &Cluster) -> Result<f64> {
    let mut times = super::workloads::latencies(&cluster.api, 100).await?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

async fn asked(cluster: &Cluster, path: &str) -> Result<f64> {
    let bound = Watch::start();
    let mut times = Vec::new();
    while times.len() < ASKED && (times.is_empty() || bound.elapsed() < BOUND) {
        let watch = Watch::start();
        cluster.api.get(path).await?;
        times.push(watch.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// A page from the middle of the past.
async fn deep(cluster: &Cluster) -> Result<f64> {
    let page = cluster.api.get("/v1/engine/missions?label=team=red").await?;
    let cursor = page["next_cursor"].as_str().context("there are more")?;
    let page = cluster.api.get(&format!("/v1/engine/missions?limit=200&cursor={cursor}")).await?;
    ensure!(page["items"].as_array().is_some_and(|items| items.len() == 200), "a page in the past");
    asked(cluster, &format!("/v1/engine/missions?cursor={cursor}")).await
}

//! The plug is pulled while people govern: keys are made, work is approved and granted, the kill switch is thrown and
//! released, heads of the audit log go out to the agents. What was answered holds; what was not can be said again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nexusmon_tests::{Cluster, Options};
use serde_json::{Value, json};

/// Missions that are approved at the same moment.
const TOGETHER: usize = 4;

/// Grave work that leaves one line outside the system, and must do so once.
fn effect(ledger: &Path, line: &str) -> Value {
    let script = format!("printf '{line}\\n' >> {}", ledger.display());
    json!({"goal": line, "tasks": [
        {"id": "a", "uses": "shell.run", "sandbox": "none", "idempotent": false, "with": {"script": script}}]})
}

fn counted(ledger: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// A command under way, started before the plug is pulled.
fn begun(
    cluster: &Cluster,
    arguments: &[&str],
) -> Result<impl Future<Output = std::io::Result<Output>> + use<>> {
    Ok(cluster.person(arguments).spawn()?.wait_with_output())
}

async fn power_cut(cluster: &mut Cluster) -> Result<()> {
    cluster.kill_coordinator().await?;
    cluster.start_coordinator().await
}

/// Approves some at once and pulls the plug when so many have been answered.
async fn approved(cluster: &mut Cluster, ledger: &Path, round: usize) -> Result<()> {
    let mut missions = Vec::new();
    for number in 0..TOGETHER {
        let mission = cluster.api.create(effect(ledger, &format!("{round}-{number}"))).await?;
        cluster.api.reaches(&mission, "awaiting_approval").await?;
        missions.push(mission);
    }
    let mut under_way = FuturesUnordered::new();
    for mission in &missions {
        let command = begun(cluster, &["mission", "approve", mission, "--comment", "go on"])?;
        under_way.push(async move { (mission.clone(), command.await) });
    }
    let mut ended = Vec::new();
    for _ in 0..round % TOGETHER {
        ended.extend(under_way.next().await);
    }
    power_cut(cluster).await?;
    ended.extend(under_way.collect::<Vec<_>>().await);
    for (mission, output) in ended {
        let answered = output?.status.success();
        let state = cluster.api.get(&format!("/v1/engine/missions/{mission}")).await?;
        let waits = state["status"] == "awaiting_approval";
        ensure!(!(answered && waits), "an answered approval is gone: {state:#}");
        if waits {
            cluster.approve(&mission).await?;
        }
    }
    for mission in &missions {
        let done = cluster.api.finished(mission).await?;
        ensure!(done["status"] == "succeeded", "{done:#}");
    }
    Ok(())
}

/// Throws the kill switch and releases it, the plug pulled before or after each answer.
async fn switched(cluster: &mut Cluster, patient: bool) -> Result<()> {
    for (arguments, level) in
        [(["halt", "--reason", "drill"], "halt"), (["resume", "--comment", "over"], "none")]
    {
        let mut command = Box::pin(begun(cluster, &arguments)?);
        let early = if patient { Some((&mut command).await?) } else { None };
        power_cut(cluster).await?;
        let output = match early {
            Some(output) => output,
            None => command.await?,
        };
        let state = cluster.api.get("/v1/governance/halt").await?;
        if output.status.success() {
            ensure!(state["level"] == level, "an answered {arguments:?} is gone: {state:#}");
        } else {
            ensure!(!patient, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            cluster.commanded(&arguments).await?;
        }
    }
    Ok(())
}

async fn whatever_was_answered_holds(postgres: bool) -> Result<()> {
    let options = Options { postgres, agents: 0, max_rank: "A", ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    // The first roster on its way, the plug is pulled: the same command carries on where it was.
    let making = begun(&cluster, &["key", "make"])?;
    power_cut(&mut cluster).await?;
    if !making.await?.status.success() {
        cluster.commanded(&["key", "make"]).await?;
    }
    ensure!(cluster.api.get("/v1/governance/roster").await?["number"] == 1);
    cluster.add_agent("agent-1", &[]).await?;
    cluster.add_agent("agent-2", &[]).await?;

    let shared = tempfile::tempdir()?;
    let ledger = shared.path().join("ledger");
    let rounds = TOGETHER + 1;
    for round in 0..rounds {
        approved(&mut cluster, &ledger, round).await?;
        switched(&mut cluster, round % 2 == 0).await?;
    }
    let counts = counted(&ledger);
    assert_eq!(counts.len(), rounds * TOGETHER, "nothing is lost: {counts:?}");
    assert!(counts.values().all(|count| *count == 1), "nothing is repeated: {counts:?}");

    let export = cluster.path().join("export.ndjson");
    let export = export.to_str().context("UTF-8")?;
    cluster.commanded(&["audit", "export", "--output", export]).await?;
    let verified = cluster.commanded(&["audit", "verify", export]).await?;
    assert!(verified.starts_with("holds:"), "{verified}");
    let alarms = cluster.api.list("/v1/governance/audit?action=alert.raised").await?;
    assert!(alarms.is_empty(), "an agent saw another history: {alarms:#?}");
    Ok(())
}

mod sqlite {
    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_was_answered_holds() -> anyhow::Result<()> {
        super::whatever_was_answered_holds(false).await
    }
}

mod postgres {
    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_was_answered_holds() -> anyhow::Result<()> {
        super::whatever_was_answered_holds(true).await
    }
}

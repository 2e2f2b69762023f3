//! The plug is pulled in the middle, on both databases. An effect ledger outside the system counts what really happened.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use nexusmon_tests::{Cluster, Options};
use serde_json::{Value, json};

/// Tasks that each append their name to a file of the host, `idempotent` as said, and go on as [`let_through`] says.
fn effects(ledger: &Path, count: usize, idempotent: bool) -> Value {
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let line = format!("t{number}");
            json!({"id": line, "uses": "shell.run", "idempotent": idempotent, "timeout": "60s",
                "sandbox": {"profile": "user", "paths": [{"path": ledger.parent(), "write": true}]},
                "with": {"script": format!(r#"
                    printf '{line}\n' >> {0}
                    mine=$(grep -n '^{line}$' {0} | tail -1 | cut -d: -f1)
                    while [ "$mine" -gt "$(cat {0}.through)" ]; do sleep 0.05; done"#, ledger.display())}})
        })
        .collect();
    json!({"goal": "leave a trace each", "tasks": tasks})
}

/// So many lines of the ledger belong to tasks that may end; what comes later is running when the plug is pulled.
fn let_through(ledger: &Path, count: u64) -> Result<()> {
    let (written, path) = (ledger.with_extension("new"), ledger.with_extension("through"));
    std::fs::write(&written, count.to_string())?;
    Ok(std::fs::rename(written, path)?)
}

fn counted(ledger: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

async fn started(cluster: &Cluster, mission: &str, ended: u64) -> Result<()> {
    cluster
        .api
        .wait(mission, "half way", |state| {
            let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
            tasks.iter().filter(|task| task["status"] == "succeeded").count() as u64 >= ended
                && tasks.iter().any(|task| task["status"] == "running")
        })
        .await?;
    Ok(())
}

async fn coordinator_dies(postgres: bool) -> Result<()> {
    let mut cluster = Cluster::start(Options { postgres, agents: 2, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let ledger = shared.path().join("ledger");
    let_through(&ledger, 4)?;
    let mission = cluster.api.create(effects(&ledger, 40, false)).await?;
    for (ended, next) in [(4, 12), (12, 20), (20, 40)] {
        started(&cluster, &mission, ended).await?;
        cluster.kill_coordinator().await?;
        cluster.start_coordinator().await?;
        let_through(&ledger, next)?;
    }
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "agents finish and deliver what they hold: {done:#}");
    let counts = counted(&ledger);
    assert_eq!(counts.len(), 40, "nothing is lost: {counts:?}");
    assert!(counts.values().all(|count| *count == 1), "nothing is repeated: {counts:?}");
    Ok(())
}

async fn agent_dies(postgres: bool) -> Result<()> {
    let mut cluster = Cluster::start(Options { postgres, agents: 1, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let ledger = shared.path().join("ledger");
    let_through(&ledger, 4)?;
    let mission = cluster.api.create(effects(&ledger, 24, false)).await?;
    started(&cluster, &mission, 4).await?;
    cluster.agents[0].kill().await?;
    let_through(&ledger, 24)?;
    cluster.agents[0].start()?;
    // What was running is uncertain, never silently repeated; the rest goes on.
    let settled = cluster
        .api
        .wait(&mission, "settled but for the uncertain", |state| {
            let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
            !tasks.is_empty()
                && tasks.iter().all(|task| task["status"] == "succeeded" || task["status"] == "uncertain")
        })
        .await?;
    let uncertain: Vec<_> = settled["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|task| task["status"] == "uncertain")
        .filter_map(|task| task["task_id"].as_str().map(str::to_owned))
        .collect();
    assert!(!uncertain.is_empty(), "something was running when the agent died: {settled:#}");
    let counts = counted(&ledger);
    assert!(counts.values().all(|count| *count == 1), "nothing is repeated: {counts:?}");
    for task in &uncertain {
        cluster.api.post(&format!("/v1/engine/tasks/{task}/resolve"), json!({"as": "succeeded"})).await?;
    }
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    Ok(())
}

async fn idempotent_work_is_done_again(postgres: bool) -> Result<()> {
    let mut cluster = Cluster::start(Options { postgres, agents: 1, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let ledger = shared.path().join("ledger");
    let_through(&ledger, 4)?;
    let mission = cluster.api.create(effects(&ledger, 24, true)).await?;
    started(&cluster, &mission, 4).await?;
    cluster.agents[0].kill().await?;
    let_through(&ledger, 1000)?;
    cluster.agents[0].start()?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(counted(&ledger).len(), 24, "nothing is lost");
    Ok(())
}

macro_rules! on_both {
    ($($name:ident),*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() -> anyhow::Result<()> {
                super::$name(false).await
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() -> anyhow::Result<()> {
                super::$name(true).await
            })*
        }
    };
}

on_both!(coordinator_dies, agent_dies, idempotent_work_is_done_again);

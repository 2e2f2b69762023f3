//! Programs are replaced while missions run: first the coordinator, then agent by agent. Nothing is lost or done again.
//!
//! `NEXUSMON_OLD_BINARIES` names a folder with the programs of an earlier build to start from; without it the same build
//! stands in for the earlier one, and what an earlier protocol version means is tested in `coordinator/tests/agent_port`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nexusmon_tests::binaries;
use nexusmon_tests::cluster::{Cluster, Options};
use serde_json::{Value, json};

const TASKS: usize = 8;

/// Each task says that it has begun, then waits for a gate, then leaves one line in a ledger.
fn mission(folder: &Path) -> Value {
    let script = r#"echo "$TASK" >> "$FOLDER/begun"; while [ ! -e "$FOLDER/gate" ]; do sleep 0.05; done; echo "$TASK" >> "$FOLDER/done""#;
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            json!({
                "id": format!("t{number}"), "uses": "shell.run", "sandbox": "none", "idempotent": false,
                "with": {"script": script, "env": {"TASK": format!("t{number}"), "FOLDER": folder}},
            })
        })
        .collect();
    json!({"goal": "outlive an upgrade", "tasks": tasks})
}

fn lines(path: &Path) -> Vec<String> {
    let mut lines: Vec<_> =
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn old_programs() {
    binaries::use_folder(std::env::var_os("NEXUSMON_OLD_BINARIES").map(PathBuf::from));
}

async fn begun(cluster: &Cluster, mission: &str) -> Result<()> {
    cluster.api.reaches(mission, "awaiting_approval").await?;
    cluster.approve(mission).await?;
    let path = cluster.path().join("begun");
    let all = |state: &Value| {
        state["tasks"].as_array().is_some_and(|tasks| tasks.iter().all(|task| task["status"] == "running"))
    };
    cluster.api.wait(mission, "all running", |state| all(state) && lines(&path).len() == TASKS).await?;
    Ok(())
}

async fn a_coordinator_is_replaced(postgres: bool) -> Result<()> {
    old_programs();
    let options = Options { postgres, agents: 2, slots: 4, key: true, max_rank: "A", ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    let folder = cluster.path().to_owned();
    let mission = cluster.api.create(mission(&folder)).await?;
    begun(&cluster, &mission).await?;

    let before = cluster.process_ids();
    cluster.stop_coordinator().await?;
    // The new program takes over the same data on the same addresses; agents are the old ones still.
    binaries::use_folder(None);
    cluster.start_coordinator().await?;
    assert_eq!(cluster.process_ids()[1..], before[1..], "agents were not restarted");
    for agent in ["agent-1", "agent-2"] {
        cluster
            .api
            .until(&format!("/v1/fleet/agents/{agent}"), "online", |agent| agent["status"] == "online")
            .await?;
    }
    std::fs::write(folder.join("gate"), "")?;
    let state = cluster.api.finished(&mission).await?;
    assert_eq!(state["status"], "succeeded", "{state:#}");
    for task in state["tasks"].as_array().into_iter().flatten() {
        assert_eq!(task["attempt"], 1, "{task:#}");
    }
    assert_eq!(lines(&folder.join("done")).len(), TASKS, "each effect happened once");
    assert_eq!(lines(&folder.join("begun")).len(), TASKS);

    // Then agents, one by one: drained first, so that nothing is cut short.
    for number in 0..2 {
        let path = format!("/v1/fleet/agents/agent-{}", number + 1);
        cluster.api.post(&format!("{path}/drain"), json!({})).await?;
        cluster.api.until(&path, "empty", |agent| agent["slots_used"] == 0).await?;
        let after = cluster
            .api
            .create(json!({"goal": "meanwhile", "tasks": [{"id": "a", "uses": "core.noop"}]}))
            .await?;
        assert!(cluster.agents[number].stop().await?.success());
        cluster.agents[number].start()?;
        cluster.api.post(&format!("{path}/resume"), json!({})).await?;
        cluster.api.until(&path, "online again", |agent| agent["status"] == "online").await?;
        assert_eq!(cluster.api.finished(&after).await?["status"], "succeeded");
    }
    Ok(())
}

#[tokio::test]
async fn a_coordinator_is_replaced_on_sqlite() -> Result<()> {
    a_coordinator_is_replaced(false).await
}

#[tokio::test]
async fn a_coordinator_is_replaced_on_postgresql() -> Result<()> {
    a_coordinator_is_replaced(true).await
}

#[tokio::test]
async fn what_ends_while_no_coordinator_is_there_is_reported_to_the_new_one() -> Result<()> {
    old_programs();
    let options = Options { agents: 2, slots: 4, key: true, max_rank: "A", ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    let folder = cluster.path().to_owned();
    let mission = cluster.api.create(mission(&folder)).await?;
    begun(&cluster, &mission).await?;
    cluster.stop_coordinator().await?;
    std::fs::write(folder.join("gate"), "")?;
    // The last of them has ended when its line is there; nobody can say so but the folder.
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
    while lines(&folder.join("done")).len() < TASKS {
        pace.tick().await;
    }
    binaries::use_folder(None);
    cluster.start_coordinator().await?;
    let state = cluster.api.finished(&mission).await?;
    assert_eq!(state["status"], "succeeded", "{state:#}");
    assert_eq!(lines(&folder.join("begun")).len(), TASKS, "nothing began twice");
    Ok(())
}

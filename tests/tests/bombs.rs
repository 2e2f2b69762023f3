//! Tasks that take whatever they can get, on a machine whose agent has to go on: heartbeats, other work, its own end.

use anyhow::Result;
use nexusmon_tests::{Cluster, Options};
use serde_json::{Value, json};

const FORKS: &str = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass";
const TURNS: &str = "import os\nfor _ in range(8): os.fork()\nwhile True: pass";

fn bomb(id: &str, source: &str, sandbox: &str) -> Value {
    json!({"id": id, "uses": "script.run", "with": {"interpreter": "python3", "source": source}, "sandbox": sandbox,
        "timeout": "8s"})
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_on_under_bombs() -> Result<()> {
    let cluster = Cluster::start(Options { agents: 1, slots: 4, ..Options::default() }).await?;
    let tasks: Vec<Value> = ["strict", "user"]
        .into_iter()
        .flat_map(|sandbox| {
            [
                bomb(&format!("forks_{sandbox}"), FORKS, sandbox),
                bomb(&format!("turns_{sandbox}"), TURNS, sandbox),
            ]
        })
        .collect();
    let bombs = cluster.api.create(json!({"goal": "take everything", "tasks": tasks})).await?;
    let quiet = json!({"goal": "beside them", "tasks": [
        {"id": "a", "uses": "shell.run", "with": {"script": "echo here"}},
        {"id": "b", "uses": "shell.run", "needs": ["a"], "with": {"script": "echo still here"}}]});
    let beside = cluster.api.create(quiet).await?;
    let path = format!("/v1/engine/missions/{bombs}");
    let over = cluster.api.until(&path, "over", |mission| mission["status"] == "failed");
    let lost = cluster.api.until("/v1/fleet/agents/agent-1", "lost", |agent| agent["presence"] != "online");
    let mission = tokio::select! {
        mission = over => mission?,
        // Ten seconds without a heartbeat make it suspect.
        Ok(agent) = lost => panic!("heartbeats were missed: {agent}"),
    };
    for task in mission["tasks"].as_array().into_iter().flatten() {
        let kind = task["cause"]["kind"].as_str().unwrap_or_default();
        assert!(matches!(kind, "timeout" | "budget_exceeded"), "{task}");
    }
    let path = format!("/v1/engine/missions/{beside}");
    cluster.api.until(&path, "done", |mission| mission["status"] == "succeeded").await?;
    Ok(())
}

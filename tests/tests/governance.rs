//! Governance from the outside, through the released binaries: the kill switch, flags, and who may do what.

use anyhow::{Context, Result, ensure};
use nexusmon_tests::api::task;
use nexusmon_tests::cluster::OPERATOR_KEY;
use nexusmon_tests::{Cluster, Nodes, Options, binaries};
use reqwest::Method;
use serde_json::{Value, json};

/// Work that goes on until a file is there, and says so every moment in another.
fn ticking(folder: &std::path::Path) -> Value {
    let script =
        format!("cd {}; while [ ! -e gate ]; do date +%s%N > pulse; sleep 0.05; done", folder.display());
    json!({"goal": "tick", "tasks": [{"id": "a", "uses": "shell.run", "timeout": "300s", "idempotent": true,
        "sandbox": {"profile": "user", "paths": [{"path": folder, "write": true}]}, "with": {"script": script}}]})
}

/// One command of the program, as a person types it.
async fn command(url: &str, arguments: &[&str]) -> Result<String> {
    let ended = tokio::process::Command::new(binaries::path("nexusmon"))
        .args(arguments)
        .env_clear()
        .envs([("NEXUSMON_URL", url), ("OPERATOR_KEY", OPERATOR_KEY)])
        .output()
        .await?;
    let (out, error) =
        (String::from_utf8(ended.stdout)?, String::from_utf8_lossy(&ended.stderr).into_owned());
    ensure!(ended.status.success(), "{arguments:?}: {} {error}", ended.status);
    Ok(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kill_switch_stops_everything_and_lets_it_go_on() -> Result<()> {
    let mut cluster = Cluster::start(Options { agents: 3, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let mission = cluster.api.create(ticking(shared.path())).await?;
    let running = cluster.api.task_reaches(&mission, "a", "running").await?;
    let runner = running["agent"]["name"].as_str().context("a name")?.to_owned();

    // One agent that nobody reaches any more, with work that it may go on with for a while.
    let away = cluster.agents.iter().position(|agent| agent.name != runner).context("another agent")?;
    let away_name = cluster.agents[away].name.clone();
    let once = json!({"goal": "once", "tasks": [{"id": "a", "uses": "shell.run", "idempotent": false,
        "on": {"agent": away_name}, "with": {"script": "sleep 300"}}]});
    let once = cluster.api.create(once).await?;
    cluster.api.task_reaches(&once, "a", "running").await?;
    cluster.agents[away].kill().await?;
    let gone = |agent: &Value| agent["presence"] != "online";
    cluster.api.until(&format!("/v1/fleet/agents/{away_name}"), "gone", gone).await?;

    let url = cluster.api.url.clone();
    let out = command(&url, &["halt", "--stop", "--reason", "smoke", "--wait", "60", "--json"]).await?;
    let state: Value = serde_json::from_str(&out)?;
    assert_eq!((&state["level"], &state["reason"]), (&json!("stop"), &json!("smoke")));
    assert_eq!(
        (&state["acknowledged"], &state["waiting"], &state["unreachable"]),
        (&json!(2), &json!(0), &json!(1))
    );
    for agent in state["agents"].as_array().context("agents")? {
        if agent["name"] == away_name.as_str() {
            assert_eq!(agent["state"], "unreachable");
            let until = agent["may_run_until"].as_str().context("a time")?;
            assert!(until > state["since"].as_str().context("a time")?, "{agent}");
        } else {
            assert_eq!((&agent["state"], &agent["running"]), (&json!("acknowledged"), &json!(0)), "{agent}");
        }
    }
    // It has stopped indeed, not only in the books: the pulse does not beat any more.
    let pulse = || std::fs::read_to_string(shared.path().join("pulse")).unwrap_or_default();
    let last = pulse();
    let waits = |state: &Value| task(state, "a")["waiting"]["reason"] == "halted";
    cluster.api.wait(&mission, "halted", waits).await?;
    assert_eq!(pulse(), last);

    // A crash forgets nothing, and nothing starts in between.
    cluster.kill_coordinator().await?;
    cluster.start_coordinator().await?;
    let url = cluster.api.url.clone();
    let held = cluster.api.get("/v1/governance/halt").await?;
    assert_eq!((&held["level"], &held["number"]), (&json!("stop"), &state["number"]));
    let late = cluster
        .api
        .create(json!({"goal": "late", "tasks": [{"id": "a", "uses": "shell.run",
        "with": {"script": "true"}}]}))
        .await?;
    cluster.api.until("/v1/governance/halt", "answered again", |state| state["acknowledged"] == 2).await?;
    cluster.api.wait(&late, "halted", waits).await?;
    let metrics = String::from_utf8(cluster.api.bytes("/metrics", "text/plain").await?)?;
    assert!(metrics.contains("nexusmon_halt_level 2"), "{metrics}");
    assert!(command(&url, &["halt", "--show"]).await?.contains("unreachable"));
    // Cancel works meanwhile.
    cluster.api.post(&format!("/v1/engine/missions/{late}/cancel"), json!({})).await?;
    assert_eq!(cluster.api.finished(&late).await?["status"], "cancelled");
    assert_eq!(pulse(), last);

    std::fs::write(shared.path().join("gate"), "")?;
    command(&url, &["resume", "--comment", "it was the toaster"]).await?;
    assert_eq!(cluster.api.finished(&mission).await?["status"], "succeeded");
    let acts = cluster.api.list("/v1/governance/audit?action=halt.released").await?;
    assert_eq!(acts[0]["body"]["reason"], "it was the toaster", "{acts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_coordinator_is_told_and_all_obey() -> Result<()> {
    let mut cluster = Nodes::start(2).await?;
    cluster.lead_agents_to(&[1]);
    cluster.add_agent("agent-1", 2).await?;
    let (here, there) = (&cluster.nodes[0].api, &cluster.nodes[1].api);
    let shared = tempfile::tempdir()?;
    let mission = there.create(ticking(shared.path())).await?;
    there.task_reaches(&mission, "a", "running").await?;

    here.post("/v1/governance/halt", json!({"level": "stop"})).await?;
    let obeyed = |state: &Value| state["acknowledged"] == 1 && state["agents"][0]["running"] == 0;
    here.until("/v1/governance/halt", "obeyed", obeyed).await?;
    let waits = |state: &Value| task(state, "a")["waiting"]["reason"] == "halted";
    there.wait(&mission, "halted", waits).await?;

    // A flag set here holds there, too.
    here.call(Method::PUT, "/v1/fleet/flags/shell.run", Some(&json!({"disabled": true}))).await?;
    std::fs::write(shared.path().join("gate"), "")?;
    there.post("/v1/governance/resume", json!({"comment": "over"})).await?;
    let off = |state: &Value| task(state, "a")["waiting"]["reason"] == "capability_disabled";
    there.wait(&mission, "switched off", off).await?;
    there.call(Method::PUT, "/v1/fleet/flags/shell.run", Some(&json!({"disabled": false}))).await?;
    assert_eq!(here.finished(&mission).await?["status"], "succeeded");
    Ok(())
}

//! A running coordinator and its agents.

use anyhow::Result;
use nexusmon_tests::cluster::{Cluster, OPERATOR_KEY, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::patient::{Findings, Patient};

async fn examine(cluster: &Cluster) -> Result<Findings> {
    let patient = Patient::coordinator_at(&cluster.api.url, cluster.path());
    patient.environment("OPERATOR_KEY", OPERATOR_KEY).examine().await
}

#[tokio::test]
async fn a_fleet_in_trouble() -> Result<()> {
    let mut cluster = Cluster::start(Options { agents: 0, ..Options::default() }).await?;
    let found = examine(&cluster).await?;
    found.trouble("agents", "fail", "0 of 0 online");
    found.fine("ready");
    found.fine("clocks");
    found.fine("queue");
    found.fine("background work");

    cluster.add_agent("one", &[]).await?;
    cluster.add_agent("two", &[]).await?;
    let found = examine(&cluster).await?;
    found.fine("agents");
    found.fine("agent versions");
    found.fine("waits for you");

    // Nobody can do the one; somebody has to allow the other.
    let nobody =
        json!({"goal": "x", "tasks": [{"id": "a", "uses": "core.noop", "on": {"labels": {"moon": "far"}}}]});
    cluster.api.create(nobody).await?;
    let risky = json!({"goal": "y", "tasks": [{"id": "a", "uses": "shell.run", "sandbox": "none", "with": {"script": "true"}}]});
    let risky = cluster.api.create(risky).await?;
    cluster.api.wait(&risky, "awaits approval", |state| state["status"] == "awaiting_approval").await?;
    cluster.agents[1].stop().await?;
    cluster.api.until("/v1/fleet/agents/two", "gone", |agent| agent["presence"] == "offline").await?;
    cluster.api.post("/v1/fleet/agents/one/quarantine", json!({})).await?;
    cluster.api.until("/v1/engine/stats", "nobody fits", |stats| stats["ready_tasks"] == 1).await?;
    let found = examine(&cluster).await?;
    found.trouble("agents", "fail", "online");
    found.trouble("queue", "warn", "no_agent_matches_selector");
    found.trouble("waits for you", "warn", "1 approvals");
    found.trouble("identities", "warn", "one");

    cluster.api.post("/v1/fleet/agents/one/resume", json!({})).await?;
    cluster.api.until("/v1/fleet/agents/one", "online", |agent| agent["status"] == "online").await?;
    examine(&cluster).await?.trouble("agents", "warn", "away: two");

    let home = tempfile::tempdir()?;
    let unknown = Patient::coordinator_at(&cluster.api.url, home.path()).examine().await?;
    unknown.trouble("logged in", "warn", "OPERATOR_KEY");
    cluster.stop_coordinator().await?;
    examine(&cluster).await?.trouble("coordinator", "fail", "cannot reach");
    Ok(())
}

/// Another version with a wrong clock and an old agent: what cannot be made of one build answers from a script.
#[tokio::test]
async fn versions_and_clocks_that_differ() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let home = tempfile::tempdir()?;
    let patient = Patient::coordinator_at(&url, home.path()).environment("NEXUSMON_TOKEN", "any");
    let found = tokio::select! {
        found = patient.examine() => found?,
        stopped = serve(listener) => return stopped,
    };
    found.trouble("version", "warn", "9.9.9");
    found.trouble("clocks", "warn", "apart");
    found.trouble("agent versions", "warn", "ancient");
    found.trouble("sandbox", "warn", "bubblewrap");
    found.trouble("background work", "fail", "retention");
    Ok(())
}

async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks is its client's affair.
        let _ = answer(stream).await;
    }
}

/// One request of a connection, which ends with it.
async fn answer(stream: tokio::net::TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let agent = json!({
        "name": "ancient", "build": "0.0.1", "presence": "online", "state": "active", "sandbox_levels": ["l0"],
    });
    let body: Value = match path.split('?').next().unwrap_or_default() {
        "/v1/version" => json!({"version": "9.9.9", "time": "2001-01-01T00:00:00Z"}),
        "/v1/fleet/agents" => json!({"items": [agent]}),
        "/metrics" => json!("nexusmon_background_failing{activity=\"retention\"} 1"),
        _ => json!({"items": []}),
    };
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

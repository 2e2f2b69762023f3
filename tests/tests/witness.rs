//! A coordinator whose database was put back: the agent that has seen more refuses to work for it until its admin says
//! otherwise, and an auditor sees it too.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nexusmon_tests::binaries;
use nexusmon_tests::cluster::{Cluster, Options};
use serde_json::{Value, json};
use tokio::process::Command;

const EXPORT: &str = "/v1/governance/audit/export";
const NDJSON: &str = "application/x-ndjson";

async fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(binaries::path(program)).args(arguments).output().await?)
}

/// Waits for what an agent writes down about the log.
async fn kept(agent: &Path, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let folder = agent.to_str().context("a path")?;
    let look = async {
        loop {
            let said = run("nexusmon-agent", &["witness", "--json", "--data-dir", folder]).await?;
            let said: Value = serde_json::from_slice(&said.stdout)?;
            if wanted(&said["kept"]) {
                return Ok(said["kept"].clone());
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(2), look)
        .await
        .context("the agent's memory never was as wanted")?
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

async fn work(cluster: &Cluster) -> Result<String> {
    cluster.api.create(json!({"goal": "work", "tasks": [{"id": "a", "uses": "core.noop"}]})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_put_back_is_noticed_by_agents_and_auditors() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster.api.finished(&work(&cluster).await?).await?;
    let agent: PathBuf = cluster.agents[0].folder.clone();
    let first = kept(&agent, |kept| kept["size"].as_u64() > Some(0)).await?;
    cluster.stop_coordinator().await?;
    let old = cluster.path().join("put-aside");
    copy(&cluster.data(), &old)?;

    // History goes on, and the agent sees it.
    cluster.start_coordinator().await?;
    cluster.api.finished(&work(&cluster).await?).await?;
    cluster.agents[0].stop().await?;
    cluster.agents[0].start()?;
    let seen = kept(&agent, |kept| kept["size"].as_u64() > first["size"].as_u64()).await?;
    let export = cluster.path().join("export.ndjson");
    std::fs::write(&export, cluster.api.bytes(EXPORT, NDJSON).await?)?;
    let note = cluster.path().join("head.txt");
    std::fs::write(&note, seen["note"].as_str().context("a note")?)?;
    let (export, note) = (export.to_str().context("a path")?, note.to_str().context("a path")?);
    let key = seen["key"].as_str().context("a key")?;
    let verify = ["--json", "audit", "verify", export, "--key", key, "--checkpoint", note];
    let verified = run("nexusmon", &verify).await?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let verified: Value = serde_json::from_slice(&verified.stdout)?;
    assert_eq!(verified["known_heads"], 1);

    // Then it is put back to what it was.
    cluster.stop_coordinator().await?;
    std::fs::remove_dir_all(cluster.data())?;
    copy(&old, &cluster.data())?;
    cluster.start_coordinator().await?;
    let alarmed = kept(&agent, |kept| kept["alarm"].is_string()).await?;
    assert_eq!(alarmed["note"], seen["note"], "what was seen stays as evidence");
    let waiting = work(&cluster).await?;
    let alert = async {
        loop {
            let list = cluster.api.get("/v1/governance/audit?action=alert.raised").await?;
            if let Some(entry) = list["items"].as_array().and_then(|items| items.first()) {
                return anyhow::Ok(entry.clone());
            }
        }
    };
    let alert =
        tokio::time::timeout(Duration::from_mins(1), alert).await.context("no alert was written down")??;
    assert_eq!(alert["actor"], json!(cluster.agents[0].id));
    std::fs::write(export, cluster.api.bytes(EXPORT, NDJSON).await?)?;
    let refused = run("nexusmon", &verify).await?;
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stdout));
    let refused: Value = serde_json::from_slice(&refused.stdout)?;
    assert!(matches!(refused["code"].as_str(), Some("shrunken" | "forked")), "{refused:#}");
    let mission = cluster.api.get(&format!("/v1/engine/missions/{waiting}")).await?;
    assert!(mission["finished_at"].is_null(), "the agent works for a log it does not know: {mission:#}");

    // The machine's admin accepts it, and the work is done.
    let folder = agent.to_str().context("a path")?;
    let accepted =
        run("nexusmon-agent", &["witness", "--accept-new-log", "--json", "--data-dir", folder]).await?;
    ensure!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    let accepted: Value = serde_json::from_slice(&accepted.stdout)?;
    let evidence = std::fs::read_to_string(accepted["evidence"].as_str().context("a path")?)?;
    let why = ["shrunk", "two different histories", "does not begin"];
    assert!(why.iter().any(|why| evidence.contains(why)), "{evidence}");
    cluster.api.finished(&waiting).await?;
    Ok(())
}

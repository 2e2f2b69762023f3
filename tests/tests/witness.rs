//! A coordinator whose database was put back: the agent that has seen more refuses to work for it until the owner has
//! signed for a restore or its admin says otherwise, and an auditor sees it too.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nexusmon_tests::binaries;
use nexusmon_tests::cluster::{Cluster, Options};
use nexusmon_tests::process::Process;
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

/// As on the coordinator's host; the last line it printed.
async fn beside(cluster: &Cluster, command: &str, folder: &str) -> Result<String> {
    let place = cluster.place_arguments();
    let way = if command == "backup" { "--to" } else { "--from" };
    let mut arguments = vec![command, "--json", way, folder];
    arguments.extend(place.iter().map(String::as_str));
    let environment = [("RUST_LOG".to_owned(), "warn".to_owned())];
    let mut process =
        Process::start(command, &binaries::path("nexusmon"), arguments, &environment, cluster.path())?;
    let mut last = String::new();
    while let Some(line) = process.next_line().await? {
        last = line;
    }
    ensure!(process.wait().await?.success(), "{command} failed");
    Ok(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_the_owner_signs_for_is_taken_by_agents_that_have_seen_more() -> Result<()> {
    let mut cluster = Cluster::start(Options { key: true, ..Options::default() }).await?;
    cluster.api.finished(&work(&cluster).await?).await?;
    let agent: PathBuf = cluster.agents[0].folder.clone();
    let backups = cluster.path().join("backups");
    let backups = backups.to_str().context("UTF-8")?;
    let made: Value = serde_json::from_str(&beside(&cluster, "backup", backups).await?)?;
    assert_eq!(cluster.commanded(&["audit", "restored"]).await?.trim(), "nothing was restored from a backup");

    // History goes on, and the agent sees more of it than is in the backup.
    let entries = made["manifest"]["tables"].as_array().into_iter().flatten();
    let entries = entries.filter(|table| table["table"] == "audit").find_map(|table| table["rows"].as_u64());
    let entries = entries.context("the manifest counts the log")?;
    cluster.api.finished(&work(&cluster).await?).await?;
    cluster.agents[0].stop().await?;
    cluster.agents[0].start()?;
    let seen = kept(&agent, |kept| kept["size"].as_u64() > Some(entries)).await?;
    cluster.kill_coordinator().await?;
    cluster.lose_everything().await?;
    let report: Value = serde_json::from_str(&beside(&cluster, "restore", backups).await?)?;
    cluster.start_coordinator().await?;
    kept(&agent, |kept| kept["alarm"].is_string()).await?;
    let waiting = work(&cluster).await?;

    // Nobody but the owner's key ends that, and the command says what it signs.
    let listed = cluster.commanded(&["audit", "restored"]).await?;
    assert!(listed.contains("nobody"), "{listed}");
    let record = cluster.api.get("/v1/governance/audit/restores").await?["items"][0]["record"].clone();
    assert_eq!(record["new_epoch"], report["epoch"], "{record:#}");
    assert!(record["size"].as_u64() < seen["size"].as_u64(), "{record:#}");
    let signed = cluster.command(&["audit", "restored", "--sign"]).await?;
    let shown = String::from_utf8_lossy(&signed.stderr);
    ensure!(signed.status.success() && shown.contains("went back to"), "{shown}");
    let after = kept(&agent, |kept| kept["alarm"].is_null() && kept["note"] != seen["note"]).await?;
    assert!(after["note"].as_str().is_some_and(|note| note.contains(&format!("/{}\n", report["epoch"]))));
    cluster.api.finished(&waiting).await?;
    let evidence = std::fs::read_dir(&agent)?.flatten().map(|entry| entry.path());
    let evidence: Vec<_> =
        evidence.filter(|path| path.to_string_lossy().contains("witness-until-")).collect();
    assert_eq!(evidence.len(), 1, "{evidence:?}");
    let evidence: Value = serde_json::from_slice(&std::fs::read(&evidence[0])?)?;
    assert_eq!(evidence["note"], seen["note"], "what was seen stays as evidence");

    // A second signature over the same is none; who has an export sees what was signed.
    let (status, again) = cluster
        .api
        .call(
            reqwest::Method::POST,
            "/v1/governance/audit/restores",
            Some(&cluster.api.get("/v1/governance/audit/restores").await?["items"][0].clone()),
        )
        .await?;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("known")), "{again:#}");
    let export = cluster.path().join("export.ndjson");
    let export = export.to_str().context("UTF-8")?;
    cluster.commanded(&["audit", "export", "--output", export]).await?;
    let verified = cluster.commanded(&["audit", "verify", export]).await?;
    assert!(verified.contains("restored from a backup 1 times, 1 of them signed by the owner"), "{verified}");
    Ok(())
}

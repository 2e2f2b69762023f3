//! A backup in the wrong hands: it opens nothing, and what was given out before it was taken is not good for anything.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nexusmon_tests::process::Process;
use nexusmon_tests::{Cluster, Options, binaries};
use reqwest::Method;
use serde_json::{Value, json};

use super::sweep::files_with;

const VALUE: &str = "backup-Canary-5c1d/never+in=any";

/// Runs a program of the host to its end, with the settings of the coordinator.
async fn host(cluster: &Cluster, name: &str, program: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let mut process = Process::start(name, &binaries::path(program), arguments, &[], cluster.path())?;
    while process.next_line().await?.is_some() {}
    let good = process.wait().await?.success();
    Ok((good, process.log_end()))
}

fn grave(marker: &Path) -> Value {
    json!({"goal": "grave", "start": "manual", "tasks": [{"id": "a", "uses": "shell.run", "sandbox": "none",
        "with": {"script": format!("echo ran >> {}", marker.display())}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_no_secret_and_what_was_approved_before_it_runs_no_more() -> Result<()> {
    let mut cluster = Cluster::start(Options { max_rank: "A", key: true, ..Options::default() }).await?;
    let marker = cluster.path().join("marker");
    let body = json!({"value": VALUE, "binding": {"playbooks": [], "agents": ["agent-1"], "hosts": []}});
    let (status, answer) = cluster.api.call(Method::PUT, "/v1/governance/secrets/token", Some(&body)).await?;
    ensure!(status.is_success(), "{answer:#}");
    let mission = cluster.api.create(grave(&marker)).await?;
    cluster.api.reaches(&mission, "awaiting_approval").await?;
    cluster.approve(&mission).await?;
    cluster.api.reaches(&mission, "ready").await?;

    let backups = cluster.path().join("backups");
    let folder = backups.to_str().context("UTF-8")?.to_owned();
    let place = cluster.place_arguments();
    let mut backup = vec!["backup", "--to", &folder];
    backup.extend(place.iter().map(String::as_str));
    let (good, said) = host(&cluster, "backup", "nexusmon", &backup).await?;
    ensure!(good, "{said}");
    assert_eq!(files_with(&backups, VALUE)?, Vec::<std::path::PathBuf>::new());
    assert!(!files_with(&backups, "echo ran")?.is_empty(), "the same search finds what is there");

    // Somebody without the master key makes nothing of it.
    let stolen = cluster.path().join("stolen");
    let stolen_folder = stolen.to_str().context("UTF-8")?;
    let (good, said) =
        host(&cluster, "theft", "nexusmon", &["restore", "--from", &folder, "--data-dir", stolen_folder])
            .await?;
    ensure!(good, "copying it is possible: {said}");
    let other = [
        ("NEXUSMON_MASTER_KEY".to_owned(), "42".repeat(32)),
        ("OPERATOR_KEY".to_owned(), "somebody-elses-operator-key".to_owned()),
    ];
    let serve =
        ["serve", "--json", "--data-dir", stolen_folder, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut thief = Process::start("thief", &binaries::path("nexusmon"), serve, &other, cluster.path())?;
    assert!(thief.next_line().await?.is_none(), "it starts with another master key");
    assert!(!thief.wait().await?.success());

    // And in its own place, restored: the approval of before is void, whoever asks.
    cluster.kill_coordinator().await?;
    cluster.lose_everything().await?;
    let place = cluster.place_arguments();
    let mut restore = vec!["restore", "--from", &folder];
    restore.extend(place.iter().map(String::as_str));
    let (good, said) = host(&cluster, "restore", "nexusmon", &restore).await?;
    ensure!(good, "{said}");
    let agent = cluster.agents[0].folder.display().to_string();
    let (good, said) =
        host(&cluster, "accept", "nexusmon-agent", &["witness", "--accept-new-log", "--data-dir", &agent])
            .await?;
    ensure!(good, "{said}");
    cluster.start_coordinator().await?;
    cluster.api.until("/v1/fleet/agents/agent-1", "online", |agent| agent["status"] == "online").await?;
    let held = cluster.api.get(&format!("/v1/engine/missions/{mission}")).await?;
    assert_eq!(held["status"], "paused", "{held:#}");
    let approvals = cluster.api.list(&format!("/v1/governance/approvals?mission={mission}")).await?;
    assert!(approvals.iter().all(|one| one["status"] != "approved"), "{approvals:#?}");
    for act in ["resume", "run"] {
        cluster
            .api
            .call(Method::POST, &format!("/v1/engine/missions/{mission}/{act}"), Some(&json!({})))
            .await?;
    }
    // What another mission does meanwhile, this one could have done.
    let other =
        json!({"goal": "other", "tasks": [{"id": "a", "uses": "shell.run", "with": {"script": "true"}}]});
    let other = cluster.api.create(other).await?;
    assert_eq!(cluster.api.finished(&other).await?["status"], "succeeded");
    assert!(!marker.exists(), "an approval of before the restore let it run");
    let granted =
        cluster.api.list(&format!("/v1/governance/audit?mission={mission}&action=task.granted")).await?;
    assert!(granted.is_empty(), "{granted:#?}");
    // Secrets came back for those who have the key.
    let secrets = cluster.api.get("/v1/governance/secrets").await?;
    assert_eq!(secrets["items"][0]["name"], "token", "{secrets:#}");
    Ok(())
}

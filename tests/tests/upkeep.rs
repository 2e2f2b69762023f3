//! The data as a whole: moved to another database, backed up while work goes on, and come back from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nexusmon_store::testing::PostgresDatabase;
use nexusmon_tests::api::{Api, task};
use nexusmon_tests::process::Process;
use nexusmon_tests::{Cluster, Options, binaries};
use reqwest::Method;
use serde_json::{Value, json};

/// Leaves an artifact and a log that says something else.
fn leaving() -> Value {
    json!({"goal": "leave something", "tasks": [{"id": "make", "uses": "shell.run", "artifacts": ["*.csv"],
        "with": {"script": "seq 1000 > out.csv; seq 2000"}}]})
}

/// Holds a task in each of the two kinds until a file is there.
fn waiting(gate: &Path) -> Value {
    let waits = |id: &str, idempotent: bool| {
        json!({"id": id, "uses": "shell.run", "idempotent": idempotent, "timeout": "120s",
            "sandbox": {"profile": "user", "paths": [{"path": gate.parent(), "write": true}]},
            "with": {"script": format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display())}})
    };
    json!({"goal": "wait for a sign", "tasks": [waits("once", false), waits("again", true)]})
}

/// Runs the program to its end; exit code, standard output's last line, and what it said.
async fn run(cluster: &Cluster, arguments: &[&str]) -> Result<(i32, String, String)> {
    let environment = [("RUST_LOG".to_owned(), "warn".to_owned())];
    let name = format!("run-{}", arguments[0]);
    let log = cluster.path().join(format!("{name}.log"));
    let _ = std::fs::remove_file(&log);
    let mut process =
        Process::start(&name, &binaries::path("nexusmon"), arguments, &environment, cluster.path())?;
    let mut last = String::new();
    while let Some(line) = process.next_line().await? {
        last = line;
    }
    let code = process.wait().await?.code().context("it ended by itself")?;
    Ok((code, last, std::fs::read_to_string(log).unwrap_or_default()))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_moves_to_postgres_and_everything_is_there() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    let mission = cluster.api.create(leaving()).await?;
    cluster.api.finished(&mission).await?;
    let before = cluster.api.get(&format!("/v1/engine/missions/{mission}")).await?;
    let id = task(&before, "make")["task_id"].as_str().context("a task")?.to_owned();
    let log = format!("/v1/engine/tasks/{id}/log");
    let kept = format!("/v1/vault/artifacts?kind=log&mission={mission}");
    let some = |page: &Value| page["items"].as_array().is_some_and(|items| !items.is_empty());
    cluster.api.until(&kept, "with its log sealed", some).await?;
    let log_before = cluster.api.bytes(&log, "text/plain").await?;
    let trail = cluster.api.list("/v1/governance/audit").await?;

    let from = format!("sqlite://{}", cluster.data().join("nexusmon.db").display());
    let target = PostgresDatabase::create().await?;
    let moving = ["migrate", "--json", "--from", &from, "--to", target.url()];
    let (code, _, said) = run(&cluster, &moving).await?;
    assert_eq!(code, 5, "its coordinator runs: {said}");
    assert!(said.contains("another coordinator has the database"), "{said}");

    cluster.stop_coordinator().await?;
    let (code, last, said) = run(&cluster, &moving).await?;
    assert_eq!(code, 0, "{said}");
    let report: Value = serde_json::from_str(&last)?;
    let rows = |name: &str| {
        let tables = report["tables"].as_array().into_iter().flatten();
        tables.filter(|table| table["table"] == name).find_map(|table| table["rows"].as_u64())
    };
    assert_eq!(rows("missions"), Some(1), "{report:#}");
    assert_eq!(rows("organism"), Some(1));
    assert!(rows("audit").is_some_and(|rows| rows > 5));

    let (code, _, said) = run(&cluster, &moving).await?;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("the target database is not empty"), "{said}");
    let nothing = format!("sqlite://{}", cluster.path().join("nothing.db").display());
    let (code, _, said) = run(&cluster, &["migrate", "--from", &nothing, "--to", target.url()]).await?;
    assert!(code == 2 && said.contains("there is no database"), "{said}");

    cluster.move_to(target);
    cluster.start_coordinator().await?;
    let after = cluster.api.get(&format!("/v1/engine/missions/{mission}")).await?;
    for field in ["goal", "status", "plan", "artifacts", "created_at", "finished_at"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(cluster.api.bytes(&log, "text/plain").await?, log_before);
    // The agent is known there, and works on; numbers go on behind those that were moved.
    let next = cluster.api.create(leaving()).await?;
    assert_eq!(cluster.api.finished(&next).await?["status"], "succeeded");
    assert!(cluster.api.list("/v1/governance/audit").await?.len() > trail.len());
    Ok(())
}

async fn comes_back(postgres: bool) -> Result<()> {
    let mut cluster = Cluster::start(Options { postgres, slots: 8, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let gate = shared.path().join("gate");
    let early = cluster.api.create(leaving()).await?;
    cluster.api.finished(&early).await?;
    let held = cluster.api.create(waiting(&gate)).await?;
    for id in ["once", "again"] {
        cluster.api.task_reaches(&held, id, "running").await?;
    }
    let invite = cluster.api.post("/v1/fleet/invites", json!({"name": "late", "max_rank": "B"})).await?;
    let token = cluster.api.access_token().await?;

    // Twice, while missions come and go; the second adds to the first.
    let backups = cluster.path().join("backups");
    let folder = backups.to_str().context("UTF-8")?.to_owned();
    let place = cluster.place_arguments();
    let mut backup = vec!["backup", "--json", "--to", &folder];
    backup.extend(place.iter().map(String::as_str));
    let mut made = Vec::new();
    let load = async {
        loop {
            let id = cluster.api.create(leaving()).await?;
            cluster.api.finished(&id).await?;
        }
        #[expect(unreachable_code, reason = "names the error type")]
        anyhow::Ok(())
    };
    let taking = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(1100));
        for _ in 0..2 {
            pace.tick().await;
            let (code, last, said) = run(&cluster, &backup).await?;
            anyhow::ensure!(code == 0, "{said}");
            let report: Value = serde_json::from_str(&last)?;
            made.push(report);
        }
        anyhow::Ok(())
    };
    tokio::select! {
        failed = load => failed?,
        taken = taking => taken?,
    }
    let missions = made[1]["manifest"]["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|table| table["table"] == "missions")
        .and_then(|table| table["rows"].as_u64());
    assert!(missions.is_some_and(|missions| missions >= 3), "{:#}", made[1]);

    // The master key is not in it, in no form.
    let key = std::fs::read_to_string(cluster.path().join("config/nexusmon/master.key"))?;
    let mut files = Vec::new();
    files_below(&backups, &mut files)?;
    for path in &files {
        let bytes = std::fs::read(path)?;
        assert!(
            !bytes.windows(key.trim().len()).any(|part| part == key.trim().as_bytes()),
            "{}",
            path.display()
        );
    }

    // What happens now is lost with the machine, but the agent has lived through it.
    let later = cluster.api.create(leaving()).await?;
    cluster.api.finished(&later).await?;
    cluster.kill_coordinator().await?;
    let mut restore = vec!["restore", "--json", "--from", &folder];
    restore.extend(place.iter().map(String::as_str));
    let (code, _, said) = run(&cluster, &restore).await?;
    assert!(code == 2 && said.contains("is not empty"), "{code} {said}");
    cluster.lose_everything().await?;
    let place = cluster.place_arguments();
    let mut restore = vec!["restore", "--json", "--from", &folder];
    restore.extend(place.iter().map(String::as_str));
    let (code, last, said) = run(&cluster, &restore).await?;
    assert_eq!(code, 0, "{said}");
    let report: Value = serde_json::from_str(&last)?;
    assert!(report["epoch"].as_u64() > report["manifest"]["epoch"].as_u64(), "{report:#}");
    // The agent may have seen more of the log than came back: its admin says that this is as it should be.
    let folder_of_agent = cluster.agents[0].folder.display().to_string();
    let mut accept = Process::start(
        "accept",
        &binaries::path("nexusmon-agent"),
        ["witness", "--accept-new-log", "--data-dir", &folder_of_agent],
        &[],
        cluster.path(),
    )?;
    assert!(accept.wait().await?.success(), "the machine's admin accepts the restored log");
    cluster.start_coordinator().await?;

    // Old authority is void.
    let old = Api::with_token(&cluster.api.url, &token);
    let (status, _) = old.once(Method::GET, "/v1/engine/missions").await?;
    assert_eq!(status.as_u16(), 401, "a log-in of before the restore");
    let mut join = Process::start(
        "late-join",
        &binaries::path("nexusmon-agent"),
        ["join", invite["token"].as_str().context("a token")?, "--data-dir", "late"],
        &[],
        cluster.path(),
    )?;
    assert!(!join.wait().await?.success(), "an invite of before the restore");

    // The agent comes back with what it still runs: the one goes on where it was, the other is done anew.
    std::fs::write(&gate, "")?;
    let done = cluster.api.finished(&held).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(cluster.api.get(&format!("/v1/engine/missions/{early}")).await?["status"], "succeeded");
    let (status, _) = cluster.api.call(Method::GET, &format!("/v1/engine/missions/{later}"), None).await?;
    assert_eq!(status.as_u16(), 404, "made after the backup");
    let again = cluster.api.create(leaving()).await?;
    assert_eq!(cluster.api.finished(&again).await?["status"], "succeeded");
    let path = "/v1/governance/audit?action=organism.restored";
    let once = |page: &Value| page["items"].as_array().is_some_and(|entries| entries.len() == 1);
    cluster.api.until(path, "once", once).await?;

    // A damaged backup is refused before anything is used.
    let blob = files.iter().find(|path| path.to_string_lossy().contains("objects")).context("a blob")?;
    let mut bytes = std::fs::read(blob)?;
    bytes[0] ^= 1;
    std::fs::write(blob, bytes)?;
    cluster.kill_coordinator().await?;
    cluster.lose_everything().await?;
    let place = cluster.place_arguments();
    let mut restore = vec!["restore", "--from", &folder];
    restore.extend(place.iter().map(String::as_str));
    let (code, _, said) = run(&cluster, &restore).await?;
    assert!(code == 1 && said.contains("is damaged"), "{code} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_comes_back_on_sqlite() -> Result<()> {
    comes_back(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_comes_back_on_postgres() -> Result<()> {
    comes_back(true).await
}

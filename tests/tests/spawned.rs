//! Tasks that running tasks add, with real processes: a plugin and a shell script, crashes in between, and the record of
//! it all.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use nexusmon_tests::api::task;
use nexusmon_tests::{Cluster, Options};
use serde_json::{Value, json};

/// Adds a task for each region, waits for the answers, and says what they were. `once` is a file on the host: where it
/// does not exist the attempt makes it and never ends.
const SCANNER: &str = r#"
import asyncio, pathlib
from nexusmon_plugin import Result, SpawnRefusedError, WorkerPlugin, run

class Scanner(WorkerPlugin):
    name = "scanner"
    capabilities = ["scanner.scan"]
    idempotent = True

    async def execute(self, task, regions: list, ledger: str, stuck: bool = False):
        async def one(region):
            script = f"echo {region} >> {ledger}"
            sandbox = {"profile": "user", "paths": [{"path": str(pathlib.Path(ledger).parent), "write": True}]}
            try:
                return await task.spawn(f"visit-{region}", "shell.run", {"script": script}, sandbox=sandbox, idempotent=True)
            except SpawnRefusedError as refused:
                return str(refused)
        answers = await asyncio.gather(*(one(region) for region in regions))
        task.progress(0.5, "asked")
        if stuck and task.attempt.endswith(".1"):
            await asyncio.sleep(3600)
        return Result(outputs={"answers": answers})

run(Scanner)
"#;

async fn grant(cluster: &Cluster) -> Result<()> {
    let arguments = ["trait", "WORKER_SPAWN", "grant", "--valid-for", "24h", "--comment", "to try it"];
    cluster.commanded(&arguments).await.map(drop)
}

/// A cluster with the plugin on its first agent.
async fn with_scanner(postgres: bool) -> Result<Cluster> {
    let cluster = Cluster::start(Options { postgres, ..Options::default() }).await?;
    let folder = cluster.agents[0].folder.join("plugins/scanner");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("plugin.py"), SCANNER)?;
    std::fs::write(folder.join("plugin.toml"), "command = [\"python3\", \"plugin.py\"]\n")?;
    let offered = |fleet: &Value| {
        fleet["items"].as_array().is_some_and(|items| items.iter().any(|item| item["name"] == "scanner.scan"))
    };
    cluster.api.until("/v1/fleet/capabilities", "offering the plugin", offered).await?;
    Ok(cluster)
}

fn scan(ledger: &Path, regions: &[&str], stuck: bool) -> Value {
    json!({"goal": "visit regions", "tasks": [
        {"id": "scan", "uses": "scanner.scan", "with": {"regions": regions, "ledger": ledger, "stuck": stuck},
         "retry": {"max": 3, "backoff": "1s"}, "spawn": {"capabilities": ["shell.run"], "max": 3, "rank": "B"}},
        {"id": "sum", "uses": "shell.run", "needs": ["scan"], "with": {"script": "echo done >> $LEDGER", "env": {"LEDGER": ledger}},
         "sandbox": {"profile": "user", "paths": [{"path": ledger.parent(), "write": true}]}}]})
}

/// A folder that tasks of any user may write to.
fn shared() -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn counted(ledger: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Whoever has an export can tell that all of it was allowed.
async fn verified(cluster: &Cluster) -> Result<()> {
    let path = cluster.path().join("export.ndjson");
    let path = path.to_str().unwrap_or_default();
    cluster.commanded(&["audit", "export", "--output", path]).await?;
    cluster.commanded(&["audit", "verify", path]).await.map(drop)
}

async fn plugin_adds(postgres: bool) -> Result<()> {
    let cluster = with_scanner(postgres).await?;
    let shared = shared()?;
    let ledger = shared.path().join("ledger");
    // Locked: the plugin hears why, and the mission goes on without.
    let early = cluster.api.create(scan(&ledger, &["eu"], false)).await?;
    let done = cluster.api.finished(&early).await?;
    let answer = task(&done, "scan")["outputs"]["answers"][0].as_str().unwrap_or_default();
    assert!(answer.contains("WORKER_SPAWN"), "{done:#}");
    assert_eq!(counted(&ledger), BTreeMap::from([("done".to_owned(), 1)]));

    grant(&cluster).await?;
    std::fs::remove_file(&ledger)?;
    // Four regions, of which the envelope covers three.
    let mission = cluster.api.create(scan(&ledger, &["eu", "us", "af", "as"], false)).await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!((&done["status"], &done["rank"]), (&json!("succeeded"), &json!("B")), "{done:#}");
    let answers = task(&done, "scan")["outputs"]["answers"].as_array().cloned().unwrap_or_default();
    for (answer, region) in answers.iter().zip(["eu", "us", "af"]) {
        let visit = task(&done, &format!("visit-{region}"));
        assert_eq!((&visit["task_id"], &visit["status"]), (answer, &json!("succeeded")));
        assert_eq!(visit["spawned_by"], task(&done, "scan")["task_id"]);
    }
    assert!(answers[3].as_str().is_some_and(|why| why.contains("spawn.max")), "{answers:?}");
    let lines = std::fs::read_to_string(&ledger)?;
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(lines.ends_with("done\n"), "what needs `scan` waits for what it added: {lines}");
    let shown = cluster.commanded(&["mission", "show", &mission]).await?;
    assert!(shown.contains("visit-eu") && shown.contains("added by scan"), "{shown}");
    verified(&cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_adds_tasks_to_its_mission() -> Result<()> {
    plugin_adds(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_adds_tasks_to_its_mission_on_postgres() -> Result<()> {
    plugin_adds(true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_adds_tasks_by_writing_them_down() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    grant(&cluster).await?;
    let mission = |lines: &str| {
        json!({"goal": "write down", "tasks": [
            {"id": "list", "uses": "shell.run", "with": {"script": format!("printf '%s\\n' {lines} > $NEXUSMON_SPAWN; echo 3 > n.txt")},
             "artifacts": ["n.txt"], "spawn": {"capabilities": ["shell.run"], "max": 2, "rank": "D"}}]})
    };
    let child = r#"'{"id": "one", "uses": "shell.run", "with": {"script": "test 3 = $(cat $NEXUSMON_INPUTS/n.txt)"}, "inputs": [{"task": "list", "artifact": "n.txt"}]}'"#;
    let id = cluster.api.create(mission(child)).await?;
    let done = cluster.api.finished(&id).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(task(&done, "one")["status"], "succeeded");
    let bad = r#"'{"id": "one", "uses": "shell.run", "with": {"script": "true"}, "sandbox": "user"}'"#;
    let id = cluster.api.create(mission(bad)).await?;
    let done = cluster.api.finished(&id).await?;
    let cause = &task(&done, "list")["cause"];
    assert_eq!(cause["kind"], "bad_parameters", "{done:#}");
    assert!(cause["detail"].as_str().is_some_and(|why| why.contains("spawn.rank")), "{cause}");
    verified(&cluster).await
}

/// The agent dies after it has added; the coordinator dies, too. What the lost attempt added is not carried out, and what
/// the next one adds is, once.
#[tokio::test(flavor = "multi_thread")]
async fn crashes_neither_lose_nor_double_what_was_added() -> Result<()> {
    let mut cluster = with_scanner(false).await?;
    grant(&cluster).await?;
    let shared = shared()?;
    let ledger = shared.path().join("ledger");
    let mission = cluster.api.create(scan(&ledger, &["eu", "us"], true)).await?;
    let added = |state: &Value| state["tasks"].as_array().is_some_and(|tasks| tasks.len() == 4);
    cluster.api.wait(&mission, "added", added).await?;
    cluster.agents[0].kill().await?;
    cluster.kill_coordinator().await?;
    cluster.start_coordinator().await?;
    cluster.agents[0].start()?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let visits: Vec<(&str, &str)> = done["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|task| task["spawned_by"].is_string())
        .filter_map(|task| Some((task["id"].as_str()?, task["status"].as_str()?)))
        .collect();
    assert_eq!(
        visits,
        [
            ("visit-eu", "skipped"),
            ("visit-us", "skipped"),
            ("visit-eu", "succeeded"),
            ("visit-us", "succeeded")
        ]
    );
    let expected = ["done", "eu", "us"].map(|line| (line.to_owned(), 1));
    assert_eq!(counted(&ledger), BTreeMap::from(expected));
    verified(&cluster).await
}

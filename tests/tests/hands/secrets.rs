//! The life of a secret, as an operator and a machine live it; at the end its value is nowhere.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use nexusmon_tests::api::{PATIENCE, task};
use nexusmon_tests::{Cluster, Options};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::sweep::files_with;

const FIRST: &str = "first-Canary-7f3a/with+odd=\"letters\"";
const SECOND: &str = "second-Canary-91be/with+odd=\"letters\"";

/// `printf … | nexusmon secret set …`.
async fn set(cluster: &Cluster, value: &str, arguments: &[&str]) -> Result<String> {
    let mut command = cluster.person(&[&["secret", "set", "api-token"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(value.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Uses the secret as a file, prints it in several forms, leaves one artifact with it and one without.
fn using(script: &str) -> Value {
    json!({"goal": "use a secret", "tasks": [{"id": "a", "uses": "shell.run", "on": {"agent": "agent-1"},
        "secrets": ["api-token"], "artifacts": ["*.txt"], "with": {"script": script}}]})
}

const PRINTS: &str = r#"
cat "$NEXUSMON_SECRETS/api-token"; echo
base64 -w0 "$NEXUSMON_SECRETS/api-token"; echo
od -An -tx1 "$NEXUSMON_SECRETS/api-token" | tr -d ' \n'; echo
cat "$NEXUSMON_SECRETS/api-token" > leaks.txt
echo harmless > fine.txt
printf '{"length": %s}' "$(wc -c < "$NEXUSMON_SECRETS/api-token")" > "$NEXUSMON_OUTPUTS"
"#;

async fn outputs(cluster: &Cluster, script: &str) -> Result<Value> {
    let mission = cluster.api.create(using(script)).await?;
    let done = cluster.api.finished(&mission).await?;
    let id = task(&done, "a")["task_id"].as_str().context("a task")?.to_owned();
    let read = cluster.api.get(&format!("/v1/engine/tasks/{id}")).await?;
    Ok(json!({"mission": mission, "status": done["status"], "rank": done["rank"], "task": read}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_set_used_rotated_and_never_seen_again() -> Result<()> {
    let cluster = Cluster::start(Options { agents: 2, ..Options::default() }).await?;
    let said = set(&cluster, FIRST, &["--agent", "agent-1"]).await?;
    assert!(said.contains("version 1") && said.contains("bound to agent agt_"), "{said}");

    // Handed over as a file, masked where it is printed, withheld where it is left.
    let used = outputs(&cluster, PRINTS).await?;
    assert_eq!((&used["status"], &used["rank"]), (&json!("succeeded"), &json!("C")), "{used:#}");
    assert_eq!(used["task"]["outputs"]["length"], FIRST.len(), "{used:#}");
    let id = used["task"]["task_id"].as_str().context("an id")?;
    let log = cluster.api.sealed_log(id).await?;
    assert_eq!(log.matches("***").count(), 3, "{log}");
    assert!(!log.contains("Canary"), "{log}");
    let mission = used["mission"].as_str().context("an id")?;
    let left = cluster.api.list(&format!("/v1/vault/artifacts?mission={mission}&kind=output")).await?;
    let status =
        |name: &str| left.iter().find(|one| one["name"] == name).map(|one| one["latest"]["status"].clone());
    assert_eq!(status("leaks.txt"), Some(json!("withheld")), "{left:#?}");
    assert_eq!(status("fine.txt"), Some(json!("active")), "{left:#?}");
    // As an output it fails its task.
    let leak = r#"printf '{"t": "%s"}' "$(base64 -w0 "$NEXUSMON_SECRETS/api-token")" > "$NEXUSMON_OUTPUTS""#;
    let told = outputs(&cluster, leak).await?;
    assert_eq!(told["status"], "failed", "{told:#}");
    // Elsewhere it counts A, and nobody without a key approves that.
    let mut elsewhere = using("true");
    elsewhere["tasks"][0]["on"]["agent"] = json!("agent-2");
    elsewhere["tasks"][0]["sandbox"] = json!({"profile": "network", "network": ["api.example.org"]});
    let judged = cluster.api.post("/v1/engine/missions/dry-run", elsewhere).await?;
    assert_eq!((&judged["rank"], &judged["verdict"]), (&json!("A"), &json!("hold")), "{judged:#}");
    assert_eq!(judged["blast_radius"]["secrets"], json!(["api-token"]), "{judged:#}");
    assert_eq!(judged["blast_radius"]["hosts"], json!(["api.example.org"]), "{judged:#}");

    // Who knows it, and who knows the old one after it was changed.
    let listed = cluster.commanded(&["secret", "list"]).await?;
    assert!(listed.contains("agent-1 (v1)") && !listed.contains("agent-2"), "{listed}");
    let said = set(&cluster, SECOND, &[]).await?;
    assert!(
        said.contains("version 2") && said.contains("Earlier versions were handed to: agent-1 (v1)"),
        "{said}"
    );
    let again = outputs(&cluster, PRINTS).await?;
    assert_eq!(again["task"]["outputs"]["length"], SECOND.len(), "{again:#}");

    // Workspaces are removed beside what comes next; a machine that is lost removes nothing any more.
    let removed = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        for (agent, value) in cluster.agents.iter().flat_map(|agent| [(agent, FIRST), (agent, SECOND)]) {
            while !files_with(&agent.folder.join("work"), value)?.is_empty() {
                pace.tick().await;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, removed).await??;
    // A machine is lost: what it knows is what has to be changed.
    let revoked = cluster.commanded(&["agent", "revoke", "agent-1", "--yes"]).await?;
    assert!(revoked.contains("api-token (v2)") && revoked.contains("nexusmon secret set"), "{revoked}");
    let quiet = cluster.commanded(&["agent", "revoke", "agent-2", "--yes"]).await?;
    assert!(!quiet.contains("api-token"), "{quiet}");
    let received = cluster.api.get("/v1/governance/secrets").await?;
    assert_eq!(received["items"][0]["received"][0]["version"], 2, "{received:#}");

    // The value is nowhere: not at the coordinator, on the machines, in logs, in a backup, in the export.
    let export = cluster.path().join("export.ndjson");
    cluster.commanded(&["audit", "export", "--output", export.to_str().context("UTF-8")?]).await?;
    let exported = std::fs::read_to_string(&export)?;
    assert!(exported.contains("secret.delivered") && exported.contains("secret.set"), "{exported}");
    let backups = cluster.path().join("backups");
    let mut backup = vec!["backup".to_owned(), "--to".to_owned(), backups.display().to_string()];
    backup.extend(cluster.place_arguments());
    let environment = cluster.path().join("config");
    let taken = cluster
        .person(&backup.iter().map(String::as_str).collect::<Vec<_>>())
        .env("XDG_CONFIG_HOME", environment)
        .output()
        .await?;
    ensure!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    for value in [FIRST, SECOND] {
        assert_eq!(files_with(cluster.path(), value)?, Vec::<std::path::PathBuf>::new());
    }
    // The same search finds what is there.
    assert!(
        files_with(&cluster.data(), "use a secret")?
            .iter()
            .any(|path| path.ends_with("nexusmon.db-wal") || path.ends_with("nexusmon.db"))
    );
    assert!(!files_with(&backups, "use a secret")?.is_empty());
    Ok(())
}

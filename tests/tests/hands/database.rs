//! The database in the wrong hands: what is altered in it is noticed, by the agents before it runs and by whoever
//! verifies an export.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nexusmon_core::audit::sample;
use nexusmon_core::audit::tamper::tamper;
use nexusmon_tests::api::task;
use nexusmon_tests::{Cluster, Options};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

/// Changes rows while nobody looks; each statement must have found some.
async fn alter(cluster: &mut Cluster, statements: &[(&'static str, &str)]) -> Result<()> {
    cluster.stop_coordinator().await?;
    let file = cluster.data().join("nexusmon.db");
    let options = SqliteConnectOptions::new().filename(file);
    let mut database = SqliteConnection::connect_with(&options).await?;
    for (statement, value) in statements {
        let changed = sqlx::query(*statement).bind(*value).execute(&mut database).await?.rows_affected();
        ensure!(changed > 0, "{statement} has changed nothing");
    }
    database.close().await?;
    cluster.start_coordinator().await?;
    let online = |agent: &Value| agent["status"] == "online";
    cluster.api.until("/v1/fleet/agents/agent-1", "online", online).await.map(drop)
}

/// What somebody says who checks the log with a key they wrote down before.
async fn verified(cluster: &Cluster, key: &str) -> Result<(bool, Value)> {
    let path = cluster.path().join("export.ndjson");
    let path = path.to_str().context("UTF-8")?;
    cluster.commanded(&["audit", "export", "--output", path]).await?;
    let output = cluster.command(&["--json", "audit", "verify", path, "--key", key]).await?;
    Ok((output.status.success(), serde_json::from_slice(&output.stdout)?))
}

/// The log's key, once a head is signed over everything so far.
async fn key(cluster: &Cluster) -> Result<String> {
    let newest = cluster.api.get("/v1/governance/audit?limit=1").await?["items"][0]["seq"].as_u64();
    let covers = |head: &Value| head["size"].as_u64() >= newest;
    let head = cluster.api.until("/v1/governance/audit/checkpoint", "over all", covers).await?;
    Ok(head["key"].as_str().context("a key")?.to_owned())
}

fn writing(marker: &Path, word: &str, sandbox: &str) -> Value {
    json!({"goal": "write a word", "start": "manual", "tasks": [{"id": "a", "uses": "shell.run",
        "sandbox": {"profile": sandbox, "paths": [{"path": marker.parent(), "write": true}]},
        "with": {"script": format!("echo {word} >> {}", marker.display())}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_plan_does_not_run() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    let shared = tempfile::tempdir()?;
    let marker = shared.path().join("word");
    let create = |word| cluster.api.create(writing(&marker, word, "user"));
    let (altered, whole) = (create("harmless").await?, create("whole").await?);
    cluster.api.reaches(&altered, "ready").await?;
    cluster.api.reaches(&whole, "ready").await?;
    let change = "UPDATE tasks SET spec = replace(spec, 'echo harmless', 'echo evil') WHERE mission = $1 \
        AND spec LIKE '%harmless%'";
    alter(&mut cluster, &[(change, &altered)]).await?;
    for mission in [&altered, &whole] {
        cluster.api.post(&format!("/v1/engine/missions/{mission}/run"), json!({})).await?;
    }
    assert_eq!(cluster.api.finished(&whole).await?["status"], "succeeded");
    let seen = cluster.api.reaches(&altered, "paused").await?;
    assert_eq!(seen["tasks"][0]["attempt"], 1, "it was to run: {seen:#}");
    let path = format!("/v1/governance/audit?mission={altered}&action=alert.raised");
    let alert = cluster.api.until(&path, "told", |page| !page["items"][0].is_null()).await?;
    assert!(
        alert["items"][0]["body"]["reason"].as_str().is_some_and(|why| why.contains("sealed")),
        "{alert:#}"
    );
    assert_eq!(std::fs::read_to_string(&marker)?, "whole\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_approval_lets_nothing_run() -> Result<()> {
    let mut cluster = Cluster::start(Options { max_rank: "A", key: true, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let marker = shared.path().join("word");
    let forged = cluster.api.create(writing(&marker, "forged", "none")).await?;
    let signed = cluster.api.create(writing(&marker, "signed", "none")).await?;
    for mission in [&forged, &signed] {
        cluster.api.reaches(mission, "awaiting_approval").await?;
    }
    cluster.approve(&signed).await?;
    let known = key(&cluster).await?;
    let approve = "UPDATE approvals SET state = 'approved', decided_at = created_at, \
        valid_until = created_at + 360000000000 WHERE mission = $1";
    let release = "UPDATE missions SET status = 'ready', state = (SELECT state FROM missions WHERE status = 'ready' \
        LIMIT 1) WHERE id = $1";
    let loosen = "UPDATE tasks SET held = (SELECT held FROM tasks JOIN missions ON missions.id = tasks.mission WHERE \
        missions.status = 'ready' AND missions.id <> $1 LIMIT 1) WHERE mission = $1";
    alter(&mut cluster, &[(approve, &forged), (release, &forged), (loosen, &forged)]).await?;
    for mission in [&forged, &signed] {
        cluster.api.post(&format!("/v1/engine/missions/{mission}/run"), json!({})).await?;
    }
    assert_eq!(cluster.api.finished(&signed).await?["status"], "succeeded");
    // The coordinator believes its database; the machine does not, and says so.
    let seen = cluster
        .api
        .wait(&forged, "refused", |state| {
            let task = task(state, "a");
            state["status"] == "failed" || task["status"] == "gated" || !task["waiting"]["detail"].is_null()
        })
        .await?;
    assert_ne!(seen["status"], "succeeded", "{seen:#}");
    assert_eq!(std::fs::read_to_string(&marker)?, "signed\n");
    // It was not even given out: the coordinator counts signatures, not states.
    let granted =
        cluster.api.list(&format!("/v1/governance/audit?mission={forged}&action=task.granted")).await?;
    assert!(granted.is_empty(), "{granted:#?}");
    let (holds, said) = verified(&cluster, &known).await?;
    assert!(holds, "{said:#}");
    // A log of a coordinator that did give it out, by an approval nobody signed, does not hold.
    let lied = (0..10_000).find_map(|seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let lied = tamper(&sample::text(seed, 60, 20), Some(&sample::log_key()), &mut rng);
        (lied.kind == "rank_asked_lowered").then_some(lied)
    });
    let lied = lied.context("one of the ways to lie")?;
    let path = cluster.path().join("lied.ndjson");
    std::fs::write(&path, &lied.text)?;
    let (path, key) = (path.to_str().context("UTF-8")?, sample::verifier_key(&sample::log_key()).to_string());
    let output = cluster.command(&["--json", "audit", "verify", path, "--key", &key]).await?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    assert!(!output.status.success(), "{said:#}");
    assert_eq!((&said["code"], &said["entries"][0]), (&json!("approval"), &json!(lied.first)), "{said:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_audit_entry_is_named() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    let mission = json!({"goal": "an honest goal", "tasks": [{"id": "a", "uses": "core.noop"}]});
    let mission = cluster.api.create(mission).await?;
    cluster.api.finished(&mission).await?;
    let known = key(&cluster).await?;
    let (holds, said) = verified(&cluster, &known).await?;
    ensure!(holds, "{said:#}");
    // Words that stand beside the entry, and are not what it sealed.
    let words = "UPDATE audit_openings SET value = replace(value, 'an honest goal', 'an altered one') WHERE mission = $1";
    alter(&mut cluster, &[(words, &mission)]).await?;
    let (holds, said) = verified(&cluster, &known).await?;
    assert!(!holds && said["code"] == "opening" && said["entries"].is_array(), "{said:#}");
    let back = "UPDATE audit_openings SET value = replace(value, 'an altered one', 'an honest goal') WHERE mission = $1";
    alter(&mut cluster, &[(back, &mission)]).await?;
    let (holds, said) = verified(&cluster, &known).await?;
    ensure!(holds, "{said:#}");
    // The entry itself.
    let entry = "UPDATE audit SET body = replace(body, '\"tasks\":1', '\"tasks\":2') \
        WHERE mission = $1 AND body LIKE '%\"tasks\":1%'";
    alter(&mut cluster, &[(entry, &mission)]).await?;
    let (holds, said) = verified(&cluster, &known).await?;
    assert!(!holds, "{said:#}");
    assert!(said["entries"].is_array() && said["code"].is_string(), "{said:#}");
    Ok(())
}

//! Several coordinators as one: what is asked of any reaches whoever it concerns, and any of them may die.

use anyhow::{Context, Result};
use nexusmon_tests::Nodes;
use nexusmon_tests::api::task;
use nexusmon_tests::events::EventLog;
use nexusmon_tests::nodes::storm::{self, Storm};
use reqwest::Method;
use serde_json::{Value, json};

/// A task that says a word, then waits for a file.
fn waiting(gate: &std::path::Path) -> Value {
    let folder = gate.parent();
    json!({"goal": "wait for a sign", "tasks": [{"id": "wait", "uses": "shell.run", "timeout": "120s",
        "sandbox": {"profile": "user", "paths": [{"path": folder, "write": true}]},
        "with": {"script": format!("echo begun; while [ ! -e {} ]; do sleep 0.05; done; echo over", gate.display())}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_coordinator_is_told_reaches_agents_of_another() -> Result<()> {
    let mut cluster = Nodes::start(2).await?;
    cluster.lead_agents_to(&[1]);
    cluster.add_agent("agent-1", 2).await?;
    let shared = tempfile::tempdir()?;
    let gate = shared.path().join("gate");
    let (here, there) = (&cluster.nodes[0].api, &cluster.nodes[1].api);

    // Seen as online from everywhere, though its session is there.
    here.until("/v1/fleet/agents/agent-1", "online", |agent| agent["status"] == "online").await?;
    // A live tail here of a log that grows there.
    let mission = here.create(waiting(&gate)).await?;
    let running = here.task_reaches(&mission, "wait", "running").await?;
    let id = running["task_id"].as_str().context("a task has an id")?;
    let mut tail = EventLog::open(here, &format!("/v1/engine/tasks/{id}/log/live"), None).await?;
    tail.until(|event| event.data.contains("begun")).await?;
    std::fs::write(&gate, "")?;
    tail.until(|event| event.data.contains("over")).await?;
    assert_eq!(here.finished(&mission).await?["status"], "succeeded");
    std::fs::remove_file(&gate)?;

    // A cancel here ends what runs there.
    let mission = here.create(waiting(&gate)).await?;
    there.task_reaches(&mission, "wait", "running").await?;
    here.post(&format!("/v1/engine/missions/{mission}/cancel"), json!({})).await?;
    let over = there.finished(&mission).await?;
    assert_eq!(over["status"], "cancelled", "{over:#}");

    // At once, too.
    let mission = here.create(waiting(&gate)).await?;
    there.task_reaches(&mission, "wait", "running").await?;
    here.post(&format!("/v1/engine/missions/{mission}/cancel"), json!({"at_once": true})).await?;
    let over = there.finished(&mission).await?;
    assert_eq!(over["status"], "cancelled", "{over:#}");

    // An agent put out here loses its session there, and what it had is given up.
    let mission = there.create(waiting(&gate)).await?;
    there.task_reaches(&mission, "wait", "running").await?;
    here.post("/v1/fleet/agents/agent-1/quarantine", json!({})).await?;
    there.until("/v1/fleet/agents/agent-1", "out", |agent| agent["status"] != "online").await?;
    let left = there
        .wait(&mission, "without its agent", |state| {
            !["leased", "running"].contains(&task(state, "wait")["status"].as_str().unwrap_or_default())
        })
        .await?;
    assert!(!left["status"].is_null());
    here.post("/v1/fleet/agents/agent-1/resume", json!({})).await?;
    there.until("/v1/fleet/agents/agent-1", "back", |agent| agent["status"] == "online").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_mission_whoever_is_asked() -> Result<()> {
    let cluster = Nodes::start(2).await?;
    let body = json!({"goal": "once", "start": "manual", "tasks": [{"id": "a", "uses": "core.noop"}]});
    for round in 0..10 {
        let key = format!("key-{round}");
        let asked = (0..6).map(|number| {
            let (api, key, body) = (&cluster.nodes[number % 2].api, key.clone(), body.clone());
            async move { api.call_with_key(Method::POST, "/v1/engine/missions", Some(&body), &key).await }
        });
        let answers = futures::future::try_join_all(asked).await?;
        let mut ids = std::collections::BTreeSet::new();
        for (status, answer) in answers {
            match status.as_u16() {
                201 => drop(ids.insert(answer["id"].as_str().context("an id")?.to_owned())),
                409 => assert_eq!(answer["code"], "in_progress", "{answer:#}"),
                other => panic!("{other}: {answer:#}"),
            }
        }
        assert_eq!(ids.len(), 1, "one mission, and everybody is told of it: {ids:?}");
        let other = json!({"goal": "another", "tasks": []});
        let (status, _) =
            cluster.api.call_with_key(Method::POST, "/v1/engine/missions", Some(&other), &key).await?;
        assert_eq!(status.as_u16(), 422);
    }
    assert_eq!(cluster.api.list("/v1/engine/missions").await?.len(), 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_put_through_one_are_read_through_another() -> Result<()> {
    let cluster = Nodes::start(2).await?;
    let (here, there) = (&cluster.nodes[0].api, &cluster.nodes[1].api);
    // Large enough to go in parts.
    let bytes: Vec<u8> = (0..21 * 1024 * 1024_u32).map(|at| (at ^ (at >> 8)).to_le_bytes()[0]).collect();
    let stored = here.upload("large.bin", bytes.clone().into()).await?;
    let id = stored["id"].as_str().context("an artifact has an id")?;
    let read = there.bytes(&format!("/v1/vault/artifacts/{id}/content"), "*/*").await?;
    assert!(read == bytes, "{} bytes came back", read.len());
    // The same bytes under another name, through the other one: kept once.
    there.upload("again.bin", bytes.into()).await?;
    let objects = cluster.objects.bucket().join("nexus/objects");
    let kept: usize = std::fs::read_dir(objects)?
        .map(|folder| Ok(std::fs::read_dir(folder?.path())?.count()))
        .sum::<std::io::Result<usize>>()?;
    assert_eq!(kept, 1);
    Ok(())
}

/// Environment, exit code, and what is said.
type Refusal<'a> = (&'a [(&'a str, &'a str)], i32, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_does_not_fit_refuses_to_start() -> Result<()> {
    let cluster = Nodes::start(1).await?;
    let other = cluster.nodes[0].sibling(2)?;
    let wrong_key = "7a".repeat(32);
    let cases: [Refusal<'_>; 5] = [
        (&[("NEXUSMON_MASTER_KEY", &wrong_key)], 6, "not the one this database was made with"),
        (&[("NEXUSMON_NODE", "node-1")], 5, "is connected to this database as `node-1`"),
        (
            &[("NEXUSMON_BLOBS_URL", "file:///tmp/nexusmon-nobody")],
            5,
            "set NEXUSMON_BLOBS_URL to the same s3://",
        ),
        (&[("AWS_SECRET_ACCESS_KEY", "wrong")], 2, "the credentials are refused"),
        (&[("NEXUSMON_S3_ENDPOINT", "http://store.example:9000")], 2, "https://"),
    ];
    for (environment, code, part) in cases {
        let (ended, said) = other.refuses(environment).await?;
        assert!(said.contains(part), "{environment:?}: {said}");
        assert_eq!(ended, code, "{said}");
    }
    cluster.api.get("/v1/engine/stats").await?;
    Ok(())
}

/// `NEXUSMON_STORM_KILLS` asks for more than the few of every run.
#[tokio::test(flavor = "multi_thread")]
async fn any_of_three_may_die_at_any_moment() -> Result<()> {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let storm = Storm {
        kills: asked("NEXUSMON_STORM_KILLS").and_then(|kills| usize::try_from(kills).ok()).unwrap_or(4),
        effects_between: 20,
        seed: asked("NEXUSMON_STORM_SEED").unwrap_or(1),
    };
    let report = storm::blow(storm).await?;
    println!("{}", serde_json::to_string(&report)?);
    assert!(report.missions > 0);
    Ok(())
}

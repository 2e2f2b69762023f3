//! Another certificate authority under running work: nothing is lost or repeated, whoever follows stays, and what the old
//! one signed counts for nothing afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use nexusmon_agent::enroll::{Home, renew_by_challenge};
use nexusmon_shared::join_token::Address;
use nexusmon_shared::time::{SharedClock, SystemClock};
use nexusmon_shared::tls::ConnectError;
use nexusmon_tests::api::{Api, PATIENCE};
use nexusmon_tests::{Cluster, Nodes, Options};
use serde_json::{Value, json};

const AUTHORITY: &str = "/v1/fleet/authority";

/// Tasks that each append their name to a file of the host, and one that waits for a sign.
fn work(ledger: &Path, gate: &Path, count: usize) -> Value {
    let task = |id: String, script: String| {
        json!({"id": id, "uses": "shell.run", "idempotent": false, "timeout": "300s", "with": {"script": script},
            "sandbox": {"profile": "user", "paths": [{"path": ledger.parent(), "write": true}]}})
    };
    let (ledger, gate) = (ledger.display(), gate.display());
    let traces = (0..count)
        .map(|number| task(format!("t{number}"), format!("printf 't{number}\\n' >> {ledger}; sleep 0.2")));
    let script = format!("printf 'wait\\n' >> {ledger}; while [ ! -e {gate} ]; do sleep 0.05; done");
    let tasks: Vec<_> = std::iter::once(task("wait".to_owned(), script)).chain(traces).collect();
    json!({"goal": "leave a trace each", "tasks": tasks})
}

fn counted(ledger: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

fn behind(state: &Value) -> Vec<&str> {
    state["behind"].as_array().into_iter().flatten().filter_map(|agent| agent["name"].as_str()).collect()
}

/// An agent's identity as it is now, in a folder of its own.
fn copy_of(agent: &Path, place: &Path) -> Result<PathBuf> {
    let identity = place.join("identity");
    std::fs::create_dir_all(&identity)?;
    for file in std::fs::read_dir(agent.join("identity"))? {
        let file = file?;
        std::fs::copy(file.path(), identity.join(file.file_name()))?;
    }
    Ok(place.to_owned())
}

/// Shows the certificate of this identity until that is refused.
async fn refused(home: &Path, address: &str) -> Result<ConnectError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let home = Home::open(home)?;
    let address: Address = address.parse()?;
    let refused = async {
        loop {
            let connector = home.connector(Some(&address), Arc::clone(&clock))?;
            if let Err(error) = connector.connect().await {
                return Ok(error);
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.context("the old certificate is still taken")?
}

async fn begun(api: &Api, action: &str) -> Result<usize> {
    let path = format!("/v1/governance/audit?action={action}");
    let seen = api.until(&path, "written down", |page| page["items"][0]["action"] == action).await?;
    Ok(seen["items"].as_array().map_or(0, Vec::len))
}

#[tokio::test(flavor = "multi_thread")]
async fn work_runs_through_a_change_of_the_authority() -> Result<()> {
    let mut cluster = Cluster::start(Options { agents: 3, ..Options::default() }).await?;
    let shared = tempfile::tempdir()?;
    let (ledger, gate) = (shared.path().join("ledger"), shared.path().join("gate"));
    let before = cluster.api.get(AUTHORITY).await?;
    assert!(before["next"].is_null(), "{before:#}");
    assert!(behind(&before).is_empty(), "{before:#}");
    let old = copy_of(&cluster.agents[0].folder, &shared.path().join("old"))?;
    cluster.agents[2].stop().await?;

    let mission = cluster.api.create(work(&ledger, &gate, 40)).await?;
    cluster.api.task_reaches(&mission, "wait", "running").await?;
    let said = cluster.commanded(&["agent", "rotate-ca", "begin", "--wait", "60"]).await?;
    assert!(said.contains("2 agents have followed, 1 have not") && said.contains("agent-3"), "{said}");
    let again = cluster.command(&["agent", "rotate-ca", "begin"]).await?;
    let again = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.contains("in force beside the old one already"), "{again}");
    cluster.api.task_reaches(&mission, "wait", "running").await?;

    // Where it stands is in the database.
    cluster.kill_coordinator().await?;
    cluster.start_coordinator().await?;
    let both = cluster.api.get(AUTHORITY).await?;
    assert_eq!((behind(&both), &both["current"]["key"]), (vec!["agent-3"], &before["current"]["key"]));
    for name in ["agent-1", "agent-2"] {
        let path = format!("/v1/fleet/agents/{name}");
        cluster.api.until(&path, "back", |agent| agent["status"] == "online").await?;
    }
    // Until the old one is retired its certificates are good.
    let clock: SharedClock = Arc::new(SystemClock);
    let address: Address = cluster.grpc().parse()?;
    Home::open(&old)?.connector(Some(&address), Arc::clone(&clock))?.connect().await?;

    // Nobody is left behind unnamed, and nothing happens by a slip.
    let invite = json!({"name": "late", "labels": {}, "max_rank": "D"});
    cluster.api.post("/v1/fleet/invites", invite).await?;
    for (arguments, reason) in [
        (&["agent", "rotate-ca", "retire"][..], "--yes"),
        (&["agent", "rotate-ca", "retire", "--yes"], "have not followed the new authority: agent-3."),
        (&["agent", "rotate-ca", "retire", "--yes", "--leave", "agent-9"], "no agent is called `agent-9`"),
    ] {
        let output = cluster.command(arguments).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
    let retire = ["agent", "rotate-ca", "retire", "--yes", "--leave", "agent-3"];
    let said = cluster.commanded(&retire).await?;
    assert!(said.contains("Left behind: agent-3.") && said.contains("1 open invites"), "{said}");
    let after = cluster.api.get(AUTHORITY).await?;
    assert_eq!((&after["current"]["key"], after["next"].is_null()), (&both["next"]["key"], true));

    // What ran goes on, what follows finds its agents, and each was done once.
    std::fs::write(&gate, "")?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let counts = counted(&ledger);
    assert_eq!(counts.len(), 41, "nothing is lost: {counts:?}");
    assert!(counts.values().all(|count| *count == 1), "nothing is repeated: {counts:?}");

    // The old certificate, shown by who trusts the new authority, is refused; its key still renews by challenge.
    let known = "identity/authorities.json";
    std::fs::copy(cluster.agents[0].folder.join(known), old.join(known))?;
    let error = refused(&old, cluster.grpc()).await?;
    assert!(error.needs_new_certificate(), "{error:?}");
    // Who was left behind does not believe the coordinator any more, and nobody makes it.
    let left = copy_of(&cluster.agents[2].folder, &shared.path().join("left"))?;
    let error = refused(&left, cluster.grpc()).await?;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("nexusmon-agent leave"), "{error}");
    let error = renew_by_challenge(&Home::open(&left)?, None, clock).await.expect_err("nothing vouches");
    assert!(error.to_string().contains("cannot be trusted"), "{error}");

    // Agents restarted, and ones that join now, know the new one only.
    cluster.agents[0].stop().await?;
    cluster.agents[0].start()?;
    cluster.add_agent("agent-4", &[]).await?;
    let path = "/v1/fleet/agents/agent-1";
    cluster.api.until(path, "back", |agent| agent["status"] == "online").await?;
    cluster.commanded(&["agent", "revoke", "agent-3", "--yes"]).await?;

    // And it can be done again.
    cluster.commanded(&["agent", "rotate-ca", "begin", "--wait", "60"]).await?;
    let said = cluster.commanded(&["agent", "rotate-ca", "retire", "--yes"]).await?;
    assert!(!said.contains("Left behind"), "{said}");
    let last = cluster.api.get(AUTHORITY).await?;
    assert_ne!(last["current"]["key"], after["current"]["key"]);
    assert_eq!(begun(&cluster.api, "authority.begun").await?, 2);
    assert_eq!(begun(&cluster.api, "authority.retired").await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_coordinator_begins_and_ends_the_others_follow() -> Result<()> {
    let mut cluster = Nodes::start(2).await?;
    cluster.lead_agents_to(&[1]);
    cluster.add_agent("agent-1", 2).await?;
    let shared = tempfile::tempdir()?;
    let (ledger, gate) = (shared.path().join("ledger"), shared.path().join("gate"));
    let old = copy_of(&cluster.agents[0].folder, &shared.path().join("old"))?;
    let (here, there) = (&cluster.nodes[0].api, &cluster.nodes[1].api);
    let mission = here.create(work(&ledger, &gate, 10)).await?;
    there.task_reaches(&mission, "wait", "running").await?;

    // Begun here, followed by the agent whose session is there.
    here.post("/v1/fleet/authority/rotate", json!({})).await?;
    there.until(AUTHORITY, "followed", |state| !state["next"].is_null() && behind(state).is_empty()).await?;
    here.post("/v1/fleet/authority/retire", json!({})).await?;
    there.until(AUTHORITY, "retired", |state| state["next"].is_null()).await?;
    std::fs::copy(
        cluster.agents[0].folder.join("identity/authorities.json"),
        old.join("identity/authorities.json"),
    )?;
    for node in &cluster.nodes {
        let error = refused(&old, &node.grpc.to_string()).await?;
        assert!(error.needs_new_certificate(), "{}: {error:?}", node.name);
    }
    std::fs::write(&gate, "")?;
    let done = here.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let counts = counted(&ledger);
    assert_eq!(counts.len(), 11, "nothing is lost: {counts:?}");
    assert!(counts.values().all(|count| *count == 1), "nothing is repeated: {counts:?}");

    // The other coordinator shows the new one, too.
    cluster.agents[0].stop().await?;
    cluster.lead_agents_to(&[0]);
    cluster.agents[0].start()?;
    here.until("/v1/fleet/agents/agent-1", "back", |agent| agent["status"] == "online").await?;
    let again = here.create(json!({"goal": "again", "tasks": [{"id": "a", "uses": "core.noop"}]})).await?;
    assert_eq!(here.finished(&again).await?["status"], "succeeded");
    Ok(())
}

//! An operator's account in the wrong hands, the owner's even, but not the key in their pocket.

use anyhow::{Context as _, Result};
use nexusmon_tests::api::task;
use nexusmon_tests::cluster::OPERATOR_KEY;
use nexusmon_tests::{Cluster, Options, binaries};
use reqwest::Method;
use serde_json::{Value, json};

const RESTORES: &str = "/v1/governance/audit/restores";
const VALUE: &str = "account-Canary-19ab/never+told=back";

#[tokio::test(flavor = "multi_thread")]
async fn it_approves_nothing_grave_changes_no_policy_reads_no_secret_and_no_log_is_rewritten() -> Result<()> {
    let cluster = Cluster::start(Options { max_rank: "A", key: true, ..Options::default() }).await?;
    let api = &cluster.api;

    // Approving: without a signature, with one made up, with another's key.
    let mission = api
        .create(json!({"goal": "grave", "tasks": [
        {"id": "a", "uses": "shell.run", "sandbox": "none", "with": {"script": "true"}}]}))
        .await?;
    let waiting = api.reaches(&mission, "awaiting_approval").await?;
    let approve = format!("/v1/engine/missions/{mission}/approve");
    let roster = api.get("/v1/governance/roster").await?;
    let person = roster["signed"]["roster"]["persons"][0].clone();
    let person = if person.is_null() { roster["persons"][0].clone() } else { person };
    let owners =
        person["keys"][0]["id"].as_str().or(person["keys"][0]["key"].as_str()).or(person["keys"][0].as_str());
    let key = owners.or(roster["owner_key"].as_str()).context("a key of the roster")?;
    let decision = json!({"digest": waiting["plan"]["digest"], "verdict": "approve", "comment": "trust me"});
    let with = |signature: Value| {
        let mut decision = decision.clone();
        decision["signature"] = signature;
        decision
    };
    let nonce = "AAAAAAAAAAAAAAAAAAAAAA";
    let soon = waiting["approval"]["decide_by"].clone();
    let made_up = "A".repeat(85) + "A";
    let forged = with(json!({"key": key, "valid_until": soon, "nonce": nonce, "bytes": made_up}));
    for body in [decision.clone(), forged] {
        let (status, refused) = api.call(Method::POST, &approve, Some(&body)).await?;
        assert!(status.is_client_error(), "{status} {refused:#}");
    }

    // A key of one's own is not in the roster, and a roster of one's own is nobody's.
    let thief = cluster.path().join("thief");
    std::fs::create_dir_all(&thief)?;
    let made = tokio::process::Command::new(binaries::path("nexusmon"))
        .args(["key", "make"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &thief)
        .env("OPERATOR_KEY", OPERATOR_KEY)
        .env("NEXUSMON_URL", &api.url)
        .env("NEXUSMON_KEY_PASSPHRASE", "another passphrase")
        .stdin(std::process::Stdio::null())
        .output()
        .await?;
    let after = api.get("/v1/governance/roster").await?;
    assert_eq!(
        (&after["number"], &after["owner_key"]),
        (&roster["number"], &roster["owner_key"]),
        "{made:?}"
    );
    let state = api.get(&format!("/v1/engine/missions/{mission}")).await?;
    assert_eq!(state["status"], "awaiting_approval", "{state:#}");
    assert_eq!(task(&state, "a")["attempt"], 0, "{state:#}");

    // Policies, and the kill switch's release, wait for whoever has the key.
    let shipped = api.get("/v1/governance/policies").await?;
    let open = json!({"text": "@id(\"all\") permit (principal, action, resource);", "comment": "trust me"});
    let (_, answer) = api.call(Method::POST, "/v1/governance/policies", Some(&open)).await?;
    let now = api.get("/v1/governance/policies").await?;
    assert_eq!(now["digest"], shipped["digest"], "{answer:#}");
    api.post("/v1/governance/halt", json!({"level": "halt"})).await?;
    let (_, answer) =
        api.call(Method::POST, "/v1/governance/resume", Some(&json!({"comment": "trust me"}))).await?;
    assert_eq!(api.get("/v1/governance/halt").await?["level"], "halt", "{answer:#}");

    // No route gives a secret back, and none takes a change of the log.
    let (status, answer) =
        api.call(Method::PUT, "/v1/governance/secrets/token", Some(&json!({"value": VALUE}))).await?;
    assert!(status.is_success() && !answer.to_string().contains("Canary"), "{status} {answer:#}");
    let document = api.get("/v1/openapi.json").await?;
    let mut looked = 0;
    for (path, methods) in document["paths"].as_object().context("paths")? {
        let methods = methods.as_object().context("methods")?;
        // What the owner's key has to sign is tried below.
        if path.starts_with("/v1/governance/audit") && path != RESTORES {
            assert!(methods.keys().all(|method| method == "get"), "{path}: {methods:?}");
        }
        let streams = path.contains("events") || path.ends_with("/live");
        if methods.contains_key("get") && !path.contains('{') && !streams {
            let bytes = api.bytes(path, "application/json").await.unwrap_or_default();
            looked += 1;
            assert!(!String::from_utf8_lossy(&bytes).contains("Canary"), "{path}");
        }
    }
    assert!(looked > 20, "{looked}");
    let record = json!({"organism": roster["organism"], "old_epoch": 1, "new_epoch": 2, "size": 0, "root": "00".repeat(32)});
    let signed = json!({"record": record, "signature": {"key": key, "bytes": made_up}});
    let (status, answer) = api.call(Method::POST, RESTORES, Some(&signed)).await?;
    assert!(status.is_client_error(), "{status} {answer:#}");
    let restores = api.get(RESTORES).await?;
    assert_eq!(restores["items"], json!([]), "{restores:#}");
    for path in ["/v1/governance/secrets/token", "/v1/governance/secrets/token/value"] {
        let (status, answer) = api.call(Method::GET, path, None).await?;
        assert!(status.is_client_error() && !answer.to_string().contains("Canary"), "{path}: {status}");
    }
    Ok(())
}

//! An operator's account in the wrong hands, the owner's even, but not the key in their pocket.

use anyhow::{Context as _, Result};
use nexusmon_shared::trust::approval::{Nonce, SignedDecision, Statement, Verdict};
use nexusmon_shared::trust::ed25519::SigningKey;
use nexusmon_shared::trust::key::{KeySignature, Proof};
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
    let approvals = api.list(&format!("/v1/governance/approvals?mission={mission}")).await?;
    let to_sign = approvals.first().context("it waits for approval")?["to_sign"].clone();
    let read = |field: &str| to_sign[field].clone();
    let statement = Statement {
        organism: serde_json::from_value(read("organism"))?,
        subject: serde_json::from_value(read("subject"))?,
        digest: serde_json::from_value(read("digest"))?,
        mission: serde_json::from_value(read("mission"))?,
        verdict: Verdict::Approve,
        valid_until: serde_json::from_value(waiting["approval"]["decide_by"].clone())?,
        nonce: Nonce::from_bytes([7; 16]),
    };
    let SignedDecision { statement, key: others, proof } = statement.sign(&SigningKey::from_bytes(&[7; 32]));
    let stranger = proof.clone();
    let Proof::Ed25519 { signature } = proof else { anyhow::bail!("a key of the command line signs so") };
    let signature = serde_json::to_value(signature)?;
    let given = |key: Value, bytes: Value| {
        with(
            json!({"key": key, "valid_until": statement.valid_until, "nonce": statement.nonce, "bytes": bytes}),
        )
    };
    let made_up = "A".repeat(86);
    for (body, wanted, code) in [
        (decision.clone(), 400, "missing_field"),
        (given(json!(key), json!(made_up)), 400, "bad_signature"),
        // A good signature, by a key that is nobody's here; and in the owner's name.
        (given(serde_json::to_value(others)?, signature.clone()), 403, "unknown_key"),
        (given(json!(key), signature), 400, "bad_signature"),
    ] {
        let (status, refused) = api.call(Method::POST, &approve, Some(&body)).await?;
        let found = refused["errors"][0]["code"].as_str().or(refused["code"].as_str());
        assert_eq!((status.as_u16(), found), (wanted, Some(code)), "{refused:#}");
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
    let record = json!({"organism": statement.organism, "old_epoch": 1, "new_epoch": 2, "size": 0, "root": "00".repeat(32)});
    let signed = json!({"record": record, "signature": KeySignature { key: others, proof: stranger }});
    let (status, answer) = api.call(Method::POST, RESTORES, Some(&signed)).await?;
    let found = answer["errors"][0]["code"].as_str();
    assert_eq!((status.as_u16(), found), (400, Some("unknown_restore")), "{answer:#}");
    let restores = api.get(RESTORES).await?;
    assert_eq!(restores["items"], json!([]), "{restores:#}");
    for (path, wanted) in [("/v1/governance/secrets/token", 405), ("/v1/governance/secrets/token/value", 404)]
    {
        let (status, answer) = api.call(Method::GET, path, None).await?;
        assert_eq!(status.as_u16(), wanted, "{path}: {answer:#}");
        assert!(!answer.to_string().contains("Canary"), "{path}: {answer:#}");
    }
    Ok(())
}

//! The owner's command line against a coordinator that serves another roster than the owner signed, and what rests on the
//! right one: machines signed in, artifacts verified.

use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use nexusmon_shared::trust::ed25519::{PublicKey, SigningKey};
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::roster::SignedRoster;
use nexusmon_tests::{Cluster, Options, binaries};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

fn stranger() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The coordinator's host is in the wrong hands: from now on it serves something else.
async fn alter(cluster: &mut Cluster, statement: &'static str, value: &str) -> Result<()> {
    cluster.stop_coordinator().await?;
    let options = SqliteConnectOptions::new().filename(cluster.data().join("nexusmon.db"));
    let mut database = SqliteConnection::connect_with(&options).await?;
    let changed = sqlx::query(statement).bind(value).execute(&mut database).await?.rows_affected();
    ensure!(changed > 0, "{statement} has changed nothing");
    database.close().await?;
    cluster.start_coordinator().await
}

async fn number(cluster: &Cluster) -> Result<Value> {
    Ok(cluster.api.get("/v1/governance/roster").await?["number"].take())
}

/// What it said, having failed with this code.
fn refused(output: &Output, code: i32) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "it ended with {}: {said}", output.status);
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_the_owner_did_not_sign_or_has_replaced_is_not_built_on() -> Result<()> {
    let mut cluster = Cluster::start(Options { agents: 0, key: true, ..Options::default() }).await?;
    let said = cluster.commanded(&["roster", "need", "--a", "1", "--s", "3"]).await?;
    assert!(
        said.contains("- need     A 1, S 2\n+ need     A 1, S 3\n") && said.contains("\nrecovery   "),
        "{said}"
    );

    // An older one, which the owner did sign.
    alter(&mut cluster, "DELETE FROM rosters WHERE number = $1", "2").await?;
    let change = ["roster", "need", "--a", "2", "--s", "2"];
    let said = refused(&cluster.command(&change).await?, 7)?;
    assert!(said.contains("does not follow from the last one known here, 2"), "{said}");
    assert!(said.contains("owner.key.roster.json"), "{said}");
    assert_eq!(number(&cluster).await?, 1);

    // A machine of the owner's that knows none yet, and the real roster with the coordinator's own recovery key in it.
    std::fs::remove_file(cluster.path().join("person/.config/nexusmon/owner.key.roster.json"))?;
    let recovery =
        "UPDATE rosters SET signed = replace(signed, json_extract(signed, '$.roster.recovery'), $1)";
    let own = PublicKey::of(&stranger()).to_string();
    alter(&mut cluster, recovery, &own).await?;
    let served = cluster.api.get("/v1/governance/roster").await?;
    assert_eq!(served["roster"]["recovery"], json!(own), "{served:#}");
    let said = refused(&cluster.command(&change).await?, 7)?;
    assert!(
        said.contains("not signed by the owner it names") && said.contains("Nothing was signed"),
        "{said}"
    );
    assert_eq!(number(&cluster).await?, 1);
    Ok(())
}

/// As somebody types it who reads the words on the machine's own screen.
async fn confirm(cluster: &Cluster, home: &Path, more: &[&str]) -> Result<Output> {
    let agent = &cluster.agents[0];
    let status = tokio::process::Command::new(binaries::path("nexusmon-agent"))
        .args(["status", "--json", "--data-dir", agent.folder.to_str().context("UTF-8")?])
        .output()
        .await?;
    let status: Value = serde_json::from_slice(&status.stdout)?;
    let words = status["words"].as_str().context("six words")?;
    let arguments: Vec<&str> = ["agent", "confirm", agent.name.as_str()]
        .into_iter()
        .chain(words.split(' '))
        .chain(more.iter().copied())
        .collect();
    Ok(cluster.person(&arguments).env("HOME", home).output().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_confirmed_by_the_owner_key_known_here_or_none() -> Result<()> {
    let cluster = Cluster::start(Options { key: true, ..Options::default() }).await?;
    let owner_key = cluster.api.get("/v1/governance/roster").await?["owner_key"].take();
    let owner_key = owner_key.as_str().context("an owner key")?;
    let (own, other) = (cluster.path().join("person"), cluster.path().join("other"));
    let made = cluster.person(&["key", "make"]).env("HOME", &other).output().await?;
    assert!(made.status.success(), "{made:?}");

    let said = refused(&confirm(&cluster, &other, &[]).await?, 7)?;
    assert!(said.contains(owner_key) && said.contains("nothing was confirmed"), "{said}");
    let named = confirm(&cluster, &other, &["--owner-key", owner_key]).await?;
    assert!(named.status.success(), "{named:?}");
    assert_eq!(number(&cluster).await?, 1, "whose key is not the owner's signs no roster");

    let signed = confirm(&cluster, &own, &[]).await?;
    let said = String::from_utf8_lossy(&signed.stdout);
    let id = &cluster.agents[0].id;
    assert!(signed.status.success() && said.contains(&format!("\n+ agent    {id} ")), "{signed:?}");
    let roster = cluster.api.get("/v1/governance/roster").await?;
    assert!(roster["number"] == 2 && roster["roster"]["agents"][id].is_string(), "{roster:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_verified_by_a_roster_the_owner_signed_and_by_no_other() -> Result<()> {
    let cluster = Cluster::start(Options { key: true, ..Options::default() }).await?;
    let folder = cluster.path().join("kept");
    std::fs::create_dir(&folder)?;
    let written = |name: &str, text: &str| -> Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("UTF-8")?.to_owned())
    };
    let before = written("before.json", &cluster.commanded(&["--json", "roster", "show"]).await?)?;
    let signed = confirm(&cluster, &cluster.path().join("person"), &[]).await?;
    assert!(signed.status.success(), "{signed:?}");
    let good = cluster.commanded(&["--json", "roster", "show"]).await?;
    let roster = written("roster.json", &good)?;
    let good: Value = serde_json::from_str(&good)?;
    let owner_key = good["owner_key"].as_str().context("an owner key")?;

    let mission = cluster
        .api
        .create(json!({"goal": "count", "tasks": [{"id": "a", "uses": "shell.run", "artifacts": ["out.txt"],
            "with": {"script": "echo 42 > out.txt"}}]}))
        .await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let made = cluster.api.list(&format!("/v1/vault/artifacts?mission={mission}&kind=output")).await?;
    let artifact = made[0]["id"].as_str().context("an artifact")?;
    let file = folder.join("out.txt");
    let file = file.to_str().context("UTF-8")?;
    cluster.commanded(&["artifact", "get", artifact, "--output", file]).await?;
    let said = cluster.commanded(&["artifact", "provenance", artifact]).await?;
    let provenance = written("provenance.json", &said)?;
    let verify = ["artifact", "verify", file, "--provenance", provenance.as_str()];
    let by = async |roster: &str, key: &str| {
        cluster.command(&[&verify[..], &["--roster", roster, "--owner-key", key]].concat()).await
    };

    let held = by(&roster, owner_key).await?;
    let said = String::from_utf8_lossy(&held.stdout);
    assert!(held.status.success() && said.contains("known by the roster"), "{held:?}");
    let word = cluster.commanded(&verify).await?;
    assert!(word.contains("known by the coordinator's word"), "{word}");

    // One that says more than the owner signed, and a stranger's that is whole in itself.
    let mut altered = good.clone();
    altered["roster"]["need"]["A"] = json!(2);
    let altered = written("altered.json", &altered.to_string())?;
    let said = refused(&by(&altered, owner_key).await?, 1)?;
    assert!(said.contains("altered.json") && said.contains("not signed by the owner"), "{said}");
    let mut foreign: SignedRoster =
        serde_json::from_value(json!({"roster": good["roster"], "signatures": []}))?;
    for person in foreign.roster.persons.values_mut() {
        person.keys = [PersonKey::Cli { public_key: PublicKey::of(&stranger()) }].into();
    }
    let foreign = written("foreign.json", &serde_json::to_string(&foreign.signed_by(&stranger()))?)?;
    let said = refused(&by(&foreign, owner_key).await?, 1)?;
    assert!(said.contains("not signed by the pinned owner key"), "{said}");

    // The owner's own, from before the machine was in it; no owner key; something else than a roster; another file.
    let said = refused(&by(&before, owner_key).await?, 1)?;
    assert!(said.contains("is not in the roster"), "{said}");
    let said = refused(&cluster.command(&[&verify[..], &["--roster", roster.as_str()]].concat()).await?, 2)?;
    assert!(said.contains("--owner-key"), "{said}");
    refused(&by(&provenance, owner_key).await?, 2)?;
    std::fs::write(file, "43\n")?;
    let said = refused(&by(&roster, owner_key).await?, 1)?;
    assert!(said.contains("other artifacts"), "{said}");
    Ok(())
}

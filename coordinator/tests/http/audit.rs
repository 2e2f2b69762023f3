//! The audit log as others see it: heads, proofs, and an export that is checked by whoever has it.

use anyhow::{Context, Result};
use nexusmon_core::audit::{Bad, Trusted, Verified, Verifier};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::trust::checkpoint::Checkpoint;
use nexusmon_shared::trust::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use nexusmon_shared::trust::note::VerifierKey;
use serde_json::{Value, json};

use crate::served::Served;

async fn missions(served: &Served, count: usize) -> Result<()> {
    for number in 0..count {
        let goal = format!("entry after entry, {number}");
        let grave = number % 2 == 0;
        let rank = if grave { "A" } else { "E" };
        let body = json!({"goal": goal, "rank": rank, "tasks": [{"id": "a", "uses": "core.noop"}]});
        let (status, answer) = served.call("POST", "/v1/engine/missions", Some(&body)).await?;
        assert_eq!(status, 201, "{answer:#}");
        if grave {
            let path = format!("/v1/engine/missions/{}/approve", answer["id"].as_str().context("an id")?);
            let decision =
                json!({"digest": answer["plan"]["digest"], "verdict": "reject", "comment": "looked at"});
            let (status, answer) = served.call("POST", &path, Some(&decision)).await?;
            assert!(status.is_success(), "{answer:#}");
        }
    }
    Ok(())
}

fn verify(trusted: Trusted, text: &str) -> Result<Verified, Bad> {
    let mut verifier = Verifier::new(trusted);
    text.lines().try_for_each(|line| verifier.line(line.as_bytes()))?;
    verifier.finish()
}

fn hashes(list: &Value) -> Vec<Digest> {
    list.as_array().into_iter().flatten().filter_map(|hash| hash.as_str()?.parse().ok()).collect()
}

fn digest(value: &Value) -> Digest {
    value.as_str().and_then(|text| text.parse().ok()).expect("a digest")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_and_one_changed_byte_is_found() -> Result<()> {
    let served = Served::start().await?;
    missions(&served, 6).await?;
    let early = served.get("/v1/governance/audit/checkpoint").await?;
    missions(&served, 3).await?;
    let response =
        served.authorized("GET", "/v1/governance/audit/export").send().await?.error_for_status()?;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await?;
    let trusted = || -> Result<Trusted> {
        let trusted = Trusted::default().with_key(early["key"].as_str().context("a key")?)?;
        Ok(trusted.with_checkpoint(early["note"].as_str().context("a note")?.as_bytes())?)
    };
    let verified = verify(trusted()?, &text).expect("an honest export holds");
    assert!(verified.entries > early["size"].as_u64().context("a size")?);
    assert_eq!((verified.known_heads, verified.verdicts, verified.unjudged), (1, 9, 0));
    let all = served.get("/v1/governance/audit?limit=200").await?;
    // Whoever reads an entry can make its digest anew.
    let sealing = |entry: &&Value| entry["action"] == "mission.created";
    let mut entry = all["items"].as_array().context("a list")?.iter().find(sealing).context("one")?.clone();
    let sealed = entry["sealed"].clone();
    for place in sealed.as_object().context("sealed words")?.keys() {
        let body = entry["body"].as_object_mut().context("a body")?;
        assert!(body.remove(place.trim_start_matches('/')).is_some(), "{place}");
    }
    entry["body"]["sealed"] = sealed;
    let fields = ["action", "actor", "at", "body", "id", "mission", "subject", "subject_kind"];
    let fields: serde_json::Map<String, Value> =
        fields.iter().map(|name| ((*name).to_owned(), entry[*name].clone())).collect();
    let canonical = nexusmon_shared::trust::canonical::to_bytes(&Value::Object(fields))?;
    assert_eq!(Digest::of(&canonical), digest(&entry["digest"]), "{entry:#}");
    assert!(all["items"].as_array().is_some_and(|items| items.len() as u64 >= verified.entries));
    // One letter of one entry; and of one goal, which stands beside its entry.
    for (from, to, code) in [
        ("\"requested_rank\":\"A\"", "\"requested_rank\":\"S\"", "digest"),
        ("entry after entry, 3", "entry after entry, 5", "opening"),
    ] {
        let spoilt = text.replacen(from, to, 1);
        assert_ne!(spoilt, text);
        let bad = verify(trusted()?, &spoilt).unwrap_err();
        assert_eq!(bad.code, code);
        let (first, last) = bad.entries.context("the entry is named")?;
        let line = text.lines().find(|line| line.contains(from)).context("the entry")?;
        let line: Value = serde_json::from_str(line)?;
        assert_eq!((Some(first), Some(last)), (line["seq"].as_u64(), line["seq"].as_u64()));
        assert!(!line["entry"].to_string().contains("entry after entry"), "{line:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_lead_to_the_signed_head() -> Result<()> {
    let served = Served::start().await?;
    missions(&served, 4).await?;
    let old = served.get("/v1/governance/audit/checkpoint").await?;
    missions(&served, 4).await?;
    let head = served.get("/v1/governance/audit/checkpoint").await?;
    assert_eq!((&head["attested"], &head["attested_seconds_ago"]), (&json!(0), &Value::Null));
    let key: VerifierKey = head["key"].as_str().context("a key")?.parse()?;
    let (signed, _) = Checkpoint::open(head["note"].as_str().context("a note")?.as_bytes(), &key)?;
    assert_eq!((Some(signed.size), signed.root), (head["size"].as_u64(), digest(&head["root"])));
    let (from, to) = (old["size"].as_u64().context("a size")?, signed.size);
    for seq in 1..=to {
        let proof = served.get(&format!("/v1/governance/audit/proof?seq={seq}&size={to}")).await?;
        let leaf = leaf_hash(digest(&proof["digest"]).as_bytes());
        assert_eq!(leaf, digest(&proof["leaf"]));
        assert!(verify_inclusion(&leaf, seq - 1, to, &hashes(&proof["proof"]), &signed.root), "{proof:#}");
        assert_eq!(proof["note"], head["note"]);
    }
    for from in [1, 2, from] {
        let proof = served.get(&format!("/v1/governance/audit/proof?from={from}&size={to}")).await?;
        let before = digest(&proof["from_root"]);
        assert!(verify_consistency(from, to, &before, &signed.root, &hashes(&proof["proof"])), "{proof:#}");
    }
    assert_eq!(
        served.get(&format!("/v1/governance/audit/proof?from={from}")).await?["from_root"],
        old["root"]
    );
    for wrong in [
        "",
        "?seq=0",
        "?seq=9999999",
        "?seq=1&from=1",
        "?seq=x",
        "?seq=1&size=0",
        "?from=9999999",
        "?seq=1&size=9999999",
    ] {
        let (status, answer) =
            served.call("GET", &format!("/v1/governance/audit/proof{wrong}"), None).await?;
        assert!(matches!(status.as_u16(), 400 | 422), "{wrong}: {status} {answer:#}");
    }
    Ok(())
}

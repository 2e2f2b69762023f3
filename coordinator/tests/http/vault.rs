//! Artifacts over the API: up, down by range, compared, judged; and never run by a browser.

use anyhow::Result;
use nexusmon_core::audit::{Trusted, Verifier};
use serde_json::{Value, json};

use crate::served::Served;

async fn upload(served: &Served, name: &str, kind: &str, bytes: &'static [u8]) -> Result<Value> {
    let path = format!("/v1/vault/artifacts?name={name}");
    let response = served.authorized("POST", &path).header("content-type", kind).body(bytes).send().await?;
    assert_eq!(response.status(), 201, "{}", response.text().await?);
    Ok(served.get("/v1/vault/artifacts?limit=1").await?["items"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_whole_and_in_part() -> Result<()> {
    let served = Served::start().await?;
    let artifact = upload(&served, "page.html", "text/html", b"<script>alert(1)</script>").await?;
    let path = format!("/v1/vault/artifacts/{}/content", artifact["id"].as_str().unwrap_or_default());
    let whole = served.authorized("GET", &path).send().await?;
    assert_eq!(whole.status(), 200);
    let headers = whole.headers().clone();
    assert!(headers["content-security-policy"].to_str()?.starts_with("sandbox;"), "no browser runs it");
    assert!(headers["content-disposition"].to_str()?.starts_with("attachment;"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-length"], "25");
    assert_eq!(whole.bytes().await?.as_ref(), b"<script>alert(1)</script>");

    let part = served.authorized("GET", &path).header("range", "bytes=1-6").send().await?;
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 1-6/25");
    assert_eq!(part.bytes().await?.as_ref(), b"script");
    let end = served.authorized("GET", &path).header("range", "bytes=-9").send().await?;
    assert_eq!(end.bytes().await?.as_ref(), b"</script>");
    let beyond = served.authorized("GET", &path).header("range", "bytes=99-").send().await?;
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], "bytes */25");
    let same =
        served.authorized("GET", &path).header("if-none-match", headers["etag"].clone()).send().await?;
    assert_eq!(same.status(), 304);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_kept_compared_and_judged() -> Result<()> {
    let served = Served::start().await?;
    upload(&served, "notes.txt", "text/plain", b"one\ntwo\n").await?;
    let artifact = upload(&served, "notes.txt", "text/plain", b"one\nthree\n").await?;
    assert_eq!(artifact["latest"]["version"], 2, "{artifact:#}");
    let path = format!("/v1/vault/artifacts/{}", artifact["id"].as_str().unwrap_or_default());
    let diff = served.get(&format!("{path}/diff?with=1")).await?;
    assert_eq!(diff["kind"], "text");
    let unified = diff["unified"].as_str().unwrap_or_default();
    assert!(unified.contains("-two") && unified.contains("+three"), "{unified}");
    let first = served.authorized("GET", &format!("{path}/content?version=1")).send().await?;
    assert_eq!(first.bytes().await?.as_ref(), b"one\ntwo\n");
    let judged = json!({"verdict": "reject", "comment": "three is wrong"});
    let (status, detail) = served.call("POST", &format!("{path}/reviews"), Some(&judged)).await?;
    assert_eq!(status, 201, "{detail}");
    assert_eq!(detail["latest"]["status"], "rejected");
    assert_eq!(detail["reviews"][0]["comment"], "three is wrong");
    let versions = served.get(&format!("{path}/versions")).await?;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_was_said_are_refused() -> Result<()> {
    let served = Served::start().await?;
    let path = format!("/v1/vault/artifacts?name=a.bin&digest={}", "0".repeat(64));
    let refused = served.authorized("POST", &path).body("anything").send().await?;
    assert!(refused.status().is_client_error(), "{}", refused.status());
    assert_eq!(served.get("/v1/vault/artifacts").await?["items"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_leaves_a_tombstone_and_the_log_holds() -> Result<()> {
    let served = Served::start().await?;
    upload(&served, "list.txt", "text/plain", b"nobody special\n").await?;
    let artifact = upload(&served, "list.txt", "text/plain", b"Zebulon Quux lives here\n").await?;
    let path = format!("/v1/vault/artifacts/{}", artifact["id"].as_str().unwrap_or_default());
    let found = served.get("/v1/vault/artifacts?q=zebulon").await?;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found:#}");

    for (body, status) in [
        (json!({"reason": " "}), 400),
        (json!({"reason": "asked for", "version": "9"}), 404),
        (json!({"reason": "they asked for it"}), 200),
        (json!({"reason": "again"}), 409),
    ] {
        let (answered, answer) = served.call("POST", &format!("{path}/erase"), Some(&body)).await?;
        assert_eq!(answered, status, "{body}: {answer:#}");
    }
    let now = served.get(&path).await?;
    assert_eq!(
        (&now["latest"]["status"], &now["latest"]["digest"]),
        (&json!("purged"), &artifact["latest"]["digest"])
    );
    for place in ["content", "content?version=2"] {
        let gone = served.authorized("GET", &format!("{path}/{place}")).send().await?;
        assert_eq!(gone.status(), 409);
        assert!(!gone.text().await?.contains("Quux"));
    }
    let other = served.authorized("GET", &format!("{path}/content?version=1")).send().await?;
    assert_eq!(other.bytes().await?.as_ref(), b"nobody special\n", "the version before stays");
    let found = served.get("/v1/vault/artifacts?q=zebulon").await?;
    assert_eq!(found["items"], json!([]), "nor is it found by its words");

    // What there was, who erased it, by which rule and why; and nothing of what it said.
    let log = served.get("/v1/governance/audit?action=artifact.purged").await?;
    let entry = &log["items"][0];
    let body = &entry["body"];
    assert_eq!((&body["digest"], &body["size"]), (&artifact["latest"]["digest"], &json!(24)), "{log:#}");
    assert_eq!((&body["rule"], &body["reason"]), (&json!("erased"), &json!("they asked for it")));
    let export = served.authorized("GET", "/v1/governance/audit/export").send().await?.text().await?;
    assert!(export.contains("artifact.purged") && !export.contains("Quux"));
    let mut verifier = Verifier::new(Trusted::default());
    export.lines().try_for_each(|line| verifier.line(line.as_bytes())).expect("it holds");
    verifier.finish().expect("it holds to its end");
    Ok(())
}

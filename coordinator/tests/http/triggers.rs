//! Schedules and webhooks over real HTTP: kept, seen, changed; and calls from outside, good ones and all others.

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::served::Served;

const SCHEDULES: &str = "/v1/engine/schedules";
const WEBHOOKS: &str = "/v1/engine/webhooks";

fn noop(goal: &str) -> Value {
    json!({"goal": goal, "tasks": [{"id": "a", "uses": "core.noop"}]})
}

async fn missions(served: &Served) -> Result<usize> {
    Ok(served.get("/v1/engine/missions").await?["items"].as_array().map_or(0, Vec::len))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_kept_seen_changed_and_removed() -> Result<()> {
    let served = Served::start().await?;
    let body = json!({"name": "yearly", "cron": "0 5 1 1 *", "time_zone": "Asia/Tokyo", "mission": noop("new year")});
    let (status, made) = served.call("POST", SCHEDULES, Some(&body)).await?;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["next"].as_array().map(Vec::len), Some(10), "{made}");
    assert!(
        made["next"][0]["local"].as_str().context("a time")?.ends_with("01-01T05:00:00+09:00[Asia/Tokyo]")
    );
    let path = format!("{SCHEDULES}/{}", made["id"].as_str().context("an id")?);
    let (status, again) = served.call("POST", SCHEDULES, Some(&body)).await?;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("exists")));
    let (status, wrong) =
        served.call("POST", &format!("{SCHEDULES}/dry-run"), Some(&json!({"cron": "soon"}))).await?;
    assert_eq!((status.as_u16(), &wrong["errors"][0]["pointer"]), (400, &json!("/cron")));
    let (_, seen) =
        served.call("POST", &format!("{SCHEDULES}/dry-run"), Some(&json!({"cron": "@daily"}))).await?;
    assert_eq!(seen["next"].as_array().map(Vec::len), Some(10), "{seen}");
    let (status, paused) = served.call("POST", &format!("{path}/pause"), None).await?;
    assert_eq!((status.as_u16(), &paused["state"], &paused["next"]), (200, &json!("paused"), &json!([])));
    let stale = served.authorized("PUT", &path).header("if-match", "\"1\"").json(&body).send().await?;
    assert_eq!(stale.status(), 412);
    let fresh = served.authorized("PUT", &path).header("if-match", "\"2\"").json(&body).send().await?;
    assert_eq!((fresh.status().as_u16(), &fresh.headers()["etag"]), (200, &"\"3\"".parse()?));
    let range = json!({"from": "2020-01-01T00:00:00Z", "to": "2022-01-01T00:00:00Z"});
    let (status, done) = served.call("POST", &format!("{path}/backfill"), Some(&range)).await?;
    assert_eq!(status, 200, "{done}");
    let results: Vec<_> = done["items"].as_array().into_iter().flatten().map(|one| &one["result"]).collect();
    assert_eq!(results, ["fired", "fired"]);
    assert_eq!(missions(&served).await?, 2);
    let history = served.get(&format!("{path}/firings?limit=1")).await?;
    assert_eq!((&history["items"][0]["result"], history["next_cursor"].is_string()), (&json!("fired"), true));
    assert_eq!(served.call("DELETE", &path, None).await?.0, 204);
    assert_eq!(served.call("GET", &path, None).await?.0, 404);
    Ok(())
}

struct Hook {
    path: String,
    secret: String,
}

async fn hook(served: &Served, body: Value) -> Result<Hook> {
    let (status, made) = served.call("POST", WEBHOOKS, Some(&body)).await?;
    assert_eq!(status, 201, "{made}");
    let text = |value: &Value| Ok::<_, anyhow::Error>(value.as_str().context("text")?.to_owned());
    Ok(Hook { path: text(&made["webhook"]["path"])?, secret: text(&made["secret"])? })
}

fn signed(secret: &str, body: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys of any length");
    hmac.update(body.as_bytes());
    format!("sha256={}", hex::encode(hmac.finalize().into_bytes()))
}

/// A call as GitHub makes it.
async fn push(
    served: &Served,
    hook: &Hook,
    secret: &str,
    body: &str,
    more: &[(&str, &str)],
) -> Result<(u16, Value)> {
    let mut request = served
        .request("POST", &hook.path)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", signed(secret, body));
    if !more.iter().any(|(name, _)| *name == "x-github-event") {
        request = request.header("x-github-event", "push");
    }
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let response = request.body(body.to_owned()).send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_makes_one_mission_of_its_values() -> Result<()> {
    let served = Served::start().await?;
    let playbook = json!({"name": "build", "goal": "build ${{ inputs.ref }}",
        "input_schema": {"properties": {"ref": {"type": "string", "maxLength": 40}}, "required": ["ref"]},
        "tasks": [{"id": "a", "uses": "core.noop"}]});
    assert_eq!(served.call("POST", "/v1/engine/playbooks", Some(&playbook)).await?.0, 201);
    let body = |inputs: Value| json!({"name": "push", "format": "github", "events": ["push"], "playbook": "build", "inputs": inputs});
    for (inputs, pointer) in [
        (json!({}), "/inputs"),
        (json!({"ref": "x", "colour": 1}), "/inputs/colour"),
        (json!({"ref": "at ${{ trigger.body.ref }}"}), "/inputs/ref"),
    ] {
        let (status, wrong) = served.call("POST", WEBHOOKS, Some(&body(inputs))).await?;
        assert_eq!((status.as_u16(), &wrong["errors"][0]["pointer"]), (400, &json!(pointer)), "{wrong}");
    }
    let hook = hook(&served, body(json!({"ref": "${{ trigger.body.ref }}"}))).await?;
    let result = |wanted: &str| (202, json!({"result": wanted}));
    let call = r#"{"ref": "main", "evil": "${{ inputs.ref }}"}"#;
    assert_eq!(
        push(&served, &hook, &hook.secret, call, &[("x-github-delivery", "1")]).await?,
        result("fired")
    );
    // The same bytes under another id are the same delivery: the id is not signed.
    assert_eq!(
        push(&served, &hook, &hook.secret, call, &[("x-github-delivery", "2")]).await?,
        result("already")
    );
    assert_eq!(
        push(&served, &hook, &hook.secret, "{}", &[("x-github-event", "star")]).await?,
        result("ignored")
    );
    assert_eq!(
        push(&served, &hook, &hook.secret, r#"{"zen": 1}"#, &[("x-github-event", "ping")]).await?,
        result("ignored")
    );
    let long = format!(r#"{{"ref": "{}"}}"#, "x".repeat(50));
    assert_eq!(push(&served, &hook, &hook.secret, &long, &[]).await?, result("failed"));
    assert_eq!(missions(&served).await?, 1);
    let made = served.get("/v1/engine/missions").await?["items"][0].clone();
    assert_eq!((&made["goal"], &made["origin"]), (&json!("build main"), &json!("webhook")));
    // Nothing shows the key again, not the list and not the audit log.
    let listed = served.get(WEBHOOKS).await?.to_string();
    let told = served.get("/v1/governance/audit").await?.to_string();
    assert!(!listed.contains(&hook.secret) && !told.contains(&hook.secret));
    let id = served.get(WEBHOOKS).await?["items"][0]["id"].as_str().context("an id")?.to_owned();
    let history = served.get(&format!("{WEBHOOKS}/{id}/firings")).await?;
    assert!(history["items"][0]["reason"].as_str().context("a reason")?.contains("/inputs/ref"), "{history}");
    // Another key, and the one before opens nothing; a paused one answers and makes nothing.
    let (_, rotated) = served.call("POST", &format!("{WEBHOOKS}/{id}/rotate"), None).await?;
    let fresh = rotated["secret"].as_str().context("a key")?;
    assert_eq!(push(&served, &hook, &hook.secret, r#"{"ref": "a"}"#, &[]).await?.0, 401);
    assert_eq!(push(&served, &hook, fresh, r#"{"ref": "a"}"#, &[]).await?, result("fired"));
    assert_eq!(served.call("POST", &format!("{WEBHOOKS}/{id}/pause"), None).await?.0, 200);
    assert_eq!(push(&served, &hook, fresh, r#"{"ref": "b"}"#, &[]).await?, result("ignored"));
    assert_eq!(missions(&served).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_proves_nothing_does_nothing_and_learns_nothing() -> Result<()> {
    let served = Served::start().await?;
    let hook = hook(&served, json!({"name": "push", "format": "github", "mission": noop("pushed")})).await?;
    let (status, refused) = push(&served, &hook, "another key", "{}", &[]).await?;
    assert_eq!((status, &refused["code"]), (401, &json!("signature_refused")));
    // One that does not exist is answered alike.
    let nowhere = Hook { path: format!("/v1/hooks/trg_{}", "0".repeat(26)), secret: String::new() };
    let (status, unknown) = push(&served, &nowhere, "another key", "{}", &[]).await?;
    assert_eq!((status, &unknown["code"], &unknown["detail"]), (401, &refused["code"], &refused["detail"]));
    // Two signatures are none, and neither a token nor a cookie of the owner stands in for one.
    let twice = [("x-hub-signature-256", "sha256=00")];
    assert_eq!(push(&served, &hook, &hook.secret, "{}", &twice).await?.0, 401);
    let response = served.authorized("POST", &hook.path).json(&json!({})).send().await?;
    assert_eq!(response.status(), 401);
    let response = served
        .request("POST", &hook.path)
        .header("cookie", "nexusmon_session=x")
        .json(&json!({}))
        .send()
        .await?;
    assert_eq!(response.status(), 401);
    // Signed, and still no JSON, or far too much of it.
    let form = served
        .request("POST", &hook.path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-hub-signature-256", signed(&hook.secret, "payload=1"))
        .body("payload=1");
    assert_eq!(form.send().await?.status(), 415);
    assert_eq!(push(&served, &hook, &hook.secret, "{\"a\":", &[]).await?.0, 400);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(push(&served, &hook, &hook.secret, &deep, &[]).await?.0, 400);
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    assert_eq!(push(&served, &hook, &hook.secret, &large, &[]).await?.0, 413);
    assert_eq!(missions(&served).await?, 0);
    assert_eq!(push(&served, &hook, &hook.secret, "{}", &[]).await?.0, 202);
    assert_eq!(missions(&served).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_shown_itself_has_to_be_the_key() -> Result<()> {
    let served = Served::start().await?;
    let hook = hook(&served, json!({"name": "push", "format": "gitlab", "mission": noop("pushed")})).await?;
    let call = |token: String| {
        let request = served.request("POST", &hook.path).header("x-gitlab-token", token);
        let request = request.header("idempotency-key", "one").json(&json!({"a": 1}));
        async move {
            let response = request.send().await?;
            Ok::<_, anyhow::Error>((response.status().as_u16(), response.json::<Value>().await?))
        }
    };
    for wrong in
        ["x".to_owned(), hook.secret[..hook.secret.len() - 1].to_owned(), format!("{}x", hook.secret)]
    {
        assert_eq!(call(wrong).await?.0, 401);
    }
    assert_eq!(call(hook.secret.clone()).await?, (202, json!({"result": "fired"})));
    assert_eq!(call(hook.secret.clone()).await?, (202, json!({"result": "already"})));
    assert_eq!(missions(&served).await?, 1);
    Ok(())
}

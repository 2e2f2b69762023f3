//! What the system drafted, from outside: offered, read beside what is like it, promoted by who may, or put aside.

use anyhow::{Context as _, Result};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::rank::Rank;
use nexusmon_store::{Json, LearnedRow, LearnedState, StoreError};
use serde_json::{Value, json};

use crate::served::Served;

pub(crate) fn body(name: &str, what: &str) -> Value {
    json!({"name": name, "goal": "weigh", "tasks": [{"id": "weigh", "uses": "core.noop", "with": {"what": what}}]})
}

/// As three verified missions leave it.
pub(crate) async fn offered(served: &Served, name: &str) -> Result<()> {
    let app = &served.running.app;
    let row = LearnedRow {
        name: name.parse()?,
        shape: Digest::of(name.as_bytes()),
        body: body(name, "new").to_string(),
        rank: Rank::E,
        missions: Json(Vec::new()),
        belief: None,
        nearest: Some("scales".to_owned()),
        likeness: Some(0.5),
        state: LearnedState::Offered,
        decided_by: None,
        decided_at: None,
        comment: None,
        version: None,
        created_at: app.clock.now(),
    };
    let write = app.store.write_with("testing", row, |tx, row| {
        Box::pin(async move { tx.insert_learned(row).await.map(drop) })
    });
    write.await.map_err(|error: StoreError| anyhow::anyhow!("{error:?}"))
}

async fn status_of(served: &Served, name: &str) -> Result<Value> {
    Ok(served.get(&format!("/v1/engine/learned/{name}")).await?["status"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_are_read_promoted_and_put_aside() -> Result<()> {
    let served = Served::start().await?;
    for name in ["learned-one", "learned-two"] {
        offered(&served, name).await?;
    }
    let found = served.get("/v1/engine/learned").await?;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(2), "{found}");
    let one = served.get("/v1/engine/learned/learned-one").await?;
    assert_eq!(
        (&one["status"], &one["diff"]),
        (&json!("offered"), &Value::Null),
        "nothing is like it: {one}"
    );
    let (status, _) = served.call("POST", "/v1/engine/playbooks", Some(&body("scales", "old"))).await?;
    assert_eq!(status, 201);
    let one = served.get("/v1/engine/learned/learned-one").await?;
    let diff = one["diff"].as_str().context("a diff")?;
    let line =
        |sign: char, what: &str| diff.lines().any(|line| line.starts_with(sign) && line.contains(what));
    assert!(line('-', "old") && line('+', "new"), "{diff}");

    // Who only looks decides nothing.
    let person = json!({"name": "looker", "role": "viewer"});
    let (_, made) = served.call("POST", "/v1/governance/principals", Some(&person)).await?;
    let token = served.log_in(Some(("looker", made["secret"].as_str().context("a key")?))).await?;
    for path in ["/v1/engine/playbooks/learned-one/promote", "/v1/engine/learned/learned-one/decline"] {
        let answer = served.request("POST", path).bearer_auth(&token).json(&json!({})).send().await?;
        assert_eq!(answer.status(), 403, "{path}");
    }
    let read = served.request("GET", "/v1/engine/learned").bearer_auth(&token).send().await?;
    assert_eq!(read.status(), 200);

    let promote = "/v1/engine/playbooks/learned-one/promote";
    let response =
        served.authorized("POST", promote).json(&json!({"comment": "as it should be"})).send().await?;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/v1/engine/playbooks/learned-one");
    let made: Value = response.json().await?;
    assert_eq!((&made["name"], &made["version"]), (&json!("learned-one"), &json!(1)));
    assert_eq!(status_of(&served, "learned-one").await?, "promoted");
    let (status, again) = served.call("POST", promote, Some(&json!({}))).await?;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("already_decided")), "{again}");

    let decline = "/v1/engine/learned/learned-two/decline";
    assert_eq!(served.call("POST", decline, Some(&json!({}))).await?.0, 204);
    assert_eq!(status_of(&served, "learned-two").await?, "declined");
    let (status, late) =
        served.call("POST", "/v1/engine/playbooks/learned-two/promote", Some(&json!({}))).await?;
    assert_eq!((status.as_u16(), &late["code"]), (409, &json!("already_decided")), "{late}");
    assert_eq!(served.call("GET", "/v1/engine/playbooks/learned-two", None).await?.0, 404);
    for path in ["/v1/engine/learned/learned-three", "/v1/engine/learned/no%20name"] {
        assert_eq!(served.call("GET", path, None).await?.0, 404, "{path}");
    }
    let (status, wrong) = served.call("POST", decline, Some(&json!({"why": "x"}))).await?;
    assert_eq!(status, 400, "{wrong}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_name_is_taken_is_not_promoted_over_it() -> Result<()> {
    let served = Served::start().await?;
    let (status, _) = served.call("POST", "/v1/engine/playbooks", Some(&body("learned-one", "mine"))).await?;
    assert_eq!(status, 201);
    offered(&served, "learned-one").await?;
    let (status, taken) =
        served.call("POST", "/v1/engine/playbooks/learned-one/promote", Some(&json!({}))).await?;
    assert_eq!((status.as_u16(), &taken["code"]), (409, &json!("exists")), "{taken}");
    assert_eq!(status_of(&served, "learned-one").await?, "offered", "nothing was decided");
    let kept = served.get("/v1/engine/playbooks/learned-one").await?;
    assert_eq!(kept["version"], 1, "{kept}");
    Ok(())
}

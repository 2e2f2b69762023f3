//! Missions over the API: their shape, repetition, tags, lists, traces.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};

use crate::served::Served;

fn plan() -> Value {
    json!({"goal": "count", "rank": "E", "labels": {"team": "a"}, "tasks": [
        {"id": "a", "uses": "core.noop"}, {"id": "b", "uses": "core.noop", "needs": ["a"]}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mission_reads_as_documented() -> Result<()> {
    let served = Served::start().await?;
    let response =
        served.authorized("POST", "/v1/engine/missions").json(&json!({"goal": "tidy up"})).send().await?;
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str()?.to_owned();
    let mission: Value = response.json().await?;
    assert_eq!(location, format!("/v1/engine/missions/{}", mission["id"].as_str().unwrap_or_default()));
    assert_eq!(mission["status"], "needs_plan");
    assert!(mission["status_detail"]["reason"].is_string(), "{mission:#}");
    let fields: BTreeSet<&str> = mission.as_object().expect("an object").keys().map(String::as_str).collect();
    for field in [
        "id",
        "goal",
        "status",
        "rank",
        "requested_rank",
        "risk",
        "origin",
        "plan",
        "tasks",
        "dag_edges",
        "artifacts",
        "approval",
        "review",
        "prediction",
        "xp_awarded",
        "priority",
        "labels",
        "metadata",
        "created_at",
        "started_at",
        "finished_at",
    ] {
        assert!(fields.contains(field), "{field} is missing: {fields:?}");
    }
    let created = mission["created_at"].as_str().unwrap_or_default();
    assert!(created.ends_with('Z') && created.len() == 27, "microseconds, UTC: {created}");
    assert_eq!(served.get(&location).await?["id"], mission["id"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_acts_once() -> Result<()> {
    let served = Served::start().await?;
    let create = |key: &'static str, body: Value| {
        served.authorized("POST", "/v1/engine/missions").header("idempotency-key", key).json(&body).send()
    };
    let first = create("k1", json!({"goal": "once"})).await?;
    assert_eq!(first.status(), 201);
    let location = first.headers()["location"].clone();
    let first: Value = first.json().await?;
    let again = create("k1", json!({"goal": "once"})).await?;
    assert_eq!(again.status(), 201);
    assert_eq!(again.headers()["location"], location);
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.json::<Value>().await?["id"], first["id"]);
    let other = create("k1", json!({"goal": "twice"})).await?;
    assert_eq!(other.status(), 422);
    assert_eq!(other.json::<Value>().await?["code"], "idempotency_mismatch");
    let listed = served.get("/v1/engine/missions").await?;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let long = "k".repeat(200);
    let refused = served.authorized("POST", "/v1/engine/missions").header("idempotency-key", long);
    assert_eq!(refused.json(&json!({"goal": "x"})).send().await?.status(), 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() -> Result<()> {
    let served = Served::start().await?;
    for number in 0..7 {
        let (status, body) = served
            .call("POST", "/v1/engine/missions", Some(&json!({"goal": format!("number {number}")})))
            .await?;
        assert_eq!(status, 201, "{body}");
    }
    let mut goals = Vec::new();
    let mut path = "/v1/engine/missions?limit=3".to_owned();
    loop {
        let page = served.get(&path).await?;
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 3);
        goals.extend(items.iter().filter_map(|item| item["goal"].as_str().map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/engine/missions?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..7).rev().map(|number| format!("number {number}")).collect();
    assert_eq!(goals, expected, "newest first, none twice, none lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_only_for_who_has_seen_it() -> Result<()> {
    let served = Served::start().await?;
    let (_, mission) = served.call("POST", "/v1/engine/missions", Some(&json!({"goal": "plan me"}))).await?;
    let path = format!("/v1/engine/missions/{}", mission["id"].as_str().unwrap_or_default());
    let read = served.authorized("GET", &path).send().await?;
    let tag = read.headers()["etag"].clone();
    let tasks = json!({"tasks": plan()["tasks"]});
    let stale = served.authorized("PUT", &format!("{path}/plan")).header("if-match", "\"999\"");
    assert_eq!(stale.json(&tasks).send().await?.status(), 412);
    let changed = served.authorized("PUT", &format!("{path}/plan")).header("if-match", tag.clone());
    let changed = changed.json(&tasks).send().await?;
    assert_eq!(changed.status(), 200);
    assert_ne!(changed.headers()["etag"], tag);
    let changed: Value = changed.json().await?;
    assert_eq!(changed["dag_edges"], json!([{"from": "a", "to": "b"}]));
    assert_eq!(changed["plan"]["digest"].as_str().map(str::len), Some(64));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_stores_nothing() -> Result<()> {
    let served = Served::start().await?;
    let (status, run) = served.call("POST", "/v1/engine/missions/dry-run", Some(&plan())).await?;
    assert!(status == 200 || status == 400, "{run}");
    assert_eq!(served.get("/v1/engine/missions").await?["items"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_through() -> Result<()> {
    let served = Served::start().await?;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let response =
        served.authorized("GET", "/v1/engine/missions/7").header("traceparent", given).send().await?;
    let answered = response.headers()["traceparent"].to_str()?.to_owned();
    assert!(answered.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && answered != given, "{answered}");
    assert!(response.headers()["server-timing"].to_str()?.starts_with("total;dur="));
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.json::<Value>().await?["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_names_the_line_to_paste() -> Result<()> {
    let served = Served::start().await?;
    let body = json!({"name": "nas", "labels": {"region": "home"}, "max_rank": "B", "ttl": "5m"});
    let (status, invite) = served.call("POST", "/v1/fleet/invites", Some(&body)).await?;
    assert_eq!(status, 201, "{invite}");
    let token = invite["token"].as_str().unwrap_or_default();
    assert!(token.starts_with("nxj1."), "{invite}");
    assert_eq!(invite["command"], format!("nexusmon-agent join {token}"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_and_counts() -> Result<()> {
    let served = Served::start().await?;
    for path in ["/healthz", "/readyz", "/v1/version", "/metrics"] {
        assert_eq!(served.request("GET", path).send().await?.status(), 200, "{path}");
    }
    let metrics = served.request("GET", "/metrics").send().await?.text().await?;
    assert!(
        metrics.contains("nexusmon_http_requests_total{route=\"/healthz\",method=\"GET\",status=\"200\"} 1"),
        "{metrics}"
    );
    let organism = served.get("/v1/nexusmon/organism/status").await?;
    assert_eq!(organism["stage"], "dormant");
    assert_eq!(organism["traits"].as_array().map(Vec::len), Some(7), "{organism:#}");
    let cognition = served.get("/v1/cognition/status").await?;
    assert_eq!(cognition["predictions"]["scored"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_may_be_at_once() -> Result<()> {
    let served = Served::start().await?;
    let (_, made) = served.call("POST", "/v1/engine/missions", Some(&json!({"goal": "tidy up"}))).await?;
    let path = format!("/v1/engine/missions/{}/cancel", made["id"].as_str().unwrap_or_default());
    for wrong in [json!({"at_once": "yes"}), json!({"now": true})] {
        let (status, refused) = served.call("POST", &path, Some(&wrong)).await?;
        assert_eq!(status, 400, "{refused}");
    }
    let (status, stopped) = served.call("POST", &path, Some(&json!({"at_once": true}))).await?;
    assert_eq!((status.as_u16(), &stopped["mission"]["status"]), (202, &json!("cancelled")), "{stopped}");
    let (status, refused) = served.call("POST", &path, Some(&json!({"at_once": true}))).await?;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("already_terminal")), "{refused}");
    Ok(())
}

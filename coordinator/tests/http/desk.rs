//! What a desk needs: filters under a name, one act on many missions, a link that logs in once, one's own password, and
//! snapshots that say where the stream of events goes on.

use anyhow::{Context as _, Result};
use nexusmon_coordinator::service::auth::link;
use serde_json::{Value, json};

use crate::served::Served;

/// Another person, logged in: name, password, token.
async fn person(served: &Served, name: &str, role: &str) -> Result<(String, String)> {
    let body = json!({"name": name, "role": role});
    let (status, made) = served.call("POST", "/v1/governance/principals", Some(&body)).await?;
    assert_eq!(status, 201, "{made}");
    let password = made["secret"].as_str().context("a key")?.to_owned();
    let token = served.log_in(Some((name, &password))).await?;
    Ok((password, token))
}

async fn ask(served: &Served, token: &str, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
    let request = served.request(method, path).bearer_auth(token);
    let request = if method == "GET" { request } else { request.json(body) };
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null)))
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_kept_under_a_name_and_are_ones_own() -> Result<()> {
    let served = Served::start().await?;
    let new =
        json!({"list": "missions", "name": "Nightly, failed", "query": {"status": "failed", "q": "nightly"}});
    let response = served.authorized("POST", "/v1/me/filters").json(&new).send().await?;
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str()?.to_owned();
    assert_eq!(response.headers()["etag"], "\"1\"");
    let made: Value = response.json().await?;
    assert_eq!((&made["query"], &made["name"]), (&new["query"], &new["name"]));
    let (status, again) = served.call("POST", "/v1/me/filters", Some(&new)).await?;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("name_taken")));
    let wrong = [
        (json!({"list": "agents", "name": "a", "query": {"q": "a"}}), "/list"),
        (json!({"list": "missions", "name": " ", "query": {"q": "a"}}), "/name"),
        (json!({"list": "missions", "name": "a", "query": {}}), "/query"),
        (json!({"list": "missions", "name": "a", "query": {"actor": "a"}}), "/query"),
        (json!({"list": "audit", "name": "a", "query": {"actor": ""}}), "/query/actor"),
        (json!({"list": "audit", "name": "a", "query": {"actor": "x".repeat(501)}}), "/query/actor"),
    ];
    for (body, pointer) in wrong {
        let (status, answer) = served.call("POST", "/v1/me/filters", Some(&body)).await?;
        assert_eq!((status.as_u16(), &answer["errors"][0]["pointer"]), (400, &json!(pointer)), "{answer}");
    }
    // Somebody else has none of them, and cannot touch them.
    let (_, other) = person(&served, "kim", "viewer").await?;
    assert_eq!(ask(&served, &other, "GET", "/v1/me/filters", &Value::Null).await?.1["items"], json!([]));
    let rename = json!({"name": "mine now"});
    assert_eq!(ask(&served, &other, "PUT", &location, &rename).await?.0, 404);
    assert_eq!(ask(&served, &other, "DELETE", &location, &json!({})).await?.0, 404);
    assert_eq!(
        ask(&served, &other, "POST", "/v1/me/filters", &new).await?.0,
        201,
        "the name is free for others"
    );
    // Changed by who has seen it as it is.
    let stale = served.authorized("PUT", &location).header("if-match", "\"7\"").json(&rename).send().await?;
    assert_eq!(stale.status(), 412);
    let changed =
        served.authorized("PUT", &location).header("if-match", "\"1\"").json(&rename).send().await?;
    assert_eq!((changed.status().as_u16(), &changed.headers()["etag"]), (200, &"\"2\"".parse()?));
    let listed = served.get("/v1/me/filters").await?;
    assert_eq!((&listed["items"][0]["name"], &listed["items"][0]["query"]), (&rename["name"], &new["query"]));
    assert_eq!(served.call("DELETE", &location, None).await?.0, 204);
    assert_eq!(served.get("/v1/me/filters").await?["items"], json!([]));
    assert_eq!(served.call("DELETE", &location, None).await?.0, 404);
    Ok(())
}

/// A mission that nobody can run: it stays `running` or held as made.
async fn mission(served: &Served, goal: &str, more: Value) -> Result<String> {
    let mut body = json!({"goal": goal, "tasks": [{"id": "a", "uses": "core.noop"}]});
    body.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
    let (status, made) = served.call("POST", "/v1/engine/missions", Some(&body)).await?;
    assert_eq!(status, 201, "{made}");
    Ok(made["id"].as_str().context("an id")?.to_owned())
}

fn by_id<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let mut items = answer["items"].as_array().into_iter().flatten();
    items.find(|item| item["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_on_many_is_tried_and_then_done_to_exactly_those() -> Result<()> {
    let served = Served::start().await?;
    let manual = json!({"start": "manual"});
    let first = mission(&served, "first", manual.clone()).await?;
    let second = mission(&served, "second", manual.clone()).await?;
    let moved = mission(&served, "moves meanwhile", manual.clone()).await?;
    let grave = mission(&served, "grave", json!({"rank": "B"})).await?;
    let untouched = mission(&served, "untouched", manual).await?;
    let nobody = "mis_00000000000000000000000000";
    let ids = [first.as_str(), &second, &moved, &grave, nobody];
    let list: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let wish = json!({"act": "cancel", "missions": list});
    let (status, tried) = served.call("POST", "/v1/engine/bulk", Some(&wish)).await?;
    assert_eq!((status.as_u16(), &tried["dry_run"]), (200, &json!(true)), "{tried}");
    assert_eq!(
        (&by_id(&tried, &first)["status"], &by_id(&tried, &first)["after"]),
        (&json!("ready"), &json!("cancelled"))
    );
    assert_eq!(by_id(&tried, &first)["open_tasks"], 1);
    assert_eq!(by_id(&tried, &grave)["code"], "rank_above_bulk", "{tried}");
    assert_eq!(by_id(&tried, nobody)["code"], "not_found");
    assert_eq!(
        served.get(&format!("/v1/engine/missions/{first}")).await?["status"],
        "ready",
        "nothing was done"
    );

    let seen: Vec<Value> = tried["items"]
        .as_array()
        .context("items")?
        .iter()
        .map(|item| json!({"id": item["id"], "status": item["status"]}))
        .collect();
    let act = |missions: Value, frozen: &Value| json!({"act": "cancel", "missions": missions, "dry_run": false, "frozen": frozen});
    // Not that list, not that act, not that person, nothing tried: nothing is done.
    let mut longer = seen.clone();
    longer.push(json!({"id": untouched, "status": "ready"}));
    let mut lied = seen.clone();
    lied[0]["status"] = json!("running");
    let mut another = act(json!(seen), &tried["frozen"]);
    another["act"] = json!("pause");
    for body in [
        act(json!(longer), &tried["frozen"]),
        act(json!(lied), &tried["frozen"]),
        another,
        act(json!(seen[1..]), &tried["frozen"]),
        act(json!(seen), &json!("1.00")),
    ] {
        let (status, answer) = served.call("POST", "/v1/engine/bulk", Some(&body)).await?;
        assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("not_frozen")), "{body} {answer}");
    }
    let (_, other) = person(&served, "kim", "operator").await?;
    let (status, answer) =
        ask(&served, &other, "POST", "/v1/engine/bulk", &act(json!(seen), &tried["frozen"])).await?;
    assert_eq!((status, &answer["code"]), (409, &json!("not_frozen")));

    // One of them is something else by now: it is left alone.
    let (status, _) = served.call("POST", &format!("/v1/engine/missions/{moved}/pause"), None).await?;
    assert_eq!(status, 202);
    let keyed = || {
        let request = served.authorized("POST", "/v1/engine/bulk").header("idempotency-key", "bulk-1");
        request.json(&act(json!(seen), &tried["frozen"])).send()
    };
    let done = keyed().await?;
    assert_eq!(done.status(), 200);
    let done: Value = done.json().await?;
    assert_eq!(keyed().await?.json::<Value>().await?, done, "the same request has the same answer");
    for id in [&first, &second] {
        assert_eq!(
            (&by_id(&done, id)["after"], &by_id(&done, id)["code"]),
            (&json!("cancelled"), &Value::Null),
            "{done}"
        );
    }
    assert_eq!(
        (&by_id(&done, &moved)["code"], &by_id(&done, &moved)["after"]),
        (&json!("changed_since"), &json!("paused"))
    );
    assert_eq!(by_id(&done, &grave)["code"], "rank_above_bulk");
    for (id, status) in
        [(&first, "cancelled"), (&moved, "paused"), (&grave, "running"), (&untouched, "ready")]
    {
        let found = served.get(&format!("/v1/engine/missions/{id}")).await?;
        assert_eq!(found["status"], status, "{}", found["goal"]);
    }
    // Sent again, as by an impatient hand: those that are over are not what was seen.
    let (_, twice) =
        served.call("POST", "/v1/engine/bulk", Some(&act(json!(seen), &tried["frozen"]))).await?;
    assert_eq!(by_id(&twice, &first)["code"], "changed_since");

    // Run again makes new missions.
    let wish = json!({"act": "rerun", "missions": [{"id": first}, {"id": untouched}]});
    let (_, tried) = served.call("POST", "/v1/engine/bulk", Some(&wish)).await?;
    assert_eq!(
        (&by_id(&tried, &first)["code"], &by_id(&tried, &untouched)["code"]),
        (&Value::Null, &json!("not_terminal"))
    );
    let seen: Vec<Value> = tried["items"]
        .as_array()
        .context("items")?
        .iter()
        .map(|item| json!({"id": item["id"], "status": item["status"]}))
        .collect();
    let body = json!({"act": "rerun", "missions": seen, "dry_run": false, "frozen": tried["frozen"]});
    // Twice by accident must not be twice as many: without a key it is refused.
    let (status, refused) = served.call("POST", "/v1/engine/bulk", Some(&body)).await?;
    assert_eq!(
        (status.as_u16(), &refused["errors"][0]["pointer"]),
        (400, &json!("Idempotency-Key")),
        "{refused}"
    );
    let keyed = || {
        let request = served.authorized("POST", "/v1/engine/bulk").header("idempotency-key", "bulk-2");
        request.json(&body).send()
    };
    let done: Value = keyed().await?.json().await?;
    assert_eq!(keyed().await?.json::<Value>().await?, done, "the same request has the same answer");
    let made = by_id(&done, &first)["made"].as_str().context("a new mission")?;
    assert_eq!(served.get(&format!("/v1/engine/missions/{made}")).await?["rerun_of"], first.as_str());
    for (body, pointer) in [
        (json!({"act": "cancel", "missions": []}), "/missions"),
        (json!({"act": "cancel", "missions": [{"id": first}, {"id": first}]}), "/missions"),
        (json!({"act": "cancel", "missions": [{"id": first}], "dry_run": false}), "/frozen"),
        (json!({"act": "cancel", "missions": [{"id": first}], "frozen": "x"}), "/frozen"),
        (json!({"act": "approve", "missions": [{"id": first}]}), "/act"),
    ] {
        let (status, answer) = served.call("POST", "/v1/engine/bulk", Some(&body)).await?;
        assert_eq!((status.as_u16(), &answer["errors"][0]["pointer"]), (400, &json!(pointer)), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_the_owner_in_once() -> Result<()> {
    let served = Served::start().await?;
    let link = link::make(&served.running.app);
    let login = |link: &str| {
        let request = served.request("POST", "/v1/auth/login").header("sec-fetch-site", "same-origin");
        request.json(&json!({"link": link})).send()
    };
    for wrong in ["", "00", &"0".repeat(64)] {
        assert_eq!(login(wrong).await?.status(), 401, "{wrong}");
    }
    let opened = login(link.expose()).await?;
    assert_eq!(opened.status(), 200);
    let cookie = opened.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
    let me: Value =
        served.request("GET", "/v1/auth/me").header("cookie", cookie).send().await?.json().await?;
    assert_eq!(me["role"], "owner");
    let again = login(link.expose()).await?;
    assert_eq!(again.status(), 401);
    assert_eq!(again.json::<Value>().await?["code"], "link_over");
    // How it was opened is written down; the link is not.
    let log = served.get("/v1/governance/audit?action=session.opened").await?;
    assert_eq!(log["items"][0]["body"]["method"], "link", "{log}");
    assert!(!log.to_string().contains(link.expose()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_their_own_password() -> Result<()> {
    let served = Served::start().await?;
    let (password, token) = person(&served, "kim", "viewer").await?;
    let elsewhere = served.log_in(Some(("kim", &password))).await?;
    let next = "a horse of another colour";
    let change = |current: &str, new: &str| json!({"current": current, "new": new});
    for (body, pointer) in [
        (change("wrong, all of it", next), "/current"),
        (change(&password, "too short"), "/new"),
        (change(&password, &password), "/new"),
    ] {
        let (status, answer) = ask(&served, &token, "POST", "/v1/auth/password", &body).await?;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (400, &json!(pointer)), "{answer}");
    }
    assert_eq!(ask(&served, &token, "POST", "/v1/auth/password", &change(&password, next)).await?.0, 204);
    assert!(served.log_in(Some(("kim", &password))).await.is_err(), "the old one is gone");
    served.log_in(Some(("kim", next))).await?;
    assert_eq!(
        ask(&served, &token, "GET", "/v1/auth/me", &Value::Null).await?.0,
        200,
        "this session goes on"
    );
    assert_eq!(ask(&served, &elsewhere, "GET", "/v1/auth/me", &Value::Null).await?.0, 401, "the others end");
    let (status, refused) =
        served.call("POST", "/v1/auth/password", Some(&change(crate::served::KEY, next))).await?;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("not_to_be_changed")), "{refused}");
    Ok(())
}

/// Whatever happens between a snapshot and the stream that begins where it says is told, and nothing of before.
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_goes_on_where_a_snapshot_says() -> Result<()> {
    let served = Served::start().await?;
    let inside = mission(&served, "inside", json!({})).await?;
    let response = served.authorized("GET", "/v1/engine/missions").send().await?;
    let seq: i64 = response.headers()["x-seq"].to_str()?.parse()?;
    let snapshot: Value = response.json().await?;
    assert_eq!(snapshot["items"][0]["id"], inside.as_str());
    let after = mission(&served, "after", json!({})).await?;
    let mut events = served.events(&format!("/v1/events?after={seq}&kind=mission.created"), None).await?;
    let change = loop {
        let event = events.next().await?;
        if event.name == "change" {
            break serde_json::from_str::<Value>(&event.data)?;
        }
    };
    assert_eq!(change["mission"], after.as_str(), "the one of the snapshot is not told again");
    let refused =
        served.authorized("GET", "/v1/engine/missions/mis_00000000000000000000000000").send().await?;
    assert!(!refused.headers().contains_key("x-seq"));
    let summed = served.authorized("GET", "/v1/engine/stats").send().await?;
    assert!(!summed.headers().contains_key("x-seq"), "what may lag behind claims no place");
    Ok(())
}

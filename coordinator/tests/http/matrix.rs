//! Role by route, in full, over real HTTP: who is let through is what the policy says and what was agreed on before.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use nexusmon_core::policy::access;
use serde_json::{Value, json};

use crate::served::{Operation, Served, operations};

/// A bearer token for each role. People log in with a name and a key, the service has a token of its own.
async fn credentials(served: &Served) -> Result<Vec<(&'static str, String)>> {
    let mut found = vec![("owner", served.log_in(None).await?)];
    for role in ["operator", "approver", "viewer"] {
        let body = json!({"name": format!("a-{role}"), "role": role});
        let (status, made) = served.call("POST", "/v1/governance/principals", Some(&body)).await?;
        assert_eq!(status, 201, "{made}");
        let password = made["secret"].as_str().context("a key")?;
        let token = served.log_in(Some((&format!("a-{role}"), password))).await?;
        found.push((role, token));
    }
    let (status, made) =
        served.call("POST", "/v1/governance/tokens", Some(&json!({"name": "a-program"}))).await?;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["principal"]["role"], &made["principal"]["rank_ceiling"]),
        (&json!("service"), &json!("D"))
    );
    found.push(("service", made["secret"].as_str().context("a token")?.to_owned()));
    Ok(found)
}

async fn is_let_through(served: &Served, operation: &Operation<'_>, token: &str) -> Result<bool> {
    let mut request = served.request(&operation.method, &operation.example_path()).bearer_auth(token);
    if operation.method != "GET" {
        request = request.json(&json!({}));
    }
    let response = request.send().await?;
    let status = response.status();
    let name = format!("{} {}", operation.method, operation.path);
    assert!(!status.is_server_error() && status != 401 && status != 429, "{name}: {status}");
    if status != 403 {
        return Ok(true);
    }
    // Other refusals of the same status come from behind the guard: they say something else.
    let body: Value = response.json().await?;
    Ok(body["code"] != "forbidden")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_gets_through_where_the_policy_says_and_nowhere_else() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let people = credentials(&served).await?;
    assert_eq!(people.iter().map(|(role, _)| *role).collect::<Vec<_>>(), access::ROLES);
    let mut table = String::new();
    let (mut tried, mut let_through) = (0, 0);
    for operation in operations(&document).filter(|operation| operation.about["x-action"].is_string()) {
        // Ending one's own session is tried by those who have one to spare.
        if operation.path == "/v1/auth/logout" {
            continue;
        }
        let action = operation.about["x-action"].as_str().context("an action")?;
        let mut row = String::new();
        for (role, token) in &people {
            let through = is_let_through(&served, &operation, token).await?;
            let name = format!("{role}: {} {} ({action})", operation.method, operation.path);
            assert_eq!(through, access::permits(role, action), "{name}");
            let _ = write!(row, " {}", if through { role } else { "-" });
            tried += 1;
            let_through += usize::from(through);
        }
        let _ = writeln!(table, "{:6} {:44} {action:20}{row}", operation.method, operation.path);
    }
    println!(
        "role x route: {tried} cells tried over HTTP ({} roles, {} routes), {let_through} let through, {} refused, 0 \
         otherwise than the policy says",
        people.len(),
        tried / people.len(),
        tried - let_through
    );
    assert!(tried > 300, "only {tried} tried");
    insta::assert_snapshot!("matrix", table);
    Ok(())
}

/// Nothing but pages is served around the guard, and no action is unknown to the policy.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_route_without_a_policy() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let known: Vec<&str> = access::ACTIONS.iter().map(|(action, _)| *action).collect();
    for operation in operations(&document) {
        if let Some(action) = operation.about["x-action"].as_str() {
            assert!(known.contains(&action), "{} {}: {action}", operation.method, operation.path);
        }
    }
    let router = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/router.rs"))?;
    let bare: Vec<&str> = router.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")).collect();
    let pages: Vec<&str> = bare.iter().filter_map(|line| line.split('"').next()).collect();
    let console = ["/", "/organism", "/organism/{*screen}", "/landing", "/docs", "/assets/{name}"];
    let beside = [
        "/apple-touch-icon.png",
        "/icon-192.png",
        "/icon-512.png",
        "/icon-maskable-512.png",
        "/icon.svg",
        "/icon-maskable.svg",
        "/manifest.webmanifest",
        "/sw.js",
    ];
    assert_eq!(pages, [console.as_slice(), &beside].concat());
    let unguarded = router.lines().filter(|line| line.contains("routes!(") && line.contains(".routes("));
    for line in unguarded.map(str::trim) {
        let guarded =
            ["open(", "own(", "may("].iter().any(|guard| line.starts_with(&format!(".routes({guard}")));
        assert!(guarded, "{line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_scoped_expire_and_are_taken_away() -> Result<()> {
    let served = Served::start().await?;
    let make = |body: Value| {
        let served = &served;
        async move { served.call("POST", "/v1/governance/tokens", Some(&body)).await }
    };
    for (wrong, pointer) in [
        (json!({"name": "a", "role": "approver"}), "/role"),
        (json!({"name": "a", "role": "owner"}), "/role"),
        (json!({"name": "a", "ttl": "8784h"}), "/ttl"),
        (json!({"name": "../a"}), "/name"),
    ] {
        let (status, answer) = make(wrong.clone()).await?;
        assert_eq!(
            (status.as_u16(), &answer["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{wrong}: {answer}"
        );
    }
    // A repeated request is not answered from what is kept: a secret is kept nowhere.
    let once = || {
        let request = served.authorized("POST", "/v1/governance/tokens").header("idempotency-key", "k-1");
        request.json(&json!({"name": "once"})).send()
    };
    assert_eq!((once().await?.status().as_u16(), once().await?.status().as_u16()), (201, 409));
    let (_, made) = make(json!({"name": "robot", "rank_ceiling": "E"})).await?;
    let (id, token) =
        (made["principal"]["id"].as_str().context("an id")?, made["secret"].as_str().context("a token")?);
    let ask = |method: &'static str, path: &'static str, token: String, body: Value| {
        let request = served.request(method, path).bearer_auth(token);
        async move {
            let request = if method == "GET" { request } else { request.json(&body) };
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, anyhow::Error>((status, response.json::<Value>().await?))
        }
    };
    // Above its ceiling work waits for a person, whatever the token says.
    let plan = |sandbox: &str| json!({"goal": "by a program", "tasks": [{"id": "a", "uses": "core.noop", "sandbox": sandbox}]});
    let (status, created) = ask("POST", "/v1/engine/missions", token.to_owned(), plan("strict")).await?;
    assert_eq!(status, 201, "{created}");
    let (_, held) = ask(
        "POST",
        "/v1/engine/missions",
        token.to_owned(),
        json!({"goal": "higher", "rank": "C",
        "tasks": [{"id": "a", "uses": "core.noop"}]}),
    )
    .await?;
    assert_eq!(held["status"], "awaiting_approval", "{held}");
    assert_eq!(created["plan"]["author"]["kind"], "token", "{created}");
    // What needs a fresh log-in is not for those who never log in, and rights cannot be raised.
    let (status, _) =
        ask("POST", "/v1/governance/tokens", token.to_owned(), json!({"name": "child"})).await?;
    assert_eq!(status, 403);
    for spoilt in
        [format!("{token}0"), token.replace("nxt_", "nxt_0"), "nxt_".to_owned(), "nxt_x_y".to_owned()]
    {
        let (status, answer) = ask("GET", "/v1/auth/me", spoilt.clone(), Value::Null).await?;
        assert_eq!(status, 401, "{spoilt}: {answer}");
    }
    let (status, _) = served.call("DELETE", &format!("/v1/governance/tokens/{id}"), None).await?;
    assert_eq!(status, 200);
    let (status, answer) = ask("GET", "/v1/auth/me", token.to_owned(), Value::Null).await?;
    assert_eq!((status, &answer["code"]), (401, &json!("token_refused")));
    let (_, listed) = served.call("GET", "/v1/governance/tokens", None).await?;
    assert!(listed["items"][0]["revoked_at"].is_string() && !listed.to_string().contains(token), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_log_in_change_roles_and_are_taken_out() -> Result<()> {
    let served = Served::start().await?;
    let (_, made) = served
        .call("POST", "/v1/governance/principals", Some(&json!({"name": "kim", "role": "viewer"})))
        .await?;
    let id = made["principal"]["id"].as_str().context("an id")?.to_owned();
    let password = made["secret"].as_str().context("a key")?.to_owned();
    let (status, again) = served
        .call("POST", "/v1/governance/principals", Some(&json!({"name": "kim", "role": "viewer"})))
        .await?;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("name_taken")));
    let token = served.log_in(Some(("kim", &password))).await?;
    let drain = || {
        served
            .request("POST", "/v1/governance/halt")
            .bearer_auth(&token)
            .json(&json!({"level": "halt"}))
            .send()
    };
    assert_eq!(drain().await?.status(), 403);
    let path = format!("/v1/governance/principals/{id}");
    let (status, changed) = served.call("PATCH", &path, Some(&json!({"role": "operator"}))).await?;
    assert_eq!((status.as_u16(), &changed["role"]), (200, &json!("operator")));
    // At once, in the session that is open: an operator pulls the switch, and only the owner releases it.
    assert_eq!(drain().await?.status(), 200);
    let release = served.request("POST", "/v1/governance/resume").bearer_auth(&token);
    assert_eq!(release.json(&json!({"comment": "mine"})).send().await?.status(), 403);
    let (status, _) =
        served.call("POST", "/v1/governance/resume", Some(&json!({"comment": "all is well"}))).await?;
    assert_eq!(status, 200);
    let (status, _) = served.call("DELETE", &path, None).await?;
    assert_eq!(status, 200);
    assert_eq!(drain().await?.status(), 401);
    assert!(served.log_in(Some(("kim", &password))).await.is_err());
    // The owner stays.
    let (_, people) = served.call("GET", "/v1/governance/principals", None).await?;
    let owner = people["items"].as_array().context("a list")?.iter().find(|one| one["role"] == "owner");
    let owner = owner.context("an owner")?["id"].as_str().context("an id")?;
    let (status, refused) =
        served.call("DELETE", &format!("/v1/governance/principals/{owner}"), None).await?;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("not_to_be_changed")));
    Ok(())
}

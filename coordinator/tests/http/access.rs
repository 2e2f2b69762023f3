//! Nobody gets in without credentials, by no path, with no trick; and who is in may do what the policy says.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::served::{KEY, Operation, Served, operations};

#[tokio::test(flavor = "multi_thread")]
async fn every_protected_route_refuses_strangers() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let mut checked = 0;
    for operation in operations(&document).filter(Operation::is_protected) {
        for credentials in ["", "Bearer not.a.token", "Bearer ", "Basic b3duZXI6b3duZXI=", "nexusmon"] {
            let mut request = served.request(&operation.method, &operation.example_path());
            if !credentials.is_empty() {
                // A cookie must not help a bad header.
                request = request.header("authorization", credentials).header("cookie", "nexusmon_session=x");
            }
            if operation.method != "GET" {
                request = request.json(&json!({}));
            }
            let response = request.send().await?;
            let status = response.status();
            let body: Value = response.json().await?;
            let name = format!("{} {} with `{credentials}`", operation.method, operation.path);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}: {body}");
            assert_eq!(body["status"], 401, "{name}");
            checked += 1;
        }
    }
    assert!(checked > 150, "only {checked} tried");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_avoids_the_guard() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    let open = ["/health", "/healthz", "/readyz", "/v1/version", "/v1/auth/login", "/assets/main.js"];
    for operation in operations(&document).filter(Operation::is_protected) {
        let path = operation.example_path();
        let mut spellings: Vec<String> = open.iter().map(|suffix| format!("{path}{suffix}")).collect();
        spellings.extend(open.iter().map(|prefix| format!("{prefix}/..{path}")));
        spellings.extend(open.iter().map(|prefix| format!("{prefix}/%2e%2e{path}")));
        spellings.extend([
            format!("{path}/"),
            format!("/{path}"),
            format!("{path};health"),
            format!("{path}%00"),
            format!("{path}%2fhealth"),
            format!("{path}?path=/healthz"),
            format!("{path}#/healthz"),
            path.to_uppercase(),
            path.replace("/v1/", "/v1/./"),
            path.replace("/v1/", "/v1//"),
            format!("http://localhost{path}"),
        ]);
        for spelling in spellings {
            let status = served.raw(&operation.method, &spelling, &[]).await?;
            assert!((400..500).contains(&status), "{} {spelling} gave {status}", operation.method);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_may_do_what_there_is() -> Result<()> {
    let served = Served::start().await?;
    let document = served.get("/v1/openapi.json").await?;
    for operation in operations(&document).filter(|operation| operation.about["x-action"].is_string()) {
        if operation.path.ends_with("/events") || operation.path == "/v1/auth/logout" {
            continue;
        }
        let body = (operation.method != "GET").then(|| json!({}));
        let (status, answer) =
            served.call(&operation.method, &operation.example_path(), body.as_ref()).await?;
        assert!(status != 401 && status != 403, "{} {}: {answer}", operation.method, operation.path);
        assert!(!status.is_server_error(), "{} {}: {answer}", operation.method, operation.path);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_cookie_and_no_token() -> Result<()> {
    let served = Served::start().await?;
    let login = served
        .request("POST", "/v1/auth/login")
        .header("sec-fetch-site", "same-origin")
        .json(&json!({"operator_key": KEY}))
        .send()
        .await?;
    assert_eq!(login.status(), 200);
    let cookie = login.headers()["set-cookie"].to_str()?.to_owned();
    for attribute in ["nexusmon_session=", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "loopback HTTP drops secure cookies: {cookie}");
    let body: Value = login.json().await?;
    assert_eq!(body["access_token"], Value::Null);
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();

    let me = served.request("GET", "/v1/auth/me").header("cookie", &cookie).send().await?;
    assert_eq!(me.status(), 200);

    let change = |fetch_site: &'static str, origin: Option<String>| {
        let mut request = served.request("POST", "/v1/engine/missions").header("cookie", &cookie);
        if !fetch_site.is_empty() {
            request = request.header("sec-fetch-site", fetch_site);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.json(&json!({"goal": "from a browser"})).send()
    };
    for foreign in ["", "cross-site", "same-site", "none"] {
        let refused = change(foreign, None).await?;
        assert_eq!(refused.status(), 403, "`{foreign}`");
        assert_eq!(refused.json::<Value>().await?["code"], "cross_site");
    }
    assert_eq!(change("", Some("http://evil.example".to_owned())).await?.status(), 403);
    assert_eq!(change("", Some(served.url.clone())).await?.status(), 201);
    assert_eq!(change("same-origin", None).await?.status(), 201);

    let out = served.request("POST", "/v1/auth/logout").header("cookie", &cookie);
    let out = out.header("sec-fetch-site", "same-origin").send().await?;
    assert_eq!(out.status(), 204);
    let me = served.request("GET", "/v1/auth/me").header("cookie", &cookie).send().await?;
    assert_eq!(me.status(), 401, "the session is over, whatever the browser kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_a_token_and_no_cookie() -> Result<()> {
    let served = Served::start().await?;
    for site in ["", "cross-site", "same-site", "none"] {
        let login = served.request("POST", "/v1/auth/login").json(&json!({"operator_key": KEY}));
        let login = if site.is_empty() { login } else { login.header("sec-fetch-site", site) };
        let login = login.send().await?;
        assert!(login.headers().get("set-cookie").is_none(), "`{site}`");
        let body: Value = login.json().await?;
        assert!(body["access_token"].is_string() && body["expires_in"].as_u64() <= Some(600), "{body}");
    }
    let (status, renewed) = served.call("POST", "/v1/auth/refresh", Some(&json!({}))).await?;
    assert_eq!(status, 200, "{renewed}");
    assert!(renewed["access_token"].is_string());
    let (status, _) = served.call("POST", "/v1/auth/logout", Some(&json!({}))).await?;
    assert_eq!(status, 204);
    let (status, _) = served.call("GET", "/v1/auth/me", None).await?;
    assert_eq!(status, 401, "a token of a session that is over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_and_tells_nothing() -> Result<()> {
    let served = Served::start().await?;
    let login = served.request("POST", "/v1/auth/login").json(&json!({"operator_key": "not the key at all"}));
    let refused = login.send().await?;
    assert_eq!(refused.status(), 401);
    let text = refused.text().await?;
    assert!(!text.contains("not the key at all"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_not_us() -> Result<()> {
    let served = Served::start().await?;
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1:7300", ""] {
        for path in ["/v1/version", "/organism"] {
            let status = served.raw("GET", path, &[("Host", host)]).await?;
            assert!(status == 421 || status == 400, "{host} {path} gave {status}");
        }
    }
    // Load balancers ask by address, and learn nothing but whether we serve.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(served.raw("GET", path, &[("Host", "10.0.0.1:7300")]).await?, 200, "{path}");
    }
    let fine = served.request("GET", "/v1/version").header("host", "localhost").send().await?;
    assert_eq!(fine.status(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_is_told_it_may() -> Result<()> {
    let served = Served::start().await?;
    let preflight = served
        .request("OPTIONS", "/v1/engine/missions")
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "POST")
        .send()
        .await?;
    let cors = preflight.headers().keys().filter(|name| name.as_str().starts_with("access-control"));
    assert_eq!(cors.count(), 0);
    Ok(())
}

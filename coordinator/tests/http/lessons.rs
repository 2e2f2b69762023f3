//! Holes that others had, each tried here by its name. Those that need an agent are tried elsewhere; the last test knows
//! where, and fails when one of them goes.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::served::{KEY, Served};

fn plan(more: &Value) -> Value {
    let mut plan = json!({"goal": "grave", "tasks": [{"id": "a", "uses": "shell.run", "sandbox": "none",
        "with": {"script": "id"}}]});
    for (name, value) in more.as_object().into_iter().flatten() {
        plan[name] = value.clone();
    }
    plan
}

/// Woodpecker CVE-2026-58370: what a plan says about itself is not an approval.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_not_bypassed_through_metadata() -> Result<()> {
    let served = Served::start().await?;
    for more in [
        json!({"metadata": {"approved": true, "approved_by": "owner", "status": "ready"}}),
        json!({"labels": {"approved": "true", "nexusmon.approved": "true"}}),
        json!({"metadata": {"rank": "E", "plan": {"author": {"kind": "system"}}}, "rank": "E"}),
        json!({"start": "auto", "metadata": {"policy": "run_unattended"}}),
    ] {
        let (status, made) = served.call("POST", "/v1/engine/missions", Some(&plan(&more))).await?;
        assert_eq!(status, 201, "{more}: {made}");
        assert_eq!((&made["status"], &made["rank"]), (&json!("awaiting_approval"), &json!("A")), "{more}");
        let id = made["id"].as_str().context("an id")?;
        let (status, answer) =
            served.call("POST", &format!("/v1/engine/missions/{id}/run"), Some(&json!({}))).await?;
        assert_eq!(status, 409, "{more}: {answer}");
    }
    for field in ["approved", "approval", "status", "author", "policies"] {
        let (status, answer) =
            served.call("POST", "/v1/engine/missions", Some(&plan(&json!({field: true})))).await?;
        assert_eq!(status, 400, "{field}: {answer}");
    }
    Ok(())
}

/// n8n GHSA-h3jj-5f3v-3685: doing it again is doing it, and takes what doing it took.
#[tokio::test(flavor = "multi_thread")]
async fn doing_it_again_is_not_reading() -> Result<()> {
    let served = Served::start().await?;
    let (_, made) = served.call("POST", "/v1/engine/missions", Some(&plan(&json!({})))).await?;
    let id = made["id"].as_str().context("an id")?;
    let cancelled =
        served.call("POST", &format!("/v1/engine/missions/{id}/cancel"), Some(&json!({}))).await?;
    assert!(cancelled.0.is_success(), "{}", cancelled.1);
    let mut refused = 0;
    for role in ["viewer", "approver"] {
        let person = json!({"name": role, "role": role});
        let (_, made) = served.call("POST", "/v1/governance/principals", Some(&person)).await?;
        let token = served.log_in(Some((role, made["secret"].as_str().context("a key")?))).await?;
        for act in ["rerun", "run", "resume"] {
            let path = format!("/v1/engine/missions/{id}/{act}");
            let answer = served.request("POST", &path).bearer_auth(&token).json(&json!({})).send().await?;
            assert_eq!(answer.status(), 403, "{role} {act}");
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
    // Who may do it is asked for the approval again.
    let (status, again) =
        served.call("POST", &format!("/v1/engine/missions/{id}/rerun"), Some(&json!({}))).await?;
    assert!(status.is_success(), "{again}");
    assert_eq!(again["status"], "awaiting_approval", "{again}");
    Ok(())
}

/// Prefect CVE-2026-7723: asking to change the protocol changes nothing about who asks.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_does_not_miss_the_guard() -> Result<()> {
    let served = Served::start().await?;
    for path in ["/v1/events", "/v1/engine/stats", "/v1/auth/me", "/v1/governance/audit"] {
        for protocol in ["websocket", "h2c"] {
            let headers = [
                ("Upgrade", protocol),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Version", "13"),
                ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ];
            assert_eq!(served.raw("GET", path, &headers).await?, 401, "{path} {protocol}");
        }
    }
    Ok(())
}

/// Airflow CVE-2020-17526: there is no key that everybody knows, and no two coordinators share one.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_that_others_know_signs_a_session() -> Result<()> {
    let (served, other) = (Served::start().await?, Served::start().await?);
    let good = served.log_in(None).await?;
    let claims = good.split('.').nth(1).context("claims")?.to_owned();
    let me = |token: String| served.request("GET", "/v1/auth/me").bearer_auth(token).send();
    assert_eq!(me(good.clone()).await?.status(), 200);
    assert_eq!(me(other.log_in(None).await?).await?.status(), 401, "another coordinator's");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let header = jsonwebtoken::Header { typ: Some("at+jwt".to_owned()), ..Default::default() };
    let known = ["", "secret", "changeme", "default", "nexusmon", "temporary_key", KEY, &"\0".repeat(32)];
    for key in known {
        let forged =
            jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(key.as_bytes()));
        // Some are too short to sign with at all.
        let Ok(forged) = forged else { continue };
        assert_eq!(me(forged).await?.status(), 401, "`{key}`");
    }
    let unsigned = good.rsplit_once('.').map(|(front, _)| format!("{front}.")).unwrap_or_default();
    assert_eq!(me(unsigned).await?.status(), 401);
    Ok(())
}

/// Fleet CVE-2026-24000: whoever guesses is slowed down, whatever address they claim to come from.
#[tokio::test(flavor = "multi_thread")]
async fn a_spoofed_address_does_not_beat_the_back_off() -> Result<()> {
    let served = Served::start().await?;
    let mut waited = 0;
    for guess in 0..12_u8 {
        let address = format!("198.51.100.{guess}");
        let login = served
            .request("POST", "/v1/auth/login")
            .header("x-forwarded-for", &address)
            .header("x-real-ip", &address)
            .header("forwarded", format!("for={address}"))
            // Another name each time: it is the network that waits.
            .json(&json!({"name": format!("guess-{guess}"), "password": "not the password"}));
        let status = login.send().await?.status().as_u16();
        assert!(status == 401 || status == 429, "{status}");
        waited += u32::from(status == 429);
    }
    assert!(waited >= 5, "only {waited} of 12 had to wait");
    Ok(())
}

/// `ScreenConnect` CVE-2024-1709: there is no set-up to reach again, by any name.
#[tokio::test(flavor = "multi_thread")]
async fn set_up_cannot_be_reached_again() -> Result<()> {
    let served = Served::start().await?;
    let names =
        ["setup", "install", "init", "bootstrap", "register", "signup", "first-run", "SetupWizard.aspx/x"];
    for name in names {
        for path in [
            format!("/{name}"),
            format!("/v1/{name}"),
            format!("/v1/auth/{name}"),
            format!("/v1/governance/{name}"),
        ] {
            for method in ["GET", "POST", "PUT"] {
                let status = served.raw(method, &path, &[("Content-Length", "0")]).await?;
                assert!([404, 405].contains(&status), "{method} {path} gave {status}");
            }
        }
    }
    // Nor does any other route make an owner.
    for body in [json!({"name": "second", "role": "owner"}), json!({"name": "owner", "role": "operator"})] {
        let (status, answer) = served.call("POST", "/v1/governance/principals", Some(&body)).await?;
        assert!(status.is_client_error(), "{answer}");
    }
    let (_, people) = served.call("GET", "/v1/governance/principals", None).await?;
    let owners = people["items"].as_array().context("a list")?.iter().filter(|one| one["role"] == "owner");
    assert_eq!(owners.count(), 1);
    Ok(())
}

/// Salt CVE-2016-9639: a name that was taken away is nobody's again.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_once_given_gives_nobody_its_access_again() -> Result<()> {
    let served = Served::start().await?;
    for (path, role) in [("/v1/governance/principals", "operator"), ("/v1/governance/tokens", "service")] {
        let name = format!("old-{role}");
        let (_, made) = served.call("POST", path, Some(&json!({"name": name, "role": role}))).await?;
        let (id, secret) = (
            made["principal"]["id"].as_str().context("an id")?,
            made["secret"].as_str().context("a secret")?,
        );
        assert!(served.call("DELETE", &format!("{path}/{id}"), None).await?.0.is_success());
        for again in ["/v1/governance/principals", "/v1/governance/tokens"] {
            let (status, answer) =
                served.call("POST", again, Some(&json!({"name": name, "role": "viewer"}))).await?;
            assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("name_taken")), "{again}");
        }
        let me = served.request("GET", "/v1/auth/me").bearer_auth(secret).send().await?;
        assert_eq!(me.status(), 401);
        assert!(served.log_in(Some((&name, secret))).await.is_err());
    }
    Ok(())
}

/// Every lesson, and the tests that hold it: file and function.
const LESSONS: [(&str, &str, &str); 13] = [
    (
        "agent id taken from metadata",
        "coordinator/tests/agent_port/streams.rs",
        "nobody_writes_the_log_of_anothers_attempt",
    ),
    (
        "unauthenticated method",
        "coordinator/tests/agent_port.rs",
        "nothing_but_enrollment_is_served_without_a_certificate",
    ),
    ("order replay", "agent/tests/line/consent.rs", "a_thousand_orders_nobody_approved_are_refused"),
    ("reused ids", "coordinator/tests/http/lessons.rs", "a_name_once_given_gives_nobody_its_access_again"),
    (
        "approval through metadata",
        "coordinator/tests/http/lessons.rs",
        "an_approval_is_not_bypassed_through_metadata",
    ),
    ("retry checked as read", "coordinator/tests/http/lessons.rs", "doing_it_again_is_not_reading"),
    ("paths ending in health", "coordinator/tests/http/access.rs", "no_spelling_of_a_path_avoids_the_guard"),
    ("upgrade misses auth", "coordinator/tests/http/lessons.rs", "an_upgrade_does_not_miss_the_guard"),
    ("default signing key", "coordinator/tests/http/lessons.rs", "no_key_that_others_know_signs_a_session"),
    (
        "role in docs only",
        "coordinator/tests/http/matrix.rs",
        "every_role_gets_through_where_the_policy_says_and_nowhere_else",
    ),
    ("spoofed address", "coordinator/tests/http/lessons.rs", "a_spoofed_address_does_not_beat_the_back_off"),
    (
        "agent writes any directory",
        "coordinator/tests/agent_port/hands.rs",
        "what_it_uploads_is_kept_by_digest_whatever_it_calls_it",
    ),
    ("set-up again", "coordinator/tests/http/lessons.rs", "set_up_cannot_be_reached_again"),
];

#[test]
fn every_lesson_has_its_test() -> Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for (lesson, file, test) in LESSONS {
        let text = std::fs::read_to_string(format!("{root}/{file}")).with_context(|| file.to_owned())?;
        assert!(text.contains(&format!("fn {test}(")), "{lesson}: {file} has no {test}");
    }
    Ok(())
}

//! Passkeys over HTTP: made after a fresh log-in, good for one log-in each time, at the place they were made for.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use nexusmon_shared::digest::Digest;
use serde_json::{Value, json};

use crate::served::{KEY, Served};

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An authenticator in software, and the browser around it.
struct Authenticator {
    key: SigningKey,
    counter: u32,
    origin: String,
}

impl Authenticator {
    fn new(seed: u8, served: &Served) -> Self {
        let origin = served.url.replace("127.0.0.1", "localhost");
        Self { key: SigningKey::from_bytes(&[seed; 32]), counter: 0, origin }
    }

    fn id(&self) -> [u8; 32] {
        *Digest::of(self.key.verifying_key().as_bytes()).as_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let mut data = Digest::of(b"localhost").as_bytes().to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    fn client(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn register(&self, options: &Value) -> Value {
        let mut data = self.data(0x45);
        data.extend([0; 16]);
        data.extend([0, 32]);
        data.extend(self.id());
        data.extend(b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20");
        data.extend(self.key.verifying_key().as_bytes());
        let client = self.client("webauthn.create", &options["challenge"]);
        json!({"name": "a test", "ticket": options["ticket"],
            "registration": {"client_data": text(&client), "authenticator_data": text(&data)}})
    }

    fn login(&mut self, asked: &Value) -> Value {
        self.counter += 1;
        let (data, client) = (self.data(0x05), self.client("webauthn.get", &asked["challenge"]));
        let signed = [data.as_slice(), Digest::of(&client).as_bytes()].concat();
        let signature = self.key.sign(&signed).to_bytes();
        json!({"passkey": {"credential_id": text(&self.id()), "ticket": asked["ticket"], "assertion": {
            "client_data": text(&client), "authenticator_data": text(&data), "signature": text(&signature)}}})
    }
}

/// As a page of `localhost` sends it, with the owner's token or without.
async fn send(
    served: &Served,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Result<(u16, Value)> {
    let host = served.url.replace("http://127.0.0.1", "localhost");
    let request = served.request(method, path).header("host", host);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = if method == "GET" { request.send().await? } else { request.json(body).send().await? };
    let status = response.status().as_u16();
    let bytes = response.bytes().await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

async fn registered(served: &Served, authenticator: &Authenticator) -> Result<Value> {
    let token = served.log_in(None).await?;
    let (status, options) =
        send(served, "POST", "/v1/auth/passkeys/options", Some(&token), &json!({})).await?;
    assert_eq!(status, 200, "{options}");
    assert_eq!((&options["rp_id"], &options["algorithms"]), (&json!("localhost"), &json!([-8, -7])));
    let new = authenticator.register(&options);
    let (status, made) = send(served, "POST", "/v1/auth/passkeys", Some(&token), &new).await?;
    assert_eq!(status, 201, "{made}");
    // The same answer is not taken twice.
    let (status, again) = send(served, "POST", "/v1/auth/passkeys", Some(&token), &new).await?;
    assert_eq!((status, &again["code"]), (409, &json!("known")), "{again}");
    Ok(made)
}

async fn asked(served: &Served) -> Result<Value> {
    let (status, asked) = send(served, "POST", "/v1/auth/passkeys/challenge", None, &json!({})).await?;
    assert_eq!(status, 200, "{asked}");
    Ok(asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_logs_its_person_in_once_for_each_challenge() -> Result<()> {
    let served = Served::start().await?;
    let mut authenticator = Authenticator::new(7, &served);
    let made = registered(&served, &authenticator).await?;
    let (_, listed) =
        send(&served, "GET", "/v1/auth/passkeys", Some(&served.log_in(None).await?), &Value::Null).await?;
    assert_eq!(listed["items"][0]["key"], made["key"]);
    assert_eq!(made["key"], digest_of(&made["roster_key"])?);

    let answer = authenticator.login(&asked(&served).await?);
    let (status, session) = send(&served, "POST", "/v1/auth/login", None, &answer).await?;
    assert_eq!((status, &session["role"]), (200, &json!("owner")), "{session}");
    let token = session["access_token"].as_str().context("a token")?;
    assert_eq!(send(&served, "GET", "/v1/auth/me", Some(token), &Value::Null).await?.0, 200);
    // It is fresh: it may do what needs a fresh log-in.
    let person = json!({"name": "kim", "role": "viewer"});
    assert_eq!(send(&served, "POST", "/v1/governance/principals", Some(token), &person).await?.0, 201);

    let (status, replayed) = send(&served, "POST", "/v1/auth/login", None, &answer).await?;
    assert_eq!((status, &replayed["code"]), (401, &json!("wrong_credentials")), "{replayed}");
    let path = format!("/v1/auth/passkeys/{}", made["key"].as_str().context("a key")?);
    assert_eq!(send(&served, "DELETE", &path, Some(token), &json!({})).await?.0, 204);
    let answer = authenticator.login(&asked(&served).await?);
    assert_eq!(send(&served, "POST", "/v1/auth/login", None, &answer).await?.0, 401, "it was removed");
    Ok(())
}

/// The key id a command line computes from what it is told.
fn digest_of(roster_key: &Value) -> Result<Value> {
    let key: nexusmon_shared::trust::key::PersonKey = serde_json::from_value(roster_key.clone())?;
    Ok(json!(key.id().to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_elsewhere_of_others_and_of_copies_open_nothing() -> Result<()> {
    let served = Served::start().await?;
    let mut authenticator = Authenticator::new(7, &served);
    registered(&served, &authenticator).await?;
    let mut refused = 0;
    let mut wrong: Vec<(&str, Value)> = Vec::new();
    let mut elsewhere =
        Authenticator { origin: "http://localhost:1".to_owned(), ..Authenticator::new(7, &served) };
    elsewhere.counter = 50;
    wrong.push(("another origin", elsewhere.login(&asked(&served).await?)));
    wrong.push(("a stranger's", Authenticator::new(8, &served).login(&asked(&served).await?)));
    let mut impostor = Authenticator::new(8, &served).login(&asked(&served).await?);
    impostor["passkey"]["credential_id"] = json!(text(&authenticator.id()));
    wrong.push(("a stranger's in the owner's name", impostor));
    let mut mixed = authenticator.login(&asked(&served).await?);
    mixed["passkey"]["ticket"] = asked(&served).await?["ticket"].clone();
    wrong.push(("to another challenge", mixed));
    for (what, body) in wrong {
        let (status, answer) = send(&served, "POST", "/v1/auth/login", None, &body).await?;
        assert_eq!((status, &answer["code"]), (401, &json!("wrong_credentials")), "{what}: {answer}");
        refused += 1;
    }
    assert_eq!(refused, 4);
    // Tickets nobody gave out.
    for ticket in ["", "x", "99999999999999999.00", "1.00000000000000000000000000000000", &"9".repeat(200)] {
        let mut body = authenticator.login(&asked(&served).await?);
        body["passkey"]["ticket"] = json!(ticket);
        let (status, answer) = send(&served, "POST", "/v1/auth/login", None, &body).await?;
        assert!((400..=401).contains(&status), "{ticket}: {answer}");
    }
    // A good one goes through; then one whose counter went back, as a copy's would.
    let body = authenticator.login(&asked(&served).await?);
    assert_eq!(send(&served, "POST", "/v1/auth/login", None, &body).await?.0, 200);
    authenticator.counter = 0;
    let body = authenticator.login(&asked(&served).await?);
    let (status, answer) = send(&served, "POST", "/v1/auth/login", None, &body).await?;
    assert_eq!(status, 401, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("copy")), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn passkeys_belong_to_a_name_and_to_people() -> Result<()> {
    let served = Served::start().await?;
    // By its address: passkeys cannot belong to one.
    let (status, answer) = served.call("POST", "/v1/auth/passkeys/options", Some(&json!({}))).await?;
    assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("no_passkeys_here")), "{answer}");
    let methods = served.get("/v1/auth/methods").await?;
    assert_eq!(methods, json!({"passkey": false, "oidc": null}));
    let (_, methods) = send(&served, "GET", "/v1/auth/methods", None, &Value::Null).await?;
    assert_eq!(methods, json!({"passkey": true, "oidc": null}));
    // A token never logs in, so it has nothing to make one with.
    let (_, made) = served.call("POST", "/v1/governance/tokens", Some(&json!({"name": "robot"}))).await?;
    let token = made["secret"].as_str().context("a token")?;
    let (status, answer) =
        send(&served, "POST", "/v1/auth/passkeys/options", Some(token), &json!({})).await?;
    assert_eq!((status, &answer["code"]), (403, &json!("log_in_again")), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_logs_in_again_gets_another_session_and_loses_the_first() -> Result<()> {
    let served = Served::start().await?;
    let log_in = |cookie: String| {
        let request = served.request("POST", "/v1/auth/login").header("sec-fetch-site", "same-origin");
        let request = if cookie.is_empty() { request } else { request.header("cookie", cookie) };
        async move {
            let answer = request.json(&json!({"operator_key": KEY})).send().await?;
            let set =
                answer.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
            Ok::<_, anyhow::Error>(set)
        }
    };
    let me = |cookie: String| served.request("GET", "/v1/auth/me").header("cookie", cookie).send();
    let first = log_in(String::new()).await?;
    assert_eq!(me(first.clone()).await?.status(), 200);
    let second = log_in(first.clone()).await?;
    assert_ne!(first, second);
    assert_eq!((me(first).await?.status(), me(second).await?.status()).0, 401);
    Ok(())
}

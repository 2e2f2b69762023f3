//! Messages to browsers: a push service of our own, on this machine, takes them in and reads them as a browser would.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use nexusmon_coordinator::config::Settings;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::notifications::Silent;
use crate::served::{PATIENCE, Served};

const CONTACT: &str = "mailto:ops@nexus.example";

struct Bits(usize);

impl KeyType for Bits {
    fn len(&self) -> usize {
        self.0
    }
}

/// A browser: its keys, and what its push service got.
struct Browser {
    own: PrivateKey,
    auth: [u8; 16],
    endpoint: String,
    got: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    answer: Arc<Mutex<StatusCode>>,
    /// Ends with the browser.
    _serving: JoinSet<std::io::Result<()>>,
}

type Service = (mpsc::UnboundedSender<(HeaderMap, Bytes)>, Arc<Mutex<StatusCode>>);

async fn taken(State((told, answer)): State<Service>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let _ = told.send((headers, body));
    *answer.lock().await
}

impl Browser {
    async fn open(path: &str) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}{path}", listener.local_addr()?);
        let (told, got) = mpsc::unbounded_channel();
        let answer = Arc::new(Mutex::new(StatusCode::CREATED));
        let service = Router::new().route(path, post(taken)).with_state((told, Arc::clone(&answer)));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await });
        let own = PrivateKey::generate(&ECDH_P256)?;
        Ok(Self { own, auth: [9; 16], endpoint, got, answer, _serving: serving })
    }

    fn public(&self) -> Vec<u8> {
        self.own.compute_public_key().expect("a point").as_ref().to_vec()
    }

    fn subscription(&self, name: &str) -> Value {
        json!({"name": name, "endpoint": self.endpoint, "keys": {
            "p256dh": URL_SAFE_NO_PAD.encode(self.public()), "auth": URL_SAFE_NO_PAD.encode(self.auth)}})
    }

    async fn next(&mut self) -> Result<(HeaderMap, Value)> {
        let (headers, body) = tokio::time::timeout(PATIENCE, self.got.recv()).await?.context("a message")?;
        Ok((headers, self.read(&body)?))
    }

    /// As RFC 8291, section 4, has the browser do it.
    fn read(&self, body: &[u8]) -> Result<Value> {
        let (head, sealed) = body.split_at(16 + 4 + 1 + 65);
        let (salt, sender) = (&head[..16], &head[21..]);
        let derive = |salt: &[u8], secret: &[u8], info: &[&[u8]], length: usize| -> Result<Vec<u8>> {
            let mut out = vec![0; length];
            Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Bits(length))?.fill(&mut out)?;
            Ok(out)
        };
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let error = aws_lc_rs::error::Unspecified;
        let secret = agreement::agree(&self.own, peer, error, |secret| Ok(secret.to_vec()))?;
        let input = derive(&self.auth, &secret, &[b"WebPush: info\0", &self.public(), sender], 32)?;
        let key = derive(salt, &input, &[b"Content-Encoding: aes128gcm\0"], 16)?;
        let nonce = derive(salt, &input, &[b"Content-Encoding: nonce\0"], 12)?;
        let mut text = sealed.to_vec();
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
        let plain = key.open_in_place(Nonce::try_assume_unique_for_key(&nonce)?, Aad::empty(), &mut text)?;
        let (last, message) = plain.split_last().context("a delimiter")?;
        assert_eq!(*last, 2);
        Ok(serde_json::from_slice(message)?)
    }
}

async fn started() -> Result<Served> {
    Served::with(Settings {
        push_contact: Some(CONTACT.to_owned()),
        push_inside: Some(vec!["127.0.0.1".parse()?]),
        ..Settings::default()
    })
    .await
}

/// Signed for that service, by the key browsers subscribe with.
fn signed(served_key: &str, endpoint: &str, headers: &HeaderMap) -> Result<()> {
    let authorization = headers["authorization"].to_str()?;
    let (token, key) =
        authorization.strip_prefix("vapid t=").and_then(|rest| rest.split_once(", k=")).context("vapid")?;
    assert_eq!(key, served_key);
    let point = URL_SAFE_NO_PAD.decode(key)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let mut wanted = Validation::new(Algorithm::ES256);
    wanted.set_audience(&[endpoint.strip_suffix("/push").context("an endpoint")?]);
    let claims =
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_ec_components(&x, &y)?, &wanted)?.claims;
    assert_eq!(claims["sub"], CONTACT);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_reaches_a_browser_that_is_closed_as_id_and_rank() -> Result<()> {
    let served = Box::pin(started()).await?;
    let key = served.get("/v1/me/push-key").await?;
    let key = key["public_key"].as_str().context("a key")?;
    let mut browser = Browser::open("/push").await?;
    let (status, made) =
        served.call("POST", "/v1/me/push-subscriptions", Some(&browser.subscription("this laptop"))).await?;
    assert_eq!(status, 201, "{made}");
    assert!(!made.to_string().contains("/push"), "the address is a secret of the browser: {made}");
    // A viewer decides nothing, so nothing is told them.
    let person = json!({"name": "kim", "role": "viewer"});
    let (_, person) = served.call("POST", "/v1/governance/principals", Some(&person)).await?;
    let viewer = served.log_in(Some(("kim", person["secret"].as_str().context("a key")?))).await?;
    let mut other = Browser::open("/push").await?;
    let request = served.request("POST", "/v1/me/push-subscriptions").bearer_auth(&viewer);
    assert_eq!(request.json(&other.subscription("theirs")).send().await?.status(), 201);

    let grave = json!({"goal": "a goal nobody outside reads", "tasks": [
        {"id": "a", "uses": "core.noop", "sandbox": "none"}]});
    let (status, mission) = served.call("POST", "/v1/engine/missions", Some(&grave)).await?;
    assert_eq!((status.as_u16(), &mission["status"]), (201, &json!("awaiting_approval")), "{mission}");
    let (headers, message) = browser.next().await?;
    let approval = &mission["approval"]["id"];
    assert_eq!(message, json!({"id": approval, "rank": mission["rank"]}), "id and rank, nothing else");
    assert_eq!(
        (&headers["content-encoding"], &headers["urgency"]),
        (&"aes128gcm".parse()?, &"high".parse()?)
    );
    assert!(headers["ttl"].to_str()?.parse::<u64>()? > 0 && headers["topic"].len() <= 32);
    signed(key, &browser.endpoint, &headers)?;

    // Tried by hand, too; each browser its own.
    let id = made["id"].as_str().context("an id")?;
    let test = format!("/v1/me/push-subscriptions/{id}/test");
    assert_eq!(served.call("POST", &test, None).await?.0, 204);
    assert_eq!(browser.next().await?.1, json!({"id": id, "rank": null}));
    let request = served.request("POST", &test).bearer_auth(&viewer);
    assert_eq!(request.json(&json!({})).send().await?.status(), 404);
    assert!(other.got.try_recv().is_err(), "a viewer was told of an approval");
    let mine = served.get("/v1/me/push-subscriptions").await?;
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));

    // The browser takes it back: it is forgotten.
    *browser.answer.lock().await = StatusCode::GONE;
    let (status, gone) = served.call("POST", &test, None).await?;
    assert_eq!((status.as_u16(), &gone["code"]), (409, &json!("push_gone")));
    served.call("POST", "/v1/engine/missions", Some(&grave)).await?;
    browser.next().await?;
    let mut events = served.events("/v1/events?after=0&kind=push.removed", None).await?;
    while events.next().await?.name != "change" {}
    assert_eq!(served.get("/v1/me/push-subscriptions").await?["items"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_service_that_never_answers_holds_no_other_browser_up() -> Result<()> {
    let served = Box::pin(started()).await?;
    let mut silent = Silent::open().await?;
    let mut browser = Browser::open("/push").await?;
    let mut stuck = browser.subscription("the slow one");
    stuck["endpoint"] = json!(format!("http://{}/push", silent.address));
    for body in [stuck, browser.subscription("this laptop")] {
        assert_eq!(served.call("POST", "/v1/me/push-subscriptions", Some(&body)).await?.0, 201);
    }
    let grave = json!({"goal": "grave", "tasks": [{"id": "a", "uses": "core.noop", "sandbox": "none"}]});
    let mission = served.call("POST", "/v1/engine/missions", Some(&grave)).await?.1;
    // The one is under way and stays so; the other is told of all of them meanwhile.
    let held = tokio::time::timeout(PATIENCE, silent.came.recv()).await?.context("a connection")?;
    assert_eq!(browser.next().await?.1["id"], mission["approval"]["id"]);
    for _ in 0..3 {
        let mission = served.call("POST", "/v1/engine/missions", Some(&grave)).await?.1;
        assert_eq!(browser.next().await?.1["id"], mission["approval"]["id"]);
    }
    drop(held);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_leads_nowhere_inside() -> Result<()> {
    let served = Box::pin(started()).await?;
    let browser = Browser::open("/push").await?;
    for endpoint in [
        "https://10.1.2.3/push",
        "https://[::1]/push",
        "https://169.254.169.254/latest/meta-data",
        "http://push.example/x",
        "ftp://push.example/x",
        "not an address",
    ] {
        let mut body = browser.subscription("a");
        body["endpoint"] = json!(endpoint);
        let (status, answer) = served.call("POST", "/v1/me/push-subscriptions", Some(&body)).await?;
        assert_eq!(
            (status.as_u16(), &answer["errors"][0]["pointer"]),
            (400, &json!("/endpoint")),
            "{answer}"
        );
    }
    for keys in [
        json!({"p256dh": "AAAA", "auth": "AAAA"}),
        json!({"p256dh": "", "auth": ""}),
        json!({"p256dh": "é", "auth": "!"}),
    ] {
        let mut body = browser.subscription("a");
        body["keys"] = keys;
        let (status, answer) = served.call("POST", "/v1/me/push-subscriptions", Some(&body)).await?;
        assert_eq!((status.as_u16(), &answer["errors"][0]["pointer"]), (400, &json!("/keys")), "{answer}");
    }
    // Nobody answers for it: nothing is sent, and it says what is missing.
    let quiet = Served::start().await?;
    assert_eq!(quiet.get("/v1/me/push-key").await?["public_key"], Value::Null);
    let (status, off) =
        quiet.call("POST", "/v1/me/push-subscriptions", Some(&browser.subscription("a"))).await?;
    assert_eq!((status.as_u16(), &off["code"]), (409, &json!("push_off")), "{off}");
    assert!(off["detail"].as_str().is_some_and(|text| text.contains("NEXUSMON_PUSH_CONTACT")));
    Ok(())
}

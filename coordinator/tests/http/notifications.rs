//! People who are away are told: by servers of our own, on this machine, that take messages in as theirs would.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use nexusmon_coordinator::config::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use crate::served::{PATIENCE, Served};

const SECRET: &str = "a-path-that-opens-the-door";

/// Takes messages by HTTP. What it answers comes from a list; after that everything is fine.
struct Hook {
    address: SocketAddr,
    got: UnboundedReceiver<(HeaderMap, Bytes)>,
    _serving: JoinSet<std::io::Result<()>>,
}

type Answers = std::sync::Arc<std::sync::Mutex<Vec<(u16, &'static str)>>>;
type Told = (UnboundedSender<(HeaderMap, Bytes)>, Answers);

async fn taken(
    State((told, answers)): State<Told>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let _ = told.send((headers, body));
    let answer = answers.lock().expect("no holder panics").pop();
    let (status, wait) = answer.unwrap_or((200, "0"));
    (StatusCode::from_u16(status).expect("a status"), [("retry-after", wait)])
}

impl Hook {
    /// The last of `answers` is given first.
    async fn open(answers: Vec<(u16, &'static str)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (told, got) = mpsc::unbounded_channel();
        let answers = std::sync::Arc::new(std::sync::Mutex::new(answers));
        let service = Router::new().route(&format!("/{SECRET}"), post(taken)).with_state((told, answers));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await });
        Ok(Self { address, got, _serving: serving })
    }

    fn url(&self) -> String {
        format!("http://{}/{SECRET}", self.address)
    }

    async fn next(&mut self) -> Result<(HeaderMap, String)> {
        let (headers, body) = tokio::time::timeout(PATIENCE, self.got.recv()).await?.context("a message")?;
        Ok((headers, String::from_utf8(body.to_vec())?))
    }
}

/// Says nothing, ever.
pub(crate) struct Silent {
    pub(crate) address: SocketAddr,
    pub(crate) came: UnboundedReceiver<TcpStream>,
    _serving: JoinSet<()>,
}

impl Silent {
    pub(crate) async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (told, came) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                let _ = told.send(line);
            }
        });
        Ok(Self { address, came, _serving: serving })
    }
}

/// A mail server that takes one log-in and hands over what it was given.
struct Mailbox {
    address: SocketAddr,
    got: UnboundedReceiver<(Vec<String>, String)>,
    _serving: JoinSet<()>,
}

impl Mailbox {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (told, got) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                if let Ok(session) = mail_session(line).await {
                    let _ = told.send(session);
                }
            }
        });
        Ok(Self { address, got, _serving: serving })
    }
}

/// The commands of one session, and its message.
async fn mail_session(line: TcpStream) -> Result<(Vec<String>, String)> {
    let mut line = BufReader::new(line);
    line.write_all(b"220 mail.test ready\r\n").await?;
    let (mut commands, mut message) = (Vec::new(), String::new());
    loop {
        let mut said = String::new();
        if line.read_line(&mut said).await? == 0 {
            break;
        }
        let said = said.trim_end().to_owned();
        let answer = match said.split_whitespace().next().unwrap_or_default() {
            "EHLO" => "250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n",
            "AUTH" => "235 welcome\r\n",
            "DATA" => "354 go on\r\n",
            "RCPT" if said.contains("nobody@") => "550 no such person\r\n",
            "QUIT" => break,
            _ => "250 fine\r\n",
        };
        let data = said == "DATA";
        commands.push(said);
        line.write_all(answer.as_bytes()).await?;
        if data {
            loop {
                let mut text = String::new();
                line.read_line(&mut text).await?;
                if text == ".\r\n" || text.is_empty() {
                    break;
                }
                message.push_str(&text);
            }
            line.write_all(b"250 taken\r\n").await?;
        }
    }
    Ok((commands, message))
}

async fn started() -> Result<Served> {
    let settings = Settings { notify_inside: Some(vec!["127.0.0.1".parse()?]), ..Settings::default() };
    Served::with(Settings { public_url: Some("http://nexus.test".to_owned()), ..settings }).await
}

async fn channel(served: &Served, body: Value) -> Result<Value> {
    let (status, made) = served.call("POST", "/v1/notifications/channels", Some(&body)).await?;
    assert_eq!(status, 201, "{made}");
    assert!(!made["channel"].to_string().contains(SECRET), "what opens the door is shown: {made}");
    Ok(made)
}

async fn rule(served: &Served, name: &str, channel: &Value, more: Value) -> Result<Value> {
    let mut body = json!({"name": name, "channel": channel, "kinds": ["approval"]});
    body.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
    let (status, made) = served.call("POST", "/v1/notifications/rules", Some(&body)).await?;
    assert_eq!(status, 201, "{made}");
    Ok(made)
}

/// A mission that waits for an approval.
async fn grave(served: &Served) -> Result<Value> {
    let body = json!({"goal": "a goal nobody outside reads", "tasks": [
        {"id": "a", "uses": "core.noop", "sandbox": "none"}]});
    let (status, mission) = served.call("POST", "/v1/engine/missions", Some(&body)).await?;
    assert_eq!((status.as_u16(), &mission["status"]), (201, &json!("awaiting_approval")), "{mission}");
    Ok(mission)
}

fn signature(key: &str, headers: &HeaderMap, body: &str) -> Result<String> {
    let key = STANDARD.decode(key.strip_prefix("whsec_").context("a key")?)?;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key)?;
    let (id, at) = (headers["webhook-id"].to_str()?, headers["webhook-timestamp"].to_str()?);
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_reaches_a_webhook_signed_and_in_words_of_ours_and_is_sent_again_until_it_is_taken()
-> Result<()> {
    let served = Box::pin(started()).await?;
    let mut hook = Hook::open(vec![(503, "1")]).await?;
    let made = channel(&served, json!({"name": "ops", "kind": "webhook", "url": hook.url()})).await?;
    let key = made["key"].as_str().context("a key")?;
    let id = &made["channel"]["id"];
    let listed = served.get("/v1/notifications/channels").await?.to_string();
    assert!(!listed.contains(key) && !listed.contains(SECRET), "{listed}");
    rule(&served, "approvals", id, json!({})).await?;

    let mission = grave(&served).await?;
    let (headers, body) = hook.next().await?;
    assert_eq!(headers["webhook-signature"].to_str()?, signature(key, &headers, &body)?);
    let told: Value = serde_json::from_str(&body)?;
    let item = &told["items"][0];
    assert_eq!(
        (&item["kind"], &item["subject"], &item["mission"], &item["rank"]),
        (&json!("approval"), &mission["approval"]["id"], &mission["id"], &mission["rank"])
    );
    assert!(
        item["link"].as_str().is_some_and(|link| link.starts_with("http://nexus.test/organism/approve/apr_"))
    );
    assert!(!body.contains("nobody outside reads"), "{body}");
    // It was not taken: the same comes again, under the same name.
    let (again, same) = hook.next().await?;
    assert_eq!((&again["webhook-id"], &same), (&headers["webhook-id"], &body));
    let mut events = served.events("/v1/events?after=0&kind=notification.", None).await?;
    assert!(events.next().await?.data.contains("notification.channel_added"));

    // Tried by hand it says at once what came of it.
    let test = format!("/v1/notifications/channels/{}/test", id.as_str().context("an id")?);
    assert_eq!(served.call("POST", &test, Some(&json!({}))).await?.0, 204);
    assert!(hook.next().await?.1.contains("\"test\""));
    let (status, used) = served.call("DELETE", test.trim_end_matches("/test"), None).await?;
    assert_eq!((status.as_u16(), &used["code"]), (409, &json!("channel_in_use")));
    // What is there is nobody else's.
    let person = json!({"name": "kim", "role": "operator"});
    let (_, person) = served.call("POST", "/v1/governance/principals", Some(&person)).await?;
    let kim = served.log_in(Some(("kim", person["secret"].as_str().context("a key")?))).await?;
    let theirs = served.request("POST", &test).bearer_auth(&kim).json(&json!({})).send().await?;
    assert_eq!(theirs.status(), 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_what_slack_takes_gets_a_text_it_cannot_misread() -> Result<()> {
    let served = Box::pin(started()).await?;
    let mut hook = Hook::open(vec![(429, "1")]).await?;
    let made = channel(&served, json!({"name": "chat", "kind": "slack", "url": hook.url()})).await?;
    assert!(made["key"].is_null(), "nothing of it is signed: {made}");
    let id = &made["channel"]["id"];
    rule(&served, "chat", id, json!({})).await?;
    let mission = grave(&served).await?;
    let (headers, body) = hook.next().await?;
    assert_eq!(headers["content-type"], "application/json");
    let told: Value = serde_json::from_str(&body)?;
    let (approval, rank) = (mission["approval"]["id"].as_str().context("an id")?, &mission["rank"]);
    let wanted = format!(
        "*An approval of rank {} waits*\n{approval} of mission {}\n\
         <http://nexus.test/organism/approve/{approval}|Open the console>",
        rank.as_str().context("a rank")?,
        mission["id"].as_str().context("an id")?
    );
    assert_eq!(told, json!({"text": wanted}), "the text, and nothing else");
    // It said that it had too much to do: the same comes again when it wanted it.
    assert_eq!(hook.next().await?.1, body);
    let test = format!("/v1/notifications/channels/{}/test", id.as_str().context("an id")?);
    assert_eq!(served.call("POST", &test, Some(&json!({}))).await?.0, 204);
    assert!(hook.next().await?.1.contains("NEXUSMON reaches you here"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answers_holds_nobody_else_up() -> Result<()> {
    let served = Box::pin(started()).await?;
    let (mut silent, mut quick) = (Silent::open().await?, Hook::open(Vec::new()).await?);
    let stuck = json!({"name": "a", "kind": "slack", "url": format!("http://{}/x", silent.address)});
    let stuck = channel(&served, stuck).await?;
    rule(&served, "stuck", &stuck["channel"]["id"], json!({})).await?;
    let token = json!({"name": "b", "kind": "ntfy", "url": quick.url(), "token": "tk_secret"});
    let ntfy = channel(&served, token).await?;
    rule(&served, "quick", &ntfy["channel"]["id"], json!({"rank": "E"})).await?;
    grave(&served).await?;
    // The first is under way, and stays so.
    let held = tokio::time::timeout(PATIENCE, silent.came.recv()).await?.context("a connection")?;
    for _ in 0..3 {
        grave(&served).await?;
    }
    for _ in 0..4 {
        let (headers, body) = quick.next().await?;
        assert_eq!(headers["authorization"], "Bearer tk_secret");
        assert!(headers["title"].to_str()?.starts_with("An approval of rank "), "{headers:?}");
        assert!(headers["click"].to_str()?.contains("/approve/apr_") && body.starts_with("apr_"), "{body}");
    }
    drop(held);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_through_a_server_that_wants_a_log_in() -> Result<()> {
    let served = Box::pin(started()).await?;
    let mut mailbox = Mailbox::open().await?;
    let server = json!({"host": "127.0.0.1", "port": mailbox.address.port(), "security": "none",
        "username": "me", "password": SECRET});
    let body = json!({"name": "mail", "kind": "email", "server": server, "from": "nexusmon@example.org",
        "to": ["you@example.org", "they@example.org"]});
    let made = channel(&served, body.clone()).await?;
    rule(&served, "mail", &made["channel"]["id"], json!({})).await?;
    let mission = grave(&served).await?;
    let (commands, text) = tokio::time::timeout(PATIENCE, mailbox.got.recv()).await?.context("a mail")?;
    let log_in = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0me\0{SECRET}")));
    assert_eq!(
        commands,
        [
            "EHLO nexusmon",
            log_in.as_str(),
            "MAIL FROM:<nexusmon@example.org>",
            "RCPT TO:<you@example.org>",
            "RCPT TO:<they@example.org>",
            "DATA"
        ]
    );
    let approval = mission["approval"]["id"].as_str().context("an id")?;
    assert!(text.contains("Subject: An approval of rank ") && text.contains(approval), "{text}");
    assert!(
        text.contains("Auto-Submitted: auto-generated\r\n") && !text.contains("nobody outside"),
        "{text}"
    );

    // One that is not known there keeps it from nobody else.
    let name = |id: &Value| format!("/v1/notifications/channels/{}/test", id.as_str().unwrap_or_default());
    let mut some = body.clone();
    (some["name"], some["to"]) = (json!("some"), json!(["nobody@example.org", "you@example.org"]));
    let some = channel(&served, some).await?;
    let (status, partly) = served.call("POST", &name(&some["channel"]["id"]), Some(&json!({}))).await?;
    assert_eq!((status.as_u16(), &partly["code"]), (409, &json!("channel_failed")), "{partly}");
    assert!(
        partly["detail"].as_str().is_some_and(|why| why.contains("refused 1 of 2 recipients")),
        "{partly}"
    );
    let (_, text) = tokio::time::timeout(PATIENCE, mailbox.got.recv()).await?.context("a mail")?;
    assert!(text.contains("NEXUSMON reaches you here"), "{text}");
    let listed = served.get("/v1/notifications/channels").await?;
    let listed = listed["items"].as_array().into_iter().flatten().find(|one| one["name"] == "some");
    let listed = listed.context("the channel")?;
    assert_eq!(
        (&listed["last_error"], &listed["last_sent_at"].is_null()),
        (&json!("the mail server refused 1 of 2 recipients"), &false),
        "{listed}"
    );
    // Where all are refused it is a failure, and nothing is handed over.
    let mut none = body.clone();
    (none["name"], none["to"]) = (json!("none"), json!(["nobody@example.org"]));
    let none = channel(&served, none).await?;
    let (status, failed) = served.call("POST", &name(&none["channel"]["id"]), Some(&json!({}))).await?;
    assert_eq!((status.as_u16(), &failed["code"]), (409, &json!("channel_failed")), "{failed}");
    assert!(failed["detail"].as_str().is_some_and(|why| why.contains("answered 550 to RCPT TO")), "{failed}");

    // TLS that is wanted and not there is an answer, not a message in the clear.
    for security in ["starttls", "tls"] {
        let mut body = body.clone();
        (body["name"], body["server"]["security"]) = (json!(security), json!(security));
        let made = channel(&served, body).await?;
        let test =
            format!("/v1/notifications/channels/{}/test", made["channel"]["id"].as_str().context("an id")?);
        let (status, failed) = served.call("POST", &test, Some(&json!({}))).await?;
        assert_eq!((status.as_u16(), &failed["code"]), (409, &json!("channel_failed")), "{failed}");
        assert!(!failed.to_string().contains(SECRET));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_has_its_place_and_nothing_leads_inside() -> Result<()> {
    let served = Box::pin(started()).await?;
    let places = |answer: &Value| answer["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
    let mail = |host: &str| {
        json!({"name": "a", "kind": "email", "from": "a@b", "to": ["c@d"],
        "server": {"host": host, "port": 25, "security": "tls"}})
    };
    for (body, place) in [
        (json!({"name": "a", "kind": "webhook", "url": "https://10.0.0.1/x"}), "/url"),
        (json!({"name": "a", "kind": "slack", "url": "https://169.254.169.254/latest"}), "/url"),
        (json!({"name": "a", "kind": "ntfy", "url": "http://ntfy.example/topic"}), "/url"),
        (json!({"name": "a", "kind": "ntfy"}), "/url"),
        (json!({"name": "a", "kind": "pigeon"}), "/kind"),
        (json!({"name": "a", "kind": "slack", "url": "https://a.example", "token": "x"}), "/token"),
        (json!({"name": "a", "kind": "webhook", "url": "https://a.example", "key": "short"}), "/key"),
        (mail("10.0.0.1"), "/server/host"),
        (mail("a b"), "/server/host"),
    ] {
        let (status, answer) = served.call("POST", "/v1/notifications/channels", Some(&body)).await?;
        assert_eq!((status.as_u16(), places(&answer).as_str()), (400, place), "{answer}");
    }
    let hook = Hook::open(Vec::new()).await?;
    let made = channel(&served, json!({"name": "a", "kind": "slack", "url": hook.url()})).await?;
    let id = &made["channel"]["id"];
    let unknown = json!("chn_00000000000000000000000000");
    for (more, place) in [
        (json!({"kinds": ["approval", "everything"]}), "/kinds/1"),
        (json!({"kinds": []}), "/kinds"),
        (json!({"rank": "Z"}), "/rank"),
        (json!({"digest": "soon"}), "/digest"),
        (json!({"channel": unknown}), "/channel"),
        (json!({"quiet": {"from": "22:00", "to": "07:00", "time_zone": "Mars"}}), "/quiet/time_zone"),
        (json!({"escalate": {"after": "15m", "channel": id}}), "/escalate/channel"),
    ] {
        let mut body = json!({"name": "r", "channel": id, "kinds": ["approval"]});
        body.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
        let (status, answer) = served.call("POST", "/v1/notifications/rules", Some(&body)).await?;
        assert_eq!((status.as_u16(), places(&answer).as_str()), (400, place), "{body} {answer}");
    }
    // Changed as a whole, by who has seen the version that is there.
    let made = rule(&served, "r", id, json!({"quiet": {"from": "22:00", "to": "07:00"}})).await?;
    assert_eq!(made["quiet"]["time_zone"], "UTC");
    let path = format!("/v1/notifications/rules/{}", made["id"].as_str().context("an id")?);
    let next = json!({"name": "r", "channel": id, "kinds": ["halt"], "paused": true});
    let stale = served.authorized("PUT", &path).header("if-match", "\"7\"").json(&next).send().await?;
    assert_eq!(stale.status(), 412);
    let (status, changed) = served.call("PUT", &path, Some(&next)).await?;
    assert_eq!(
        (status.as_u16(), &changed["kinds"], &changed["paused"]),
        (200, &json!(["halt"]), &json!(true))
    );
    assert_eq!(served.call("DELETE", &path, None).await?.0, 204);
    assert_eq!(served.get("/v1/notifications/rules").await?["items"], json!([]));
    Ok(())
}

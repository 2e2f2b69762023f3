//! A coordinator that serves HTTP on port 0, and a client that is logged in.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use nexusmon_coordinator::config::{Config, Settings};
use nexusmon_coordinator::{Coordinator, Running};
use nexusmon_shared::time::SystemClock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) const KEY: &str = "the operator key of the tests";

/// No wait is longer; reaching it is a failure, never a result.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Served {
    pub(crate) url: String,
    http: reqwest::Client,
    token: String,
    pub(crate) running: Running,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(more: Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let settings = Settings {
            data_dir: Some(folder.path().join("data")),
            http: Some("127.0.0.1:0".parse()?),
            grpc: Some("127.0.0.1:0".parse()?),
            ..more
        };
        let environment = |name: &str| match name {
            "OPERATOR_KEY" => Some(KEY.to_owned()),
            "NEXUSMON_MASTER_KEY" => Some("42".repeat(32)),
            _ => None,
        };
        let config = Config::load(settings, &environment)?;
        let running = Coordinator::start(config, Arc::new(SystemClock), StdRng::seed_from_u64(7)).await?;
        let url = format!("http://{}", running.http_addr);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        let login =
            http.post(format!("{url}/v1/auth/login")).json(&json!({"operator_key": KEY})).send().await?;
        let login: Value = login.error_for_status()?.json().await?;
        let token = login["access_token"].as_str().context("a token")?.to_owned();
        Ok(Self { url, http, token, running, _folder: folder })
    }

    /// A fresh token: the owner's, or of a person with name and key.
    pub(crate) async fn log_in(&self, person: Option<(&str, &str)>) -> Result<String> {
        let body = match person {
            None => json!({"operator_key": KEY}),
            Some((name, password)) => json!({"name": name, "password": password}),
        };
        let answer = self.request("POST", "/v1/auth/login").json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["access_token"].as_str().context("a token")?.to_owned())
    }

    /// A request without credentials.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A request of the owner.
    pub(crate) fn authorized(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self.authorized(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let bytes = response.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.call("GET", path, None).await?;
        if !status.is_success() {
            bail!("GET {path}: {status} {answer:#}");
        }
        Ok(answer)
    }

    /// The status of a request whose target is sent exactly as written.
    pub(crate) async fn raw(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<u16> {
        let address = self.url.trim_start_matches("http://");
        let mut line = tokio::net::TcpStream::connect(address).await?;
        let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            let _ = write!(head, "Host: {address}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        line.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, line.read_to_end(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).with_context(|| format!("no status in `{answer}`"))?;
        Ok(status.parse()?)
    }

    pub(crate) async fn events(&self, path: &str, last: Option<i64>) -> Result<Events> {
        let mut request = self.authorized("GET", path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await?.error_for_status()?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream().map(|piece| Ok(piece?.to_vec())).boxed();
        Ok(Events { bytes, pending: Vec::new() })
    }
}

/// One server-sent event.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

pub(crate) struct Events {
    bytes: BoxStream<'static, Result<Vec<u8>>>,
    pending: Vec<u8>,
}

impl Events {
    /// The next event that has data.
    pub(crate) async fn next(&mut self) -> Result<Sent> {
        loop {
            while let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                let mut sent = Sent::default();
                for line in String::from_utf8_lossy(&block).lines() {
                    match line.split_once(": ").or_else(|| line.split_once(':')) {
                        Some(("event", name)) => name.clone_into(&mut sent.name),
                        Some(("id", id)) => sent.id = Some(id.to_owned()),
                        Some(("data", data)) => sent.data.push_str(data),
                        _ => {}
                    }
                }
                if !sent.data.is_empty() {
                    return Ok(sent);
                }
            }
            match tokio::time::timeout(PATIENCE, self.bytes.next()).await? {
                Some(piece) => self.pending.extend(piece?),
                None => bail!("the stream ended"),
            }
        }
    }
}

/// A route of the document.
pub(crate) struct Operation<'a> {
    pub(crate) method: String,
    pub(crate) path: &'a str,
    pub(crate) about: &'a Value,
}

impl Operation<'_> {
    pub(crate) fn is_protected(&self) -> bool {
        self.about["security"].as_array().is_some_and(|schemes| !schemes.is_empty())
    }

    /// The path with an id of the right kind that names nothing.
    pub(crate) fn example_path(&self) -> String {
        let prefix = match self.path.split('/').nth(3).unwrap_or_default() {
            "missions" => "mis",
            "tasks" => "tsk",
            "artifacts" => "art",
            "agents" => "agt",
            "approvals" => "apr",
            "principals" | "tokens" => "prn",
            "reviews" => "rev",
            "filters" => "flt",
            "push-subscriptions" => "psh",
            "schedules" | "webhooks" => "trg",
            "channels" => "chn",
            "rules" => "rul",
            _ => "org",
        };
        let id = format!("{prefix}_00000000000000000000000000");
        let named = [
            ("{id}", id.as_str()),
            ("{capability}", "shell.run"),
            ("{plugin}", "shell"),
            ("{key}", "key:db"),
        ];
        named.iter().fold(self.path.to_owned(), |path, (name, value)| path.replace(name, value))
    }
}

/// Every route of the document.
pub(crate) fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = ["get", "post", "put", "patch", "delete"];
        methods.into_iter().filter(|method| item[*method].is_object()).map(move |method| Operation {
            method: method.to_uppercase(),
            path,
            about: &item[method],
        })
    })
}

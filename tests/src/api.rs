//! The public REST API as a test uses it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// No wait in a test is longer; reaching it is a failure, never a result.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What an event stream gives: pieces of text, cut anywhere.
pub type EventStream = BoxStream<'static, reqwest::Result<Vec<u8>>>;

/// A logged-in client.
#[derive(Debug)]
pub struct Api {
    http: reqwest::Client,
    pub url: String,
    operator_key: String,
    token: Mutex<Option<String>>,
}

impl Api {
    pub fn new(url: &str, operator_key: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.to_owned(),
            operator_key: operator_key.to_owned(),
            token: Mutex::new(None),
        }
    }

    /// A client with a token and no key: once it is refused, it stays so.
    pub fn with_token(url: &str, token: &str) -> Self {
        Self { token: Mutex::new(Some(token.to_owned())), ..Self::new(url, "") }
    }

    /// The token in use.
    pub async fn access_token(&self) -> Result<String> {
        self.token().await
    }

    /// One request with the token as it is.
    pub async fn once(&self, method: Method, path: &str) -> Result<(StatusCode, Value)> {
        let token = self.token().await?;
        let response =
            self.http.request(method, format!("{}{path}", self.url)).bearer_auth(token).send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.expect_success(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.expect_success(Method::POST, path, Some(body)).await
    }

    /// Status and body, whatever they are.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        self.call_with_key(method, path, body, "").await
    }

    /// A POST under an idempotency key: it may be repeated until there is an answer.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Result<(StatusCode, Value)> {
        self.call_with_key(Method::POST, path, Some(body), key).await
    }

    /// As [`Self::call`], with an `Idempotency-Key` unless it is empty.
    pub async fn call_with_key(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: &str,
    ) -> Result<(StatusCode, Value)> {
        for _ in 0..2 {
            let token = self.token().await?;
            let mut request =
                self.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(&token);
            if !key.is_empty() {
                request = request.header("idempotency-key", key);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.with_context(|| format!("{method} {path}"))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                *self.token.lock().await = None;
                continue;
            }
            let bytes = response.bytes().await?;
            return Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)));
        }
        bail!("{method} {path}: the operator key is not accepted")
    }

    /// A body as it is.
    pub async fn bytes(&self, path: &str, accept: &str) -> Result<Vec<u8>> {
        let token = self.token().await?;
        let request =
            self.http.get(format!("{}{path}", self.url)).bearer_auth(token).header("accept", accept);
        let response = request.send().await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    /// What a task printed, once all of it is there: its report may come first.
    pub async fn sealed_log(&self, task: &str) -> Result<String> {
        let path = format!("/v1/engine/tasks/{task}/log");
        let url = format!("{}{path}?lines=1", self.url);
        let waiting = async {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            loop {
                pace.tick().await;
                let answer =
                    self.http.get(&url).bearer_auth(self.token().await?).send().await?.error_for_status()?;
                if answer.headers().get("x-log-sealed").is_some_and(|sealed| sealed == "true") {
                    return Ok(String::from_utf8(self.bytes(&path, "text/plain").await?)?);
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.context("the log is not sealed")?
    }

    /// Uploads bytes as an artifact of the organism.
    pub async fn upload(&self, name: &str, body: reqwest::Body) -> Result<Value> {
        let url = format!("{}/v1/vault/artifacts?name={name}", self.url);
        let request = self.http.post(url).bearer_auth(self.token().await?).body(body);
        let response = request.header("content-type", "application/octet-stream").send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Reads a body to its end without keeping it; gives its length.
    pub async fn download(&self, path: &str) -> Result<u64> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(self.token().await?);
        let mut bytes = request.send().await?.error_for_status()?.bytes_stream();
        let mut length = 0;
        while let Some(piece) = bytes.try_next().await? {
            length += piece.len() as u64;
        }
        Ok(length)
    }

    /// All items of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut page = self.get(&format!("{path}{joint}limit=200")).await?;
        loop {
            items.extend(page["items"].as_array().context("a list has items")?.iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return Ok(items) };
            page = self.get(&format!("{path}{joint}limit=200&cursor={cursor}")).await?;
        }
    }

    /// Creates a mission and gives its id.
    pub async fn create(&self, mission: Value) -> Result<String> {
        let created = self.post("/v1/engine/missions", mission).await?;
        Ok(created["id"].as_str().context("a mission has an id")?.to_owned())
    }

    /// Waits, on events, until the mission satisfies `done`. Survives restarts of the coordinator.
    pub async fn wait(&self, mission: &str, what: &str, done: impl Fn(&Value) -> bool) -> Result<Value> {
        let path = format!("/v1/engine/missions/{mission}");
        let mut last = Value::Null;
        let waiting = async {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            loop {
                let events = self.events(&format!("{path}/events")).await;
                if let Ok(state) = self.get(&path).await {
                    last = state;
                    if done(&last) {
                        return;
                    }
                }
                match events {
                    Ok(mut events) => {
                        // An event, or its absence for a while, is a reason to look again.
                        while let Ok(Some(Ok(_))) =
                            tokio::time::timeout(Duration::from_secs(2), events.next()).await
                        {
                            let Ok(state) = self.get(&path).await else { break };
                            last = state;
                            if done(&last) {
                                return;
                            }
                        }
                    }
                    Err(_) => {
                        pace.tick().await;
                    }
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            bail!("mission {mission} is not {what} after {PATIENCE:?}: {last:#}");
        }
        Ok(last)
    }

    /// Waits until the mission has ended.
    pub async fn finished(&self, mission: &str) -> Result<Value> {
        let over = ["succeeded", "failed", "cancelled", "rejected", "expired"];
        self.wait(mission, "over", |state| {
            state["status"].as_str().is_some_and(|status| over.contains(&status))
        })
        .await
    }

    /// Waits until it has the status.
    pub async fn reaches(&self, mission: &str, status: &str) -> Result<Value> {
        self.wait(mission, status, |state| state["status"] == status).await
    }

    /// Waits until the task (by its id in the plan) has the status.
    pub async fn task_reaches(&self, mission: &str, task: &str, status: &str) -> Result<Value> {
        let state = self
            .wait(mission, &format!("at task {task} {status}"), |state| {
                self::task(state, task)["status"] == status
            })
            .await?;
        Ok(self::task(&state, task).clone())
    }

    /// Polls `path` until `done`; for what has no event stream of its own.
    pub async fn until(&self, path: &str, what: &str, done: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let waiting = async {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            loop {
                pace.tick().await;
                if let Ok(state) = self.get(path).await {
                    last = state;
                    if done(&last) {
                        return;
                    }
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            bail!("{path} is not {what} after {PATIENCE:?}: {last:#}");
        }
        Ok(last)
    }

    /// Polls a body that is not one JSON document until `done`.
    pub async fn until_bytes(
        &self,
        path: &str,
        accept: &str,
        what: &str,
        done: impl Fn(&[u8]) -> bool,
    ) -> Result<()> {
        let waiting = async {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            loop {
                pace.tick().await;
                if self.bytes(path, accept).await.is_ok_and(|body| done(&body)) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            bail!("{path} is not {what} after {PATIENCE:?}");
        }
        Ok(())
    }

    /// An event stream.
    pub async fn events(&self, path: &str) -> Result<EventStream> {
        self.events_after(path, None).await
    }

    /// An event stream from behind the event of that id.
    pub async fn events_after(&self, path: &str, after: Option<&str>) -> Result<EventStream> {
        let token = self.token().await?;
        let mut request = self.http.get(format!("{}{path}", self.url)).bearer_auth(token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.header("accept", "text/event-stream").send().await?.error_for_status()?;
        Ok(response.bytes_stream().map_ok(|bytes| bytes.to_vec()).boxed())
    }

    async fn expect_success(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let (status, answer) = self.call(method.clone(), path, body.as_ref()).await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {answer:#}");
        }
        Ok(answer)
    }

    async fn token(&self) -> Result<String> {
        let mut token = self.token.lock().await;
        if let Some(token) = &*token {
            return Ok(token.clone());
        }
        let body = json!({ "operator_key": self.operator_key });
        let response = self.http.post(format!("{}/v1/auth/login", self.url)).json(&body).send().await?;
        let answer: Value = response.error_for_status()?.json().await?;
        let fresh = answer["access_token"].as_str().context("a login gives a token")?.to_owned();
        *token = Some(fresh.clone());
        Ok(fresh)
    }
}

/// A task of a mission as read, by its id in the plan.
pub fn task<'a>(mission: &'a Value, key: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    mission["tasks"].as_array().and_then(|tasks| tasks.iter().find(|task| task["id"] == key)).unwrap_or(&NULL)
}

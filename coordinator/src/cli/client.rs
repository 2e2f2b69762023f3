//! The REST client behind every command: authentication, errors that say what to do, paging.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Connection, login};

/// Why a command failed, with the exit code it ends in.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Usage(String),
    #[error("the mission ended {0}")]
    NotSucceeded(String),
    #[error(
        "cannot reach the coordinator at {url}: {reason}\nIs it running? Start it with `nexusmon serve` or `nexusmon up`, or name another with --url."
    )]
    Unreachable { url: String, reason: String },
    #[error("{}", problem_text(.body, *.status))]
    Refused { status: u16, body: Value },
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    DoesNotHold(String),
}

impl CommandError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotSucceeded(_) | Self::DoesNotHold(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 6,
            Self::Failed(_) => 7,
            Self::Refused { status, .. } => match status {
                401 | 403 => 3,
                404 => 4,
                409 | 412 => 5,
                500.. => 7,
                _ => 2,
            },
        }
    }
}

/// The problem document (RFC 9457) as a person reads it.
fn problem_text(body: &Value, status: u16) -> String {
    let title = body["detail"].as_str().or(body["title"].as_str()).unwrap_or("the coordinator refused");
    let mut text = match body["code"].as_str() {
        Some(code) => format!("{title} [{code}]"),
        None => format!("{title} [HTTP {status}]"),
    };
    for error in body["errors"].as_array().into_iter().flatten() {
        let place = error["pointer"].as_str().unwrap_or_default();
        let message = error["message"].as_str().or(error["detail"].as_str()).unwrap_or_default();
        text.push_str(&format!("\n  {}: {message}", if place.is_empty() { "/" } else { place }));
    }
    if status == 401 {
        text.push_str("\nLog in with `nexusmon login`, or set OPERATOR_KEY.");
    }
    text
}

/// A connection to one coordinator.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub url: String,
    token: tokio::sync::Mutex<Option<String>>,
    given: bool,
    pub json: bool,
}

impl Client {
    pub(crate) fn new(connection: &Connection) -> Result<Self, CommandError> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("nexusmon-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| CommandError::Failed(format!("cannot set up the HTTP client: {error}")))?;
        let url = connection.url.trim_end_matches('/').to_owned();
        let token = connection.token.clone().or_else(|| login::kept_token(&url));
        Ok(Self {
            http,
            url,
            given: connection.token.is_some(),
            token: tokio::sync::Mutex::new(token),
            json: connection.json,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CommandError> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Every item of a list, up to `most`.
    pub(crate) async fn list(&self, path: &str, most: usize) -> Result<Vec<Value>, CommandError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < most {
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut page = format!("{path}{joint}limit={}", (most - items.len()).min(200));
            if let Some(cursor) = &cursor {
                page.push_str(&format!("&cursor={}", escape(cursor)));
            }
            let mut answer = self.get(&page).await?;
            match answer["items"].take() {
                Value::Array(more) => items.extend(more),
                _ => break,
            }
            match answer["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(items)
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CommandError> {
        let response = self.send(method, path, body, "application/json").await?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            CommandError::Failed(format!("{} answered {status} with something that is not JSON", self.url))
        })
    }

    /// A response to be streamed.
    pub(super) async fn stream(&self, path: &str, accept: &str) -> Result<reqwest::Response, CommandError> {
        self.send(Method::GET, path, None, accept).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        accept: &str,
    ) -> Result<reqwest::Response, CommandError> {
        // One key for all tries of this command: a retry after a lost answer does not act twice.
        let key = (method == Method::POST).then(fresh_key);
        for attempt in 0..2 {
            let token = self.token().await?;
            let mut request =
                self.http.request(method.clone(), format!("{}{path}", self.url)).header("accept", accept);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(key) = &key {
                request = request.header("idempotency-key", key);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.map_err(|error| self.unreachable(&error))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && attempt == 0 && !self.given && self.renew().await? {
                continue;
            }
            if status.is_success() {
                return Ok(response);
            }
            let bytes = response.bytes().await.unwrap_or_default();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            return Err(CommandError::Refused { status: status.as_u16(), body });
        }
        Err(CommandError::Refused { status: 401, body: Value::Null })
    }

    /// Text as it is.
    pub(crate) async fn text(&self, path: &str) -> Result<String, CommandError> {
        let response = self.stream(path, "text/plain").await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// A route for everybody, also for those who could not log in.
    pub(crate) async fn get_open(&self, path: &str) -> Result<Value, CommandError> {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(Duration::from_secs(5));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&bytes) {
            Ok(body) if status.is_success() => Ok(body),
            Ok(body) => Err(CommandError::Refused { status: status.as_u16(), body }),
            Err(_) => {
                Err(CommandError::Failed(format!("{} is something else: it answered {status}", self.url)))
            }
        }
    }

    /// Asks without credentials, and does not wait long.
    pub(crate) async fn probe(&self, path: &str) -> Result<(), CommandError> {
        let request = self.http.get(format!("{}{path}", self.url)).timeout(Duration::from_secs(5));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap_or_default();
        Err(CommandError::Refused { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// Uploads bytes as they are.
    pub(super) async fn upload(
        &self,
        path: &str,
        media_type: &str,
        file: tokio::fs::File,
    ) -> Result<Value, CommandError> {
        let token = self.token().await?;
        let stream = tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024);
        let mut request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", media_type)
            .header("idempotency-key", fresh_key())
            .body(reqwest::Body::wrap_stream(stream));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            Ok(body)
        } else {
            Err(CommandError::Refused { status: status.as_u16(), body })
        }
    }

    /// Logs in and keeps the token for this command.
    pub(super) async fn log_in(&self, operator_key: &str) -> Result<Value, CommandError> {
        self.log_in_with(serde_json::json!({"operator_key": operator_key})).await
    }

    /// As a person the owner let in.
    pub(super) async fn log_in_as(&self, name: &str, password: &str) -> Result<Value, CommandError> {
        self.log_in_with(serde_json::json!({"name": name, "password": password})).await
    }

    async fn log_in_with(&self, body: Value) -> Result<Value, CommandError> {
        let request = self.http.post(format!("{}/v1/auth/login", self.url)).json(&body);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.unwrap_or_default();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            return Err(CommandError::Refused { status: status.as_u16(), body: answer });
        }
        *self.token.lock().await = answer["access_token"].as_str().map(str::to_owned);
        Ok(answer)
    }

    async fn token(&self) -> Result<Option<String>, CommandError> {
        if let Some(token) = self.token.lock().await.clone() {
            return Ok(Some(token));
        }
        match login::operator_key_from_environment() {
            Some(key) => {
                let answer = self.log_in(&key).await?;
                let token = answer["access_token"].as_str().map(str::to_owned);
                if let Some(token) = &token {
                    // Kept, so that the next command does not open another session; where it cannot be, that is all it costs.
                    let _ = login::keep(&self.url, token);
                }
                Ok(token)
            }
            None => Ok(None),
        }
    }

    /// Gets a new token for an expired one: from its session, else by logging in anew.
    async fn renew(&self) -> Result<bool, CommandError> {
        if let Some(old) = self.token.lock().await.take() {
            let request = self.http.post(format!("{}/v1/auth/refresh", self.url)).bearer_auth(old);
            let response = request.send().await.map_err(|error| self.unreachable(&error))?;
            if response.status().is_success() {
                let answer: Value = response.json().await.unwrap_or(Value::Null);
                if let Some(token) = answer["access_token"].as_str() {
                    login::keep(&self.url, token)?;
                    *self.token.lock().await = Some(token.to_owned());
                    return Ok(true);
                }
            }
        }
        Ok(login::operator_key_from_environment().is_some())
    }

    fn unreachable(&self, error: &reqwest::Error) -> CommandError {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        CommandError::Unreachable { url: self.url.clone(), reason }
    }
}

/// Percent-encodes a query value or path part (RFC 3986, unreserved kept).
pub(super) fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn fresh_key() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex::encode(bytes)
}

//! A model's endpoint that answers what a test tells it to, in the wire format it is asked in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, stream};
use nexusmon_shared::lifecycle::Lifecycle;
use serde_json::{Value, json};

/// What it does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// Hands in this answer.
    Answers(Value),
    /// As `Answers`, and says it took no tokens at all.
    Lies(Value),
    /// This status with this body.
    Says(u16, String),
    /// Writes to the end of the tokens it has.
    IsCutOff,
    /// Never answers.
    Hangs,
    /// Begins an answer and never ends it: this, again and again, at once or with a pause before each.
    Streams(&'static str, bool),
    /// Closes the connection in the middle of its answer.
    BreaksOff,
    /// Sends whoever asks elsewhere, with all they brought.
    Redirects(String),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Debug, Clone, Default)]
struct Script {
    todo: Arc<Mutex<VecDeque<Does>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub(crate) struct Scripted {
    pub(crate) url: String,
    script: Script,
    lifecycle: Lifecycle,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Script::default();
        let lifecycle = Lifecycle::new();
        let router = Router::new().fallback(answer).with_state(script.clone());
        lifecycle.spawn("scripted model", async move { axum::serve(listener, router).await });
        Self { url, script, lifecycle }
    }

    pub(crate) fn will(&self, does: impl IntoIterator<Item = Does>) {
        self.script.todo.lock().unwrap().extend(does);
    }

    /// What it was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.requests().into_iter().map(|asked| asked.body).collect()
    }

    /// As [`Self::asked`], whole.
    pub(crate) fn requests(&self) -> Vec<Asked> {
        std::mem::take(&mut self.script.asked.lock().unwrap())
    }

    pub(crate) fn left(&self) -> usize {
        self.script.todo.lock().unwrap().len()
    }

    pub(crate) async fn stop(self) {
        self.lifecycle.shutdown(Duration::from_secs(1)).await;
    }
}

async fn answer(State(script): State<Script>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    // Whatever comes is written down, also what no model is asked.
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let form = (uri.path().to_owned(), tool(&body));
    script.asked.lock().unwrap().push(Asked { path: form.0.clone(), headers, body });
    let next = script.todo.lock().unwrap().pop_front();
    match next {
        Some(Does::Answers(value)) => axum::Json(wrapped(&form, &value, false, (900, 120))).into_response(),
        Some(Does::Lies(value)) => axum::Json(wrapped(&form, &value, false, (0, 0))).into_response(),
        Some(Does::IsCutOff) => axum::Json(wrapped(&form, &json!({}), true, (900, 4096))).into_response(),
        Some(Does::Says(status, text)) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Some(Does::Hangs) => std::future::pending().await,
        Some(Does::Streams(text, paced)) => Body::from_stream(endless(text, paced)).into_response(),
        Some(Does::BreaksOff) => {
            let parts = [Ok(Bytes::from_static(b"{\"content\": [")), Err(std::io::Error::other("gone"))];
            Body::from_stream(stream::iter(parts)).into_response()
        }
        Some(Does::Redirects(to)) => {
            let there = format!("{to}{}", uri.path());
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, there)]).into_response()
        }
        None => (StatusCode::INTERNAL_SERVER_ERROR, "nothing is left in the script").into_response(),
    }
}

/// Paced by the clock of this machine, as an endpoint's is.
fn endless(text: &'static str, paced: bool) -> impl Stream<Item = Result<&'static str, std::io::Error>> {
    let pace = tokio::time::interval(Duration::from_millis(50));
    stream::unfold(pace, move |mut pace| async move {
        if paced {
            pace.tick().await;
        }
        Some((Ok(text), pace))
    })
}

/// The tool that the model has to use, where it is given one.
fn tool(body: &Value) -> String {
    body["tools"][0]["name"].as_str().unwrap_or_default().to_owned()
}

fn wrapped(
    (path, tool): &(String, String),
    value: &Value,
    cut: bool,
    (tokens_in, tokens_out): (u64, u64),
) -> Value {
    match path.as_str() {
        "/v1/messages" => json!({
            "type": "message", "role": "assistant", "stop_reason": if cut { "max_tokens" } else { "tool_use" },
            "content": [{"type": "text", "text": "Here it is."}, {"type": "tool_use", "id": "t1", "name": tool, "input": value}],
            "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out}}),
        "/chat/completions" => json!({
            "object": "chat.completion",
            "choices": [{"index": 0, "finish_reason": if cut { "length" } else { "stop" },
                "message": {"role": "assistant", "content": value.to_string()}}],
            "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}}),
        "/api/chat" => json!({
            "message": {"role": "assistant", "content": format!("```json\n{value}\n```")}, "done": true,
            "done_reason": if cut { "length" } else { "stop" },
            "prompt_eval_count": tokens_in, "eval_count": tokens_out}),
        other => panic!("nobody asks {other}"),
    }
}

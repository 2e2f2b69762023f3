//! Chat completions, as many endpoints answer them.

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::{Ask, Reply, reading};
use crate::config::ModelConfig;

pub(super) fn messages(ask: &Ask<'_>) -> Vec<Value> {
    let turns = (0..).zip(ask.turns).map(
        |(turn, text)| json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text}),
    );
    std::iter::once(json!({"role": "system", "content": ask.system})).chain(turns).collect()
}

pub(super) fn request(http: &Client, config: &ModelConfig, ask: &Ask<'_>) -> RequestBuilder {
    let schema = json!({"name": ask.name, "strict": false, "schema": ask.schema});
    let body = json!({
        "model": config.name, "messages": messages(ask), "max_completion_tokens": config.answer_tokens,
        "response_format": {"type": "json_schema", "json_schema": schema},
    });
    let mut request = http.post(format!("{}/chat/completions", config.url)).json(&body);
    if let Some(key) = &config.key {
        request = request.bearer_auth(key.expose());
    }
    request
}

pub(super) fn read(body: &[u8]) -> Reply {
    let envelope = match reading::envelope(body) {
        Ok(envelope) => envelope,
        Err(text) => return Reply { value: Err(text), tokens_in: None, tokens_out: None },
    };
    let choice = &envelope["choices"][0];
    let value = match (choice["message"]["content"].as_str(), choice["finish_reason"].as_str()) {
        (_, Some("length")) => {
            Err("the model's answer was cut off at the most tokens it may write".to_owned())
        }
        (_, Some("content_filter")) => Err("the model declined to answer".to_owned()),
        (None, _) if choice["message"]["refusal"].is_string() => {
            Err("the model declined to answer".to_owned())
        }
        (None, _) => Err("the model's endpoint answered without a message".to_owned()),
        (Some(text), _) => reading::object(text),
    };
    let count = |name: &str| envelope["usage"][name].as_u64();
    Reply { value, tokens_in: count("prompt_tokens"), tokens_out: count("completion_tokens") }
}

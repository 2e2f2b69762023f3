//! The Messages API. The answer comes as the input of a tool that the model has to use.

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::{Ask, Reply, reading};
use crate::config::ModelConfig;

const VERSION: &str = "2023-06-01";

pub(super) fn request(http: &Client, config: &ModelConfig, ask: &Ask<'_>) -> RequestBuilder {
    let messages: Vec<Value> = (0..)
        .zip(ask.turns)
        .map(
            |(turn, text)| json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text}),
        )
        .collect();
    let body = json!({
        "model": config.name, "max_tokens": config.answer_tokens, "system": ask.system, "messages": messages,
        "tools": [{"name": ask.name, "description": "Hand in the answer.", "input_schema": ask.schema}],
        "tool_choice": {"type": "tool", "name": ask.name},
    });
    let mut request =
        http.post(format!("{}/v1/messages", config.url)).header("anthropic-version", VERSION).json(&body);
    if let Some(key) = &config.key {
        request = request.header("x-api-key", key.expose());
    }
    request
}

pub(super) fn read(body: &[u8], ask: &Ask<'_>) -> Reply {
    let envelope = match reading::envelope(body) {
        Ok(envelope) => envelope,
        Err(text) => return Reply { value: Err(text), tokens_in: None, tokens_out: None },
    };
    let used = envelope["content"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|block| block["type"] == "tool_use" && block["name"] == ask.name);
    let value = match (used.map(|block| &block["input"]), envelope["stop_reason"].as_str()) {
        (_, Some("max_tokens")) => {
            Err("the model's answer was cut off at the most tokens it may write".to_owned())
        }
        (_, Some("refusal")) => Err("the model declined to answer".to_owned()),
        (Some(value @ Value::Object(_)), _) => Ok(value.clone()),
        _ => Err("the model's endpoint answered without handing in an answer".to_owned()),
    };
    let count = |name: &str| envelope["usage"][name].as_u64();
    let read = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    let tokens_in = read.into_iter().filter_map(count).reduce(u64::saturating_add);
    Reply { value, tokens_in, tokens_out: count("output_tokens") }
}

//! Ollama's own chat interface, which holds the answer to the schema while it is written.

use reqwest::{Client, RequestBuilder};
use serde_json::json;

use super::{Ask, Reply, openai, reading};
use crate::config::ModelConfig;

pub(super) fn request(http: &Client, config: &ModelConfig, ask: &Ask<'_>) -> RequestBuilder {
    let body = json!({
        "model": config.name, "messages": openai::messages(ask), "stream": false, "format": ask.schema,
        "options": {"num_predict": config.answer_tokens, "temperature": 0},
    });
    let mut request = http.post(format!("{}/api/chat", config.url)).json(&body);
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
    let value = match (envelope["message"]["content"].as_str(), envelope["done_reason"].as_str()) {
        (_, Some("length")) => {
            Err("the model's answer was cut off at the most tokens it may write".to_owned())
        }
        (Some(text), _) => reading::object(text),
        (None, _) => Err("the model's endpoint answered without a message".to_owned()),
    };
    let count = |name: &str| envelope[name].as_u64();
    Reply { value, tokens_in: count("prompt_eval_count"), tokens_out: count("eval_count") }
}

//! One exchange with an endpoint: bounded, and every way it can go wrong named.

use http::StatusCode;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::Fault;

/// Of any answer.
const LARGEST: usize = 1024 * 1024;
/// What is shown of what an endpoint says of itself.
const SHOWN: usize = 200;

/// Sends it and gives the body of a good answer.
pub(super) async fn send(request: RequestBuilder) -> Result<Vec<u8>, (Fault, String)> {
    let mut answer = request.send().await.map_err(|error| {
        // The address may hold a key.
        let error = error.without_url();
        (Fault::Away, format!("the model's endpoint was not reached: {}", root(&error)))
    })?;
    let status = answer.status();
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err((
                    Fault::Nonsense,
                    format!("the model's endpoint answered more than {LARGEST} bytes"),
                ));
            }
            Ok(None) => break,
            Err(error) => {
                let error = error.without_url();
                return Err((Fault::Away, format!("the model's endpoint broke off: {}", root(&error))));
            }
        }
    }
    if status.is_success() {
        return Ok(body);
    }
    let said = complaint(&body);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let fault = match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Fault::Away,
        status if status.is_server_error() => Fault::Away,
        _ => Fault::Refused,
    };
    Err((fault, format!("the model's endpoint answered {}{said}", status.as_u16())))
}

fn root(error: &(dyn std::error::Error + 'static)) -> String {
    nexusmon_shared::lifecycle::chain(error).chars().take(SHOWN).collect()
}

/// What an endpoint says is wrong, in the forms they have; shown as its words, not ours.
fn complaint(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let text = value["error"]["message"].as_str().or(value["error"].as_str()).unwrap_or_default();
    let plain: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if plain.is_empty() { plain } else { format!("\u{201c}{plain}\u{201d}") }
}

/// The JSON object in a text, which some models wrap into a fence.
pub(super) fn object(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).unwrap_or(text);
    let inner = inner.strip_suffix("```").unwrap_or(inner).trim();
    match serde_json::from_str(inner) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("the model answered JSON that is no object".to_owned()),
        Err(error) => Err(format!("the model answered what is no JSON ({error})")),
    }
}

/// The body of an answer.
pub(super) fn envelope(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("the model's endpoint answered what is no JSON ({error})"))
}

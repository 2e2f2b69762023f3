//! A call of a webhook as its sender makes it, written as a `curl` line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nexusmon_shared::time::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sha2::Sha256;

/// One line for a shell. What is signed with a time is good for five minutes.
pub(super) fn curl(url: &str, webhook: &Value, secret: &str) -> String {
    // A mission's body may name a playbook, too.
    let inputs = if webhook["inputs"].is_null() { &webhook["mission"]["inputs"] } else { &webhook["inputs"] };
    let body = sample(inputs).to_string();
    let seconds = SystemClock.now().as_micros().div_euclid(1_000_000);
    let mut line = format!("curl -H {}", quoted("Content-Type: application/json"));
    for header in headers(webhook, secret, &body, seconds) {
        line.push_str(&format!(" -H {}", quoted(&header)));
    }
    let address = format!("{url}{}", webhook["path"].as_str().unwrap_or_default());
    format!("{line} --data-raw {} {}", quoted(&body), quoted(&address))
}

fn headers(webhook: &Value, secret: &str, body: &str, seconds: i64) -> Vec<String> {
    let event = |usual: &str| webhook["events"][0].as_str().unwrap_or(usual).to_owned();
    match webhook["format"].as_str() {
        Some("github") => vec![
            format!("X-GitHub-Event: {}", event("push")),
            format!("X-Hub-Signature-256: sha256={}", hex::encode(signature(secret.as_bytes(), body))),
        ],
        Some("gitlab") => {
            vec![format!("X-Gitlab-Event: {}", event("Push Hook")), format!("X-Gitlab-Token: {secret}")]
        }
        _ => {
            let id = format!("example-{seconds}");
            let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
            let signature = STANDARD.encode(signature(&key, &format!("{id}.{seconds}.{body}")));
            vec![
                format!("webhook-id: {id}"),
                format!("webhook-timestamp: {seconds}"),
                format!("webhook-signature: v1,{signature}"),
            ]
        }
    }
}

fn signature(key: &[u8], signed: &str) -> Vec<u8> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(signed.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

/// A body that has what the inputs ask for, a word in the place of each value.
fn sample(inputs: &Value) -> Value {
    let mut body = json!({});
    for wanted in inputs.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
        let path = wanted.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
        let Some(path) = path.and_then(|path| path.trim().strip_prefix("trigger.body.")) else { continue };
        let mut place = &mut body;
        for part in path.split('.') {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[part];
        }
        *place = json!("example");
    }
    body
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_what_the_inputs_ask_for() {
        let inputs = json!({"ref": "${{ trigger.body.ref }}", "who": "${{trigger.body.pusher.name}}",
            "mail": "${{ trigger.body.pusher.email }}", "event": "${{ trigger.event }}", "days": 3});
        assert_eq!(
            sample(&inputs),
            json!({"ref": "example", "pusher": {"name": "example", "email": "example"}})
        );
        assert_eq!(sample(&Value::Null), json!({}));
    }

    #[test]
    fn the_generic_format_is_that_of_the_published_example() {
        // Of the specification of Standard Webhooks.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
        let signed = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(STANDARD.encode(signature(&key, signed)), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let headers = headers(&json!({"format": "generic"}), secret, "{}", 1_614_265_330);
        assert_eq!(headers[..2], ["webhook-id: example-1614265330", "webhook-timestamp: 1614265330"]);
    }

    #[test]
    fn a_line_is_one_word_to_a_shell_where_it_should_be() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        let hook = json!({"format": "gitlab", "events": ["Tag Push Hook"], "path": "/v1/hooks/trg_1"});
        assert_eq!(
            curl("http://127.0.0.1:7300", &hook, "whsec_a"),
            "curl -H 'Content-Type: application/json' -H 'X-Gitlab-Event: Tag Push Hook' -H 'X-Gitlab-Token: whsec_a' \
             --data-raw '{}' 'http://127.0.0.1:7300/v1/hooks/trg_1'"
        );
    }
}

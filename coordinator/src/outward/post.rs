//! Messages by HTTP: to a webhook (Standard Webhooks), an ntfy topic, or a hook that takes what Slack's take.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{StatusCode, header};
use nexusmon_shared::time::Timestamp;
use serde_json::json;
use sha2::Sha256;

use super::{Address, LONGEST_WAIT, Message, PATIENCE, Sent};

pub(super) async fn send(
    http: &reqwest::Client,
    address: &Address,
    message: &Message,
    now: Timestamp,
) -> Sent {
    let request = match address {
        Address::Webhook { url, key } => {
            let body = message.body.to_string();
            let seconds = now.as_micros().div_euclid(1_000_000);
            let Some(signature) = sign(key, &message.id, seconds, body.as_bytes()) else {
                return Sent::Refused(
                    "the key of the webhook cannot be read: make the channel anew".to_owned(),
                );
            };
            http.post(url)
                .header(header::CONTENT_TYPE, "application/json")
                .header("webhook-id", &message.id)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", signature)
                .body(body)
        }
        Address::Ntfy { url, token } => {
            let request = http
                .post(url)
                .header("title", plain(&message.title))
                .header("priority", if message.urgent { "high" } else { "default" })
                .body(message.lines.join("\n"));
            let request = match &message.link {
                Some(link) => request.header("click", link),
                None => request,
            };
            match token {
                Some(token) => request.bearer_auth(&**token),
                None => request,
            }
        }
        Address::Slack { url } => {
            let mut text = format!("*{}*", escaped(&message.title));
            for line in &message.lines {
                text.push('\n');
                text.push_str(&escaped(line));
            }
            if let Some(link) = &message.link {
                text.push_str(&format!("\n<{link}|Open the console>"));
            }
            http.post(url).json(&json!({"text": text}))
        }
        Address::Email(_) => return Sent::Refused("e-mail does not go by HTTP".to_owned()),
    };
    // What the other side says beside the status is never read.
    match request.send().await {
        Ok(answer) => outcome(answer.status(), answer.headers().get(header::RETRY_AFTER)),
        Err(error) => {
            // The address is a secret of its owner.
            let error = error.without_url();
            tracing::debug!(%error, "a notification was not delivered");
            Sent::Later(None, reason(&error))
        }
    }
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<crate::push::Refused>() {
            return "the name leads to an address that is not public".to_owned();
        }
        source = inner.source();
    }
    if error.is_connect() {
        "no connection could be made".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}

fn outcome(status: StatusCode, wait: Option<&http::HeaderValue>) -> Sent {
    match status.as_u16() {
        200..=299 => Sent::Taken,
        code @ (408 | 425 | 429 | 500..=599) => {
            let wait = wait.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
            let wait = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
            Sent::Later(wait, format!("answered {code}"))
        }
        code => Sent::Refused(format!("answered {code}")),
    }
}

/// As receivers of Standard Webhooks check it.
fn sign(key: &str, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(key.strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// What a header may hold.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).collect()
}

/// Slack reads three characters as its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_later_or_no() {
        let of = |code: u16, wait: Option<&'static str>| {
            let wait = wait.map(http::HeaderValue::from_static);
            outcome(StatusCode::from_u16(code).unwrap(), wait.as_ref())
        };
        assert_eq!(of(204, None), Sent::Taken);
        assert_eq!(of(429, Some("7")), Sent::Later(Some(Duration::from_secs(7)), "answered 429".into()));
        assert_eq!(of(503, Some("99999999")), Sent::Later(Some(LONGEST_WAIT), "answered 503".into()));
        assert_eq!(of(302, None), Sent::Refused("answered 302".into()), "a redirect is not followed");
        assert_eq!(of(404, None), Sent::Refused("answered 404".into()));
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the specification's own libraries.
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(sign("no key", "a", 0, b""), None);
    }

    #[test]
    fn words_cannot_become_markup_or_headers() {
        assert_eq!(escaped("<!channel> & co"), "&lt;!channel&gt; &amp; co");
        assert_eq!(plain("a\r\nx: y é"), "a??x: y ?");
    }
}

//! Messages to browsers that are not open (RFC 8030): sealed so that only that browser reads them, signed so that its push
//! service knows who sends, and sent to nobody inside. Knows no people and decides nothing.

mod outside;
mod seal;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::network::Network;
use nexusmon_shared::time::Timestamp;
use reqwest::Url;

use crate::keys::VapidKey;
pub(crate) use outside::{Judged, open};
pub use outside::{Refused, judge};
pub use seal::{AUTH, Keys, LARGEST, PUBLIC};

/// For one attempt: two of them are over before the duty to send is taken for another node.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a push service keeps what it cannot deliver: who was away for a day looks into the console.
const KEPT: u64 = 24 * 60 * 60;
/// Of a signature for one push service.
const SIGNED_FOR: i64 = 12 * 60 * 60;
/// The longest address of a browser.
pub const LONGEST: usize = 2048;

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Taken,
    /// The browser has taken its subscription back.
    Gone,
    /// To be tried again, perhaps after a while.
    Later(Option<Duration>),
    /// Refused for good, or not to be reached from here.
    Refused,
}

/// Where to, for whom.
#[derive(Debug, Clone)]
pub struct To {
    pub endpoint: String,
    pub keys: Keys,
}

/// Sends messages; one for the whole process.
#[derive(Debug)]
pub struct Sender {
    http: reqwest::Client,
    /// Who answers for what is sent: `mailto:` or `https:`.
    contact: String,
    inside: Vec<Network>,
}

#[derive(serde::Serialize)]
struct Claims<'a> {
    aud: String,
    exp: i64,
    sub: &'a str,
}

impl Sender {
    /// `inside`: networks that push services may be in beside the public ones.
    pub fn new(contact: String, inside: Vec<Network>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // Where a push service sends us on to was never judged.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .dns_resolver(Judged::new(inside.clone()))
            .build()?;
        Ok(Self { http, contact, inside })
    }

    /// Whether messages may go there at all; names are judged again when they are looked up.
    pub fn check(&self, endpoint: &str) -> Result<Url, Refused> {
        judge(endpoint, &self.inside)
    }

    /// One attempt. `topic`: a later message with the same one replaces this where it was not delivered yet.
    pub async fn send(&self, key: &VapidKey, to: &To, message: &[u8], topic: &str, now: Timestamp) -> Sent {
        let Ok(url) = self.check(&to.endpoint) else { return Sent::Refused };
        let Ok(body) = seal::seal(&to.keys, message) else { return Sent::Refused };
        let Some(authorization) = self.authorization(key, &url, now) else { return Sent::Refused };
        let topic = URL_SAFE_NO_PAD.encode(&Digest::of(topic.as_bytes()).as_bytes()[..24]);
        let request = self
            .http
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(HeaderName::from_static("ttl"), KEPT)
            .header(HeaderName::from_static("urgency"), "high")
            .header(HeaderName::from_static("topic"), topic)
            .body(body);
        // What the service says beside the status is never read.
        match request.send().await {
            Ok(answer) => outcome(answer.status(), answer.headers().get(http::header::RETRY_AFTER)),
            Err(error) => {
                // The address is the browser's secret.
                let error = error.without_url();
                tracing::debug!(%error, "a push service was not reached");
                Sent::Later(None)
            }
        }
    }

    /// RFC 8292: who sends, to this service only, for half a day.
    fn authorization(&self, key: &VapidKey, url: &Url, now: Timestamp) -> Option<String> {
        let seconds = now.as_micros().div_euclid(1_000_000);
        let claims =
            Claims { aud: url.origin().ascii_serialization(), exp: seconds + SIGNED_FOR, sub: &self.contact };
        let signed = jsonwebtoken::encode(
            &Header::new(Algorithm::ES256),
            &claims,
            &EncodingKey::from_ec_der(key.private()),
        );
        Some(format!("vapid t={}, k={}", signed.ok()?, URL_SAFE_NO_PAD.encode(key.public())))
    }
}

fn outcome(status: StatusCode, wait: Option<&http::HeaderValue>) -> Sent {
    match status.as_u16() {
        200..=299 => Sent::Taken,
        404 | 410 => Sent::Gone,
        408 | 429 | 500..=599 => {
            let wait = wait.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
            Sent::Later(wait.map(Duration::from_secs))
        }
        _ => Sent::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_gone_later_or_no() {
        let of = |status: u16, wait: Option<&'static str>| {
            let wait = wait.map(http::HeaderValue::from_static);
            outcome(StatusCode::from_u16(status).unwrap(), wait.as_ref())
        };
        assert_eq!((of(201, None), of(410, None), of(404, None)), (Sent::Taken, Sent::Gone, Sent::Gone));
        assert_eq!(of(429, Some("7")), Sent::Later(Some(Duration::from_secs(7))));
        assert_eq!(of(503, Some("soon")), Sent::Later(None));
        // A redirect is not followed and not obeyed.
        assert_eq!(
            (of(302, None), of(403, None), of(413, None)),
            (Sent::Refused, Sent::Refused, Sent::Refused)
        );
    }
}

//! Whether a call is from whom it says, and which delivery it is. A pure function of bytes, a key and a time.
//!
//! What a signature does not cover is not believed: GitHub signs the body alone, so there the body is the delivery, and
//! one that is sent again under another id is the same.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nexusmon_core::trigger::Format;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// What a key begins with, so that people and scanners know one when they see it.
pub(super) const PREFIX: &str = "whsec_";
/// How far a signed time may lie from ours.
pub(super) const WINDOW: Duration = Duration::from_mins(5);
const MAX_SIGNATURES: usize = 8;
const MAX_NAME_BYTES: usize = 128;

/// A call whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// The same for what is sent again.
    pub occasion: String,
    /// As the sender names it.
    pub delivery: Option<String>,
    pub event: Option<String>,
}

/// Why a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distrust {
    /// There is no signature, or it does not hold.
    Signature,
    /// It holds, and is older or newer than the window allows.
    Time,
}

/// Holds a call against the key. `header` gives the value of a header by its lower-case name.
pub(super) fn check<'h>(
    format: Format,
    secret: &str,
    header: &dyn Fn(&str) -> Option<&'h str>,
    body: &[u8],
    now: Timestamp,
) -> Result<Checked, Distrust> {
    let named = |name: &str| header(name).and_then(plain);
    let of_body = || format!("body:{}", Digest::of(body));
    match format {
        Format::Github => {
            let given = header("x-hub-signature-256").and_then(|text| text.strip_prefix("sha256="));
            let given = given.and_then(|text| hex::decode(text).ok()).ok_or(Distrust::Signature)?;
            signed(secret.as_bytes(), &[body]).verify_slice(&given).map_err(|_| Distrust::Signature)?;
            Ok(Checked {
                occasion: of_body(),
                delivery: named("x-github-delivery"),
                event: named("x-github-event"),
            })
        }
        Format::Gitlab => {
            // Digests are of one length, so that nothing is learned of the key's.
            let given = Digest::of(header("x-gitlab-token").ok_or(Distrust::Signature)?.as_bytes());
            let same = given.as_bytes().ct_eq(Digest::of(secret.as_bytes()).as_bytes());
            if !bool::from(same) {
                return Err(Distrust::Signature);
            }
            let delivery = named("idempotency-key").or_else(|| named("x-gitlab-event-uuid"));
            let occasion = delivery.as_ref().map_or_else(of_body, |delivery| format!("delivery:{delivery}"));
            Ok(Checked { occasion, delivery, event: named("x-gitlab-event") })
        }
        Format::Generic => {
            let key = secret.strip_prefix(PREFIX).unwrap_or(secret);
            let key = STANDARD.decode(key).map_err(|_| Distrust::Signature)?;
            let id = named("webhook-id").ok_or(Distrust::Signature)?;
            let time = header("webhook-timestamp").ok_or(Distrust::Signature)?;
            let given = header("webhook-signature").ok_or(Distrust::Signature)?;
            let expected = signed(&key, &[id.as_bytes(), b".", time.as_bytes(), b".", body]);
            let good =
                given.split(' ').take(MAX_SIGNATURES).filter_map(|one| one.strip_prefix("v1,")).any(|one| {
                    STANDARD.decode(one).is_ok_and(|one| expected.clone().verify_slice(&one).is_ok())
                });
            if !good {
                return Err(Distrust::Signature);
            }
            let seconds: i64 = time.parse().map_err(|_| Distrust::Time)?;
            let at = Timestamp::from_micros(seconds.saturating_mul(1_000_000));
            if at.since(now) > WINDOW || now.since(at) > WINDOW {
                return Err(Distrust::Time);
            }
            Ok(Checked { occasion: format!("delivery:{id}"), delivery: Some(id), event: None })
        }
    }
}

fn signed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac
}

fn plain(text: &str) -> Option<String> {
    let good = (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const BODY: &[u8] = br#"{"ref": "main"}"#;
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn now() -> Timestamp {
        Timestamp::from_micros(1_614_265_330_000_000)
    }

    fn ask(
        format: Format,
        headers: &[(&str, &str)],
        body: &[u8],
        at: Timestamp,
    ) -> Result<Checked, Distrust> {
        let headers: HashMap<&str, &str> = headers.iter().copied().collect();
        check(format, SECRET, &|name| headers.get(name).copied(), body, at)
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn the_published_example_holds() {
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let body = br#"{"test": 2432232314}"#;
        let checked = ask(Format::Generic, &headers, body, now()).unwrap();
        assert_eq!(checked.occasion, "delivery:msg_p5jXN8AQM9LWM0D4loKWxJek");
        for (changed, value) in [
            ("webhook-id", "msg_other"),
            ("webhook-timestamp", "1614265331"),
            ("webhook-signature", "v1,AAAA"),
        ] {
            let spoilt: Vec<_> = headers
                .iter()
                .map(|(name, old)| (*name, if *name == changed { value } else { *old }))
                .collect();
            assert_eq!(ask(Format::Generic, &spoilt, body, now()), Err(Distrust::Signature), "{changed}");
        }
        let several = [
            headers[0],
            headers[1],
            ("webhook-signature", "v1,AAAA v2,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        assert!(
            ask(Format::Generic, &several, body, now()).is_ok(),
            "while keys are exchanged there are two"
        );
        for (at, wanted) in [
            (now() + WINDOW, true),
            (now() - WINDOW, true),
            (now() + WINDOW * 2, false),
            (now() - WINDOW * 2, false),
        ] {
            assert_eq!(ask(Format::Generic, &headers, body, at).is_ok(), wanted, "{at}");
        }
    }

    #[test]
    fn of_github_only_what_is_signed_says_which_delivery_it_is() {
        let sign = |key: &str, body: &[u8]| {
            format!("sha256={}", hex::encode(signed(key.as_bytes(), &[body]).finalize().into_bytes()))
        };
        let good = sign(SECRET, BODY);
        let ask = |signature: &str, delivery: &str| {
            ask(
                Format::Github,
                &[
                    ("x-hub-signature-256", signature),
                    ("x-github-delivery", delivery),
                    ("x-github-event", "push"),
                ],
                BODY,
                now(),
            )
        };
        let first = ask(&good, "one").unwrap();
        assert_eq!((first.event.as_deref(), first.delivery.as_deref()), (Some("push"), Some("one")));
        assert_eq!(ask(&good, "two").unwrap().occasion, first.occasion, "the same bytes under another id");
        for wrong in ["", "sha256=", "sha1=00", &sign("other", BODY), &sign(SECRET, b"{}"), &good[..40]] {
            assert_eq!(ask(wrong, "one"), Err(Distrust::Signature), "{wrong}");
        }
    }

    #[test]
    fn gitlab_shows_the_key_itself() {
        let of = |token: &str| {
            ask(
                Format::Gitlab,
                &[("x-gitlab-token", token), ("x-gitlab-event", "Push Hook"), ("idempotency-key", "k")],
                BODY,
                now(),
            )
        };
        assert_eq!(of(SECRET).unwrap().occasion, "delivery:k");
        for wrong in ["", "whsec_", &SECRET[..SECRET.len() - 1], &format!("{SECRET}x")] {
            assert_eq!(of(wrong), Err(Distrust::Signature), "{wrong}");
        }
        assert_eq!(ask(Format::Gitlab, &[], BODY, now()), Err(Distrust::Signature));
    }
}

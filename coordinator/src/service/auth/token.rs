//! Access tokens: JWT (RFC 7519) with a pinned algorithm, at most ten minutes old, naming a session that is looked up.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use nexusmon_shared::id::{PrincipalId, SessionId};
use nexusmon_shared::time::Timestamp;

use crate::error::{Error, Result};

/// Life of a token, in seconds.
pub(super) const LIFE: i64 = 600;
const TYPE: &str = "at+jwt";
const AUDIENCE: &str = "nexusmon-api";

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: PrincipalId,
    pub sid: SessionId,
    pub iat: i64,
    pub exp: i64,
}

pub(super) fn issue(
    key: &[u8],
    issuer: &str,
    principal: PrincipalId,
    session: SessionId,
    now: Timestamp,
) -> Result<String> {
    let seconds = now.as_micros().div_euclid(1_000_000);
    let claims = Claims {
        iss: issuer.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: principal,
        sid: session,
        iat: seconds,
        exp: seconds + LIFE,
    };
    let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
    encode(&header, &claims, &EncodingKey::from_secret(key)).map_err(Error::internal)
}

/// Reads a token. `expired_too`: `exp` is not looked at, for renewal.
pub(super) fn read(
    key: &[u8],
    issuer: &str,
    token: &str,
    now: Timestamp,
    expired_too: bool,
) -> Result<Claims> {
    let refused = || Error::Unauthenticated {
        code: "invalid_token",
        detail: "the access token is not valid; log in again".to_owned(),
    };
    if token.len() > 4096 {
        return Err(refused());
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Time is a parameter here, so the library's own clock is not asked.
    validation.validate_exp = false;
    let data = decode::<Claims>(token, &DecodingKey::from_secret(key), &validation).map_err(|_| refused())?;
    if data.header.typ.as_deref() != Some(TYPE) {
        return Err(refused());
    }
    let seconds = now.as_micros().div_euclid(1_000_000);
    if data.claims.iat > seconds + 60 || data.claims.exp - data.claims.iat > LIFE {
        return Err(refused());
    }
    if !expired_too
        && data.claims.exp <= seconds
        && !nexusmon_shared::planted::planted("expired-token-accepted")
    {
        return Err(Error::Unauthenticated {
            code: "token_expired",
            detail: "the access token has expired; refresh it or log in again".to_owned(),
        });
    }
    Ok(data.claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn token(now: i64) -> String {
        let now = Timestamp::from_micros(now * 1_000_000);
        issue(KEY, "org_x", PrincipalId::from_bits(1), SessionId::from_bits(2), now).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn tokens_live_ten_minutes_and_no_longer() {
        let text = token(1000);
        assert_eq!(read(KEY, "org_x", &text, at(1599), false).unwrap().sid, SessionId::from_bits(2));
        assert!(read(KEY, "org_x", &text, at(1600), false).is_err());
        assert!(read(KEY, "org_x", &text, at(9000), true).is_ok());
    }

    #[test]
    fn key_issuer_type_and_algorithm_are_pinned() {
        let text = token(1000);
        assert!(read(b"another key of at least 32 bytes", "org_x", &text, at(1001), false).is_err());
        assert!(read(KEY, "org_y", &text, at(1001), true).is_err());
        let claims = Claims {
            iss: "org_x".into(),
            aud: AUDIENCE.into(),
            sub: PrincipalId::from_bits(1),
            sid: SessionId::from_bits(2),
            iat: 1000,
            exp: 1600,
        };
        let key = EncodingKey::from_secret(KEY);
        let plain = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        assert!(read(KEY, "org_x", &plain, at(1001), false).is_err());
        let header = Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS512) };
        let other = encode(&header, &claims, &key).unwrap();
        assert!(read(KEY, "org_x", &other, at(1001), false).is_err());
    }

    proptest! {
        #[test]
        fn outside_text_never_panics(text in ".{0,300}") {
            prop_assert!(read(KEY, "org_x", &text, at(1), true).is_err());
        }
    }
}

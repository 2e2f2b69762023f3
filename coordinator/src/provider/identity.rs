//! An ID token, verified: signature by a key of the provider's, issuer, audience, nonce, time. And what it says.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Of an ID token.
const LONGEST: usize = 16 * 1024;
/// Between its clock and ours, in seconds.
const CLOCK_DIFFERENCE: i64 = 60;
/// Groups that are looked at.
const MOST_GROUPS: usize = 500;
/// Signatures only: a MAC by the client's secret, or none at all, is nobody's word.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

pub(super) type Claims = Map<String, Value>;

/// Who somebody is at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    /// The provider's own name for them, which never changes.
    pub subject: String,
    /// What they are called, best first; none of it proves anything.
    pub names: Vec<String>,
    /// The values of the claim that roles follow from.
    pub groups: Vec<String>,
    /// When they last proved who they are, in seconds since the epoch.
    pub proved_at: Option<i64>,
}

pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: i64,
}

fn refused(why: &str) -> Error {
    Error::Unauthenticated {
        code: "id_token_refused",
        detail: format!("the provider's ID token is refused: {why}"),
    }
}

/// The key a token names; not verified.
pub(super) fn key_id(token: &str) -> Result<Option<String>> {
    if token.len() > LONGEST {
        return Err(refused("it is too long"));
    }
    Ok(decode_header(token).map_err(|_| refused("it is no JWT"))?.kid)
}

/// The claims of a token that holds.
pub(super) fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<Claims> {
    if token.len() > LONGEST {
        return Err(refused("it is too long"));
    }
    let header = decode_header(token).map_err(|_| refused("it is no JWT"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(refused("its algorithm is none that is taken here"));
    }
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Time is a parameter here, so the library's own clock is not asked.
    validation.validate_exp = false;
    // Without a name any key of the provider's will do.
    let fits = |id: &Option<String>| header.kid.is_none() || *id == header.kid;
    let found = keys.keys.iter().filter(|jwk| fits(&jwk.common.key_id));
    let claims = found
        .filter_map(|jwk| DecodingKey::from_jwk(jwk).ok())
        .find_map(|key| decode::<Claims>(token, &key, &validation).ok())
        .ok_or_else(|| refused("no key of the provider's signed it for this coordinator"))?
        .claims;
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    if number("exp").is_none_or(|at| at <= expected.now - CLOCK_DIFFERENCE) {
        return Err(refused("it has expired; are the clocks right?"));
    }
    if number("iat").is_none_or(|at| at > expected.now + CLOCK_DIFFERENCE) {
        return Err(refused("it comes from the future; are the clocks right?"));
    }
    if claims.get("nonce").and_then(Value::as_str) != Some(expected.nonce) {
        return Err(refused("it answers another log-in"));
    }
    let for_another = claims.get("azp").is_some_and(|azp| azp.as_str() != Some(expected.client));
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    if for_another || (several && !claims.contains_key("azp")) {
        return Err(refused("it was given to another client"));
    }
    Ok(claims)
}

/// What the provider says beside its token, of the same person; the signed claims stay as they are.
pub(super) fn add(claims: &mut Claims, more: &Claims) -> Result<()> {
    if more.get("sub") != claims.get("sub") {
        return Err(refused("the provider speaks of two people"));
    }
    for (name, value) in more {
        claims.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(())
}

impl Identity {
    pub(super) fn read(issuer: &str, claims: &Claims, groups: &str) -> Result<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let subject = text("sub").filter(|sub| (1..=255).contains(&sub.len()) && !sub.contains('\0'));
        let subject = subject.ok_or_else(|| refused("it names nobody"))?.to_owned();
        let address = text("email").and_then(|address| address.split('@').next());
        let names = [text("preferred_username"), text("nickname"), address, text("name")];
        let names = names.into_iter().flatten().map(str::to_owned).collect();
        let groups = match claims.get(groups) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(all)) => {
                all.iter().filter_map(Value::as_str).take(MOST_GROUPS).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let proved_at = claims.get("auth_time").and_then(Value::as_i64);
        Ok(Self { issuer: issuer.to_owned(), subject, names, groups, proved_at })
    }
}

#[cfg(test)]
mod tests;

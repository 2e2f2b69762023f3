use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use nexusmon_shared::trust::ed25519::PublicKey;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: i64 = 1_900_000_000;

fn keys(seeds: &[u8]) -> JwkSet {
    use base64::Engine as _;
    let text = |seed: u8| {
        let key = PublicKey::of(&SigningKey::from_bytes(&[seed; 32]));
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.as_bytes())
    };
    let keys: Vec<_> = seeds
        .iter()
        .map(|seed| json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": seed.to_string(), "x": text(*seed)}))
        .collect();
    serde_json::from_value(json!({ "keys": keys })).unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "nexusmon", "sub": "u-1", "exp": NOW + 300, "iat": NOW,
        "nonce": "n-1", "groups": ["admins", "staff"], "preferred_username": "kim"})
}

fn signed(seed: u8, claims: &Value) -> String {
    let der = SigningKey::from_bytes(&[seed; 32]).to_pkcs8_der().unwrap();
    let header = Header { kid: Some(seed.to_string()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &EncodingKey::from_ed_der(der.as_bytes())).unwrap()
}

const EXPECTED: Expected<'static> =
    Expected { issuer: "https://id.example", client: "nexusmon", nonce: "n-1", now: NOW };

#[test]
fn a_good_token_says_who_it_is() {
    let token = signed(1, &claims());
    assert_eq!(key_id(&token).unwrap().as_deref(), Some("1"));
    let claims = verify(&token, &keys(&[2, 1]), &EXPECTED).unwrap();
    let identity = Identity::read("https://id.example", &claims, "groups").unwrap();
    assert_eq!(
        (identity.subject.as_str(), identity.names.as_slice()),
        ("u-1", ["kim".to_owned()].as_slice())
    );
    assert_eq!(identity.groups, ["admins", "staff"]);
}

#[test]
fn everything_else_is_refused() {
    let with = |name: &str, value: Value| {
        let mut changed = claims();
        changed[name] = value;
        changed
    };
    let mut several = with("aud", json!(["nexusmon", "other"]));
    let wrong = [
        with("iss", json!("https://evil.example")),
        with("aud", json!("other")),
        several.clone(),
        with("azp", json!("other")),
        with("nonce", json!("n-2")),
        with("nonce", Value::Null),
        with("exp", json!(NOW - 61)),
        with("exp", Value::Null),
        with("iat", json!(NOW + 61)),
        with("sub", Value::Null),
    ];
    for claims in wrong {
        assert!(verify(&signed(1, &claims), &keys(&[1]), &EXPECTED).is_err(), "{claims}");
    }
    several["azp"] = json!("nexusmon");
    assert!(verify(&signed(1, &several), &keys(&[1]), &EXPECTED).is_ok());
    // Keys: another's, one under another name, a MAC with what everybody knows, none at all.
    assert!(verify(&signed(3, &claims()), &keys(&[1]), &EXPECTED).is_err());
    let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::HS256) };
    let public = PublicKey::of(&SigningKey::from_bytes(&[1; 32]));
    let mac = encode(&header, &claims(), &EncodingKey::from_secret(public.as_bytes())).unwrap();
    assert!(verify(&mac, &keys(&[1]), &EXPECTED).is_err());
    let parts: Vec<_> = signed(1, &claims()).split('.').map(str::to_owned).collect();
    let none = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    assert!(verify(&none, &keys(&[1]), &EXPECTED).is_err());
    // What is said of another person changes nothing.
    let mut known = verify(&signed(1, &claims()), &keys(&[1]), &EXPECTED).unwrap();
    let more = json!({"sub": "u-2", "groups": ["root"]});
    assert!(add(&mut known, more.as_object().unwrap()).is_err());
    let more = json!({"sub": "u-1", "groups": ["root"], "email": "kim@id.example"});
    add(&mut known, more.as_object().unwrap()).unwrap();
    assert_eq!(Identity::read("i", &known, "groups").unwrap().groups, ["admins", "staff"]);
}

proptest! {
    #[test]
    fn whatever_comes_is_answered(text in ".{0,300}", cut in 0..400_usize) {
        prop_assert!(verify(&text, &keys(&[1]), &EXPECTED).is_err());
        let good = signed(1, &claims());
        let short: String = good.chars().take(cut).collect();
        prop_assert!(short == good || verify(&short, &keys(&[1]), &EXPECTED).is_err());
        let _ = key_id(&text);
    }
}

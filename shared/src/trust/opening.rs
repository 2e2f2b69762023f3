//! Values that may be erased. What is signed holds a commitment: HMAC-SHA-256 under a key made for this value alone. Key and
//! value lie elsewhere; once both are gone, nobody can tell what the value was, and what was signed still holds.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;
use sha2::Sha256;

use super::canonical::{self, CanonicalError};
use crate::digest::Digest;

/// What opens a commitment.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// 32 random bytes in hexadecimal, as digests are written. Always that long: HMAC takes a shorter key for one that ends
    /// in zeros.
    pub key: Digest,
    pub value: Value,
}

impl Opening {
    pub fn new(value: Value, rng: &mut StdRng) -> Self {
        Self { key: Digest::from_bytes(rng.random()), value }
    }

    /// HMAC-SHA-256 (RFC 2104) of the value's canonical form (RFC 8785).
    pub fn commitment(&self) -> Result<Digest, CanonicalError> {
        let mut hmac =
            Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("HMAC takes keys of any length");
        hmac.update(canonical::of_value(&self.value)?.as_bytes());
        Ok(Digest::from_bytes(hmac.finalize().into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_commitment_is_the_rfcs_hmac_of_the_canonical_form() {
        // printf '"a goal"' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…
        let opening = Opening { key: Digest::from_bytes([7; 32]), value: json!("a goal") };
        let expected = "ee01809928ddf94ecb3afbb88bd0940a37a021681673be4cedc4345f9424d923";
        assert_eq!(opening.commitment().unwrap().to_string(), expected);
    }

    #[test]
    fn neither_key_nor_value_can_be_another() {
        let mut rng = StdRng::seed_from_u64(1);
        let one = Opening::new(json!({"b": 1, "a": ["x"]}), &mut rng);
        let same_value = Opening::new(one.value.clone(), &mut rng);
        let of = |opening: &Opening| opening.commitment().unwrap();
        assert_ne!(of(&one), of(&same_value), "nobody sees that two values are the same");
        let other = Opening { value: json!({"b": 1, "a": ["y"]}), ..one.clone() };
        assert_ne!(of(&one), of(&other));
        let again: Opening = serde_json::from_value(serde_json::to_value(&one).unwrap()).unwrap();
        assert_eq!(of(&one), of(&again));
        assert!(serde_json::from_value::<Opening>(json!({"key": "07", "value": 1})).is_err());
    }
}

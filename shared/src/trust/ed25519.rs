//! Ed25519 (RFC 8032) public keys and signatures as values; the text form is base64url without padding.
//!
//! Verification is strict: keys of small order and keys or signatures in a second encoding are refused, so that one
//! key has one form and one signature cannot be turned into another.

use std::fmt;
use std::str::FromStr;

pub use ed25519_dalek::SigningKey;
use ed25519_dalek::{Signer as _, VerifyingKey};

use super::base64_text;

/// A public key that is a point of large order in its one canonical encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// Why bytes or text are not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an Ed25519 public key: expected 32 bytes (43 characters of base64url) that are a point of large order"
)]
pub struct PublicKeyError;

impl PublicKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PublicKeyError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| PublicKeyError)?;
        if key.is_weak() || !is_reduced(&bytes) { Err(PublicKeyError) } else { Ok(Self(bytes)) }
    }

    pub fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// Whether the y coordinate is below 2²⁵⁵ − 19: the library also takes the few encodings above.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    !(bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff) && bytes[0] >= 0xed)
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = PublicKeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        Self::from_bytes(bytes.try_into().map_err(|_| PublicKeyError)?)
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        Self::from_bytes(base64_text::decode_array(text).ok_or(PublicKeyError)?)
    }
}

/// A signature, not yet verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

/// Why a text is not a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 signature: expected 64 bytes (86 characters of base64url)")]
pub struct SignatureError;

impl Signature {
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    pub fn sign(key: &SigningKey, message: &[u8]) -> Self {
        Self(key.sign(message).to_bytes())
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        base64_text::decode_array(text).map(Self).ok_or(SignatureError)
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base64_text::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(PublicKey);
as_text!(Signature);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn the_rfcs_vector_holds() {
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let key = PublicKey::try_from(hex::decode(public).unwrap().as_slice()).unwrap();
        let signature = Signature::from_bytes(hex::decode(signature).unwrap().try_into().unwrap());
        assert!(key.verify(&[0x72], &signature));
        assert!(!key.verify(&[0x73], &signature));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(signature.to_string().parse(), Ok(signature));
    }

    #[test]
    fn small_and_doubly_encoded_keys_are_refused() {
        // The identity, a point of order 8, and 2²⁵⁵ − 18: the second encoding of y = 1.
        let mut one = [0; 32];
        one[0] = 1;
        let eight = hex::decode("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05").unwrap();
        let mut second = [0xff; 32];
        (second[0], second[31]) = (0xee, 0x7f);
        for bytes in [one, eight.try_into().unwrap(), second] {
            assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError));
        }
        // 2²⁵⁵ − 19 + 3 would be y = 3 written a second time.
        let mut three = [0xff; 32];
        (three[0], three[31]) = (0xf0, 0x7f);
        assert_eq!(PublicKey::from_bytes(three), Err(PublicKeyError));
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(seed: [u8; 32], message: [u8; 12], bit in 0_usize..(64 + 12 + 32) * 8) {
            let signing = SigningKey::from_bytes(&seed);
            let signature = Signature::sign(&signing, &message);
            let mut all = [signature.as_bytes().as_slice(), &message, PublicKey::of(&signing).as_bytes()].concat();
            all[bit / 8] ^= 1 << (bit % 8);
            let signature = Signature::from_bytes(all[..64].try_into().unwrap());
            let verified = PublicKey::try_from(&all[76..]).is_ok_and(|key| key.verify(&all[64..76], &signature));
            prop_assert!(!verified);
        }

        #[test]
        fn outside_text_never_panics(text in ".{0,100}") {
            let _ = (text.parse::<PublicKey>(), text.parse::<Signature>());
        }
    }
}

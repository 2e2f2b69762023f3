//! DSSE envelopes (secure-systems-lab, protocol version 1): bytes of a named type with signatures over both.

use base64::alphabet::{STANDARD as STANDARD_ALPHABET, URL_SAFE};
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::SigningKey;

use super::ed25519::{PublicKey, Signature};
use super::signable::{self, ReadError};

pub const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;
pub const MAX_ENVELOPE_SIGNATURES: usize = 16;

/// What is signed: type and body with their lengths, so that neither can borrow from the other.
pub fn pre_authentication_encoding(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len());
    [head.as_bytes(), body].concat()
}

/// An envelope. Reading one verifies nothing.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    pub payload_type: String,
    #[serde(with = "either_base64")]
    payload: Vec<u8>,
    pub signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct EnvelopeSignature {
    /// A hint for finding the key; decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyid: Option<String>,
    #[serde(with = "either_base64")]
    pub sig: Vec<u8>,
}

/// Why an envelope says nothing.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the envelope cannot be read")]
    Unreadable(#[from] ReadError),
    #[error("the envelope carries {0} signatures; 1 to {MAX_ENVELOPE_SIGNATURES} are looked at")]
    Signatures(usize),
    #[error("the envelope holds another type than `{0}`")]
    OtherType(&'static str),
    #[error("the envelope is not signed by the expected key")]
    NotSigned,
}

impl Envelope {
    /// Signs with one Ed25519 key; the key id is its public key as base64url.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let signature = Signature::sign(key, &pre_authentication_encoding(payload_type, &payload));
        let keyid = Some(PublicKey::of(key).to_string());
        let signatures = vec![EnvelopeSignature { keyid, sig: signature.as_bytes().to_vec() }];
        Self { payload_type: payload_type.to_owned(), payload, signatures }
    }

    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let read: Self = signable::read(bytes, MAX_ENVELOPE_BYTES)?;
        match read.signatures.len() {
            1..=MAX_ENVELOPE_SIGNATURES => Ok(read),
            other => Err(EnvelopeError::Signatures(other)),
        }
    }

    /// The payload, whoever may have written it: for finding out which key it has to be verified with.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload, if this key signed it as this type.
    pub fn verify(&self, payload_type: &'static str, key: &PublicKey) -> Result<&[u8], EnvelopeError> {
        if self.payload_type != payload_type {
            return Err(EnvelopeError::OtherType(payload_type));
        }
        let message = pre_authentication_encoding(payload_type, &self.payload);
        let signed = self.signatures.iter().take(MAX_ENVELOPE_SIGNATURES).any(|signature| {
            let bytes = signature.sig.as_slice().try_into();
            bytes.is_ok_and(|bytes| key.verify(&message, &Signature::from_bytes(bytes)))
        });
        if signed { Ok(&self.payload) } else { Err(EnvelopeError::NotSigned) }
    }
}

/// Verifiers must accept both alphabets; we write the standard one.
mod either_base64 {
    use base64::Engine as _;
    use serde::Deserialize as _;

    use super::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_ALPHABET, URL_SAFE,
    };

    const EITHER_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD_ALPHABET, EITHER_PADDING);
    const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, EITHER_PADDING);

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let engine = if text.contains(['-', '_']) { READ_URL_SAFE } else { READ_STANDARD };
        engine.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier as _;
    use proptest::prelude::*;

    use super::*;

    /// The vector of the specification: P-256, which we do not sign with, over the same encoding.
    #[test]
    fn the_specifications_vector_holds() {
        let text = r#"{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld",
            "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;
        let envelope = Envelope::read(text.as_bytes()).unwrap();
        let encoded = pre_authentication_encoding(&envelope.payload_type, envelope.unverified_payload());
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        let (x, y) = (
            "67cd390f77aa359cb08c2235f652270493a9ed832b0abcc01f70954c0390d238",
            "0c782bd54e269125a44f4433aff1432ce94e12bca73aa67ac80cea12608ddf74",
        );
        let point = hex::decode(format!("04{x}{y}")).unwrap();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).unwrap();
        let signature = p256::ecdsa::Signature::from_slice(&envelope.signatures[0].sig).unwrap();
        assert!(key.verify(&encoded, &signature).is_ok());
    }

    #[test]
    fn both_alphabets_are_read() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let envelope = Envelope::sign("a/b", vec![0xfb, 0xff, 0xfe], &key);
        let text = serde_json::to_string(&envelope).unwrap();
        assert!(text.contains("\"payload\":\"+//+\""), "{text}");
        for text in [text.clone(), text.replace('+', "-").replace('/', "_").replace("a_b", "a/b")] {
            let read = Envelope::read(text.as_bytes()).unwrap();
            assert_eq!(read.verify("a/b", &PublicKey::of(&key)).unwrap(), [0xfb, 0xff, 0xfe]);
            assert!(matches!(read.verify("a/c", &PublicKey::of(&key)), Err(EnvelopeError::OtherType("a/c"))));
        }
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(bit: usize) {
            let key = SigningKey::from_bytes(&[3; 32]);
            let envelope = Envelope::sign("a/b", b"body".to_vec(), &key);
            let mut parts = [envelope.payload_type.as_bytes(), &envelope.payload, &envelope.signatures[0].sig].concat();
            let bit = bit % (parts.len() * 8);
            parts[bit / 8] ^= 1 << (bit % 8);
            let changed = Envelope {
                payload_type: String::from_utf8_lossy(&parts[..3]).into_owned(),
                payload: parts[3..7].to_vec(),
                signatures: vec![EnvelopeSignature { keyid: None, sig: parts[7..].to_vec() }],
            };
            prop_assert!(changed.verify("a/b", &PublicKey::of(&key)).is_err());
        }

        #[test]
        fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\":,a-z=]{0,100}") {
            let _ = (Envelope::read(&bytes), Envelope::read(text.as_bytes()));
        }
    }
}

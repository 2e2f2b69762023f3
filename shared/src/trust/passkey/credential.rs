//! The public key of a passkey: ES256 (ECDSA over P-256 with SHA-256) or `EdDSA` (Ed25519).

use p256::ecdsa::signature::Verifier as _;

use crate::trust::base64_text;
use crate::trust::ed25519::{PublicKey, Signature};

/// Both forms have one encoding, so that equal keys are equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum CredentialKey {
    /// A point in compressed SEC 1 form.
    Es256([u8; 33]),
    Eddsa(PublicKey),
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    algorithm: Algorithm,
    #[serde(with = "base64_text")]
    key: Vec<u8>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    Es256,
    Eddsa,
}

/// Why bytes are not the public key of a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the public key of a passkey: expected a point of P-256 (ES256) or an Ed25519 key (EdDSA)")]
pub struct SpkiError;

/// `SubjectPublicKeyInfo` of P-256 keys up to the point (RFC 5480), uncompressed.
const P256_SPKI: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// `SubjectPublicKeyInfo` of Ed25519 keys up to the key (RFC 8410).
const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

impl CredentialKey {
    /// From a point in any SEC 1 form.
    pub fn es256(point: &[u8]) -> Result<Self, SpkiError> {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| SpkiError)?;
        key.to_sec1_point(true).as_bytes().try_into().map(Self::Es256).map_err(|_| SpkiError)
    }

    /// Reads what `getPublicKey()` gives (DER).
    pub fn from_spki(der: &[u8]) -> Result<Self, SpkiError> {
        if let Some(point) = der.strip_prefix(P256_SPKI) {
            // Uncompressed is the only form of this length; others would be another point of view on the same key.
            if point.len() == 65 && point[0] == 4 { Self::es256(point) } else { Err(SpkiError) }
        } else if let Some(key) = der.strip_prefix(ED25519_SPKI) {
            PublicKey::try_from(key).map(Self::Eddsa).map_err(|_| SpkiError)
        } else {
            Err(SpkiError)
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Es256(point) => point,
            Self::Eddsa(key) => key.as_bytes(),
        }
    }

    /// `signature` is DER for ES256, 64 bytes for `EdDSA`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(point) => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .and_then(|key| key.verify(message, &p256::ecdsa::Signature::from_der(signature)?))
                .is_ok(),
            Self::Eddsa(key) => {
                signature.try_into().is_ok_and(|bytes| key.verify(message, &Signature::from_bytes(bytes)))
            }
        }
    }
}

impl TryFrom<Written> for CredentialKey {
    type Error = SpkiError;

    fn try_from(written: Written) -> Result<Self, SpkiError> {
        let Written { algorithm, key } = written;
        match algorithm {
            Algorithm::Es256 if key.len() == 33 => Self::es256(&key),
            Algorithm::Es256 => Err(SpkiError),
            Algorithm::Eddsa => PublicKey::try_from(key.as_slice()).map(Self::Eddsa).map_err(|_| SpkiError),
        }
    }
}

impl From<CredentialKey> for Written {
    fn from(key: CredentialKey) -> Self {
        let algorithm = match key {
            CredentialKey::Es256(_) => Algorithm::Es256,
            CredentialKey::Eddsa(_) => Algorithm::Eddsa,
        };
        Self { algorithm, key: key.as_bytes().to_vec() }
    }
}

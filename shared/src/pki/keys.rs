//! Keys that never leave the machine they were made on. All are kept as PKCS#8 in PEM, which the caller writes to a
//! file only its owner may read. `Debug` shows public halves only.

use std::fmt;

use ed25519_dalek::pkcs8::SecretDocument;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signer as _, SigningKey};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::PkiError;
use crate::digest::Digest;
use crate::trust::checkpoint::{Checkpoint, cosign};
use crate::trust::dsse::Envelope;
use crate::trust::ed25519::PublicKey;
use crate::trust::enrollment::sealing_key_message;
use crate::trust::note::{KeyName, NoteSignature};
use crate::trust::provenance::Provenance;
use crate::trust::sealed::{self, Binding, SealError};
use crate::trust::spawned::{SignedSpawned, Spawned};

const PEM_LABEL: &str = "PRIVATE KEY";
/// PKCS#8 around a 32-byte key (RFC 8410): everything before the key itself, for Ed25519 and X25519.
const ED25519_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const X25519_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20";

/// The key of a TLS certificate, ECDSA P-256; a new one for each certificate.
pub struct TlsKey(KeyPair);

impl TlsKey {
    pub fn generate() -> Result<Self, PkiError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(PkiError::making("make a key for TLS"))
    }

    /// A signing request for this key (PKCS#10, DER). It asks for nothing: the authority decides what it issues.
    pub fn signing_request(&self) -> Result<Vec<u8>, PkiError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let request = parameters
            .serialize_request(&self.0)
            .map_err(PkiError::making("make a certificate signing request"))?;
        Ok(request.der().to_vec())
    }

    /// Whether `certificate` (DER) is of this key.
    pub fn is_of(&self, certificate: &[u8]) -> bool {
        super::spki_digest(&certificate.into())
            .is_ok_and(|digest| digest == Digest::of(&self.0.subject_public_key_info()))
    }

    /// DER.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize_der())
    }

    pub fn from_pkcs8(der: &[u8]) -> Result<Self, PkiError> {
        KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|_| PkiError::Key("expected an ECDSA P-256 key in PKCS#8"))
    }

    pub fn to_pem(&self) -> Zeroizing<String> {
        to_pem(&self.to_pkcs8())
    }

    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        Self::from_pkcs8(from_pem(pem)?.as_bytes())
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsKey").field(&Digest::of(&self.0.subject_public_key_info())).finish()
    }
}

/// Who an agent is, for as long as it lives: Ed25519 (RFC 8032).
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        Self(SigningKey::from_bytes(&secret))
    }

    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The same as a key that signatures are held against.
    pub fn verifier(&self) -> PublicKey {
        PublicKey::of(&self.0)
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Cosigns a head of the audit log that has been verified; `at` in seconds since the Unix epoch.
    pub fn cosign(&self, head: &Checkpoint, witness: KeyName, at: u64) -> NoteSignature {
        cosign(head, witness, &self.0, at)
    }

    /// Signs where artifacts came from. `None` where a list in it is too long.
    pub fn attest(&self, provenance: &Provenance) -> Option<Envelope> {
        provenance.sign(&self.0)
    }

    /// Signs that this agent adds a task. `None` where that has no canonical form.
    pub fn sign_spawned(&self, document: Spawned) -> Option<SignedSpawned> {
        document.sign(&self.0)
    }

    /// Vouches for a sealing key.
    pub fn sign_sealing_key(&self, key: &SealingKey) -> [u8; 64] {
        self.sign(&sealing_key_message(&key.public()))
    }

    pub fn to_pem(&self) -> Zeroizing<String> {
        short_to_pem(&ED25519_PREFIX, self.0.as_bytes())
    }

    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        short_from_pem(&ED25519_PREFIX, pem)
            .map(|secret| Self(SigningKey::from_bytes(&secret)))
            .ok_or(PkiError::Key("expected an Ed25519 key in PKCS#8, PEM"))
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdentityKey").field(&hex::encode(self.public())).finish()
    }
}

/// What secrets are sealed to: X25519 (RFC 7748).
pub struct SealingKey(x25519_dalek::StaticSecret);

impl SealingKey {
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut secret = [0_u8; 32];
        rng.fill_bytes(&mut secret);
        let key = Self(secret.into());
        secret.zeroize();
        key
    }

    pub fn public(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&self.0).to_bytes()
    }

    /// Opens a secret that was sealed to this key, for exactly this use.
    pub fn open(&self, binding: &Binding, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        sealed::open(self.0.as_bytes(), binding, sealed)
    }

    /// The shared secret with another's public key; none if that key is of small order.
    pub fn agree(&self, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(*public));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }

    pub fn to_pem(&self) -> Zeroizing<String> {
        short_to_pem(&X25519_PREFIX, self.0.as_bytes())
    }

    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        short_from_pem(&X25519_PREFIX, pem)
            .map(|secret| Self((*secret).into()))
            .ok_or(PkiError::Key("expected an X25519 key in PKCS#8, PEM"))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealingKey").field(&hex::encode(self.public())).finish()
    }
}

fn short_to_pem(prefix: &[u8; 16], key: &[u8; 32]) -> Zeroizing<String> {
    to_pem(&Zeroizing::new([prefix.as_slice(), key.as_slice()].concat()))
}

/// Also takes what other tools write: with attributes or the public key behind the private one (RFC 5958).
fn short_from_pem(prefix: &[u8; 16], pem: &str) -> Option<Zeroizing<[u8; 32]>> {
    let document = from_pem(pem).ok()?;
    let info = ed25519_dalek::pkcs8::PrivateKeyInfoRef::try_from(document.as_bytes()).ok()?;
    // The last three bytes of the object identifier tell the two apart.
    if info.algorithm.oid.as_bytes() != &prefix[9..12] {
        return None;
    }
    let key = info.private_key.as_bytes().strip_prefix(&[0x04, 0x20])?;
    Some(Zeroizing::new(key.try_into().ok()?))
}

fn to_pem(der: &[u8]) -> Zeroizing<String> {
    let document = SecretDocument::try_from(der).expect("a private key in PKCS#8 is DER");
    document.to_pem(PEM_LABEL, LineEnding::LF).expect("the label is a valid one")
}

fn from_pem(pem: &str) -> Result<SecretDocument, PkiError> {
    match SecretDocument::from_pem(pem.trim()) {
        Ok((PEM_LABEL, document)) => Ok(document),
        Ok(_) => Err(PkiError::Key("the PEM is not labelled `PRIVATE KEY`")),
        Err(_) => Err(PkiError::Key("not PEM")),
    }
}

//! What an agent proves when it joins and renews: the invite's key and MAC, and the messages its identity key signs.
//!
//! Pure functions that both sides call, so that neither can drift. Knows nothing of TLS: the exporter is 32 bytes.

use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::id::InviteId;

/// TLS exporter labels (RFC 8446, 7.5); no context, 32 bytes.
pub const JOIN_EXPORTER_LABEL: &[u8] = b"EXPORTER-nexusmon-join";
pub const RENEW_EXPORTER_LABEL: &[u8] = b"EXPORTER-nexusmon-renew";

const JOIN_INFO: &[u8] = b"nexusmon/join/v1";
const JOIN_DOMAIN: &[u8] = b"nxj1";
const SEALING_KEY_DOMAIN: &[u8] = b"nexusmon/sealing-key/v1\n";
const RENEW_DOMAIN: &[u8] = b"nexusmon/renew/v1\n";

/// K: what the coordinator keeps of an invite instead of its secret.
pub type InviteKey = Zeroizing<[u8; 32]>;

/// K = HKDF-SHA-256 (RFC 5869) of the secret, salted by the invite's id.
pub fn invite_key(secret: &[u8; 32], invite: InviteId) -> InviteKey {
    let salt = invite.to_bits().to_be_bytes();
    let mut key = Zeroizing::new([0_u8; 32]);
    hkdf::Hkdf::<Sha256>::new(Some(&salt), secret)
        .expand(JOIN_INFO, key.as_mut_slice())
        .expect("32 bytes is within what HKDF-SHA-256 can give");
    key
}

/// What the join's MAC covers.
#[derive(Clone, Copy, Debug)]
pub struct JoinProof<'a> {
    /// PKCS#10, DER.
    pub csr: &'a [u8],
    pub identity_key: &'a [u8; 32],
    pub sealing_key: &'a [u8; 32],
    /// Of the connection the request travels on, under [`JOIN_EXPORTER_LABEL`].
    pub exporter: &'a [u8; 32],
}

impl JoinProof<'_> {
    /// HMAC-SHA-256 (RFC 2104) under the invite's key.
    pub fn mac(&self, key: &InviteKey) -> [u8; 32] {
        self.hmac(key).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub fn verify(&self, key: &InviteKey, mac: &[u8; 32]) -> bool {
        self.hmac(key).verify_slice(mac).is_ok()
    }

    fn hmac(&self, key: &InviteKey) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length");
        hmac.update(JOIN_DOMAIN);
        for part in [self.csr, self.identity_key.as_slice(), self.sealing_key.as_slice()] {
            // A part beyond 4 GiB cannot arrive: the transport refuses messages of more than 4 MiB.
            hmac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hmac.update(part);
        }
        hmac.update(self.exporter);
        hmac
    }
}

/// What the identity key signs to vouch for the sealing key.
pub fn sealing_key_message(sealing_key: &[u8; 32]) -> Vec<u8> {
    [SEALING_KEY_DOMAIN, sealing_key.as_slice()].concat()
}

/// What the identity key signs to renew without a live certificate. `exporter` is under [`RENEW_EXPORTER_LABEL`].
pub fn renew_message(challenge: &[u8; 32], csr: &[u8], join_counter: u64, exporter: &[u8; 32]) -> Vec<u8> {
    let csr = Digest::of(csr);
    let counter = join_counter.to_be_bytes();
    [RENEW_DOMAIN, challenge.as_slice(), csr.as_bytes(), counter.as_slice(), exporter.as_slice()].concat()
}

/// Whether the Ed25519 key signed the message (RFC 8032, strict: small-order keys and points are refused).
pub fn verify_identity_signature(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mac_covers_every_part() {
        let key = invite_key(&[7; 32], InviteId::from_bits(9));
        let (identity, sealing, exporter) = ([1; 32], [2; 32], [3; 32]);
        let proof =
            JoinProof { csr: b"csr", identity_key: &identity, sealing_key: &sealing, exporter: &exporter };
        let mac = proof.mac(&key);
        assert!(proof.verify(&key, &mac));
        let other = [9; 32];
        assert!(!JoinProof { csr: b"csx", ..proof }.verify(&key, &mac));
        assert!(!JoinProof { identity_key: &other, ..proof }.verify(&key, &mac));
        assert!(!JoinProof { sealing_key: &other, ..proof }.verify(&key, &mac));
        assert!(!JoinProof { exporter: &other, ..proof }.verify(&key, &mac));
        assert!(!proof.verify(&invite_key(&[8; 32], InviteId::from_bits(9)), &mac));
        assert!(!proof.verify(&invite_key(&[7; 32], InviteId::from_bits(8)), &mac));
    }

    /// Computed independently from RFC 5869 and RFC 2104, so that the format cannot change unnoticed.
    #[test]
    fn key_and_mac_are_as_specified() {
        let key = invite_key(&[0x11; 32], InviteId::from_bits(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
        assert_eq!(
            hex::encode(key.as_slice()),
            "eadb448571d433573be4672496a44c3e852f5f98ff346a377899d2eb843f509f"
        );
        let proof =
            JoinProof { csr: b"csr", identity_key: &[1; 32], sealing_key: &[2; 32], exporter: &[3; 32] };
        assert_eq!(
            hex::encode(proof.mac(&key)),
            "f562f623fde5a2569d3d5bd78f6795fa6805b2c6285ab3c2bf74905a54c0904b"
        );
    }

    #[test]
    fn signatures_bind_message_and_key() {
        let signing = SigningKey::from_bytes(&[5; 32]);
        let public = signing.verifying_key().to_bytes();
        let message = renew_message(&[1; 32], b"csr", 4, &[2; 32]);
        let signature = signing.sign(&message).to_bytes();
        assert!(verify_identity_signature(&public, &message, &signature));
        let behind = renew_message(&[1; 32], b"csr", 3, &[2; 32]);
        assert!(!verify_identity_signature(&public, &behind, &signature));
        let message = sealing_key_message(&[6; 32]);
        assert!(!verify_identity_signature(&public, &message, &signature));
        assert!(!verify_identity_signature(&[0; 32], &message, &signature));
    }

    proptest! {
        #[test]
        fn outside_keys_and_signatures_never_panic(key: [u8; 32], head: [u8; 32], tail: [u8; 32]) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&head);
            signature[32..].copy_from_slice(&tail);
            prop_assert!(!verify_identity_signature(&key, b"message", &signature));
        }
    }
}

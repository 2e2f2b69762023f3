//! The key that push services know this coordinator by (RFC 8292): P-256, as PKCS#8.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use zeroize::Zeroizing;

/// Shows nothing of itself.
pub struct VapidKey {
    private: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl std::fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VapidKey")
    }
}

impl VapidKey {
    /// A fresh one; `None` where the library has no randomness.
    pub(super) fn generate() -> Option<Self> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).ok()?;
        Self::read(made.as_ref())
    }

    pub(super) fn read(private: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok()?;
        Some(Self { private: Zeroizing::new(private.to_vec()), public: pair.public_key().as_ref().to_vec() })
    }

    /// PKCS#8.
    pub fn private(&self) -> &[u8] {
        &self.private
    }

    /// The point, uncompressed: what browsers subscribe with.
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

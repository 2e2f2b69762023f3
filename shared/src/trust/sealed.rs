//! Secrets on their way to one agent: HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20-Poly1305, to the sealing key that the agent's identity key vouches for.
//!
//! What it is, whose and for which grant is bound in: one that was sealed for another fence does not open.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use super::signable::Signable;
use crate::attempt::Fence;
use crate::id::{AgentId, OrganismId, TaskId};
use crate::name::Name;

/// Of one secret.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
const INFO: &[u8] = b"nexusmon/secret/v1";
const ENCAPSULATED: usize = 32;
const TAG: usize = 16;

type Suite = X25519HkdfSha256;

/// What a sealed secret is bound to: it opens only for whoever expects exactly this.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Binding {
    pub organism: OrganismId,
    pub agent: AgentId,
    /// The secret's name, which is its id.
    pub secret: Name,
    pub version: u32,
    /// Where it may be used, such as a playbook's name.
    pub scope: String,
    pub task: TaskId,
    /// As text, since a number of 64 bits has no exact form in JSON.
    #[serde(serialize_with = "fence_text")]
    pub fence: Fence,
}

fn fence_text<S: serde::Serializer>(fence: &Fence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(fence)
}

impl Signable for Binding {
    const DOMAIN: &'static str = "nexusmon/secret/v1";
}

/// Why a secret cannot be sealed or opened. Says nothing of what is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the secret is {0} bytes, more than {MAX_SECRET_BYTES}")]
    TooLarge(usize),
    #[error("the agent's sealing key cannot be sealed to")]
    Key,
    #[error("the sealed secret is cut off or overlong")]
    Length,
    #[error("the secret was sealed for another agent, secret, version, scope or grant, or it was changed")]
    NotForThis,
}

/// Seals to an agent's X25519 public key. Gives the encapsulated key (32 bytes), then the ciphertext.
pub fn seal(
    recipient: &[u8; 32],
    binding: &Binding,
    secret: &[u8],
    rng: &mut impl rand::CryptoRng,
) -> Result<Vec<u8>, SealError> {
    if secret.len() > MAX_SECRET_BYTES {
        return Err(SealError::TooLarge(secret.len()));
    }
    let recipient = <Suite as Kem>::PublicKey::from_bytes(recipient).map_err(|_| SealError::Key)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Suite>(
        &OpModeS::Base,
        &recipient,
        INFO,
        secret,
        &binding.to_sign(),
        rng,
    )
    .map_err(|_| SealError::Key)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

/// Opens with the agent's X25519 secret key.
pub fn open(key: &[u8; 32], binding: &Binding, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (encapsulated, ciphertext) = sealed.split_first_chunk::<ENCAPSULATED>().ok_or(SealError::Length)?;
    if !(TAG..=MAX_SECRET_BYTES + TAG).contains(&ciphertext.len()) {
        return Err(SealError::Length);
    }
    let key = <Suite as Kem>::PrivateKey::from_bytes(key).map_err(|_| SealError::Key)?;
    let encapsulated =
        <Suite as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::NotForThis)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Suite>(
        &OpModeR::Base,
        &key,
        &encapsulated,
        INFO,
        ciphertext,
        &binding.to_sign(),
    )
    .map(Zeroizing::new)
    .map_err(|_| SealError::NotForThis)
}

#[cfg(test)]
mod tests;

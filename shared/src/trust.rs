//! Verification both sides share: canonical JSON, Merkle trees, plan digests; who may approve (`roster`), what an
//! approval is (`approval`), how the audit log is pinned (`checkpoint`), and what else is signed or sealed.
//!
//! Pure: time and randomness are parameters, and every parser of outside bytes is bounded and never panics.

pub mod approval;
mod base64_text;
pub mod canonical;
pub mod checkpoint;
pub mod dsse;
pub mod ed25519;
pub mod enrollment;
pub mod key;
pub mod merkle;
pub mod note;
pub mod opening;
pub mod owner_key;
pub mod passkey;
pub mod phrase;
pub mod plan_digest;
pub mod provenance;
pub mod recovery;
pub mod roster;
pub mod sealed;
pub mod signable;
pub mod spawned;

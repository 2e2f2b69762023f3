//! Verification both sides share: canonical JSON, Merkle trees, plan digests.

pub mod canonical;
pub mod enrollment;
pub mod merkle;
pub mod plan_digest;

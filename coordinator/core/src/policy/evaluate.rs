//! Cedar: compiled once, asked three questions in turn.

use nexusmon_shared::digest::Digest;

use super::{Decision, PolicyContext};
use crate::risk::Assessment;

/// Why a text is not a policy set.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the policies cannot be read: {0}")]
    Parse(String),
    #[error("the policies do not fit the schema: {0}")]
    Schema(String),
    #[error("policy {0} has no `@id`")]
    Unnamed(String),
}

/// A compiled, versioned set of policies.
#[derive(Debug, Clone)]
pub struct PolicySet {}

impl PolicySet {
    /// The rank table and the guardrails.
    pub fn shipped() -> Self {
        todo!()
    }

    /// Reads and validates a set; every policy needs an `@id`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let _ = text;
        todo!()
    }

    /// Over the canonical form of the set: sorted by id, without comments or layout.
    pub fn digest(&self) -> Digest {
        todo!()
    }

    /// Asks whether the work may run unattended, flagged, or with approval, in that order; else it is denied.
    pub fn evaluate(&self, assessment: &Assessment, context: &PolicyContext) -> Decision {
        let _ = (assessment, context);
        todo!()
    }
}

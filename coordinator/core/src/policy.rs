//! Governance: Cedar policies decide whether ranked work runs unattended, runs flagged, waits for people, or is denied.
//!
//! Knows ranks and effects, not plans. The shipped set is the rank table of the documentation and its guardrails.

pub mod access;
mod circumstances;
mod evaluate;
mod place;
mod request;

use std::time::Duration;

use nexusmon_shared::rank::Rank;

pub use circumstances::Circumstances;
pub use evaluate::PolicySet;
pub use place::PolicyError;
pub use request::{AuthorKind, Foresight, PolicyContext, Question};

/// What governance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Starts at once.
    Allow,
    /// Starts at once, is logged and opens a review.
    Flag,
    /// Waits for `needed` approvals.
    Hold {
        needed: u32,
    },
    Deny,
}

/// A verdict with what determined it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Ids of the determining policies, sorted.
    pub policies: Vec<String>,
    /// For people: one line.
    pub reason: String,
}

/// How long people have to decide: S 1 h, everything else 24 h. After that the mission expires.
pub fn decide_within(rank: Rank) -> Duration {
    match rank {
        Rank::S => Duration::from_hours(1),
        _ => Duration::from_hours(24),
    }
}

/// Approvals needed for a held mission, given how many people may approve it: two for S where two are eligible.
pub fn approvals_needed(rank: Rank, eligible: u32) -> u32 {
    if rank == Rank::S { eligible.clamp(1, 2) } else { 1 }
}

#[cfg(test)]
mod tests;

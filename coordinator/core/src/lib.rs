//! The coordinator's decisions as pure functions: state machines, scheduling, risk, policy, planning, evolution.
//!
//! No IO, no async, no clock and no randomness of its own: time and rng are parameters. Whoever calls these functions
//! loads what they need and stores what they answer.

pub mod audit;
pub mod beliefs;
pub mod budget;
pub mod companion;
pub mod evolution;
pub mod expression;
pub mod fairness;
pub mod flags;
pub mod halt;
pub mod learned;
pub mod lease;
pub mod memory;
pub mod mission;
pub mod needs;
pub mod notification;
pub mod planning;
pub mod policy;
pub mod prediction;
pub mod rates;
pub mod retry;
pub mod risk;
pub mod schedule;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
pub mod sub_mission;
pub mod task;
pub mod trigger;

/// A command that does not fit the state: what the API answers with 409.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// Stable, for programs: `already_terminal`, `awaiting_approval`, …
    pub code: &'static str,
    /// For people: what stands in the way and what to do instead.
    pub detail: String,
}

impl Refused {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

//! XP, stages and traits: a fold over a ledger that only grows. Nobody sets a stage; anyone can recompute it.

mod conduct;
mod fold;
mod ledger;
mod traits;
mod verify;

use nexusmon_shared::rank::Rank;

pub use conduct::{
    Came, FAILURES, REJECTED_WITHIN, REJECTIONS, USES, Use, came_of, is_own_fault, suspension,
};
pub use fold::{Folded, Organism, SUSPENSION, XP_TO_RETURN, fold};
pub use ledger::{Entry, LedgerEntry};
pub use traits::{Trait, TraitState, TraitView};
pub use verify::{Award, Completion, PendingOn, UNREJECTED, award};

/// XP of one verified completion, by assessed rank.
pub const fn xp(rank: Rank) -> u64 {
    match rank {
        Rank::E => 10,
        Rank::D => 25,
        Rank::C => 50,
        Rank::B => 100,
        Rank::A => 200,
        Rank::S => 500,
    }
}

/// Autonomy stages, by verified missions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stage {
    Dormant,
    Awakening,
    Forging,
    Sovereign,
    Apex,
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Dormant, Self::Awakening, Self::Forging, Self::Sovereign, Self::Apex];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Dormant => "DORMANT",
            Self::Awakening => "AWAKENING",
            Self::Forging => "FORGING",
            Self::Sovereign => "SOVEREIGN",
            Self::Apex => "APEX",
        }
    }

    /// Verified missions it begins at.
    pub const fn threshold(self) -> u64 {
        match self {
            Self::Dormant => 0,
            Self::Awakening => 1,
            Self::Forging => 10,
            Self::Sovereign => 50,
            Self::Apex => 200,
        }
    }

    pub fn at(verified: u64) -> Self {
        Self::ALL.into_iter().rev().find(|stage| verified >= stage.threshold()).unwrap_or(Self::Dormant)
    }

    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage > self)
    }
}

#[cfg(test)]
mod tests;

//! What work does to the world, as declared; declarations only ever raise the rank.

use crate::rank::Rank;

/// Declared effects of a capability or a task. `true` means "may".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Effects {
    /// Reads data beyond its own workspace.
    pub reads: bool,
    /// Changes data beyond its own workspace.
    pub writes: bool,
    /// Talks to the network.
    pub network: bool,
    /// Spends money or quota.
    pub spends: bool,
    /// Cannot be undone.
    pub irreversible: bool,
}

impl Effects {
    /// Both together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            reads: self.reads | other.reads,
            writes: self.writes | other.writes,
            network: self.network | other.network,
            spends: self.spends | other.spends,
            irreversible: self.irreversible | other.irreversible,
        }
    }

    /// The least rank work with these effects can have.
    pub fn rank_floor(self) -> Rank {
        let mut rank = Rank::E;
        if self.reads {
            rank = rank.max(Rank::D);
        }
        if self.network {
            rank = rank.max(Rank::C);
        }
        if self.writes || self.spends {
            rank = rank.max(Rank::B);
        }
        if self.irreversible && (self.writes || self.spends) {
            rank = rank.max(Rank::A);
        }
        rank
    }
}

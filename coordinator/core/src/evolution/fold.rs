//! The fold.

use nexusmon_shared::time::Timestamp;

use super::{LedgerEntry, Stage, Trait, TraitView};

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Organism {
    pub stage: Stage,
    pub xp: u64,
    /// Verified missions that were not taken back.
    pub verified: u64,
    pub next_stage: Option<Stage>,
    /// Verified missions until the next stage; 0 at the last.
    pub missions_to_next: u64,
    pub traits: Vec<TraitView>,
}

impl Organism {
    /// Whether a trait may be used now: earned or granted.
    pub fn may(&self, wanted: Trait) -> bool {
        let _ = wanted;
        todo!()
    }
}

/// Recomputes everything from the ledger in order.
pub fn fold<'a>(entries: impl IntoIterator<Item = &'a LedgerEntry>, now: Timestamp) -> Organism {
    let _ = (entries.into_iter().count(), now);
    todo!()
}

//! Rank from what work declares and asks for, with the reasons. Knows nothing of policy: what a rank means is `policy`.

mod assess;
mod blast;

use std::collections::BTreeMap;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::effects::Effects;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;

pub use assess::{Bound, Ranked, assess};
pub use blast::BlastRadius;

/// What an operator reads about one rise of a rank.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RankReason {
    pub rank: Rank,
    /// Stable: `manifest`, `sandbox`, `effects`, `effect_flow`, `secret`, `fan_out`,
    /// `sub_mission`, `spawn`, `requested`.
    pub code: &'static str,
    pub message: String,
}

/// One task's rank.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TaskRisk {
    pub task: Name,
    pub capability: Capability,
    pub rank: Rank,
    /// Holds for approval and needs consent whatever the rank, as its manifest demands.
    pub requires_approval: bool,
    /// Declared and implied together.
    pub effects: Effects,
    /// Everything that raised it above E, gravest first.
    pub reasons: Vec<RankReason>,
}

/// A whole plan's risk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Assessment {
    /// The highest of what was requested and what the tasks have.
    pub rank: Rank,
    pub requested: Rank,
    /// Some task's manifest demands approval.
    pub requires_approval: bool,
    pub effects: Effects,
    /// In plan order.
    pub tasks: Vec<TaskRisk>,
    /// Why the mission has its rank.
    pub reasons: Vec<RankReason>,
    pub blast_radius: BlastRadius,
    /// How many tasks use each capability.
    pub capabilities: BTreeMap<Capability, u32>,
}

//! Traits: what the system may do unasked.

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use super::Stage;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Trait {
    Recall,
    Companion,
    WorkerSpawn,
    BeliefTrack,
    AutonomousChain,
    OperatorFusion,
    SelfEvolve,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TraitState {
    Locked,
    Earned,
    /// Returns after `until` *and* once `xp_needed` more XP is earned.
    Suspended {
        evidence: String,
        until: Timestamp,
        xp_needed: u64,
    },
    Disabled {
        by: PrincipalId,
    },
    Granted {
        by: PrincipalId,
        until: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TraitView {
    pub name: Trait,
    #[serde(flatten)]
    pub state: TraitState,
    /// The stage that earns it.
    pub stage: Stage,
    pub description: &'static str,
    /// What the state rests on.
    pub evidence: String,
}

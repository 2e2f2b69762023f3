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

impl Trait {
    pub const ALL: [Self; 7] = [
        Self::Recall,
        Self::Companion,
        Self::WorkerSpawn,
        Self::BeliefTrack,
        Self::AutonomousChain,
        Self::OperatorFusion,
        Self::SelfEvolve,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Recall => "RECALL",
            Self::Companion => "COMPANION",
            Self::WorkerSpawn => "WORKER_SPAWN",
            Self::BeliefTrack => "BELIEF_TRACK",
            Self::AutonomousChain => "AUTONOMOUS_CHAIN",
            Self::OperatorFusion => "OPERATOR_FUSION",
            Self::SelfEvolve => "SELF_EVOLVE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == text)
    }

    /// The stage that earns it.
    pub const fn stage(self) -> Stage {
        match self {
            Self::Recall | Self::Companion => Stage::Awakening,
            Self::WorkerSpawn | Self::BeliefTrack => Stage::Forging,
            Self::AutonomousChain | Self::OperatorFusion => Stage::Sovereign,
            Self::SelfEvolve => Stage::Apex,
        }
    }

    /// What the system may do unasked with it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Recall => "read past missions, outcomes and artifacts when planning and answering",
            Self::Companion => "converse about live state, explain it, draft missions to send",
            Self::WorkerSpawn => "let running tasks add tasks within the envelope of their leaf",
            Self::BeliefTrack => "keep beliefs from outcomes and let scheduling use them",
            Self::AutonomousChain => "start a follow-up mission from an outcome, within budgets and gates",
            Self::OperatorFusion => "spend standing approvals for missions the system starts",
            Self::SelfEvolve => "turn repeated good plans into active playbooks",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TraitState {
    Locked,
    Earned,
    /// Returns after `until` *and* once `xp_needed` more XP is earned.
    Suspended {
        because: String,
        until: Timestamp,
        xp_needed: u64,
    },
    /// By the operator's flag.
    Disabled {
        by: PrincipalId,
    },
    /// The operator's override; not earned.
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

//! Who runs what next, and why the rest waits: a pure function of a snapshot. The same snapshot gives the same plan.
//!
//! Agents are matched to demand classes, not to tasks, so the cost follows the number of classes.

mod explain;
mod limits;
mod matching;
mod plan;
mod reason;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::selector::{Labels, Selector};
use nexusmon_shared::time::Timestamp;

pub use explain::{Explaining, explain, explain_class};
pub use matching::{Fit, fits};
pub use plan::plan;
pub use reason::Reason;

/// The interned key of a demand class, as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub i64);

/// What tasks of one class demand of an agent; equal demands share a class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct DemandClass {
    pub capability: Capability,
    /// The plugin version the plan is pinned to.
    pub plugin: Option<String>,
    pub selector: Selector,
    pub profile: Profile,
    pub rank: Rank,
    pub requires_approval: bool,
    /// May be sent ahead of a free slot (idempotent and without limits).
    pub prefetch: bool,
    /// Concurrency keys with the most leases that may live under each. A `for_each` bound is a key of its own.
    pub limits: BTreeMap<String, u32>,
    /// Whether tasks of it add tasks, or were added.
    #[serde(default, skip_serializing_if = "Dynamic::is_none")]
    pub dynamic: Dynamic,
}

/// How a task has to do with tasks that are added while a mission runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Dynamic {
    #[default]
    None,
    /// Its leaf lets it add some.
    Adds,
    /// It was added: it starts only while the system may let tasks add tasks.
    Added,
}

impl Dynamic {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl DemandClass {
    /// The keys of rates that starts of this class count under; the agent's own comes on top.
    pub fn rate_keys(&self) -> impl Iterator<Item = String> + '_ {
        let keys = self.limits.keys().map(|key| format!("key:{key}"));
        std::iter::once(format!("capability:{}", self.capability)).chain(keys)
    }
}

/// A ready task, in the order of fairness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub task: TaskId,
    pub mission: MissionId,
    pub class: ClassId,
    /// The rank up to which its mission was allowed or approved; nothing above it is granted.
    pub approved: Rank,
    /// Grants the mission's budget still has.
    pub budget_left: u32,
}

/// Whether an agent takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// With a live session.
    Live,
    /// Cut off; holds work it may finish until then.
    Away {
        until: Timestamp,
    },
    Offline,
    /// Enrolled, but not confirmed yet.
    Pending,
    Paused,
    Draining,
    Quarantined,
    Revoked,
}

/// An agent as the scheduler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentView {
    pub id: AgentId,
    /// Shared by all snapshots until it changes: fleets are large, and looked at many times a second.
    pub offer: Arc<Offer>,
    /// Session number the grant is conditional on.
    pub session: u64,
    pub availability: Availability,
    /// Slots not held by a live lease.
    pub free_slots: u32,
    /// Orders it takes beyond its slots, for classes that may be prefetched.
    pub prefetch: u32,
    /// Classes it refused.
    pub barred: BTreeSet<ClassId>,
    /// Of its capabilities, what flags switch off there.
    pub disabled: BTreeSet<Capability>,
    /// How far its own rate of starts is spent, where it has one.
    pub rate: Option<LimitUse>,
}

/// What an agent offers, for as long as neither its Hello nor its row changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub name: String,
    /// Capabilities it advertises, each with its plugin's version.
    pub capabilities: BTreeMap<Capability, String>,
    pub labels: Labels,
    pub slots: u32,
    pub levels: BTreeSet<Level>,
    /// The lower of what it was enrolled for and what its own config allows.
    pub max_rank: Rank,
    /// Capabilities its own config allows; `None` allows all.
    pub allowed: Option<BTreeSet<Capability>>,
    /// It takes A, S and `requires_approval` work: it holds a roster to check signatures with, or its own config wants
    /// none.
    pub consents: bool,
    /// Its build knows tasks that add tasks.
    pub spawns: bool,
}

/// Live leases under a concurrency key, or counted starts under a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitUse {
    pub live: u32,
    /// The smallest maximum among the live leases' classes.
    pub least: Option<u32>,
}

impl LimitUse {
    /// What may still be added; `None` is without bound.
    pub fn left(self) -> Option<u32> {
        self.least.map(|least| least.saturating_sub(self.live))
    }
}

/// Everything a scheduling decision rests on.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The kill switch is pulled: nothing is granted.
    pub halted: bool,
    /// Ready tasks of running missions, in the order of fairness.
    pub candidates: Vec<Candidate>,
    pub classes: BTreeMap<ClassId, DemandClass>,
    pub agents: Vec<AgentView>,
    /// By key; absent means none.
    pub limits: BTreeMap<String, LimitUse>,
    /// Rates of starts that are set, by key: how many counted just now, and how many may.
    pub rates: BTreeMap<String, LimitUse>,
    /// Capabilities disabled by flag, fleet-wide.
    pub disabled: HashSet<Capability>,
    /// Bands of agents whose record speaks against them, by class; whoever is not named is in the best. Empty unless
    /// beliefs may be used.
    pub bands: BTreeMap<ClassId, BTreeMap<AgentId, u8>>,
}

/// One lease to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub task: TaskId,
    pub mission: MissionId,
    pub agent: AgentId,
    pub session: u64,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchedulePlan {
    /// In the order of the candidates.
    pub grants: Vec<Grant>,
    /// Candidates left, each with its reason, in order.
    pub waiting: Vec<(TaskId, Reason)>,
}

#[cfg(test)]
mod tests;

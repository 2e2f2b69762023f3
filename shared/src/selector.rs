//! Where a task may run: a label selector, one agent, or the agent that ran another task.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::AgentId;
use crate::name::Name;

/// Labels of an agent: `region=home`.
pub type Labels = BTreeMap<String, String>;

/// A task's `on`, as written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    /// Every one must be carried; the value `*` accepts any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// An agent's id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent that ran this task, which must be among the ancestors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<Name>,
    /// In a leaf of rank A and S: the machines it was approved for. Labels can be given to any machine later, ids
    /// cannot. Nobody writes this; it is resolved when the plan is made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub agents: BTreeSet<AgentId>,
}

impl On {
    pub fn is_anywhere(&self) -> bool {
        *self == Self::default()
    }
}

/// `on` with names resolved: what the scheduler matches.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Selector {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Only these, however few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<BTreeSet<AgentId>>,
}

impl Selector {
    pub fn matches(&self, agent: AgentId, labels: &Labels) -> bool {
        self.agent.is_none_or(|wanted| wanted == agent)
            && self.agents.as_ref().is_none_or(|named| named.contains(&agent))
            && self
                .labels
                .iter()
                .all(|(key, value)| labels.get(key).is_some_and(|found| value == "*" || found == value))
    }
}

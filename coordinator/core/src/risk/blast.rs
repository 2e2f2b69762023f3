//! What a plan may touch, in a form people can read before they approve.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::id::AgentId;

/// Summary of everything a plan may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct BlastRadius {
    pub tasks: u32,
    /// Attempts at most, retries and `for_each` bounds included.
    pub most_attempts: u64,
    /// Agents named by id.
    pub agents: BTreeSet<AgentId>,
    /// Label selectors, as `key=value`; empty with `anywhere`.
    pub labels: BTreeSet<String>,
    /// Some task may run on any agent.
    pub anywhere: bool,
    pub network: bool,
    /// Host paths, with whether they are written.
    pub paths: BTreeMap<String, bool>,
    pub writes: bool,
    pub spends: bool,
    pub irreversible: bool,
    /// Tasks without confinement.
    pub unconfined: u32,
}

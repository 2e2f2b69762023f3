//! What a plan may touch, in a form people can read before they approve.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::id::AgentId;
use nexusmon_shared::sandbox::Profile;

use super::{Ranked, TaskRisk};

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

impl BlastRadius {
    pub(super) fn of(tasks: &[Ranked<'_>], risks: &[TaskRisk]) -> Self {
        let mut radius = Self { tasks: u32::try_from(tasks.len()).unwrap_or(u32::MAX), ..Self::default() };
        for (task, risk) in tasks.iter().zip(risks) {
            let children = task.spec.for_each.as_ref().map_or(1, |for_each| u64::from(for_each.max));
            let attempts = children.saturating_mul(u64::from(task.spec.retry.max) + 1);
            radius.most_attempts = radius.most_attempts.saturating_add(attempts);
            match task.selector.agent {
                Some(agent) => {
                    radius.agents.insert(agent);
                }
                None if task.selector.labels.is_empty() => radius.anywhere |= task.spec.on.same_as.is_none(),
                None => {
                    let labels = task.selector.labels.iter().map(|(key, value)| format!("{key}={value}"));
                    radius.labels.extend(labels);
                }
            }
            for path in &task.spec.sandbox.paths {
                *radius.paths.entry(path.path.clone()).or_insert(false) |= path.write;
            }
            radius.network |= risk.effects.network;
            radius.writes |= risk.effects.writes;
            radius.spends |= risk.effects.spends;
            radius.irreversible |= risk.effects.irreversible;
            radius.unconfined += u32::from(task.spec.sandbox.profile == Profile::None);
        }
        radius
    }
}

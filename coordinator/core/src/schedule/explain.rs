//! The reason of one waiting task, asked for when somebody looks.

use std::collections::BTreeMap;

use nexusmon_shared::mission::{MissionState, ResumeTo};
use nexusmon_shared::task::TaskState;

use super::limits::{full, spent};
use super::matching::{Fit, fits};
use super::{AgentView, Availability, ClassId, DemandClass, Dynamic, LimitUse, Reason};
use crate::mission::Start;

/// What is known about the task somebody asks about.
#[derive(Debug, Clone, Copy)]
pub struct Explaining<'a> {
    pub task: &'a TaskState,
    pub mission: &'a MissionState,
    pub start: Start,
    /// Ids in the plan of needs that are not terminal.
    pub open_needs: &'a [String],
    pub class: Option<(ClassId, &'a DemandClass)>,
    pub agents: &'a [AgentView],
    pub limits: &'a BTreeMap<String, LimitUse>,
    pub rates: &'a BTreeMap<String, LimitUse>,
    pub halted: bool,
    /// The system may let tasks add tasks.
    pub may_spawn: bool,
}

/// Why the task waits; `None` for one that is being executed or is over. A running task whose agent is cut off waits
/// for that agent.
pub fn explain(about: &Explaining<'_>) -> Option<Reason> {
    match about.task {
        TaskState::Leased { lease } | TaskState::Running { lease, .. } => {
            return about.agents.iter().find(|agent| agent.id == lease.agent).and_then(|agent| {
                match agent.availability {
                    Availability::Away { until } => Some(Reason::Away { agent: agent.id, until }),
                    _ => None,
                }
            });
        }
        TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Skipped { .. }
        | TaskState::Cancelled { .. } => return None,
        TaskState::Uncertain { .. } => return Some(Reason::Uncertain),
        TaskState::Pending | TaskState::Gated | TaskState::Ready | TaskState::Backoff { .. } => {}
    }
    if let Some(reason) = of_mission(about.mission, about.start) {
        return Some(reason);
    }
    Some(match about.task {
        TaskState::Pending => Reason::Needs { tasks: about.open_needs.to_vec() },
        TaskState::Gated => Reason::Gated,
        TaskState::Backoff { until, cause } => Reason::Backoff { until: *until, cause: cause.kind() },
        _ if about.halted => Reason::Halted,
        _ => match about.class {
            Some((_, class)) if class.dynamic == Dynamic::Added && !about.may_spawn => {
                Reason::TraitClosed { name: crate::evolution::Trait::WorkerSpawn.name() }
            }
            Some((id, class)) => match spent(about.rates, class) {
                Some((key, max)) => Reason::LimitReached { key, max },
                None => explain_class(id, class, about.agents, about.limits),
            },
            None => Reason::Queued,
        },
    })
}

fn of_mission(mission: &MissionState, start: Start) -> Option<Reason> {
    match mission {
        MissionState::Planning { .. } | MissionState::NeedsPlan { .. } => Some(Reason::MissionPlanning),
        MissionState::AwaitingApproval { .. } => Some(Reason::AwaitingApproval),
        MissionState::Ready => Some(match start {
            Start::At(at) => Reason::StartAt { at },
            Start::Auto | Start::Manual => Reason::StartManual,
        }),
        MissionState::Paused { resume_to: ResumeTo::AwaitingApproval { .. }, .. } => {
            Some(Reason::AwaitingApproval)
        }
        MissionState::Paused { .. } => Some(Reason::MissionPaused),
        MissionState::Cancelling { .. } => Some(Reason::Cancelling),
        MissionState::Running { .. }
        | MissionState::Succeeded
        | MissionState::Failed { .. }
        | MissionState::Cancelled { .. }
        | MissionState::Rejected { .. }
        | MissionState::Expired => None,
    }
}

/// Why tasks of a class wait, by the agents there are: the last thing that stops the agents that get furthest.
pub fn explain_class(
    id: ClassId,
    class: &DemandClass,
    agents: &[AgentView],
    limits: &BTreeMap<String, LimitUse>,
) -> Reason {
    if let Some((key, max)) = full(limits, &class.limits) {
        return Reason::LimitReached { key: key.to_owned(), max };
    }
    let rated: Vec<(Fit, &AgentView)> = agents.iter().map(|agent| (fits(id, class, agent), agent)).collect();
    let furthest = rated.iter().map(|(fit, _)| *fit).max().unwrap_or(Fit::Capability);
    let there: Vec<&AgentView> =
        rated.iter().filter(|(fit, _)| *fit == furthest).map(|(_, agent)| *agent).collect();
    let names = || there.iter().map(|agent| agent.offer.name.clone()).collect::<Vec<_>>();
    match furthest {
        Fit::Capability => Reason::NoAgentWithCapability { capability: class.capability.clone() },
        Fit::Version => Reason::PluginVersion {
            capability: class.capability.clone(),
            wanted: class.plugin.clone().unwrap_or_default(),
        },
        Fit::Build => Reason::AgentTooOld { capability: class.capability.clone() },
        Fit::Selector => Reason::NoAgentMatchesSelector { selector: selector_words(class) },
        Fit::Sandbox => Reason::SandboxUnavailable { profile: class.profile },
        Fit::Rank => Reason::RankAboveAgentCeiling { rank: class.rank },
        Fit::Consent => Reason::ConsentRequired { rank: class.rank },
        Fit::Refused => Reason::RefusedBy { agents: names() },
        Fit::Limited => Reason::LimitReached {
            key: there.first().map(|agent| format!("agent:{}", agent.offer.name)).unwrap_or_default(),
            max: there.first().and_then(|agent| agent.rate?.least).unwrap_or(0),
        },
        Fit::Disabled => Reason::CapabilityDisabled { capability: class.capability.clone() },
        Fit::Availability => unavailable(&there),
        Fit::Fits => {
            let has_room =
                |agent: &&AgentView| agent.free_slots > 0 || (class.prefetch && agent.prefetch > 0);
            if there.iter().any(has_room) {
                Reason::Queued
            } else {
                Reason::AgentsBusy { agents: u32::try_from(there.len()).unwrap_or(u32::MAX) }
            }
        }
    }
}

/// Of agents that would fit but take no work, the state nearest to taking some.
fn unavailable(agents: &[&AgentView]) -> Reason {
    let named = |wanted: fn(Availability) -> bool| -> Vec<String> {
        let found = agents.iter().filter(|agent| wanted(agent.availability));
        found.map(|agent| agent.offer.name.clone()).collect()
    };
    let paused = named(|state| state == Availability::Paused);
    let draining = named(|state| state == Availability::Draining);
    let offline = named(|state| matches!(state, Availability::Offline | Availability::Away { .. }));
    let pending = named(|state| state == Availability::Pending);
    if !paused.is_empty() {
        Reason::AgentsPaused { agents: paused }
    } else if !draining.is_empty() {
        Reason::AgentsDraining { agents: draining }
    } else if !offline.is_empty() {
        Reason::AgentsOffline { agents: offline }
    } else if !pending.is_empty() {
        Reason::AgentsPending { agents: pending }
    } else {
        Reason::AgentsQuarantined { agents: agents.iter().map(|agent| agent.offer.name.clone()).collect() }
    }
}

fn selector_words(class: &DemandClass) -> String {
    if let Some(agent) = class.selector.agent {
        format!("the agent {agent}")
    } else {
        let labels = class.selector.labels.iter().map(|(key, value)| format!("`{key}={value}`"));
        labels.collect::<Vec<_>>().join(", ")
    }
}

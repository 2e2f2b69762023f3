//! Why a task waits: one enum for the API's `waiting`, each with a sentence for people.

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Profile;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

/// Serialized as `{"reason": "…", …}`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Tasks (ids in the plan) that are not over yet.
    Needs {
        tasks: Vec<String>,
    },
    NoAgentWithCapability {
        capability: Capability,
    },
    /// Agents have the capability, but of another plugin version than the plan is pinned to.
    PluginVersion {
        capability: Capability,
        wanted: String,
    },
    /// Agents have the capability, but are too old to know tasks that add tasks.
    AgentTooOld {
        capability: Capability,
    },
    /// It was added by a running task, which the system may not let happen now.
    TraitClosed {
        #[serde(rename = "trait")]
        name: &'static str,
    },
    NoAgentMatchesSelector {
        selector: String,
    },
    SandboxUnavailable {
        profile: Profile,
    },
    RankAboveAgentCeiling {
        rank: Rank,
    },
    /// Only agents that hold a roster run this, and none that fits does.
    ConsentRequired {
        rank: Rank,
    },
    /// Agents that would fit forbid the capability in their own config, or refused this work.
    RefusedBy {
        agents: Vec<String>,
    },
    /// Every agent that fits has its slots full.
    AgentsBusy {
        agents: u32,
    },
    /// Agents that fit are enrolled, but none is connected.
    AgentsOffline {
        agents: Vec<String>,
    },
    AgentsPaused {
        agents: Vec<String>,
    },
    AgentsDraining {
        agents: Vec<String>,
    },
    AgentsQuarantined {
        agents: Vec<String>,
    },
    AgentsPending {
        agents: Vec<String>,
    },
    /// The agent that runs it is cut off and may finish until then.
    Away {
        agent: AgentId,
        until: Timestamp,
    },
    LimitReached {
        key: String,
        max: u32,
    },
    BudgetSpent,
    CapabilityDisabled {
        capability: Capability,
    },
    AboveApprovedRank {
        rank: Rank,
        approved: Rank,
    },
    Backoff {
        until: Timestamp,
        cause: &'static str,
    },
    Uncertain,
    MissionPaused,
    MissionPlanning,
    AwaitingApproval,
    StartManual,
    StartAt {
        at: Timestamp,
    },
    Cancelling,
    Halted,
    Gated,
    /// Nothing stands in the way: the next scheduling tick takes it.
    Queued,
}

impl Reason {
    /// The stable name, as serialized.
    pub fn code(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => {
                fields.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            _ => String::new(),
        }
    }

    /// The API's `waiting`: the fields with a sentence as `detail`.
    pub fn view(&self) -> Value {
        let mut view = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut view {
            fields.insert("detail".to_owned(), Value::from(self.message()));
        }
        view
    }

    /// One sentence: what is in the way, and what would help.
    pub fn message(&self) -> String {
        match self {
            Self::Needs { tasks } => format!("waits for {}", list(tasks)),
            Self::NoAgentWithCapability { capability } => {
                format!("no enrolled agent has `{capability}`: add its plugin to an agent")
            }
            Self::PluginVersion { capability, wanted } => {
                format!("no agent has `{capability}` at version {wanted}, which the plan is pinned to")
            }
            Self::AgentTooOld { capability } => {
                format!("no agent with `{capability}` knows tasks that add tasks: update one")
            }
            Self::TraitClosed { name } => {
                format!("it was added by a running task, and {name} is not the system's to use now")
            }
            Self::NoAgentMatchesSelector { selector } => {
                format!("no agent with the capability matches {selector}")
            }
            Self::SandboxUnavailable { profile } => {
                format!(
                    "no agent that fits has measured the sandbox `{}`: see its `doctor`",
                    profile.as_str()
                )
            }
            Self::RankAboveAgentCeiling { rank } => {
                format!("every agent that fits has a rank ceiling below {rank}")
            }
            Self::ConsentRequired { rank } => format!(
                "rank {rank} work needs signatures, and no agent that fits holds a roster to check them with: make a key \
                 with `nexusmon key make`; on agents that joined before that, `nexusmon-agent roster reset --owner-key …`"
            ),
            Self::RefusedBy { agents } => format!("refused by the local policy of {}", list(agents)),
            Self::AgentsBusy { agents } => format!("all slots of the {agents} agents that fit are busy"),
            Self::AgentsOffline { agents } => format!("agents that fit are offline: {}", list(agents)),
            Self::AgentsPaused { agents } => format!("agents that fit are paused: {}", list(agents)),
            Self::AgentsDraining { agents } => format!("agents that fit are draining: {}", list(agents)),
            Self::AgentsQuarantined { agents } => {
                format!("agents that fit are quarantined: {}", list(agents))
            }
            Self::AgentsPending { agents } => {
                format!("agents that fit are not confirmed yet: {}", list(agents))
            }
            Self::Away { agent, until } => format!("{agent} is cut off and may finish it until {until}"),
            Self::LimitReached { key, max } => format!("the limit `{key}` of {max} is reached"),
            Self::BudgetSpent => "the mission's budget of attempts is spent".to_owned(),
            Self::CapabilityDisabled { capability } => format!("`{capability}` is disabled by a flag"),
            Self::AboveApprovedRank { rank, approved } => {
                format!("it ranks {rank}, and the mission is approved up to {approved}")
            }
            Self::Backoff { until, cause } => format!("tried again at {until} after {cause}"),
            Self::Uncertain => {
                "nobody knows whether it happened: resolve it as succeeded, failed or retry".to_owned()
            }
            Self::MissionPaused => "the mission is paused".to_owned(),
            Self::MissionPlanning => "the mission has no plan yet".to_owned(),
            Self::AwaitingApproval => "the mission waits for approval".to_owned(),
            Self::StartManual => "the mission waits to be run by hand".to_owned(),
            Self::StartAt { at } => format!("the mission starts at {at}"),
            Self::Cancelling => "the mission is being cancelled".to_owned(),
            Self::Halted => "everything is halted".to_owned(),
            Self::Gated => "its run-time values wait for approval".to_owned(),
            Self::Queued => "next in line".to_owned(),
        }
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

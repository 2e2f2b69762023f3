//! From what people write to a plan that can be sealed: reading, checking, resolving every default.
//!
//! Errors are collected, not just the first: each names its place by a JSON pointer. Knows what the fleet can do only
//! through [`PlanFacts`].

mod bind;
mod capabilities;
mod expressions;
pub(crate) mod fields;
mod follow_up;
mod graph;
mod machines;
mod matching;
mod mission_body;
mod parameters;
mod playbook;
mod proposal;
mod rebind;
mod schema;
mod secrets;
mod spawned;
mod task_body;
mod task_checks;
pub mod words;

use std::collections::{BTreeMap, HashMap};

use nexusmon_shared::binding::Bindings;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::plan::{Budget, TaskDraft, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Selector;
use serde_json::{Map, Value};

pub use bind::bind;
pub use capabilities::{Catalog, Known};
pub use follow_up::{FollowUp, FollowsOn, MAX_FOLLOW_UPS};
pub use matching::{Gap, Match, match_playbook};
pub use mission_body::{MissionDraft, parse_mission, parse_tasks};
pub use playbook::{Playbook, PlaybookRef, complete_inputs, fill, open_leaves, parse_playbook, unfilled};
pub use proposal::{Lacking, Offer, Proposal, answer_schema, parse_answer};
pub use rebind::{Change, changes, rebind, rebind_inputs};
pub use schema::mission_schema;
pub use spawned::bind_spawned;

use crate::risk::Assessment;
use crate::schedule::AgentView;

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Invalid {
    /// RFC 6901: `/tasks/3/needs/0`; empty for the whole body.
    pub pointer: String,
    /// Stable, for programs: `cycle`, `unknown_need`, `unknown_capability`, …
    pub code: &'static str,
    /// For people: what is wrong and what to write instead.
    pub message: String,
}

impl Invalid {
    pub(crate) fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into() }
    }
}

/// What to bind.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    pub drafts: &'a [TaskDraft],
    /// Can only raise.
    pub requested: Rank,
    pub budget: &'a Budget,
}

/// What is known of the fleet when a plan is bound.
#[derive(Debug, Clone, Copy)]
pub struct PlanFacts<'a> {
    /// Built-in and advertised capabilities.
    pub catalog: &'a Catalog,
    /// Every enrolled agent by name.
    pub agents: &'a BTreeMap<String, AgentId>,
    /// What each of them offers: A and S work names the machines it is for.
    pub fleet: &'a HashMap<AgentId, AgentView>,
    /// Every secret there is, with what it is bound to.
    pub secrets: &'a Bindings,
    /// The playbook this plan comes from.
    pub playbook: Option<&'a str>,
}

/// A task of a bound plan: its leaf and what was worked out beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundTask {
    pub spec: TaskSpec,
    pub rank: Rank,
    pub requires_approval: bool,
    /// `on` with the agent's name resolved; `same_as` is resolved when that task has run.
    pub selector: Selector,
    /// Places in the plan of `needs`.
    pub needs: Vec<u32>,
    /// Place in the plan of `on.same_as`.
    pub same_as: Option<u32>,
    /// The plugin version the capability is pinned to; `None` for built-in ones.
    pub plugin: Option<String>,
    /// `with` holds expressions: it is evaluated when the task becomes ready.
    pub open: bool,
    /// Places of the tasks its expressions name (outputs or state), and of `inputs` it fetches from.
    pub reads: Vec<u32>,
    /// How its `if` takes part in deciding its needs.
    pub condition: crate::needs::Condition,
}

impl BoundTask {
    /// Whether it holds values known only at run time and, being A or S, waits as `gated` for an approval over them
    /// ([`crate::task::gate`]) when they are known.
    pub fn needs_instance_approval(&self) -> bool {
        (self.rank.needs_approval() || self.requires_approval) && self.spec.is_open()
    }
}

/// A valid plan with every default resolved, ready to be sealed under a header.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundPlan {
    /// In the order written.
    pub tasks: Vec<BoundTask>,
    /// `PlanHeader::plugins`: version by plugin, for the capabilities used.
    pub plugins: BTreeMap<String, String>,
    pub assessment: Assessment,
}

impl BoundPlan {
    /// The leaves in plan order.
    pub fn specs(&self) -> Vec<TaskSpec> {
        self.tasks.iter().map(|task| task.spec.clone()).collect()
    }
}

/// The agent of `on.agent`: an id, or the name of an enrolled agent.
pub(crate) fn resolve_agent(text: &str, agents: &BTreeMap<String, AgentId>) -> Option<AgentId> {
    agents.get(text).copied().or_else(|| {
        let id = text.parse::<AgentId>().ok()?;
        agents.values().any(|known| *known == id).then_some(id)
    })
}

pub(crate) type Parameters = Map<String, Value>;
pub(crate) type Places<'a> = HashMap<&'a str, usize>;

#[cfg(test)]
mod tests;

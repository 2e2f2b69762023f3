//! From a goal in words to a plan: planners are asked in order, each only reads, and the first that answers wins. What it
//! answers is data until it has been bound, ranked and judged like any other plan.

mod help;
mod keep;
mod memory;
mod model;
mod playbook;
mod prompt;
mod question;
mod reading;
mod spending;
mod view;
mod work;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use nexusmon_core::planning::MissionDraft;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MemoryId, MissionId, ModelCallId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{MissionRow, PlanningOutcome};
use serde_json::Value;
use tokio::sync::Notify;

use super::Caller;
use super::playbooks::MadeOf;
use crate::error::{Error, FieldError, Result};
use crate::models::Spent;
pub use help::Help;
pub(super) use keep::as_state;
pub use model::PROMPT;
pub(super) use prompt::fenced;
pub(super) use question::ask as ask_aside;
use reading::Reading;
pub use view::{PlannerDay, PlannerNumbers, PlanningStep, PlanningView};
pub(super) use view::{numbers, planning_of};
pub(crate) use work::woken;
pub use work::{again, work};
pub(super) use work::{first_look, lease};

/// Who plans, in the order they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Playbook,
    Memory,
    Model,
    /// Plans nothing: a model that was asked what a question means.
    Companion,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Playbook, Self::Memory, Self::Model, Self::Companion];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Playbook => "playbook",
            Self::Memory => "memory",
            Self::Model => "model",
            Self::Companion => "companion",
        }
    }
}

/// What this node knows of planning under way.
#[derive(Debug, Default)]
pub struct Desk {
    /// A goal waits for a planner that takes its time.
    pub(super) wake: Notify,
    /// What was asked and could not be written down when it was answered.
    unwritten: Mutex<Vec<(MissionId, Arc<Vec<Step>>)>>,
}

/// A goal to plan, for whom, and what may be read for it.
struct Wanted<'a> {
    row: &'a MissionRow,
    caller: &'a Caller,
    reading: Reading<'a>,
}

/// A planner. It is given nothing that writes.
trait Planner: Send + Sync {
    fn kind(&self) -> Kind;

    /// `rejected`: its first answer was not valid; it may answer once more.
    fn plan<'a>(
        &'a self,
        wanted: &'a Wanted<'a>,
        rejected: Option<&'a Rejected>,
    ) -> BoxFuture<'a, Result<Answered>>;
}

/// An answer that did not stand the test.
#[derive(Debug, Clone)]
struct Rejected {
    answer: Option<Value>,
    errors: Vec<FieldError>,
}

/// What a planner answered, and what it took.
#[derive(Debug, Clone)]
struct Answered {
    answer: Answer,
    /// `provider/name`, and the prompt, where a model was asked.
    model: Option<String>,
    prompt: Option<&'static str>,
    spent: Spent,
    cached: bool,
    /// What its answer is kept under, where one was given.
    question: Option<Digest>,
    /// As the model gave it.
    raw: Option<Value>,
    /// What was set aside for it.
    call: Option<ModelCallId>,
}

impl Answered {
    fn plain(answer: Answer) -> Self {
        Self {
            answer,
            model: None,
            prompt: None,
            spent: Spent::default(),
            cached: false,
            question: None,
            raw: None,
            call: None,
        }
    }
}

#[derive(Debug, Clone)]
enum Answer {
    Plan(Box<Proposed>),
    /// It cannot be read as a plan.
    Invalid(Vec<FieldError>),
    /// A fault of ours, in words for people: nobody else is asked after it.
    Broken(String),
    /// No plan; the outcome says of what kind this is.
    None {
        outcome: PlanningOutcome,
        said: String,
        help: Vec<Help>,
    },
}

impl Answer {
    fn none(outcome: PlanningOutcome, said: impl Into<String>, help: Vec<Help>) -> Self {
        Self::None { outcome, said: said.into(), help }
    }

    /// What an error on the way to an answer says.
    fn of(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => Self::Invalid(errors),
            error if error.status() < 500 => {
                Self::none(PlanningOutcome::Failed, error.to_string(), Vec::new())
            }
            error => {
                tracing::warn!(?error, "a planner's work broke off");
                Self::Broken(error.to_string())
            }
        }
    }
}

/// A plan that nobody has looked at yet.
#[derive(Debug, Clone)]
struct Proposed {
    draft: Arc<MissionDraft>,
    made_of: Option<Arc<MadeOf>>,
    /// For people: what it is made of.
    said: String,
    /// `playbook name@version`, or a mission's id.
    source: Option<String>,
    /// Against where it comes from.
    differs: Vec<String>,
    /// What it was recalled from.
    memory: Option<MemoryId>,
}

/// A planner was asked: what came of it.
#[derive(Debug, Clone)]
struct Step {
    planner: Kind,
    outcome: PlanningOutcome,
    said: String,
    help: Vec<Help>,
    source: Option<String>,
    differs: Vec<String>,
    model: Option<String>,
    prompt: Option<&'static str>,
    spent: Spent,
    cached: bool,
    /// What was set aside for it; given back where it is written down.
    calls: Vec<ModelCallId>,
    /// A fault of ours ended it.
    broke: bool,
    at: Timestamp,
    took: Duration,
}

impl Step {
    /// Whether something of it has to be written down, whatever became of its mission.
    fn cost(&self) -> bool {
        self.spent.calls > 0 || !self.calls.is_empty()
    }

    /// Whether nobody is asked after it, though it has no plan.
    fn settles(&self) -> bool {
        self.broke || self.outcome == PlanningOutcome::Asked
    }

    fn breaks(&mut self, what: &str) {
        self.broke = true;
        self.outcome = PlanningOutcome::Failed;
        self.said = format!("planning broke off: {what}; run the mission again");
    }
}

//! A plan: an immutable graph of task specs, with every default resolved into it.
//!
//! [`TaskDraft`] is what people write; [`TaskSpec`] is a leaf of the plan. Turning the one into the other, and checking
//! it, is the coordinator's core (`planning`).

mod accept;
mod envelope;
mod secret_use;
mod spawned;

use std::collections::BTreeMap;

pub use accept::{Accept, NotAdmitted};
pub use envelope::{Envelope, EnvelopeError, MAX_SPAWNED, MAX_SPAWNED_RANK, NotWithin};
use serde_json::{Map, Value};

pub use secret_use::{MAX_SECRETS, SecretUse, is_variable};
pub use spawned::Usual;

use crate::capability::Capability;
use crate::digest::Digest;
use crate::effects::Effects;
use crate::id::{MissionId, VersionId};
use crate::name::Name;
use crate::sandbox::Sandbox;
use crate::selector::On;
use crate::time::Span;

/// Outputs of one task, as JSON.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;
/// Collected outputs of one `for_each`, as JSON.
pub const MAX_FOR_EACH_OUTPUT_BYTES: usize = 1024 * 1024;
/// An evaluated `with`, as JSON.
pub const MAX_PARAMETER_BYTES: usize = 512 * 1024;
/// A mission's request body.
pub const MAX_MISSION_BYTES: usize = 32 * 1024 * 1024;
/// Tasks of one plan.
pub const MAX_TASKS: usize = 100_000;

/// Where a plan names none.
pub const DEFAULT_TIMEOUT: Span = Span::from_secs(3600);
pub const DEFAULT_BACKOFF: Span = Span::from_secs(5);
pub const DEFAULT_JITTER: f64 = 0.2;

/// A task as people write it; absent means "the default".
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDraft {
    pub id: Name,
    pub uses: Capability,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Name>,
    /// CEL; false skips the task. One that names `tasks.x.state` decides alone about failed needs.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    #[serde(default, skip_serializing_if = "On::is_anywhere")]
    pub on: On,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryDraft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// How long a cut-off agent may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Globs beneath the workspace to keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// CEL post-condition over `outputs` and `exit_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
    #[serde(default)]
    pub effects: Effects,
    /// Concurrency keys with the most leases that may live under each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<Name, u32>,
    /// Values of run time that the plan's own approval covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Accept>,
    /// What it may add to its mission while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn: Option<Envelope>,
}

/// One task per element of a list.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// CEL that gives a list.
    #[serde(rename = "in")]
    pub list: String,
    /// The most elements it may have.
    pub max: u32,
    /// The most children that may be leased at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryDraft {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<String>>,
}

/// Retry with every default resolved.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Further tries after a failure.
    pub max: u32,
    /// Before the first retry; doubles each time, at most an hour.
    pub backoff: Span,
    /// Share of the backoff that is random, 0 to 1.
    pub jitter: f64,
    /// Causes by name; empty means every retryable one.
    pub on: Vec<String>,
}

/// An artifact to fetch into the workspace's inputs folder.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// What another task of this plan produced; it must be among the ancestors.
    FromTask(FromTask),
    /// A version in the vault.
    FromVault(FromVault),
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromTask {
    pub task: Name,
    /// The artifact's name as produced.
    pub artifact: String,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromVault {
    pub version: VersionId,
    /// File name in the inputs folder.
    #[serde(rename = "as")]
    pub name: String,
}

/// A leaf of a plan: a task with every default resolved. Its canonical form (RFC 8785) is what the digest covers.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    pub id: Name,
    pub uses: Capability,
    pub with: Map<String, Value>,
    pub needs: Vec<Name>,
    #[serde(rename = "if")]
    pub condition: Option<String>,
    pub for_each: Option<ForEach>,
    pub on: On,
    pub timeout: Span,
    pub retry: Retry,
    pub idempotent: bool,
    pub offline: Span,
    pub sandbox: Sandbox,
    /// Absent where there are none, as in every plan sealed before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    pub inputs: Vec<Input>,
    pub artifacts: Vec<String>,
    pub verify: Option<String>,
    pub effects: Effects,
    pub limits: BTreeMap<Name, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Accept>,
    /// Absent in every plan sealed before there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn: Option<Envelope>,
}

/// Machines that A work may be carried out on by one plan before it ranks S.
pub const FAN_OUT: usize = 10;

impl TaskSpec {
    /// How often it is carried out at most, retries aside.
    pub fn executions(&self) -> usize {
        self.for_each.as_ref().map_or(1, |list| usize::try_from(list.max).unwrap_or(usize::MAX))
    }

    /// Whether this leaf alone reaches so many machines that A work of it ranks S.
    pub fn fans_out(&self) -> bool {
        self.executions().min(self.on.agents.len()) >= FAN_OUT
    }

    /// Whether values that are known only at run time take part: expressions, elements of a list, fetched bytes.
    pub fn is_open(&self) -> bool {
        self.for_each.is_some()
            || !self.inputs.is_empty()
            || self.with.values().any(crate::expression::is_open)
    }
}

/// What the digest covers beside the tasks.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanHeader {
    pub mission: MissionId,
    pub goal: String,
    pub author: Author,
    pub input_digests: Vec<Digest>,
    /// `name@version`.
    pub playbook: Option<String>,
    pub policy_digest: Digest,
    /// Plugin version by plugin name, for the capabilities this plan uses.
    pub plugins: BTreeMap<String, String>,
    pub budget: Budget,
}

/// Whose text became the plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Author {
    Person(crate::id::PrincipalId),
    Token(crate::id::PrincipalId),
    /// `playbook`, `memory`, `model`.
    Planner(String),
    Trigger(String),
}

/// Ceilings of a mission; every one has a finite default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Tasks, `for_each` children included.
    pub tasks: u32,
    /// Grants over all tasks.
    pub attempts: u32,
    /// From start to end.
    pub duration: Span,
    pub artifact_bytes: u64,
    pub log_bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            tasks: 100_000,
            attempts: 1_000_000,
            duration: Span::from_secs(24 * 3600),
            artifact_bytes: 10 * 1024 * 1024 * 1024,
            log_bytes: 10 * 1024 * 1024 * 1024,
        }
    }
}

/// A plan in full.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    pub header: PlanHeader,
    pub tasks: Vec<TaskSpec>,
}

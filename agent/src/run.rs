//! One attempt, as values: what is to be executed, what came of it, and the state machine in between.
//!
//! Pure: knows no runtime, no files, no network. Time comes in as boot-clock readings.

mod lease;
mod phase;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId};
use nexusmon_shared::name::Name;
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::provenance::Provenance;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub use lease::{LeaseClock, MARGIN};
pub use phase::{Answer, Phase, Reason};

/// What a worker is asked to execute. Consent has been given; inputs are on this machine.
#[derive(Debug, Clone)]
pub struct Job {
    pub attempt: AttemptRef,
    /// Counts grants of this task, from 1.
    pub attempt_number: u32,
    pub mission: MissionId,
    pub spec: Arc<TaskSpec>,
    /// Place in its `for_each`.
    pub item_index: Option<u32>,
    /// As the agent computed it, or as stated where that is higher.
    pub rank: Rank,
    /// This machine, and the playbook its plan was made of: what secrets are bound to.
    pub agent: AgentId,
    pub playbook: Option<String>,
    /// The evaluated `with`.
    pub parameters: Map<String, Value>,
    pub inputs: Vec<JobInput>,
    /// Runs at most this long, counted on the boot clock.
    pub timeout: Duration,
    /// Extra life without renewal of the lease; zero for idempotent work.
    pub offline: Duration,
    /// The same for every attempt of the task.
    pub idempotency_key: String,
    pub traceparent: Option<String>,
    /// What the leaf names, in its order; handed over right before the start.
    pub secrets: Vec<JobSecret>,
    /// What will be signed about the artifacts, as far as it is known; `None` where none are to be kept.
    pub provenance: Option<Box<Provenance>>,
}

/// A secret on its way to one process.
#[derive(Clone)]
pub struct JobSecret {
    /// File name in the secrets folder.
    pub name: Name,
    /// Also in this environment variable.
    pub env: Option<String>,
    pub value: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for JobSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A fetched artifact: `path` lies in the content cache and must not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInput {
    /// File name in the inputs folder.
    pub name: String,
    pub path: PathBuf,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Exit {
    pub ending: Ending,
    /// Files that outlive the workspace until the worker is told to release the attempt.
    pub artifacts: Vec<Collected>,
    pub sandbox_level: Option<Level>,
    /// Bytes of log this attempt wrote.
    pub log_bytes: u64,
    /// Of them all, where artifacts are to be kept.
    pub log_digest: Option<Digest>,
    /// What this machine signed about the artifacts, as JSON.
    pub provenance: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
}

/// An output file, still on this machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Collected {
    /// Path beneath the workspace, with `/`.
    pub name: String,
    pub path: PathBuf,
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
    /// A secret was found in it: what lies at `path` is a note instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

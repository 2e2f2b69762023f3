//! A task's states. Transitions live in the coordinator's core; this is the vocabulary.

use crate::attempt::{Fence, Lease};
use crate::outcome::Cause;
use crate::time::Timestamp;

/// Outputs of a task: one JSON object, at most [`crate::plan::MAX_OUTPUT_BYTES`].
pub type Outputs = serde_json::Map<String, serde_json::Value>;

#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for its needs.
    Pending,
    /// Run-time values of an A or S task wait for approval.
    Gated,
    Ready,
    Leased {
        lease: Lease,
    },
    Running {
        lease: Lease,
        since: Timestamp,
    },
    Backoff {
        until: Timestamp,
        cause: Cause,
    },
    /// Non-idempotent, and nobody knows whether it happened.
    Uncertain {
        lease: Lease,
        since: Timestamp,
    },
    Succeeded {
        outputs: Outputs,
    },
    Failed {
        cause: Cause,
    },
    Skipped {
        reason: SkipReason,
    },
    Cancelled {
        effect_unknown: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A need did not succeed.
    NeedFailed,
    /// Its own `if` said no.
    Condition,
    /// It was added by an attempt that was not its task's last.
    Superseded,
}

/// The bare word, for columns, filters and counters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    Pending,
    Gated,
    Ready,
    Leased,
    Running,
    Backoff,
    Uncertain,
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

impl TaskStatus {
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Gated,
        Self::Ready,
        Self::Leased,
        Self::Running,
        Self::Backoff,
        Self::Uncertain,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Gated => "gated",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Uncertain => "uncertain",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}

impl TaskState {
    pub const fn status(&self) -> TaskStatus {
        match self {
            Self::Pending => TaskStatus::Pending,
            Self::Gated => TaskStatus::Gated,
            Self::Ready => TaskStatus::Ready,
            Self::Leased { .. } => TaskStatus::Leased,
            Self::Running { .. } => TaskStatus::Running,
            Self::Backoff { .. } => TaskStatus::Backoff,
            Self::Uncertain { .. } => TaskStatus::Uncertain,
            Self::Succeeded { .. } => TaskStatus::Succeeded,
            Self::Failed { .. } => TaskStatus::Failed,
            Self::Skipped { .. } => TaskStatus::Skipped,
            Self::Cancelled { .. } => TaskStatus::Cancelled,
        }
    }

    /// The lease somebody may still be executing under.
    pub const fn live_lease(&self) -> Option<&Lease> {
        match self {
            Self::Leased { lease } | Self::Running { lease, .. } => Some(lease),
            _ => None,
        }
    }
}

/// What the state machine moves: the state with what outlives a lease.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    pub state: TaskState,
    /// The newest fence given out, whether or not its lease lives.
    pub fence: Fence,
    /// Grants so far.
    pub attempts: u32,
    /// Failures that counted against `retry.max`.
    pub retries: u32,
}

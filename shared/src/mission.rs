//! A mission's states. Transitions live in the coordinator's core; this is the vocabulary.

use crate::digest::Digest;
use crate::id::PrincipalId;
use crate::outcome::Cause;
use crate::time::Timestamp;

#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum MissionState {
    /// Leased to one coordinator, so that a crash frees it.
    Planning {
        owner: String,
        deadline: Timestamp,
    },
    NeedsPlan {
        reason: String,
    },
    AwaitingApproval {
        digest: Digest,
        since: Timestamp,
        decide_by: Timestamp,
    },
    /// Held by `start: manual`, or until `start_at`.
    Ready,
    Running {
        since: Timestamp,
    },
    Paused {
        by: PrincipalId,
        since: Timestamp,
        resume_to: ResumeTo,
    },
    Cancelling {
        by: PrincipalId,
    },
    Succeeded,
    Failed {
        cause: MissionFailure,
    },
    Cancelled {
        by: PrincipalId,
    },
    Rejected {
        by: PrincipalId,
    },
    /// Nobody decided in time.
    Expired,
}

/// What a paused mission was.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum ResumeTo {
    NeedsPlan { reason: String },
    AwaitingApproval { digest: Digest, since: Timestamp, decide_by: Timestamp },
    Ready,
    Running { since: Timestamp },
}

/// Why a mission failed.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MissionFailure {
    /// The first task that failed, by its id in the plan.
    Task {
        task: String,
        cause: Cause,
    },
    Budget {
        budget: String,
    },
}

/// The bare word, for columns, filters and counters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissionStatus {
    Planning,
    NeedsPlan,
    AwaitingApproval,
    Ready,
    Running,
    Paused,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    Rejected,
    Expired,
}

impl MissionStatus {
    pub const ALL: [Self; 12] = [
        Self::Planning,
        Self::NeedsPlan,
        Self::AwaitingApproval,
        Self::Ready,
        Self::Running,
        Self::Paused,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Rejected,
        Self::Expired,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::NeedsPlan => "needs_plan",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Rejected | Self::Expired)
    }
}

impl MissionState {
    pub const fn status(&self) -> MissionStatus {
        match self {
            Self::Planning { .. } => MissionStatus::Planning,
            Self::NeedsPlan { .. } => MissionStatus::NeedsPlan,
            Self::AwaitingApproval { .. } => MissionStatus::AwaitingApproval,
            Self::Ready => MissionStatus::Ready,
            Self::Running { .. } => MissionStatus::Running,
            Self::Paused { .. } => MissionStatus::Paused,
            Self::Cancelling { .. } => MissionStatus::Cancelling,
            Self::Succeeded => MissionStatus::Succeeded,
            Self::Failed { .. } => MissionStatus::Failed,
            Self::Cancelled { .. } => MissionStatus::Cancelled,
            Self::Rejected { .. } => MissionStatus::Rejected,
            Self::Expired => MissionStatus::Expired,
        }
    }
}

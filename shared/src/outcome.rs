//! How attempts and tasks end. The causes are one list: it drives retry, the error taxonomy and the cockpit.

use crate::attempt::AttemptRef;
use crate::digest::Digest;
use crate::time::Timestamp;

/// Why a task failed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    ExitStatus {
        code: i32,
    },
    Timeout,
    Signal {
        signal: i32,
    },
    LostAgent,
    RefusedByAgent {
        reason: Refusal,
        detail: String,
    },
    /// The process could not be started, or a plugin crashed or answered nonsense.
    PluginError {
        detail: String,
    },
    VerifyFailed {
        detail: String,
    },
    OutputTooLarge {
        bytes: u64,
        limit: u64,
    },
    ArtifactFailed {
        detail: String,
    },
    BadParameters {
        detail: String,
    },
    DeniedByPolicy {
        policies: Vec<String>,
    },
    ApprovalExpired,
    BudgetExceeded {
        budget: String,
    },
    /// A person resolved an uncertain task as failed.
    Resolved {
        comment: String,
    },
}

/// Why an agent refused an order. A refusal is a report with its cause, not an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The agent's own configuration forbids this rank or capability.
    LocalPolicy,
    /// A or S, or `requires_approval`, without the signatures this agent demands.
    MissingConsent,
    /// Signatures came, and they are not enough: forged, altered, expired, of too few persons, or used up.
    BadSignature,
    BadProof,
    /// The parameters differ from the plan outside `${{ }}`.
    ParametersDiffer,
    SelectorDiffers,
    UnknownCapability,
    SandboxUnavailable,
    Draining,
    /// The capability may not be used with these parameters (its schema says no).
    ParametersInvalid,
}

impl Cause {
    /// The stable public name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ExitStatus { .. } => "exit_status",
            Self::Timeout => "timeout",
            Self::Signal { .. } => "signal",
            Self::LostAgent => "lost_agent",
            Self::RefusedByAgent { .. } => "refused_by_agent",
            Self::PluginError { .. } => "plugin_error",
            Self::VerifyFailed { .. } => "verify_failed",
            Self::OutputTooLarge { .. } => "output_too_large",
            Self::ArtifactFailed { .. } => "artifact_failed",
            Self::BadParameters { .. } => "bad_parameters",
            Self::DeniedByPolicy { .. } => "denied_by_policy",
            Self::ApprovalExpired => "approval_expired",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::Resolved { .. } => "resolved",
        }
    }

    /// Names `retry.on` may hold.
    pub const RETRYABLE: [&'static str; 7] = [
        "exit_status",
        "timeout",
        "signal",
        "lost_agent",
        "plugin_error",
        "artifact_failed",
        "verify_failed",
    ];

    /// Whether trying again could help at all.
    pub fn is_retryable(&self) -> bool {
        Self::RETRYABLE.contains(&self.kind())
    }
}

/// What an agent says about an attempt it ended or gave back.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Report {
    pub attempt: AttemptRef,
    pub ending: Ending,
    /// By the agent's clock; for display only.
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    /// Finished uploads that belong to this attempt.
    pub artifacts: Vec<ProducedArtifact>,
    /// Bytes of log this attempt wrote (stdout and stderr).
    pub log_bytes: u64,
    /// The profile level that really surrounded the process.
    pub sandbox_level: Option<crate::sandbox::Level>,
    /// What the agent signed about the artifacts (`trust::provenance`), as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ending {
    Succeeded {
        outputs: serde_json::Map<String, serde_json::Value>,
    },
    Failed {
        cause: Cause,
    },
    /// Ended because the coordinator said so.
    Cancelled,
    /// Never started: recalled, drained, or an order the agent could not take now. Granted again at no cost.
    Returned,
    /// The agent refused before starting.
    Refused {
        reason: Refusal,
        detail: String,
    },
    /// The agent crashed in between and cannot know.
    Unknown,
}

/// A collected output, already stored under its digest.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct ProducedArtifact {
    /// Path beneath the workspace, with `/`.
    pub name: String,
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
    /// A secret was found in it: digest and size are those of the note that stands in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

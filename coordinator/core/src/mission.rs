//! A mission's state machine. It consumes a state and a command and answers the next state with what has to happen;
//! it knows nothing of plans, tasks (beyond their counts) or storage.

mod apply;
mod counts;

use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::mission::{MissionFailure, MissionState};
use nexusmon_shared::time::Timestamp;

pub use apply::{apply, create};
pub use counts::{TaskCounts, completion};

use crate::policy::Verdict;

/// When a mission that may start does start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    #[default]
    Auto,
    /// Waits for `run`.
    Manual,
    /// Waits for a time, or for `run`.
    At(Timestamp),
}

impl serde::Serialize for Start {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Manual => serializer.serialize_str("manual"),
            Self::At(time) => serializer.collect_str(time),
        }
    }
}

impl std::str::FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "manual" => Ok(Self::Manual),
            time => time.parse().map(Self::At).map_err(|_| {
                let shown: String = time.chars().take(40).collect();
                format!(
                    "`{shown}` is neither `auto`, `manual` nor an RFC 3339 time such as 2031-05-01T12:00:00Z"
                )
            }),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What governance said about a plan, with what the mission needs to know to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    pub digest: Digest,
    pub verdict: Verdict,
    /// How long people have to decide; used where the verdict holds. See [`crate::policy::decide_within`].
    pub decide_within: Duration,
    pub start: Start,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MissionCommand {
    /// A plan is there and governance has seen it: from planning, for `needs_plan`, or in place of a plan that waits
    /// for approval or for its start. A deny is refused here with `denied_by_policy`.
    PlanReady(Gate),
    /// Planners are asked (again), by this node, which has until then.
    Plan {
        owner: String,
        deadline: Timestamp,
    },
    /// No planner could make a plan.
    NoPlan {
        reason: String,
    },
    /// The approval over `digest` is complete.
    Approve {
        digest: Digest,
        start: Start,
    },
    Reject {
        digest: Digest,
        by: PrincipalId,
    },
    /// The clock says nobody decided in time; refused before `decide_by`.
    Expire,
    /// A person starts a mission held by `start: manual` or a time.
    Run,
    /// The time of `start` has come; refused before it.
    StartDue {
        at: Timestamp,
    },
    Pause {
        by: PrincipalId,
    },
    /// Goes back to what it was when it was paused.
    Resume,
    Cancel {
        by: PrincipalId,
    },
    /// As [`Self::Cancel`], also while it is being cancelled: what runs gets no time to tidy up.
    Kill {
        by: PrincipalId,
    },
    /// A ceiling was reached: pauses in the system's name.
    BudgetExceeded {
        by: PrincipalId,
    },
    /// The counts after any task changed; ends the mission where they say so. `failure` names the first failed task.
    Settle {
        counts: TaskCounts,
        failure: Option<MissionFailure>,
    },
}

/// What has to happen with a transition, in its transaction (rows) or after it (orders, notifications).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissionEffect {
    /// Decide the needs of all pending tasks without unmet needs: the first ones become ready.
    UnlockTasks,
    /// Open an approval over `digest` and ask for it.
    OpenApproval { digest: Digest, needed: u32, decide_by: Timestamp },
    /// A pending approval of this mission no longer matters.
    VoidApproval,
    /// Flagged: log it and open a review.
    OpenReview { digest: Digest },
    /// Take back orders whose attempts have not started.
    RecallUnstarted,
    /// Every task without a live lease becomes cancelled ([`crate::task::cancel`]).
    CancelWaitingTasks,
    /// Running attempts are told to end.
    CancelRunning,
    /// Ready tasks may be granted again.
    WakeScheduler,
    /// The mission reached a terminal state.
    Finished,
}

/// A transition's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub state: MissionState,
    pub effects: Vec<MissionEffect>,
}

/// What to do about a plan digest that is no longer the plan's: the detail of `digest_changed`.
pub(crate) fn digest_changed(wanted: &Digest, current: &Digest) -> crate::Refused {
    crate::Refused::new(
        "digest_changed",
        format!(
            "the plan is now {current}, not {wanted}: read the mission again and decide on what it says now"
        ),
    )
}

#[cfg(test)]
mod tests;

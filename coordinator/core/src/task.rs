//! The state machine of one task: granted, started, settled by a report, ended by its lease, cancelled, resolved.
//!
//! Each function consumes nothing and answers the task as it should be stored. Knows nothing of missions beyond whether
//! theirs is being cancelled, nor of plans beyond [`TaskRules`].

mod end;
mod settle;

use nexusmon_shared::attempt::{Fence, Lease};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::outcome::{Cause, Refusal};
use nexusmon_shared::plan::{Retry, TaskSpec};
use nexusmon_shared::planted::planted;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{Outputs, SkipReason, Task, TaskState};
use nexusmon_shared::time::Timestamp;

pub use end::{Ended, lease_ended};
pub use settle::{settle, verified};

use crate::{Refused, retry};

/// What of a leaf decides about its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRules {
    pub idempotent: bool,
    pub retry: Retry,
    /// As assessed.
    pub rank: Rank,
}

impl TaskRules {
    pub fn of(spec: &TaskSpec, rank: Rank) -> Self {
        Self { idempotent: spec.idempotent, retry: spec.retry.clone(), rank }
    }
}

/// What the mission is doing while a task changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissionMood {
    /// Running or paused.
    Alive,
    /// Being cancelled: nothing is tried again, what is uncertain is cancelled with unknown effect.
    Cancelling,
}

/// A task that changed, with what has to follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    pub task: Task,
    /// The task became terminal: decide what depends on it (unless the mission is cancelling) and settle the mission.
    pub finished: bool,
    /// Do not offer this task's demand class to the agent again until its manifest, config or labels change.
    pub bar: Option<Bar>,
    /// Something a person must see: a bad proof or a changed parameter is a sign of a forged order.
    pub alert: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    pub agent: AgentId,
    pub reason: Refusal,
}

/// What came of a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    Applied(Settlement),
    /// Under an older fence, or about an attempt that was settled before: record it as `stale_report`, change nothing,
    /// acknowledge it.
    Stale,
}

/// A task in a fresh plan.
pub fn fresh(epoch: u32) -> Task {
    Task { state: TaskState::Pending, fence: Fence { epoch, number: 0 }, attempts: 0, retries: 0 }
}

/// Gives the task to an agent under a new fence. Refused with `not_ready` unless the task is ready.
pub fn grant(
    task: &Task,
    agent: AgentId,
    session: u64,
    offline_until: Option<Timestamp>,
    epoch: u32,
) -> Result<(Task, Lease), Refused> {
    if task.state != TaskState::Ready {
        return Err(not("ready", task));
    }
    let fence = if planted("fence-reused") { task.fence } else { task.fence.next(epoch) };
    let attempt = task.attempts.saturating_add(1);
    let lease = Lease { attempt, agent, session, fence, offline_until };
    Ok((Task { state: TaskState::Leased { lease }, fence, attempts: attempt, retries: task.retries }, lease))
}

/// The agent says it started. Answers `None` where that changes nothing (an older fence, or already known).
pub fn started(task: &Task, fence: Fence, now: Timestamp) -> Option<Task> {
    match task.state {
        TaskState::Leased { lease } if lease.fence == fence => {
            Some(with(task, TaskState::Running { lease, since: now }))
        }
        _ => None,
    }
}

/// The needs are decided: a pending task becomes ready or skipped.
pub fn needs_decided(task: &Task, decision: &crate::needs::Decision) -> Result<Settlement, Refused> {
    if task.state != TaskState::Pending {
        return Err(not("pending", task));
    }
    Ok(match decision {
        crate::needs::Decision::Ready => moved(task, TaskState::Ready),
        crate::needs::Decision::Skip(reason) => moved(task, TaskState::Skipped { reason: *reason }),
        crate::needs::Decision::Fail(cause) => moved(task, TaskState::Failed { cause: cause.clone() }),
        crate::needs::Decision::Wait | crate::needs::Decision::Evaluate => {
            return Err(Refused::new("not_decided", "the task's needs are not decided yet"));
        }
    })
}

/// The run-time values of an A or S task are known and want an approval of their own.
pub fn gate(task: &Task) -> Result<Task, Refused> {
    match task.state {
        TaskState::Pending | TaskState::Ready => Ok(with(task, TaskState::Gated)),
        _ => Err(not("pending or ready", task)),
    }
}

/// The approval over the instance is there.
pub fn approve_instance(task: &Task) -> Result<Task, Refused> {
    match task.state {
        TaskState::Gated => Ok(with(task, TaskState::Ready)),
        _ => Err(not("gated", task)),
    }
}

/// The instance was rejected, or nobody decided in time (`Cause::ApprovalExpired`).
pub fn deny_instance(task: &Task, cause: Cause) -> Result<Settlement, Refused> {
    match task.state {
        TaskState::Gated => Ok(moved(task, TaskState::Failed { cause })),
        _ => Err(not("gated", task)),
    }
}

/// Fails a task that nobody holds before it is granted: its parameters do not evaluate, a `for_each` is too long.
pub fn fail(task: &Task, cause: Cause) -> Result<Settlement, Refused> {
    match task.state {
        TaskState::Pending | TaskState::Gated | TaskState::Ready | TaskState::Backoff { .. } => {
            Ok(moved(task, TaskState::Failed { cause }))
        }
        _ => Err(not("waiting", task)),
    }
}

/// Marks the parent of a `for_each` by what its children came to; a parent is never leased itself.
pub fn collect(task: &Task, outcome: Result<Outputs, Cause>) -> Result<Settlement, Refused> {
    match task.state {
        TaskState::Pending | TaskState::Ready => Ok(moved(
            task,
            match outcome {
                Ok(outputs) => TaskState::Succeeded { outputs },
                Err(cause) => TaskState::Failed { cause },
            },
        )),
        _ => Err(not("pending or ready", task)),
    }
}

/// The backoff is over: ready again. `None` before its time or in any other state.
pub fn backoff_due(task: &Task, began: Option<Timestamp>, now: Timestamp) -> Option<Task> {
    match task.state {
        TaskState::Backoff { until, .. }
            if retry::is_over(until, began, now) && !planted("backoff-forgotten") =>
        {
            Some(with(task, TaskState::Ready))
        }
        _ => None,
    }
}

/// What a person (or a `verify`) says about an uncertain task.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    Succeeded {
        outputs: Outputs,
    },
    Failed {
        comment: String,
    },
    /// Run it again.
    Retry,
}

/// Decides an uncertain task and raises the fence, so that a late report of the old attempt is stale.
pub fn resolve(task: &Task, resolution: Resolution, epoch: u32) -> Result<Settlement, Refused> {
    if !matches!(task.state, TaskState::Uncertain { .. }) {
        return Err(Refused::new(
            "not_uncertain",
            format!("only an uncertain task can be resolved; this one is {}", task.state.status().as_str()),
        ));
    }
    let raised = Task { fence: task.fence.next(epoch), ..task.clone() };
    Ok(match resolution {
        Resolution::Succeeded { outputs } => moved(&raised, TaskState::Succeeded { outputs }),
        Resolution::Failed { comment } => {
            moved(&raised, TaskState::Failed { cause: Cause::Resolved { comment } })
        }
        Resolution::Retry => moved(&raised, TaskState::Ready),
    })
}

/// What cancelling a mission does to one of its tasks.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancelled {
    /// Terminal now, under a raised fence.
    Now(Task),
    /// Somebody holds it: tell them to end it; its report or the end of its lease settles it.
    AwaitReport(Lease),
    /// It was over already.
    Already,
}

/// Cancels: waiting tasks at once, uncertain ones with unknown effect, leased ones by their report.
pub fn cancel(task: &Task, epoch: u32) -> Cancelled {
    let now = |effect_unknown| {
        let state = TaskState::Cancelled { effect_unknown };
        Cancelled::Now(Task { state, fence: task.fence.next(epoch), ..task.clone() })
    };
    match &task.state {
        TaskState::Pending | TaskState::Gated | TaskState::Ready | TaskState::Backoff { .. } => now(false),
        TaskState::Uncertain { .. } => now(true),
        TaskState::Leased { lease } | TaskState::Running { lease, .. } => Cancelled::AwaitReport(*lease),
        TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Skipped { .. }
        | TaskState::Cancelled { .. } => Cancelled::Already,
    }
}

/// A skip decided outside [`needs_decided`]: a `rerun` that reuses nothing of this task.
pub fn skip(task: &Task, reason: SkipReason) -> Result<Settlement, Refused> {
    match task.state {
        TaskState::Pending => Ok(moved(task, TaskState::Skipped { reason })),
        _ => Err(not("pending", task)),
    }
}

fn with(task: &Task, state: TaskState) -> Task {
    Task { state, ..task.clone() }
}

fn moved(task: &Task, state: TaskState) -> Settlement {
    let finished = state.status().is_terminal();
    Settlement { task: with(task, state), finished, bar: None, alert: None }
}

fn not(wanted: &str, task: &Task) -> Refused {
    let found = task.state.status().as_str();
    Refused::new(
        if task.state.status().is_terminal() { "already_terminal" } else { "not_ready" },
        format!("the task is {found}, not {wanted}"),
    )
}

#[cfg(test)]
mod tests;

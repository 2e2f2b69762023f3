//! A report settles a task, or is stale.

use nexusmon_shared::outcome::{Cause, Ending, Refusal, Report};
use nexusmon_shared::planted::planted;
use nexusmon_shared::task::{Task, TaskState};
use nexusmon_shared::time::Timestamp;

use super::end::lost;
use super::{Bar, MissionMood, Settled, Settlement, TaskRules, moved};
use crate::retry;

/// Applies a report. The fence, not the expiry, makes a report stale: one under the task's current fence settles it
/// whether it is leased, running, uncertain, in backoff or ready again after its lease ended; an older one changes
/// nothing.
///
/// A report that leaves the task unfinished (a retry, a return, a refusal) uses the fence up: the answered task carries
/// a raised one, so that the same report arriving again is stale and is not counted as a second failure.
pub fn settle(
    task: &Task,
    rules: &TaskRules,
    report: &Report,
    mood: MissionMood,
    now: Timestamp,
    rng: &mut impl rand::Rng,
) -> Settled {
    let newer = report.attempt.fence != task.fence && !planted("fence-check-skipped");
    if newer || task.attempts == 0 {
        return Settled::Stale;
    }
    let lease = match &task.state {
        TaskState::Leased { lease }
        | TaskState::Running { lease, .. }
        | TaskState::Uncertain { lease, .. } => Some(*lease),
        TaskState::Backoff { .. } | TaskState::Ready => None,
        TaskState::Failed { .. } | TaskState::Cancelled { .. } if planted("late-report-reopens") => None,
        // Pending and gated tasks have not been granted under this fence; terminal is terminal.
        TaskState::Pending
        | TaskState::Gated
        | TaskState::Succeeded { .. }
        | TaskState::Failed { .. }
        | TaskState::Skipped { .. }
        | TaskState::Cancelled { .. } => return Settled::Stale,
    };
    let uncertain = matches!(task.state, TaskState::Uncertain { .. });
    let mut settlement = match &report.ending {
        Ending::Succeeded { outputs } => moved(task, TaskState::Succeeded { outputs: outputs.clone() }),
        Ending::Failed { cause } => failed(task, rules, cause, report.started_at.is_some(), mood, now, rng),
        Ending::Cancelled => interrupted(task, rules, mood, now),
        Ending::Returned => again(task, mood),
        Ending::Refused { reason, detail } => {
            refused(task, rules, *reason, detail, mood, lease.map(|lease| lease.agent))
        }
        Ending::Unknown => match (mood, lease) {
            (MissionMood::Cancelling, _) => moved(task, TaskState::Cancelled { effect_unknown: true }),
            (MissionMood::Alive, _) if rules.idempotent && lease.is_some() => lost(task, rules, now, rng),
            (MissionMood::Alive, Some(lease)) if !uncertain => {
                moved(task, TaskState::Uncertain { lease, since: now })
            }
            // It was known before that nobody knows.
            (MissionMood::Alive, _) => return Settled::Stale,
        },
    };
    let stays =
        matches!(settlement.task.state, TaskState::Uncertain { .. }) || planted("fence-kept-after-failure");
    if !settlement.finished && !stays {
        settlement.task.fence = task.fence.next(task.fence.epoch);
    }
    Settled::Applied(settlement)
}

fn failed(
    task: &Task,
    rules: &TaskRules,
    cause: &Cause,
    started: bool,
    mood: MissionMood,
    now: Timestamp,
    rng: &mut impl rand::Rng,
) -> Settlement {
    let again = mood == MissionMood::Alive
        && retry::allows(&rules.retry, rules.idempotent, cause, task.retries, started);
    if !again {
        return moved(task, TaskState::Failed { cause: cause.clone() });
    }
    let wait = retry::backoff(rules.retry.backoff.0, rules.retry.jitter, task.retries, rng);
    let counted = Task { retries: task.retries.saturating_add(1), ..task.clone() };
    moved(&counted, TaskState::Backoff { until: now + wait, cause: cause.clone() })
}

/// Ended because the coordinator said so. Outside a cancelled mission (a halt) idempotent work simply runs again; other
/// work may have done half of it, and a person decides.
fn interrupted(task: &Task, rules: &TaskRules, mood: MissionMood, now: Timestamp) -> Settlement {
    match (mood, task.state.live_lease()) {
        (MissionMood::Cancelling, _) => moved(task, TaskState::Cancelled { effect_unknown: false }),
        (MissionMood::Alive, Some(lease)) if !rules.idempotent => {
            moved(task, TaskState::Uncertain { lease: *lease, since: now })
        }
        (MissionMood::Alive, _) if rules.idempotent => moved(task, TaskState::Ready),
        (MissionMood::Alive, _) => moved(task, task.state.clone()),
    }
}

/// Never started: ready at no cost.
fn again(task: &Task, mood: MissionMood) -> Settlement {
    match mood {
        MissionMood::Alive => moved(task, TaskState::Ready),
        MissionMood::Cancelling => moved(task, TaskState::Cancelled { effect_unknown: false }),
    }
}

fn refused(
    task: &Task,
    rules: &TaskRules,
    reason: Refusal,
    detail: &str,
    mood: MissionMood,
    agent: Option<nexusmon_shared::id::AgentId>,
) -> Settlement {
    let failed = |cause| moved(task, TaskState::Failed { cause });
    match reason {
        Refusal::LocalPolicy
        | Refusal::MissingConsent
        | Refusal::SelectorDiffers
        | Refusal::UnknownCapability
        | Refusal::SandboxUnavailable => {
            let bar = agent.map(|agent| Bar { agent, reason });
            Settlement { bar, ..again(task, mood) }
        }
        Refusal::Draining => again(task, mood),
        Refusal::BadProof | Refusal::BadSignature | Refusal::ParametersDiffer => {
            let alert = Some(format!("an agent refused an order as forged ({reason:?}): {detail}"));
            let settlement = match mood {
                MissionMood::Cancelling => again(task, mood),
                MissionMood::Alive if rules.rank.needs_approval() => moved(task, TaskState::Gated),
                MissionMood::Alive => failed(Cause::RefusedByAgent { reason, detail: detail.to_owned() }),
            };
            Settlement { alert, ..settlement }
        }
        Refusal::ParametersInvalid => match mood {
            MissionMood::Alive => failed(Cause::BadParameters { detail: detail.to_owned() }),
            MissionMood::Cancelling => again(task, mood),
        },
    }
}

/// The ending after the task's `verify`, if it has one: an attempt that succeeded but does not hold its post-condition
/// failed. `outputs` and `exit_code` (0) are what the expression sees.
pub fn verified(verify: Option<&crate::expression::Expression>, ending: Ending) -> Ending {
    let (Some(verify), Ending::Succeeded { outputs }) = (verify, &ending) else {
        return ending;
    };
    let context = crate::expression::Context::of_outcome(outputs.clone(), 0);
    let detail = match verify.condition(&context) {
        Ok(true) => return ending,
        Ok(false) => format!("`{}` does not hold", verify.source()),
        Err(error) => error.to_string(),
    };
    Ending::Failed { cause: Cause::VerifyFailed { detail } }
}

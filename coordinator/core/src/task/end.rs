//! A lease that ended without a report.

use nexusmon_shared::outcome::Cause;
use nexusmon_shared::planted::planted;
use nexusmon_shared::task::{Task, TaskState};
use nexusmon_shared::time::Timestamp;

use super::{MissionMood, Settlement, TaskRules, moved};
use crate::Refused;
use crate::retry;

/// What is known about the attempt whose lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The agent's journal says it was never started: under the same journal id, its Hello lacks it.
    NeverStarted,
    /// Nobody knows; it counts as started.
    Unreported,
}

/// Ends the lease of a leased or running task. Never started: ready again at no cost. Idempotent: ready at once the
/// first time, then with growing backoff, since a task that kills its agents must not go round in circles (`retry.max`
/// does not count losses: the machine failed, not the work). Others become uncertain. Refused with `no_lease` in every
/// other state, so ending one lease twice changes nothing.
pub fn lease_ended(
    task: &Task,
    rules: &TaskRules,
    ended: Ended,
    mood: MissionMood,
    now: Timestamp,
    rng: &mut impl rand::Rng,
) -> Result<Settlement, Refused> {
    let Some(lease) = task.state.live_lease().copied() else {
        return Err(Refused::new("no_lease", "the task has no live lease"));
    };
    Ok(match (ended, mood) {
        (Ended::NeverStarted, MissionMood::Alive) => moved(task, TaskState::Ready),
        (Ended::NeverStarted, MissionMood::Cancelling) if planted("cancelled-granted-again") => {
            moved(task, TaskState::Ready)
        }
        (Ended::NeverStarted, MissionMood::Cancelling) => {
            moved(task, TaskState::Cancelled { effect_unknown: false })
        }
        (Ended::Unreported, MissionMood::Cancelling) => {
            moved(task, TaskState::Cancelled { effect_unknown: true })
        }
        (Ended::Unreported, MissionMood::Alive) if rules.idempotent => lost(task, rules, now, rng),
        (Ended::Unreported, MissionMood::Alive) if planted("uncertain-retried") => {
            moved(task, TaskState::Ready)
        }
        (Ended::Unreported, MissionMood::Alive) => moved(task, TaskState::Uncertain { lease, since: now }),
    })
}

/// An idempotent attempt is lost.
pub(super) fn lost(task: &Task, rules: &TaskRules, now: Timestamp, rng: &mut impl rand::Rng) -> Settlement {
    if task.attempts <= 1 {
        return moved(task, TaskState::Ready);
    }
    let wait = retry::backoff(rules.retry.backoff.0, rules.retry.jitter, task.attempts - 2, rng);
    moved(task, TaskState::Backoff { until: now + wait, cause: Cause::LostAgent })
}

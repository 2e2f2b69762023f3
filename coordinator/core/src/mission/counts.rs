//! How many tasks of a mission are in which state, and what follows for the mission.

use nexusmon_shared::mission::{MissionFailure, MissionState};
use nexusmon_shared::planted::planted;
use nexusmon_shared::task::TaskStatus;

/// Tasks by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct TaskCounts([u32; TaskStatus::ALL.len()]);

impl TaskCounts {
    pub const fn get(&self, status: TaskStatus) -> u32 {
        self.0[status as usize]
    }

    /// Adds `by` (which may be negative) to one state; never below zero.
    pub fn add(&mut self, status: TaskStatus, by: i64) {
        let count = &mut self.0[status as usize];
        *count = u32::try_from(i64::from(*count).saturating_add(by).max(0)).unwrap_or(u32::MAX);
    }

    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Tasks somebody may be executing.
    pub fn live(&self) -> u32 {
        self.get(TaskStatus::Leased) + self.get(TaskStatus::Running)
    }

    pub fn terminal(&self) -> u32 {
        TaskStatus::ALL.iter().filter(|status| status.is_terminal()).map(|status| self.get(*status)).sum()
    }

    pub fn all_terminal(&self) -> bool {
        let left = if planted("mission-ends-early") { self.live() } else { 0 };
        self.terminal() + left == self.total()
    }
}

impl FromIterator<TaskStatus> for TaskCounts {
    fn from_iter<I: IntoIterator<Item = TaskStatus>>(statuses: I) -> Self {
        let mut counts = Self::default();
        for status in statuses {
            counts.add(status, 1);
        }
        counts
    }
}

impl FromIterator<(TaskStatus, u32)> for TaskCounts {
    fn from_iter<I: IntoIterator<Item = (TaskStatus, u32)>>(groups: I) -> Self {
        let mut counts = Self::default();
        for (status, count) in groups {
            counts.add(status, i64::from(count));
        }
        counts
    }
}

/// The final state of a mission that is not being cancelled, if its tasks say that it is over: failed when all are
/// terminal and one failed, succeeded when all succeeded or were skipped.
pub fn completion(counts: &TaskCounts, failure: Option<MissionFailure>) -> Option<MissionState> {
    if !counts.all_terminal() {
        return None;
    }
    if counts.get(TaskStatus::Failed) == 0 {
        return Some(MissionState::Succeeded);
    }
    let unnamed =
        || MissionFailure::Task { task: String::new(), cause: nexusmon_shared::outcome::Cause::LostAgent };
    Some(MissionState::Failed { cause: failure.unwrap_or_else(unnamed) })
}

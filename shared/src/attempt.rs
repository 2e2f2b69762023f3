//! One execution of a task on one agent, under one lease with one fence.

use std::fmt;

use crate::id::{AgentId, TaskId};
use crate::time::Timestamp;

/// Grows with every grant and every resolution of a task; a report under an older one changes nothing.
///
/// `epoch` is raised when a backup is restored, so that authority given before it is dead.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Fence {
    pub epoch: u32,
    pub number: u64,
}

impl Fence {
    /// The next fence in `epoch`, which is never below this one's.
    #[must_use]
    pub fn next(self, epoch: u32) -> Self {
        Self { epoch: self.epoch.max(epoch), number: self.number + 1 }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

/// Names one attempt everywhere: the task and the fence it was granted under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct AttemptRef {
    pub task: TaskId,
    pub fence: Fence,
}

/// The one live right to execute a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Lease {
    /// Counts grants of this task, from 1.
    pub attempt: u32,
    pub agent: AgentId,
    /// The agent row's session number the order was granted to.
    pub session: u64,
    pub fence: Fence,
    /// While cut off, the agent may go on until then.
    pub offline_until: Option<Timestamp>,
}

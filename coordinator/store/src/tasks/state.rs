//! Between the flat columns and the state with its data.

use nexusmon_shared::attempt::Lease;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::task::{Outputs, Task, TaskState, TaskStatus};
use nexusmon_shared::time::Timestamp;

use super::{SettleRow, TaskRow, TaskUpdate};
use crate::error::StoreError;
use crate::record::Json;

fn missing(column: &str) -> StoreError {
    StoreError::Corrupt { column: format!("tasks.{column}"), reason: "the state needs it".to_owned() }
}

impl TaskRow {
    /// The lease in the columns; the state says whether it lives.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease {
            attempt: self.attempt,
            agent: self.agent.ok_or_else(|| missing("agent"))?,
            session: self.session.ok_or_else(|| missing("session"))?,
            fence: self.fence(),
            offline_until: self.offline_until,
        })
    }

    /// The outputs as JSON; empty where there are none.
    pub fn outputs(&self) -> Result<Outputs, StoreError> {
        self.outputs.as_deref().map_or_else(
            || Ok(Outputs::new()),
            |text| {
                serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
                    column: "tasks.outputs".to_owned(),
                    reason: error.to_string(),
                })
            },
        )
    }

    fn known_cause(&self) -> Result<Cause, StoreError> {
        self.cause.as_ref().map(|cause| cause.0.clone()).ok_or_else(|| missing("cause"))
    }

    /// The state with its data.
    pub fn task_state(&self) -> Result<TaskState, StoreError> {
        Ok(match self.state {
            TaskStatus::Pending => TaskState::Pending,
            TaskStatus::Gated => TaskState::Gated,
            TaskStatus::Ready => TaskState::Ready,
            TaskStatus::Leased => TaskState::Leased { lease: self.lease()? },
            TaskStatus::Running => TaskState::Running {
                lease: self.lease()?,
                since: self.since.ok_or_else(|| missing("since"))?,
            },
            TaskStatus::Backoff => TaskState::Backoff {
                until: self.not_before.ok_or_else(|| missing("not_before"))?,
                cause: self.known_cause()?,
            },
            TaskStatus::Uncertain => TaskState::Uncertain {
                lease: self.lease()?,
                since: self.since.ok_or_else(|| missing("since"))?,
            },
            TaskStatus::Succeeded => TaskState::Succeeded { outputs: self.outputs()? },
            TaskStatus::Failed => TaskState::Failed { cause: self.known_cause()? },
            TaskStatus::Skipped => {
                TaskState::Skipped { reason: self.skip_reason.ok_or_else(|| missing("skip_reason"))? }
            }
            TaskStatus::Cancelled => TaskState::Cancelled { effect_unknown: self.effect_unknown },
        })
    }

    /// What the state machine moves.
    pub fn task(&self) -> Result<Task, StoreError> {
        Ok(Task {
            state: self.task_state()?,
            fence: self.fence(),
            attempts: self.attempt,
            retries: self.retries,
        })
    }

    /// Lays a task back into the columns. `finished_at` is set on the first terminal state, `ready_at` when it becomes
    /// ready; `started_at` keeps the newest start. A later state drops what only the earlier one meant; the agent stays
    /// on ended tasks, so that "same agent as" finds it.
    pub fn put(&mut self, task: &Task, now: Timestamp) {
        self.state = task.state.status();
        self.attempt = task.attempts;
        self.retries = task.retries;
        self.fence_epoch = task.fence.epoch;
        self.fence_number = task.fence.number;
        self.not_before = None;
        self.since = None;
        match &task.state {
            TaskState::Pending | TaskState::Gated => {}
            TaskState::Ready => {
                self.ready_at = Some(now);
                self.offline_until = None;
            }
            TaskState::Leased { lease } => self.put_lease(lease),
            TaskState::Running { lease, since } => {
                self.put_lease(lease);
                self.since = Some(*since);
                self.started_at = Some(*since);
            }
            TaskState::Uncertain { lease, since } => {
                self.put_lease(lease);
                self.since = Some(*since);
            }
            TaskState::Backoff { until, cause } => {
                self.not_before = Some(*until);
                // So that a clock set back is noticed.
                self.since = Some(now);
                self.cause = Some(Json(cause.clone()));
                self.offline_until = None;
            }
            TaskState::Succeeded { outputs } => {
                self.outputs = Some(serde_json::Value::Object(outputs.clone()).to_string());
                self.cause = None;
            }
            TaskState::Failed { cause } => self.cause = Some(Json(cause.clone())),
            TaskState::Skipped { reason } => self.skip_reason = Some(*reason),
            TaskState::Cancelled { effect_unknown } => self.effect_unknown = *effect_unknown,
        }
        if self.state.is_terminal() && self.finished_at.is_none() {
            self.finished_at = Some(now);
        }
    }

    const fn put_lease(&mut self, lease: &Lease) {
        self.attempt = lease.attempt;
        self.agent = Some(lease.agent);
        self.session = Some(lease.session);
        self.fence_epoch = lease.fence.epoch;
        self.fence_number = lease.fence.number;
        self.offline_until = lease.offline_until;
    }
}

impl From<&TaskRow> for TaskUpdate {
    fn from(row: &TaskRow) -> Self {
        row.update()
    }
}

impl From<&TaskRow> for SettleRow {
    fn from(row: &TaskRow) -> Self {
        row.settled()
    }
}

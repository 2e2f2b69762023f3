//! Tasks: the hot rows. The state is flat, the lease is on the row, and every statement here takes a batch.
//!
//! Knows how a state lies in columns, not which state may follow which.

mod claim;
mod graph;
mod hold;
mod list;
mod state;

use std::collections::BTreeMap;

use nexusmon_shared::attempt::Fence;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::name::Name;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{SkipReason, TaskStatus};
use nexusmon_shared::time::Timestamp;

pub use claim::{GrantRow, GrantedTask, LimitUse};
pub use graph::{Decision, EdgeRow, ItemOutcome, LeafRef, Source};
pub use list::{LeafKey, ReadyCount, TaskCount, TaskFilter, TaskSummary};

use crate::classes::ClassId;
use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{Json, Value, args, record};
use crate::transaction::Tx;

/// Concurrency keys with their maxima.
pub type Limits = BTreeMap<String, u32>;

record! {
    /// A task in full.
    pub struct TaskRow {
        pub id: TaskId,
        pub mission: MissionId,
        /// Place in the plan.
        pub leaf_index: u32,
        /// Of a `for_each` child: place in the list.
        pub item_index: Option<u32>,
        /// Of a `for_each` child: the task with the `for_each`.
        pub parent: Option<TaskId>,
        /// Of a task that was added while the mission ran: the one that added it.
        pub spawned_by: Option<TaskId>,
        /// The task's id in the plan.
        pub key: Name,
        pub uses: Capability,
        pub rank: Rank,
        pub priority: i64,
        pub idempotent: bool,
        /// Canonical leaf; `None` for a `for_each` child (it is the parent's).
        pub spec: Option<String>,
        /// Of a `for_each` child: its element, as JSON.
        pub item: Option<String>,
        /// Edges that leave this task; 0 means that unlocking can be skipped.
        pub dependents: u32,
        pub created_at: Timestamp,
        pub state: TaskStatus,
        pub held: bool,
        pub class: Option<ClassId>,
        pub tag: i64,
        pub needs_open: u32,
        /// Of a `for_each`: children not terminal.
        pub children_open: u32,
        pub attempt: u32,
        pub retries: u32,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub agent: Option<AgentId>,
        pub session: Option<u64>,
        pub offline_until: Option<Timestamp>,
        pub not_before: Option<Timestamp>,
        pub since: Option<Timestamp>,
        pub ready_at: Option<Timestamp>,
        pub granted_at: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        pub cause: Option<Json<Cause>>,
        /// JSON object as text.
        pub outputs: Option<String>,
        pub skip_reason: Option<SkipReason>,
        pub effect_unknown: bool,
        /// Evaluated `with`, as JSON; `None` where the leaf's holds no expression.
        pub params: Option<String>,
        /// Resolved inputs, as the caller wrote them.
        pub inputs: Option<String>,
        pub limits: Option<Json<Limits>>,
        pub log_bytes: i64,
    }

    /// Everything about a task that changes; see [`TaskRow::update`].
    pub struct TaskUpdate {
        pub id: TaskId,
        pub state: TaskStatus,
        pub held: bool,
        pub class: Option<ClassId>,
        pub tag: i64,
        pub needs_open: u32,
        pub children_open: u32,
        pub attempt: u32,
        pub retries: u32,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub agent: Option<AgentId>,
        pub session: Option<u64>,
        pub offline_until: Option<Timestamp>,
        pub not_before: Option<Timestamp>,
        pub since: Option<Timestamp>,
        pub ready_at: Option<Timestamp>,
        pub granted_at: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        pub cause: Option<Json<Cause>>,
        pub outputs: Option<String>,
        pub skip_reason: Option<SkipReason>,
        pub effect_unknown: bool,
        pub params: Option<String>,
        pub inputs: Option<String>,
        pub limits: Option<Json<Limits>>,
        pub log_bytes: i64,
    }

    /// The end of an attempt that was its task's last, or a step to the next one: the few columns a report moves.
    pub struct SettleRow {
        pub id: TaskId,
        pub state: TaskStatus,
        pub retries: u32,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub agent: Option<AgentId>,
        pub session: Option<u64>,
        pub offline_until: Option<Timestamp>,
        pub not_before: Option<Timestamp>,
        pub since: Option<Timestamp>,
        pub ready_at: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        pub cause: Option<Json<Cause>>,
        pub outputs: Option<String>,
        pub effect_unknown: bool,
        pub log_bytes: i64,
    }
}

impl TaskRow {
    /// The newest fence given out.
    pub const fn fence(&self) -> Fence {
        Fence { epoch: self.fence_epoch, number: self.fence_number }
    }

    /// The changeable part, for [`Tx::update_tasks`].
    pub fn update(&self) -> TaskUpdate {
        let row = self.clone();
        TaskUpdate {
            id: row.id,
            state: row.state,
            held: row.held,
            class: row.class,
            tag: row.tag,
            needs_open: row.needs_open,
            children_open: row.children_open,
            attempt: row.attempt,
            retries: row.retries,
            fence_epoch: row.fence_epoch,
            fence_number: row.fence_number,
            agent: row.agent,
            session: row.session,
            offline_until: row.offline_until,
            not_before: row.not_before,
            since: row.since,
            ready_at: row.ready_at,
            granted_at: row.granted_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            cause: row.cause,
            outputs: row.outputs,
            skip_reason: row.skip_reason,
            effect_unknown: row.effect_unknown,
            params: row.params,
            inputs: row.inputs,
            limits: row.limits,
            log_bytes: row.log_bytes,
        }
    }

    /// The part a report changes, for [`Tx::settle`].
    pub fn settled(&self) -> SettleRow {
        SettleRow {
            id: self.id,
            state: self.state,
            retries: self.retries,
            fence_epoch: self.fence_epoch,
            fence_number: self.fence_number,
            agent: self.agent,
            session: self.session,
            offline_until: self.offline_until,
            not_before: self.not_before,
            since: self.since,
            ready_at: self.ready_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            cause: self.cause.clone(),
            outputs: self.outputs.clone(),
            effect_unknown: self.effect_unknown,
            log_bytes: self.log_bytes,
        }
    }
}

impl Connection {
    pub async fn task(&mut self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM tasks WHERE id = $1", TaskRow), args![id]).await
    }

    pub async fn tasks(&mut self, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        let sql = each!(
            "SELECT [tasks.out] FROM tasks WHERE id = [?]",
            "SELECT [tasks.out] FROM [rows] JOIN tasks ON tasks.id = r.value ORDER BY tasks.id",
            Value<TaskId>,
            TaskRow
        );
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        self.fetch_by(sql, &sorted, args![]).await
    }

    /// Canonical leaves by task, those of `for_each` children included.
    pub async fn specs_of(&mut self, tasks: &[TaskId]) -> Result<Vec<SpecRow>, StoreError> {
        let sql = each!(
            "SELECT tasks.id, COALESCE(tasks.spec, above.spec) AS spec FROM tasks \
             LEFT JOIN tasks AS above ON above.id = tasks.parent WHERE tasks.id = [?]",
            "SELECT tasks.id, COALESCE(tasks.spec, above.spec) AS spec FROM [rows] \
             JOIN tasks ON tasks.id = r.value LEFT JOIN tasks AS above ON above.id = tasks.parent",
            Value<TaskId>
        );
        self.fetch_by(sql, tasks, args![]).await
    }
}

record! {
    /// A task's canonical leaf.
    pub struct SpecRow {
        pub id: TaskId,
        pub spec: String,
    }
}

impl Tx {
    pub(crate) async fn insert_task_rows(&mut self, tasks: &[&TaskRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("tasks", TaskRow), tasks, args![]).await.map(drop)
    }

    /// Adds `for_each` children. Their mission's counters are the caller's deltas.
    pub async fn insert_tasks(&mut self, tasks: &[TaskRow]) -> Result<(), StoreError> {
        self.insert_task_rows(&tasks.iter().collect::<Vec<_>>()).await
    }

    /// Tasks, locked in id order until this unit ends.
    pub async fn lock_tasks(&mut self, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        let sql = each!(
            "SELECT [tasks.out] FROM tasks WHERE id = [?]",
            "SELECT [tasks.out] FROM [rows] JOIN tasks ON tasks.id = r.value \
             ORDER BY tasks.id /*pg FOR UPDATE OF tasks*/",
            Value<TaskId>,
            TaskRow
        );
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        self.fetch_by(sql, &sorted, args![]).await
    }

    /// The tasks of a batch of reports, locked in id order. The caller compares fences.
    pub async fn load_for_report(&mut self, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        self.lock_tasks(ids).await
    }

    /// Writes what reports came to. Leaves of live limits go with the lease: see [`Tx::release_limits`].
    pub async fn settle(&mut self, rows: &[SettleRow]) -> Result<(), StoreError> {
        let sql = each!(
            "UPDATE tasks SET [set?] WHERE id = [?id]",
            "UPDATE tasks SET [set] FROM [rows] WHERE tasks.id = r.id",
            SettleRow
        );
        self.execute_batch(sql, rows, args![]).await.map(drop)
    }

    /// Writes every changeable column of these tasks.
    pub async fn update_tasks(&mut self, rows: &[TaskUpdate]) -> Result<(), StoreError> {
        let sql = each!(
            "UPDATE tasks SET [set?] WHERE id = [?id]",
            "UPDATE tasks SET [set] FROM [rows] WHERE tasks.id = r.id",
            TaskUpdate
        );
        self.execute_batch(sql, rows, args![]).await.map(drop)
    }

    /// `leased` becomes `running`, where the fence is still that. Gives the tasks it held for.
    pub async fn mark_running(&mut self, started: &[StartedRow]) -> Result<Vec<TaskId>, StoreError> {
        let sql = sql!(
            "UPDATE tasks SET state = 'running', since = r.at, started_at = r.at FROM [rows] \
             WHERE tasks.id = r.id AND tasks.state = 'leased' AND tasks.fence_epoch = r.fence_epoch \
             AND tasks.fence_number = r.fence_number RETURNING tasks.id AS value",
            StartedRow
        );
        let values: Vec<Value<TaskId>> = self.fetch_batch(sql, started, args![]).await?;
        Ok(values.into_iter().map(|value| value.0).collect())
    }
}

record! {
    /// An attempt that has begun.
    pub struct StartedRow {
        pub id: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub at: Timestamp,
    }
}

//! What coordinators on one database leave for each other: messages to agents whose session another one holds, and
//! wishes to see a log sooner.

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record, words};
use crate::sessions::AgentSessionRow;
use crate::transaction::Tx;

words! {
    /// What the agent is to be told about the attempt.
    pub enum NoticeKind {
        Cancel = "cancel",
        /// Without a grace.
        Kill = "kill",
        Recall = "recall",
    }
}

record! {
    /// A message for an agent; taken once, by the node that holds its session.
    pub struct NoticeRow {
        pub agent: AgentId,
        pub kind: NoticeKind,
        pub task: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub at: Timestamp,
    }
}

impl NoticeRow {
    pub const fn new(agent: AgentId, kind: NoticeKind, attempt: AttemptRef, at: Timestamp) -> Self {
        let Fence { epoch, number } = attempt.fence;
        Self { agent, kind, task: attempt.task, fence_epoch: epoch, fence_number: number, at }
    }

    pub const fn attempt(&self) -> AttemptRef {
        let fence = Fence { epoch: self.fence_epoch, number: self.fence_number };
        AttemptRef { task: self.task, fence }
    }
}

impl Connection {
    /// Sessions of these agents.
    pub async fn sessions_of(&mut self, agents: &[AgentId]) -> Result<Vec<AgentSessionRow>, StoreError> {
        self.fetch_by(
            sql!(
                "SELECT agent_sessions.* FROM [rows] JOIN agent_sessions ON agent_sessions.agent = r.value",
                crate::record::Value<AgentId>
            ),
            agents,
            args![],
        )
        .await
    }

    /// Sessions that nodes other than `node` hold and that have been renewed since `after`.
    pub async fn sessions_elsewhere(
        &mut self,
        node: &str,
        after: Timestamp,
    ) -> Result<Vec<AgentSessionRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM agent_sessions WHERE renewed_at > $2 AND node <> $1 AND connected",
                AgentSessionRow
            ),
            args![node, after],
        )
        .await
    }

    /// Whether something waits for agents of this node.
    pub async fn has_notices(&mut self, node: &str) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .value(
                sql!(
                    "SELECT notices.number AS value FROM notices JOIN agent_sessions ON agent_sessions.agent = notices.agent \
                     WHERE agent_sessions.node = $1 AND agent_sessions.connected LIMIT 1"
                ),
                args![node],
            )
            .await?;
        Ok(found.is_some())
    }

    /// Logs that somebody watches elsewhere.
    pub async fn log_watches(&mut self, now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
        self.values(sql!("SELECT task AS value FROM log_watches WHERE until > $1"), args![now]).await
    }
}

impl Tx {
    pub async fn leave_notices(&mut self, rows: &[NoticeRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("notices", NoticeRow), rows, args![]).await.map(drop)
    }

    /// Takes what waits for agents whose sessions `node` holds. What is taken and not sent goes down with the session;
    /// the next Hello finds out about cancelled missions by itself.
    pub async fn take_notices(&mut self, node: &str) -> Result<Vec<NoticeRow>, StoreError> {
        self.fetch(
            sql!(
                "DELETE FROM notices WHERE agent IN (SELECT agent FROM agent_sessions \
                 WHERE node = $1 AND connected) RETURNING [columns]",
                NoticeRow
            ),
            args![node],
        )
        .await
    }

    /// Notices for agents that have not come back to anybody, and watches that are over.
    pub async fn delete_old_notices(&mut self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(sql!("DELETE FROM log_watches WHERE until <= $1"), args![now]).await?;
        self.execute(sql!("DELETE FROM notices WHERE at < $1"), args![before]).await
    }

    pub async fn watch_log(&mut self, task: TaskId, until: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sql!(
                "INSERT INTO log_watches (task, until) VALUES ($1, $2) \
                 ON CONFLICT (task) DO UPDATE SET until = excluded.until"
            ),
            args![task, until],
        )
        .await
        .map(drop)
    }
}

//! Ended attempts that are not their task's last: the last one is on the task's row.

use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Json, args, record};
use crate::tasks::TaskRow;
use crate::transaction::Tx;

record! {
    pub struct AttemptRow {
        pub task: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub mission: MissionId,
        pub attempt: u32,
        pub agent: AgentId,
        pub session: u64,
        /// The caller's word: `failed`, `returned`, `lost`, …
        pub ending: String,
        pub cause: Option<Json<Cause>>,
        pub granted_at: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Timestamp,
        pub log_bytes: i64,
    }
}

impl AttemptRow {
    /// The attempt that is on the task's row now, as ended; `None` if none was ever granted.
    pub fn of(task: &TaskRow, ending: &str, cause: Option<Cause>, at: Timestamp) -> Option<Self> {
        Some(Self {
            task: task.id,
            fence_epoch: task.fence_epoch,
            fence_number: task.fence_number,
            mission: task.mission,
            attempt: task.attempt,
            agent: task.agent?,
            session: task.session?,
            ending: ending.to_owned(),
            cause: cause.map(Json),
            granted_at: task.granted_at,
            started_at: task.started_at,
            finished_at: at,
            log_bytes: task.log_bytes,
        })
    }
}

impl Connection {
    /// A task's earlier attempts, oldest first.
    pub async fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM attempts WHERE task = $1 ORDER BY fence_epoch, fence_number",
                AttemptRow
            ),
            args![task],
        )
        .await
    }
}

impl Tx {
    pub async fn insert_attempts(&mut self, rows: &[AttemptRow]) -> Result<(), StoreError> {
        let insert =
            insert!("attempts", AttemptRow, "ON CONFLICT (task, fence_epoch, fence_number) DO NOTHING");
        self.execute_batch(insert, rows, args![]).await.map(drop)
    }
}

//! Where the lines of an attempt's log lie: sealed segments in the object store, a row each with a line index.

use nexusmon_shared::id::{AgentId, MissionId, TaskId, VersionId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    /// The log of one attempt.
    pub struct LogRow {
        pub task: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub mission: MissionId,
        pub attempt: u32,
        pub agent: AgentId,
        /// Bytes in segments, without gaps from 0: where a resume begins.
        pub stored: i64,
        pub lines: i64,
        pub segments: i64,
        /// Nothing more will come.
        pub sealed: bool,
        /// The vault's version of the whole.
        pub version: Option<VersionId>,
        pub created_at: Timestamp,
        pub updated_at: Timestamp,
    }

    pub struct SegmentRow {
        pub task: TaskId,
        pub fence_epoch: u32,
        pub fence_number: u64,
        /// From 0.
        pub number: i64,
        pub start_byte: i64,
        pub length: i64,
        pub first_line: i64,
        /// Line ends in it.
        pub lines: i64,
        /// Key in the object store.
        pub blob: String,
        /// Offsets of every so many lines, as the caller wrote them.
        pub line_index: String,
    }
}

/// Names a log: task and fence.
pub type LogKey = nexusmon_shared::attempt::AttemptRef;

impl Connection {
    pub async fn log(&mut self, key: LogKey) -> Result<Option<LogRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM logs WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3",
                LogRow
            ),
            args![key.task, key.fence.epoch, key.fence.number],
        )
        .await
    }

    /// A task's logs, oldest attempt first.
    pub async fn logs(&mut self, task: TaskId) -> Result<Vec<LogRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM logs WHERE task = $1 ORDER BY fence_epoch, fence_number", LogRow),
            args![task],
        )
        .await
    }

    /// Segments that hold lines from `from` on, at most `limit`; the first may begin before it.
    pub async fn segments_from_line(
        &mut self,
        key: LogKey,
        from: i64,
        limit: u32,
    ) -> Result<Vec<SegmentRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM log_segments WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3 \
                 AND number >= COALESCE((SELECT MAX(number) FROM log_segments WHERE task = $1 AND fence_epoch = $2 \
                 AND fence_number = $3 AND first_line <= $4), 0) ORDER BY number LIMIT $5",
                SegmentRow
            ),
            args![key.task, key.fence.epoch, key.fence.number, from, limit],
        )
        .await
    }

    /// Segments from byte `from` on, at most `limit`; the first may begin before it.
    pub async fn segments_from_byte(
        &mut self,
        key: LogKey,
        from: i64,
        limit: u32,
    ) -> Result<Vec<SegmentRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM log_segments WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3 \
                 AND start_byte + length > $4 ORDER BY number LIMIT $5",
                SegmentRow
            ),
            args![key.task, key.fence.epoch, key.fence.number, from, limit],
        )
        .await
    }

    /// Logs that are purged and have segments all the same, at most `limit`.
    pub async fn logs_to_purge(&mut self, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM logs WHERE EXISTS (SELECT 1 FROM log_segments WHERE log_segments.task = logs.task \
                 AND log_segments.fence_epoch = logs.fence_epoch AND log_segments.fence_number = logs.fence_number) \
                 AND EXISTS (SELECT 1 FROM artifact_versions WHERE artifact_versions.id = logs.version \
                 AND artifact_versions.status = 'purged') LIMIT $1",
                LogRow
            ),
            args![i64::from(limit)],
        )
        .await
    }

    /// Unsealed logs that have not grown since `before`.
    pub async fn idle_logs(&mut self, before: Timestamp, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM logs WHERE NOT sealed AND updated_at < $1 ORDER BY updated_at LIMIT $2",
                LogRow
            ),
            args![before, limit],
        )
        .await
    }
}

impl Tx {
    /// Opens logs that are not open yet.
    pub async fn open_logs(&mut self, rows: &[LogRow]) -> Result<(), StoreError> {
        let insert = insert!("logs", LogRow, "ON CONFLICT (task, fence_epoch, fence_number) DO NOTHING");
        self.execute_batch(insert, rows, args![]).await.map(drop)
    }

    /// Adds a segment whose bytes are durable. It must begin where the log ends: false if it does not, and nothing
    /// changed (a doubled or a missing one).
    pub async fn append_segment(&mut self, row: &SegmentRow, now: Timestamp) -> Result<bool, StoreError> {
        let grown = self
            .execute(
                sql!(
                    "UPDATE logs SET stored = stored + $5, lines = lines + $6, segments = segments + 1, \
                     updated_at = $7 WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3 \
                     AND stored = $4 AND segments = $8 AND NOT sealed"
                ),
                args![
                    row.task,
                    row.fence_epoch,
                    row.fence_number,
                    row.start_byte,
                    row.length,
                    row.lines,
                    now,
                    row.number
                ],
            )
            .await?;
        if grown == 0 {
            return Ok(false);
        }
        self.execute_batch(insert!("log_segments", SegmentRow), std::slice::from_ref(row), args![]).await?;
        Ok(true)
    }

    /// Nothing more will come. False if it was sealed already, or there is none.
    pub async fn seal_log(&mut self, key: LogKey, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!(
                    "UPDATE logs SET sealed = $5, updated_at = $4 \
                     WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3 AND NOT sealed"
                ),
                args![key.task, key.fence.epoch, key.fence.number, now, true],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Links a log with its version in the vault.
    pub async fn set_log_version(&mut self, key: LogKey, version: VersionId) -> Result<(), StoreError> {
        self.execute(
            sql!("UPDATE logs SET version = $4 WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3"),
            args![key.task, key.fence.epoch, key.fence.number, version],
        )
        .await
        .map(drop)
    }

    /// Forgets a log's segments (retention); gives their keys in the object store.
    pub async fn delete_segments(&mut self, key: LogKey) -> Result<Vec<String>, StoreError> {
        self.values(
            sql!(
                "DELETE FROM log_segments WHERE task = $1 AND fence_epoch = $2 AND fence_number = $3 \
                 RETURNING blob AS value"
            ),
            args![key.task, key.fence.epoch, key.fence.number],
        )
        .await
    }
}

//! Tasks that are missions of their own, and the missions they wait for.

use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::name::Name;
use nexusmon_shared::plan::Budget;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

/// More than this of bytes counts as this.
const MOST_BYTES: i64 = 1 << 50;

record! {
    pub struct SubMissionRow {
        pub task: TaskId,
        pub parent: MissionId,
        /// Absent until it is begun.
        pub mission: Option<MissionId>,
        pub depth: u32,
        /// Paused along with its parent.
        pub paused: bool,
        pub at: Timestamp,
        /// Of its parent's budget: what it was given, and of tasks what it took once it is settled.
        pub tasks: i64,
        pub attempts: i64,
        pub artifact_bytes: i64,
        pub log_bytes: i64,
        pub settled_at: Option<Timestamp>,
    }

    /// What something is to be done about.
    pub struct DueSubMission {
        pub task: TaskId,
        pub parent: MissionId,
        pub mission: Option<MissionId>,
        pub depth: u32,
        pub parent_status: MissionStatus,
    }

    /// A sub-mission as the parent's page names it.
    pub struct ChildMission {
        pub task: TaskId,
        pub mission: MissionId,
        pub status: MissionStatus,
    }

    /// What the sub-missions of a mission hold of its budget together: what those that go on were given, and the tasks
    /// of those that are settled.
    pub struct HeldBudget {
        pub tasks: i64,
        pub attempts: i64,
        pub artifact_bytes: i64,
        pub log_bytes: i64,
        /// How many go on.
        pub living: i64,
    }

    /// What a task of an ended mission came to.
    pub struct TaskOutputs {
        pub key: Name,
        pub outputs: String,
    }
}

// Joined crosswise: SQLite then begins at the few sub-missions that are open, and not at all missions that are over.

impl Connection {
    /// To be begun, or without a parent that could wait: after `after`, the oldest first.
    pub async fn sub_missions_to_begin(
        &mut self,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<DueSubMission>, StoreError> {
        let after = after.map_or_else(String::new, |task| task.to_string());
        self.fetch(
            sql!(
                "SELECT s.task AS task, s.parent AS parent, s.mission AS mission, s.depth AS depth, \
                 p.status AS parent_status FROM sub_missions AS s CROSS JOIN missions AS p WHERE p.id = s.parent \
                 AND s.settled_at IS NULL AND s.mission IS NULL AND s.task > $1 \
                 AND p.status IN ('running', 'succeeded', 'failed', 'cancelled', 'rejected', 'expired') \
                 ORDER BY s.task LIMIT $2"
            ),
            args![after, limit],
        )
        .await
    }

    /// Over, and to be settled: after `after`, the oldest first.
    pub async fn sub_missions_over(
        &mut self,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<DueSubMission>, StoreError> {
        let after = after.map_or_else(String::new, |task| task.to_string());
        self.fetch(
            sql!(
                "SELECT s.task AS task, s.parent AS parent, s.mission AS mission, s.depth AS depth, \
                 p.status AS parent_status FROM sub_missions AS s CROSS JOIN missions AS p \
                 CROSS JOIN missions AS c WHERE p.id = s.parent AND c.id = s.mission \
                 AND s.settled_at IS NULL AND s.task > $1 \
                 AND c.status IN ('succeeded', 'failed', 'cancelled', 'rejected', 'expired') \
                 ORDER BY s.task LIMIT $2"
            ),
            args![after, limit],
        )
        .await
    }

    /// Whether any task waits for a mission of its own.
    pub async fn any_sub_missions(&mut self) -> Result<bool, StoreError> {
        let any: Option<TaskId> = self
            .value(sql!("SELECT task AS value FROM sub_missions WHERE settled_at IS NULL LIMIT 1"), args![])
            .await?;
        Ok(any.is_some())
    }

    /// What a mission is the sub-mission of.
    pub async fn sub_mission(&mut self, mission: MissionId) -> Result<Option<SubMissionRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM sub_missions WHERE mission = $1", SubMissionRow),
            args![mission],
        )
        .await
    }

    /// The missions that these tasks began.
    pub async fn children_of(&mut self, tasks: &[TaskId]) -> Result<Vec<ChildMission>, StoreError> {
        let sql = sql!(
            "SELECT s.task AS task, s.mission AS mission, c.status AS status FROM [rows] \
             JOIN sub_missions AS s ON s.task = r.value JOIN missions AS c ON c.id = s.mission",
            Value<TaskId>
        );
        self.fetch_by(sql, tasks, args![]).await
    }

    /// The missions that tasks of these began, the first ones first.
    pub async fn sub_missions_among(
        &mut self,
        parents: &[MissionId],
        limit: u32,
    ) -> Result<Vec<SubMissionRow>, StoreError> {
        let sql = sql!(
            "SELECT [sub_missions.out] FROM [rows] JOIN sub_missions ON sub_missions.parent = r.value \
             WHERE sub_missions.mission IS NOT NULL ORDER BY sub_missions.mission LIMIT $2",
            Value<MissionId>,
            SubMissionRow
        );
        self.fetch_by(sql, parents, args![limit]).await
    }

    /// Whether a mission that a task of this one began goes on.
    pub async fn any_living_sub_mission(&mut self, parent: MissionId) -> Result<bool, StoreError> {
        let any: Option<TaskId> = self
            .value(
                sql!(
                    "SELECT s.task AS value FROM sub_missions AS s JOIN missions AS c ON c.id = s.mission \
                     WHERE s.parent = $1 AND s.settled_at IS NULL AND c.finished_at IS NULL LIMIT 1"
                ),
                args![parent],
            )
            .await?;
        Ok(any.is_some())
    }

    /// Those of a mission that go on, in the order of their tasks, after `after`.
    pub async fn living_sub_missions(
        &mut self,
        parent: MissionId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<SubMissionRow>, StoreError> {
        let after = after.map_or_else(String::new, |task| task.to_string());
        self.fetch(
            sql!(
                "SELECT [columns] FROM sub_missions WHERE parent = $1 AND task > $2 AND settled_at IS NULL \
                 AND mission IS NOT NULL ORDER BY task LIMIT $3",
                SubMissionRow
            ),
            args![parent, after, limit],
        )
        .await
    }

    /// Missions whose sub-missions are to follow them still, after `after`.
    pub async fn sub_missions_behind(
        &mut self,
        after: Option<MissionId>,
        limit: u32,
    ) -> Result<Vec<MissionId>, StoreError> {
        let after = after.map_or_else(String::new, |mission| mission.to_string());
        self.values(
            sql!(
                "SELECT parent AS value FROM sub_missions_behind WHERE parent > $1 ORDER BY parent LIMIT $2"
            ),
            args![after, limit],
        )
        .await
    }

    /// After which of its tasks the sub-missions of a mission are to follow it still.
    pub async fn behind_after(&mut self, parent: MissionId) -> Result<Option<TaskId>, StoreError> {
        self.value(
            sql!("SELECT after_task AS value FROM sub_missions_behind WHERE parent = $1"),
            args![parent],
        )
        .await
    }

    /// What the sub-missions of a mission hold of its budget.
    pub async fn held_budget(&mut self, parent: MissionId) -> Result<HeldBudget, StoreError> {
        let held = self
            .fetch_optional(
                sql!(
                    "SELECT CAST(COALESCE(SUM(tasks), 0) AS BIGINT) AS tasks, \
                     CAST(COALESCE(SUM(CASE WHEN settled_at IS NULL THEN attempts ELSE 0 END), 0) AS BIGINT) \
                     AS attempts, \
                     CAST(COALESCE(SUM(CASE WHEN settled_at IS NULL THEN artifact_bytes ELSE 0 END), 0) AS BIGINT) \
                     AS artifact_bytes, \
                     CAST(COALESCE(SUM(CASE WHEN settled_at IS NULL THEN log_bytes ELSE 0 END), 0) AS BIGINT) \
                     AS log_bytes, \
                     CAST(COALESCE(SUM(CASE WHEN settled_at IS NULL AND mission IS NOT NULL THEN 1 ELSE 0 END), 0) \
                     AS BIGINT) AS living \
                     FROM sub_missions WHERE parent = $1"
                ),
                args![parent],
            )
            .await?;
        Ok(held.unwrap_or(HeldBudget { tasks: 0, attempts: 0, artifact_bytes: 0, log_bytes: 0, living: 0 }))
    }

    /// How many of a mission are still to begin: those whose turn has come, and tasks of its plan whose turn has not.
    pub async fn sub_missions_left(&mut self, parent: MissionId) -> Result<i64, StoreError> {
        let waiting: Option<i64> = self
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM sub_missions WHERE parent = $1 AND settled_at IS NULL \
                     AND mission IS NULL"
                ),
                args![parent],
            )
            .await?;
        let later: Option<i64> = self
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM tasks WHERE mission = $1 AND uses = 'core.mission' \
                     AND parent IS NULL AND state = 'pending' AND children_open = 0"
                ),
                args![parent],
            )
            .await?;
        Ok(waiting.unwrap_or(0) + later.unwrap_or(0))
    }

    /// The outputs of a mission's tasks that succeeded, in plan order.
    pub async fn outputs_in(&mut self, mission: MissionId) -> Result<Vec<TaskOutputs>, StoreError> {
        self.fetch(
            sql!(
                "SELECT key, outputs FROM tasks WHERE mission = $1 AND parent IS NULL AND state = 'succeeded' \
                 AND outputs IS NOT NULL ORDER BY leaf_index"
            ),
            args![mission],
        )
        .await
    }
}

impl Tx {
    /// A task waits for a mission of its own from now on.
    pub async fn insert_sub_missions(&mut self, rows: &[SubMissionRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("sub_missions", SubMissionRow), rows, args![]).await.map(drop)
    }

    /// It begins, with this of its parent's budget. False if it did already, or nobody waits for it any more.
    pub async fn begin_sub_mission(
        &mut self,
        task: TaskId,
        mission: MissionId,
        given: &Budget,
    ) -> Result<bool, StoreError> {
        // Sums of these stay numbers.
        let bytes = |number: u64| i64::try_from(number).unwrap_or(MOST_BYTES).min(MOST_BYTES);
        let changed = self
            .execute(
                sql!(
                    "UPDATE sub_missions SET mission = $2, tasks = $3, attempts = $4, artifact_bytes = $5, \
                     log_bytes = $6 WHERE task = $1 AND mission IS NULL AND settled_at IS NULL"
                ),
                args![
                    task,
                    mission,
                    i64::from(given.tasks),
                    i64::from(given.attempts),
                    bytes(given.artifact_bytes),
                    bytes(given.log_bytes)
                ],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Nobody waits for it from now on, and it took so many tasks. False if that was so already.
    pub async fn settle_sub_mission(
        &mut self,
        task: TaskId,
        took: i64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!(
                    "UPDATE sub_missions SET settled_at = $2, tasks = $3 WHERE task = $1 AND settled_at IS NULL"
                ),
                args![task, at, took],
            )
            .await?;
        Ok(changed == 1)
    }

    /// The sub-missions of a mission after this task are to follow it still.
    pub async fn fall_behind(&mut self, parent: MissionId, after: Option<TaskId>) -> Result<(), StoreError> {
        let after = after.unwrap_or(TaskId::from_bits(0));
        self.execute(
            sql!(
                "INSERT INTO sub_missions_behind (parent, after_task) VALUES ($1, $2) \
                 ON CONFLICT (parent) DO UPDATE SET after_task = excluded.after_task"
            ),
            args![parent, after],
        )
        .await
        .map(drop)
    }

    /// They all do.
    pub async fn caught_up(&mut self, parent: MissionId) -> Result<(), StoreError> {
        self.execute(sql!("DELETE FROM sub_missions_behind WHERE parent = $1"), args![parent]).await.map(drop)
    }

    /// Whether it is to go on when its parent does.
    pub async fn pause_sub_mission(&mut self, task: TaskId, paused: bool) -> Result<(), StoreError> {
        self.execute(sql!("UPDATE sub_missions SET paused = $2 WHERE task = $1"), args![task, paused])
            .await
            .map(drop)
    }
}

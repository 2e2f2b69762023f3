//! Tasks that running tasks add: who added each, as signed, and how it is tied into its mission's graph.

use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::tasks::{EdgeRow, TaskRow};
use crate::transaction::Tx;

record! {
    pub struct SpawnedRow {
        pub task: TaskId,
        pub mission: MissionId,
        pub key: Name,
        pub parent: TaskId,
        /// Which attempt of the parent added it.
        pub attempt: u32,
        pub agent: AgentId,
        /// What that agent signed: canonical JSON.
        pub signed: String,
        pub at: Timestamp,
    }
}

/// A task to be added, with its place behind its parent's.
#[derive(Debug, Clone)]
pub struct NewSpawned {
    /// Its `leaf_index` and `dependents` are set here.
    pub task: TaskRow,
    pub parent_leaf: u32,
    pub spawned: SpawnedRow,
}

/// What waits for the parent, by place in the plan. Other tasks it added wait for it too, and not for each other.
macro_rules! followers {
    ($named:literal) => {
        concat!(
            "SELECT task_edges.to_leaf",
            $named,
            " FROM task_edges JOIN tasks AS follower ON follower.mission = task_edges.mission \
             AND follower.leaf_index = task_edges.to_leaf AND COALESCE(follower.item_index, -1) = -1 \
             AND follower.spawned_by IS NULL \
             WHERE task_edges.mission = $1 AND task_edges.from_leaf = $2 AND task_edges.needed"
        )
    };
}

impl Connection {
    pub async fn spawned(&mut self, tasks: &[TaskId]) -> Result<Vec<SpawnedRow>, StoreError> {
        let sql = each!(
            "SELECT [spawned.out] FROM spawned WHERE task = [?]",
            "SELECT [spawned.out] FROM [rows] JOIN spawned ON spawned.task = r.value",
            Value<TaskId>,
            SpawnedRow
        );
        self.fetch_by(sql, tasks, args![]).await
    }

    /// How many tasks this attempt has added.
    pub async fn spawned_by(&mut self, parent: TaskId, attempt: u32) -> Result<u32, StoreError> {
        let count: Option<i64> = self
            .value(
                sql!("SELECT COUNT(*) AS value FROM spawned WHERE parent = $1 AND attempt = $2"),
                args![parent, attempt],
            )
            .await?;
        Ok(count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
    }

    /// Those of a mission that go by this id.
    pub async fn spawned_as(
        &mut self,
        mission: MissionId,
        key: &Name,
    ) -> Result<Vec<SpawnedRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM spawned WHERE mission = $1 AND key = $2 ORDER BY task", SpawnedRow),
            args![mission, key.clone()],
        )
        .await
    }

    /// Whether a task of the plan goes by this id.
    pub async fn is_planned(&mut self, mission: MissionId, key: &Name) -> Result<bool, StoreError> {
        let found: Option<TaskId> = self
            .value(
                sql!(
                    "SELECT id AS value FROM tasks WHERE mission = $1 AND key = $2 AND spawned_by IS NULL LIMIT 1"
                ),
                args![mission, key.clone()],
            )
            .await?;
        Ok(found.is_some())
    }

    /// Tasks of a mission of which something they added did not end well.
    pub async fn spawned_in_vain(&mut self, mission: MissionId) -> Result<Vec<TaskId>, StoreError> {
        self.values(
            sql!(
                "SELECT DISTINCT spawned_by AS value FROM tasks WHERE mission = $1 AND spawned_by IS NOT NULL \
                 AND state NOT IN ('succeeded', 'skipped')"
            ),
            args![mission],
        )
        .await
    }

    /// The leaves that a task of the plan comes after, however far; its own is the last.
    pub async fn leaves_above(&mut self, mission: MissionId, leaf: u32) -> Result<Vec<String>, StoreError> {
        self.values(
            sql!(
                "WITH RECURSIVE above (leaf) AS (SELECT CAST($2 AS BIGINT) UNION SELECT task_edges.from_leaf \
                 FROM above JOIN task_edges ON task_edges.mission = $1 AND task_edges.to_leaf = above.leaf) \
                 SELECT tasks.spec AS value FROM above JOIN tasks ON tasks.mission = $1 \
                 AND tasks.leaf_index = above.leaf AND COALESCE(tasks.item_index, -1) = -1 \
                 ORDER BY CASE WHEN tasks.leaf_index = $2 THEN 1 ELSE 0 END, tasks.leaf_index"
            ),
            args![mission, leaf],
        )
        .await
    }
}

impl Tx {
    /// Adds a task behind its parent and before all that waits for that one. The caller holds the mission's row, so that
    /// no other gets the same place, and moves its counters. Gives the task as it was written.
    pub async fn insert_spawned(&mut self, new: NewSpawned) -> Result<TaskRow, StoreError> {
        let NewSpawned { mut task, parent_leaf, spawned } = new;
        let (mission, parent) = (task.mission, spawned.parent);
        let last: Option<i64> = self
            .value(
                sql!("SELECT leaf_index AS value FROM tasks WHERE mission = $1 ORDER BY leaf_index DESC LIMIT 1"),
                args![mission],
            )
            .await?;
        task.leaf_index = last.and_then(|last| u32::try_from(last + 1).ok()).unwrap_or(u32::MAX);
        let followers: Vec<u32> =
            self.values(sql!(followers!(" AS value")), args![mission, parent_leaf]).await?;
        task.dependents = u32::try_from(followers.len()).unwrap_or(u32::MAX);
        let edge = |from_leaf, to_leaf| EdgeRow { mission, from_leaf, to_leaf, needed: true };
        let mut edges = vec![edge(parent_leaf, task.leaf_index)];
        edges.extend(followers.iter().map(|follower| edge(task.leaf_index, *follower)));
        self.insert_task_rows(&[&task]).await?;
        self.insert_edges(&edges).await?;
        self.execute(sql!("UPDATE tasks SET dependents = dependents + 1 WHERE id = $1"), args![parent])
            .await?;
        let one_more = sql!(concat!(
            "UPDATE tasks SET needs_open = needs_open + 1 WHERE mission = $1 AND COALESCE(item_index, -1) = -1 \
             AND leaf_index IN (",
            followers!(""),
            ")"
        ));
        self.execute(one_more, args![mission, parent_leaf]).await?;
        self.execute_batch(insert!("spawned", SpawnedRow), &[spawned], args![]).await?;
        Ok(task)
    }
}

//! Lists of tasks.

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::name::Name;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{SkipReason, TaskStatus};
use nexusmon_shared::time::Timestamp;

use super::{Limits, TaskRow};
use crate::classes::ClassId;
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Json, args, record};

/// What a mission's tasks may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    pub statuses: Vec<TaskStatus>,
    /// Of a `for_each`.
    pub parent: Option<TaskId>,
}

record! {
    /// A task as lists show it: without leaf, parameters and inputs.
    pub struct TaskSummary {
        pub id: TaskId,
        pub mission: MissionId,
        pub leaf_index: u32,
        pub item_index: Option<u32>,
        pub parent: Option<TaskId>,
        pub key: Name,
        pub uses: Capability,
        pub rank: Rank,
        pub state: TaskStatus,
        pub held: bool,
        pub class: Option<ClassId>,
        pub needs_open: u32,
        pub children_open: u32,
        pub attempt: u32,
        pub retries: u32,
        pub agent: Option<AgentId>,
        pub offline_until: Option<Timestamp>,
        pub not_before: Option<Timestamp>,
        pub ready_at: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        pub cause: Option<Json<Cause>>,
        pub outputs: Option<String>,
        pub skip_reason: Option<SkipReason>,
        pub effect_unknown: bool,
        pub limits: Option<Json<Limits>>,
        pub log_bytes: i64,
    }

    /// How many tasks of a mission, or of all, are in each state.
    pub struct TaskCount {
        pub state: TaskStatus,
        pub count: i64,
    }
}

record! {
    /// A leaf's place and its id in the plan.
    pub struct LeafKey {
        pub leaf_index: u32,
        pub key: Name,
    }

    /// Ready tasks of a class.
    pub struct ReadyCount {
        pub class: ClassId,
        pub count: i64,
    }
}

impl Connection {
    /// Ids in the plan by place.
    pub async fn leaf_keys(&mut self, mission: MissionId) -> Result<Vec<LeafKey>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE mission = $1 AND item_index IS NULL ORDER BY leaf_index",
                LeafKey
            ),
            args![mission],
        )
        .await
    }

    /// Tasks of all missions that are ready, held by an agent, in backoff or wait for a person; each is counted along
    /// a partial index, so that history costs nothing.
    pub async fn live_task_counts(&mut self) -> Result<Vec<TaskCount>, StoreError> {
        self.fetch(
            sql!(
                "SELECT state, COUNT(*) AS count FROM tasks WHERE state = 'ready' AND NOT held GROUP BY state \
                 UNION ALL SELECT state, COUNT(*) AS count FROM tasks WHERE state IN ('leased', 'running') GROUP BY state \
                 UNION ALL SELECT state, COUNT(*) AS count FROM tasks WHERE state = 'backoff' GROUP BY state \
                 UNION ALL SELECT state, COUNT(*) AS count FROM tasks WHERE state IN ('uncertain', 'gated') GROUP BY state"
            ),
            args![],
        )
        .await
    }

    /// Ready tasks by demand class.
    pub async fn ready_counts(&mut self) -> Result<Vec<ReadyCount>, StoreError> {
        self.fetch(
            sql!(
                "SELECT class, COUNT(*) AS count FROM tasks WHERE state = 'ready' AND NOT held AND class IS NOT NULL \
                 GROUP BY class ORDER BY class"
            ),
            args![],
        )
        .await
    }

    /// Since when the oldest ready task waits.
    pub async fn oldest_ready(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Option<Option<Timestamp>> = self
            .value(
                sql!("SELECT MIN(ready_at) AS value FROM tasks WHERE state = 'ready' AND NOT held"),
                args![],
            )
            .await?;
        Ok(oldest.flatten())
    }

    /// The least fair-queue tag among ready tasks.
    pub async fn least_ready_tag(&mut self) -> Result<Option<i64>, StoreError> {
        let least: Option<Option<i64>> = self
            .value(sql!("SELECT MIN(tag) AS value FROM tasks WHERE state = 'ready' AND NOT held"), args![])
            .await?;
        Ok(least.flatten())
    }

    /// A mission's tasks in plan order (children by id, after their parents' place); the cursor is the last task's id,
    /// since ids of one plan are made in plan order.
    pub async fn task_list(
        &mut self,
        mission: MissionId,
        filter: &TaskFilter,
        page: &PageRequest,
    ) -> Result<Page<TaskSummary>, StoreError> {
        let mut list = Filter::over::<TaskSummary>("tasks");
        list.equals("mission", Some(&mission));
        list.equals("parent", filter.parent.as_ref());
        list.among("state", &filter.statuses);
        if let Some((leaf, item)) = page.cursor.as_deref().and_then(|cursor| cursor.split_once('.')) {
            let position = |text: &str| {
                text.parse::<i64>().map_err(|_| StoreError::Corrupt {
                    column: "cursor".to_owned(),
                    reason: "not a cursor of this list".to_owned(),
                })
            };
            list.with_two(
                "(leaf_index, COALESCE(item_index, -1)) > (?, ?)",
                &position(leaf)?,
                &position(item)?,
            );
        }
        list.order_by("leaf_index, COALESCE(item_index, -1)");
        list.page(self, page, |task: &TaskSummary| {
            format!("{}.{}", task.leaf_index, task.item_index.map_or(-1, i64::from))
        })
        .await
    }

    /// Tasks that wait for a person, newest last: `uncertain` and `gated`.
    pub async fn tasks_needing_attention(&mut self, limit: u32) -> Result<Vec<TaskRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE state IN ('uncertain', 'gated') ORDER BY id LIMIT $1",
                TaskRow
            ),
            args![limit],
        )
        .await
    }

    /// A mission's tasks by state.
    pub async fn task_counts(&mut self, mission: MissionId) -> Result<Vec<TaskCount>, StoreError> {
        self.fetch(
            sql!("SELECT state, COUNT(*) AS count FROM tasks WHERE mission = $1 GROUP BY state"),
            args![mission],
        )
        .await
    }

    /// When the next backoff ends.
    pub async fn next_backoff(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<Option<Timestamp>> = self
            .value(sql!("SELECT MIN(not_before) AS value FROM tasks WHERE state = 'backoff'"), args![])
            .await?;
        Ok(next.flatten())
    }
}

//! The graph of a plan: what unlocks what, and what a decision about a task has to see.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::name::Name;
use nexusmon_shared::task::{SkipReason, TaskStatus};

use super::TaskRow;
use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    /// An arrow of the plan, by place. `needed`: the target waits for the source; else it only reads from it.
    pub struct EdgeRow {
        pub mission: MissionId,
        pub from_leaf: u32,
        pub to_leaf: u32,
        pub needed: bool,
    }

    /// A task by its place.
    pub struct LeafRef {
        pub mission: MissionId,
        pub leaf_index: u32,
    }

    /// A task that another one needs or reads.
    pub struct Source {
        pub target: TaskId,
        pub needed: bool,
        pub id: TaskId,
        pub key: Name,
        pub state: TaskStatus,
        pub skip_reason: Option<SkipReason>,
        /// JSON object as text.
        pub outputs: Option<String>,
        pub agent: Option<AgentId>,
        pub attempt: u32,
        /// It is in no plan: no expression means it.
        pub spawned_by: Option<TaskId>,
    }

    /// How a `for_each` child ended.
    pub struct ItemOutcome {
        pub id: TaskId,
        pub item_index: u32,
        pub state: TaskStatus,
        pub outputs: Option<String>,
    }

    struct ParentDelta {
        pub id: TaskId,
        pub ended: u32,
    }
}

/// A task to be decided about, with what it may look at.
#[derive(Debug, Clone)]
pub struct Decision {
    pub task: TaskRow,
    /// Canonical leaf.
    pub spec: String,
    pub sources: Vec<Source>,
}

impl Connection {
    /// A mission's arrows, in order of their source.
    pub async fn edges(&mut self, mission: MissionId) -> Result<Vec<EdgeRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM task_edges WHERE mission = $1 ORDER BY from_leaf, to_leaf", EdgeRow),
            args![mission],
        )
        .await
    }

    /// The children of a `for_each`, in list order.
    pub async fn children_outcomes(&mut self, parent: TaskId) -> Result<Vec<ItemOutcome>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM tasks WHERE parent = $1 ORDER BY item_index", ItemOutcome),
            args![parent],
        )
        .await
    }
}

impl Tx {
    pub(crate) async fn insert_edges(&mut self, edges: &[EdgeRow]) -> Result<(), StoreError> {
        self.insert_edge_rows(&edges.iter().collect::<Vec<_>>()).await
    }

    pub(crate) async fn insert_edge_rows(&mut self, edges: &[&EdgeRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("task_edges", EdgeRow), edges, args![]).await.map(drop)
    }

    /// Tells the tasks behind these terminal ones that one need less is open; gives those with none left (and still
    /// pending). Call it once per task that became terminal.
    pub async fn unlock_children(&mut self, terminal: &[LeafRef]) -> Result<Vec<TaskId>, StoreError> {
        if terminal.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_postgres() {
            let lock = sql!(
                "SELECT tasks.id FROM [rows] JOIN task_edges ON task_edges.mission = r.mission \
                 AND task_edges.from_leaf = r.leaf_index AND task_edges.needed \
                 JOIN tasks ON tasks.mission = task_edges.mission AND tasks.leaf_index = task_edges.to_leaf \
                 AND COALESCE(tasks.item_index, -1) = -1 ORDER BY tasks.id /*pg FOR UPDATE OF tasks*/",
                LeafRef
            );
            self.execute_batch(lock, terminal, args![]).await?;
        }
        let update = each!(
            "UPDATE tasks SET needs_open = needs_open - 1 WHERE mission = [?mission] \
             AND COALESCE(item_index, -1) = -1 AND leaf_index IN (SELECT to_leaf FROM task_edges \
             WHERE mission = [?mission] AND from_leaf = [?leaf_index] AND needed) \
             RETURNING CASE WHEN needs_open <= 0 AND state = 'pending' THEN id END AS value",
            "UPDATE tasks SET needs_open = needs_open - ended.count FROM (\
             SELECT task_edges.mission, task_edges.to_leaf, COUNT(*) AS count FROM [rows] \
             JOIN task_edges ON task_edges.mission = r.mission AND task_edges.from_leaf = r.leaf_index \
             AND task_edges.needed GROUP BY task_edges.mission, task_edges.to_leaf) AS ended \
             WHERE tasks.mission = ended.mission AND tasks.leaf_index = ended.to_leaf \
             AND COALESCE(tasks.item_index, -1) = -1 \
             RETURNING CASE WHEN needs_open <= 0 AND state = 'pending' THEN id END AS value",
            LeafRef
        );
        let unlocked: Vec<Value<Option<TaskId>>> = self.fetch_batch(update, terminal, args![]).await?;
        // The last batch that touches a task reports it; an earlier one may not have seen it at zero.
        let unlocked: BTreeSet<TaskId> = unlocked.into_iter().filter_map(|value| value.0).collect();
        Ok(unlocked.into_iter().collect())
    }

    /// Tasks with their leaves and all they need or read: three statements for the whole batch. Locked.
    pub async fn load_decision_context(&mut self, tasks: &[TaskId]) -> Result<Vec<Decision>, StoreError> {
        let rows = self.lock_tasks(tasks).await?;
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut leaves: BTreeMap<_, _> =
            self.specs_of(&ids).await?.into_iter().map(|row| (row.id, row.spec)).collect();
        let sources: Vec<Source> = self
            .fetch_by(
                each!(
                    "SELECT target.id AS target, task_edges.needed, source.id, source.key, source.state, \
                     source.skip_reason, source.outputs, source.agent, source.attempt, source.spawned_by \
                     FROM tasks AS target \
                     JOIN task_edges ON task_edges.mission = target.mission \
                     AND task_edges.to_leaf = target.leaf_index \
                     JOIN tasks AS source ON source.mission = task_edges.mission \
                     AND source.leaf_index = task_edges.from_leaf AND COALESCE(source.item_index, -1) = -1 \
                     WHERE target.id = [?]",
                    "SELECT target.id AS target, task_edges.needed, source.id, source.key, source.state, \
                     source.skip_reason, source.outputs, source.agent, source.attempt, source.spawned_by \
                     FROM [rows] \
                     JOIN tasks AS target ON target.id = r.value \
                     JOIN task_edges ON task_edges.mission = target.mission \
                     AND task_edges.to_leaf = target.leaf_index \
                     JOIN tasks AS source ON source.mission = task_edges.mission \
                     AND source.leaf_index = task_edges.from_leaf AND COALESCE(source.item_index, -1) = -1",
                    Value<TaskId>
                ),
                &ids,
                args![],
            )
            .await?;
        let mut by_target = BTreeMap::<TaskId, Vec<Source>>::new();
        for source in sources {
            by_target.entry(source.target).or_default().push(source);
        }
        rows.into_iter()
            .map(|task| {
                let spec = leaves.remove(&task.id).ok_or_else(|| StoreError::Corrupt {
                    column: "tasks.spec".to_owned(),
                    reason: format!("{} has none", task.id),
                })?;
                let sources = by_target.remove(&task.id).unwrap_or_default();
                Ok(Decision { task, spec, sources })
            })
            .collect()
    }

    /// Counts ended children on their `for_each` tasks; gives the parents as they are then, locked. Those whose
    /// `children_open` is 0 are complete.
    pub async fn children_ended(&mut self, ended: &[(TaskId, u32)]) -> Result<Vec<TaskRow>, StoreError> {
        let mut grouped = BTreeMap::<TaskId, u32>::new();
        for (parent, count) in ended {
            *grouped.entry(*parent).or_default() += count;
        }
        let rows: Vec<_> = grouped.into_iter().map(|(id, ended)| ParentDelta { id, ended }).collect();
        if self.is_postgres() {
            self.lock_tasks(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
        }
        let sql = each!(
            "UPDATE tasks SET children_open = children_open - [?ended] WHERE id = [?id] RETURNING [tasks.out]",
            "UPDATE tasks SET children_open = children_open - r.ended FROM [rows] WHERE tasks.id = r.id \
             RETURNING [tasks.out]",
            ParentDelta,
            TaskRow
        );
        self.fetch_batch(sql, &rows, args![]).await
    }
}

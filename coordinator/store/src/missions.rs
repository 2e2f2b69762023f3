//! Missions and their plans. A mission's counters move by grouped deltas; its version guards people's edits only.

mod counters;
mod forget;
mod list;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_shared::plan::{Author, Budget};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Timestamp;

pub use counters::MissionDelta;
pub use list::{MissionFilter, MissionsDue, StatusCount};

use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{Json, Value, args, record, words};
use crate::tasks::{EdgeRow, TaskRow};
use crate::transaction::Tx;

words! {
    /// How a mission begins.
    pub enum Start {
        Auto = "auto",
        Manual = "manual",
        /// At `start_at`.
        At = "at",
    }
}

record! {
    /// A mission. `status` is always that of `state`.
    pub struct MissionRow {
        pub id: MissionId,
        pub goal: String,
        pub status: MissionStatus,
        pub state: Json<MissionState>,
        pub rank: Rank,
        pub requested_rank: Option<Rank>,
        pub priority: i64,
        pub labels: Json<Labels>,
        /// JSON object as text.
        pub metadata: String,
        /// `rest`, `cli`, `mcp`, `schedule`, …
        pub origin: String,
        pub author: Json<Author>,
        pub created_by: PrincipalId,
        pub start: Start,
        pub plan_revision: u32,
        pub plan_digest: Option<Digest>,
        pub shape: Option<Digest>,
        pub tasks_total: i64,
        /// Not terminal.
        pub tasks_open: i64,
        pub tasks_succeeded: i64,
        pub tasks_failed: i64,
        pub tasks_skipped: i64,
        pub tasks_cancelled: i64,
        /// Leased or running.
        pub tasks_leased: i64,
        pub attempts_used: i64,
        pub artifact_bytes: i64,
        pub log_bytes: i64,
        pub last_tag: i64,
        pub budget: Json<Budget>,
        pub deadline: Option<Timestamp>,
        pub start_at: Option<Timestamp>,
        pub decide_by: Option<Timestamp>,
        pub rerun_of: Option<MissionId>,
        pub traceparent: Option<String>,
        pub created_at: Timestamp,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        pub xp_awarded: Option<i64>,
        pub version: i64,
    }

    /// One revision of a mission's plan; the leaves are on the tasks.
    pub struct PlanRow {
        pub mission: MissionId,
        pub revision: u32,
        pub digest: Digest,
        pub tasks_root: Digest,
        /// Canonical JSON.
        pub header: String,
        /// Leaves in the tree.
        pub size: i64,
        pub author: Json<Author>,
        pub created_at: Timestamp,
    }

    struct LabelRow {
        pub key: String,
        pub value: String,
        pub mission: MissionId,
    }
}

/// A mission as it is created: everything in one unit of work.
#[derive(Debug, Clone)]
pub struct NewMission {
    pub mission: MissionRow,
    pub plan: Option<PlanRow>,
    pub tasks: Vec<TaskRow>,
    pub edges: Vec<EdgeRow>,
}

/// What a transition changes on a mission; counters are not among it.
#[derive(Debug, Clone)]
pub struct MissionChange {
    pub state: MissionState,
    pub rank: Rank,
    pub priority: i64,
    pub plan_revision: u32,
    pub plan_digest: Option<Digest>,
    pub shape: Option<Digest>,
    pub budget: Budget,
    pub deadline: Option<Timestamp>,
    pub start_at: Option<Timestamp>,
    pub decide_by: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub xp_awarded: Option<i64>,
}

impl MissionRow {
    /// The row's changeable part, to be altered and given to [`Tx::change_mission`].
    pub fn change(&self) -> MissionChange {
        MissionChange {
            state: self.state.0.clone(),
            rank: self.rank,
            priority: self.priority,
            plan_revision: self.plan_revision,
            plan_digest: self.plan_digest,
            shape: self.shape,
            budget: self.budget.0,
            deadline: self.deadline,
            start_at: self.start_at,
            decide_by: self.decide_by,
            started_at: self.started_at,
            finished_at: self.finished_at,
            xp_awarded: self.xp_awarded,
        }
    }
}

record! {
    struct ChangeRow {
        pub id: MissionId,
        pub status: MissionStatus,
        pub state: Json<MissionState>,
        pub rank: Rank,
        pub priority: i64,
        pub plan_revision: u32,
        pub plan_digest: Option<Digest>,
        pub shape: Option<Digest>,
        pub budget: Json<Budget>,
        pub deadline: Option<Timestamp>,
        pub start_at: Option<Timestamp>,
        pub decide_by: Option<Timestamp>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        pub xp_awarded: Option<i64>,
    }
}

impl ChangeRow {
    fn of(id: MissionId, change: &MissionChange) -> Self {
        Self {
            id,
            status: change.state.status(),
            state: Json(change.state.clone()),
            rank: change.rank,
            priority: change.priority,
            plan_revision: change.plan_revision,
            plan_digest: change.plan_digest,
            shape: change.shape,
            budget: Json(change.budget),
            deadline: change.deadline,
            start_at: change.start_at,
            decide_by: change.decide_by,
            started_at: change.started_at,
            finished_at: change.finished_at,
            xp_awarded: change.xp_awarded,
        }
    }
}

impl LabelRow {
    fn of(mission: &MissionRow) -> impl Iterator<Item = Self> + '_ {
        let id = mission.id;
        mission.labels.iter().map(move |(key, value)| Self {
            key: key.clone(),
            value: value.clone(),
            mission: id,
        })
    }
}

impl Connection {
    pub async fn mission(&mut self, id: MissionId) -> Result<Option<MissionRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM missions WHERE id = $1", MissionRow), args![id]).await
    }

    pub async fn missions(&mut self, ids: &[MissionId]) -> Result<Vec<MissionRow>, StoreError> {
        let sql = each!(
            "SELECT [missions.out] FROM missions WHERE id = [?]",
            "SELECT [missions.out] FROM [rows] JOIN missions ON missions.id = r.value ORDER BY missions.id",
            Value<MissionId>,
            MissionRow
        );
        self.fetch_by(sql, ids, args![]).await
    }

    /// A mission's plan in its newest revision.
    pub async fn plan(&mut self, mission: MissionId) -> Result<Option<PlanRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM plans WHERE mission = $1 ORDER BY revision DESC LIMIT 1", PlanRow),
            args![mission],
        )
        .await
    }

    /// Every revision, oldest first.
    pub async fn plans(&mut self, mission: MissionId) -> Result<Vec<PlanRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM plans WHERE mission = $1 ORDER BY revision", PlanRow),
            args![mission],
        )
        .await
    }

    /// The plans (newest revision) of several missions: what sessions send once per plan.
    pub async fn plans_of(&mut self, missions: &[MissionId]) -> Result<Vec<PlanRow>, StoreError> {
        let sql = sql!(
            "SELECT plans.* FROM [rows] JOIN missions ON missions.id = r.value \
             JOIN plans ON plans.mission = missions.id AND plans.revision = missions.plan_revision",
            Value<MissionId>
        );
        self.fetch_by(sql, missions, args![]).await
    }

    /// Canonical leaves in plan order: what proofs are made from.
    pub async fn leaves(&mut self, mission: MissionId) -> Result<Vec<String>, StoreError> {
        self.values(
            sql!(
                "SELECT spec AS value FROM tasks WHERE mission = $1 AND COALESCE(item_index, -1) = -1 \
                 AND spawned_by IS NULL ORDER BY leaf_index"
            ),
            args![mission],
        )
        .await
    }
}

impl Tx {
    /// Creates missions with all they have; one statement per table and batch.
    pub async fn insert_missions<'m>(
        &mut self,
        missions: impl IntoIterator<Item = &'m NewMission>,
    ) -> Result<(), StoreError> {
        let missions: Vec<&NewMission> = missions.into_iter().collect();
        let rows: Vec<_> = missions.iter().map(|new| &new.mission).collect();
        self.execute_batch(insert!("missions", MissionRow), &rows, args![]).await?;
        let labels: Vec<_> = rows.iter().copied().flat_map(LabelRow::of).collect();
        self.execute_batch(insert!("mission_labels", LabelRow), &labels, args![]).await?;
        let plans: Vec<_> = missions.iter().filter_map(|new| new.plan.as_ref()).collect();
        self.execute_batch(insert!("plans", PlanRow), &plans, args![]).await?;
        let tasks: Vec<_> = missions.iter().flat_map(|new| &new.tasks).collect();
        self.insert_task_rows(&tasks).await?;
        let edges: Vec<_> = missions.iter().flat_map(|new| &new.edges).collect();
        self.insert_edge_rows(&edges).await
    }

    /// The mission, locked until this unit ends.
    pub async fn lock_mission(&mut self, id: MissionId) -> Result<Option<MissionRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM missions WHERE id = $1 /*pg FOR UPDATE*/", MissionRow),
            args![id],
        )
        .await
    }

    /// Several missions, locked in id order.
    pub async fn lock_missions(&mut self, ids: &[MissionId]) -> Result<Vec<MissionRow>, StoreError> {
        let sql = each!(
            "SELECT [missions.out] FROM missions WHERE id = [?]",
            "SELECT [missions.out] FROM [rows] JOIN missions ON missions.id = r.value \
             ORDER BY missions.id /*pg FOR UPDATE OF missions*/",
            Value<MissionId>,
            MissionRow
        );
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        self.fetch_by(sql, &sorted, args![]).await
    }

    /// Changes a mission. With `expected`, only if its version is that (people's edits); the version always grows.
    pub async fn change_mission(
        &mut self,
        id: MissionId,
        change: &MissionChange,
        expected: Option<i64>,
    ) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE missions SET version = version + 1, [set] FROM [rows] \
             WHERE missions.id = r.id AND (CAST($2 AS BIGINT) IS NULL OR missions.version = $2)",
            ChangeRow
        );
        if self.execute_batch(sql, &[ChangeRow::of(id, change)], args![expected]).await? == 1 {
            return Ok(());
        }
        let version =
            self.value(sql!("SELECT version AS value FROM missions WHERE id = $1"), args![id]).await?;
        Err(StoreError::Conflict { entity: "mission", id: id.to_string(), version })
    }

    /// Changes many missions at once; for transitions the system makes. Lock them first.
    pub async fn change_missions(
        &mut self,
        changes: &[(MissionId, MissionChange)],
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = changes.iter().map(|(id, change)| ChangeRow::of(*id, change)).collect();
        let sql = each!(
            "UPDATE missions SET version = version + 1, [set?] WHERE id = [?id]",
            "UPDATE missions SET version = version + 1, [set] FROM [rows] WHERE missions.id = r.id",
            ChangeRow
        );
        self.execute_batch(sql, &rows, args![]).await.map(drop)
    }

    /// Replaces the plan of a mission none of whose tasks was ever granted: its tasks and edges go, new ones come.
    /// The mission's counters and whose text its plan is are set; state, rank and digest are for
    /// [`Self::change_mission`].
    pub async fn replace_plan(
        &mut self,
        mission: MissionId,
        plan: &PlanRow,
        tasks: &[TaskRow],
        edges: &[EdgeRow],
    ) -> Result<(), StoreError> {
        self.execute(sql!("DELETE FROM task_edges WHERE mission = $1"), args![mission]).await?;
        self.execute(sql!("DELETE FROM tasks WHERE mission = $1"), args![mission]).await?;
        self.execute_batch(insert!("plans", PlanRow), std::slice::from_ref(plan), args![]).await?;
        self.insert_task_rows(&tasks.iter().collect::<Vec<_>>()).await?;
        self.insert_edges(edges).await?;
        let count = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
        self.execute(
            sql!(
                "UPDATE missions SET tasks_total = $2, tasks_open = $2, tasks_succeeded = 0, tasks_failed = 0, \
                 tasks_skipped = 0, tasks_cancelled = 0, tasks_leased = 0, author = $3 WHERE id = $1"
            ),
            args![mission, count, plan.author],
        )
        .await
        .map(drop)
    }
}

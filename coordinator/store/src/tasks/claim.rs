//! From ready to leased: candidates by demand class, limits counted under lock, grants conditional on what the plan
//! was made from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use nexusmon_shared::attempt::Fence;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;

use super::TaskRow;
use crate::classes::ClassId;
use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    /// A lease to give.
    pub struct GrantRow {
        pub id: TaskId,
        pub agent: AgentId,
        pub session: u64,
        pub attempt: u32,
        pub fence_epoch: u32,
        pub fence_number: u64,
        pub offline_until: Option<Timestamp>,
        pub granted_at: Timestamp,
    }

    /// A concurrency key: how many leases live under it, and the smallest maximum among them.
    pub struct LimitUse {
        pub key: String,
        pub live: i64,
        pub maximum: Option<u32>,
    }

    struct LiveLimit {
        pub key: String,
        pub task: TaskId,
        pub maximum: u32,
    }

    struct OpenSession {
        pub agent: AgentId,
        pub session: u64,
    }

    struct PlanOf {
        pub id: MissionId,
        pub plan_digest: Digest,
        pub tasks_in_plan: i64,
        pub traceparent: Option<String>,
    }
}

/// A granted task with everything an order needs.
#[derive(Debug, Clone)]
pub struct GrantedTask {
    pub task: TaskRow,
    /// Canonical leaf.
    pub spec: String,
    pub plan_digest: Digest,
    /// Leaves of the plan's tree.
    pub tasks_in_plan: i64,
    pub traceparent: Option<String>,
}

impl TaskRow {
    /// What the statement that grants writes.
    fn grant(&mut self, row: &GrantRow) {
        self.state = TaskStatus::Leased;
        self.agent = Some(row.agent);
        self.session = Some(row.session);
        self.attempt = row.attempt;
        self.fence_epoch = row.fence_epoch;
        self.fence_number = row.fence_number;
        self.offline_until = row.offline_until;
        self.granted_at = Some(row.granted_at);
        self.not_before = None;
        self.since = None;
        self.started_at = None;
    }
}

impl Connection {
    /// Leases that live under concurrency keys, without locks: for explanations.
    pub async fn limit_use(&mut self, keys: &[String]) -> Result<Vec<LimitUse>, StoreError> {
        let count = sql!(
            "SELECT r.value AS key, COUNT(live_limits.task) AS live, MIN(live_limits.maximum) AS maximum \
             FROM [rows] LEFT JOIN live_limits ON live_limits.key = r.value GROUP BY r.value ORDER BY r.value",
            Value<String>
        );
        self.fetch_by(count, keys, args![]).await
    }
}

impl Tx {
    /// The first ready tasks of each class, by priority, then fair-queue tag, then age. Rows another claimer holds are
    /// passed over; on PostgreSQL these are locked until the unit ends.
    pub async fn claim_candidates(&mut self, wanted: &[(ClassId, u32)]) -> Result<Vec<TaskRow>, StoreError> {
        let mut found = Vec::new();
        // A statement per class: SQLite has no LATERAL, and a class is what a few statements serve many tasks of.
        for (class, limit) in wanted {
            let mut part = self
                .fetch(
                    sql!(
                        "SELECT [columns] FROM tasks WHERE class = $1 AND state = 'ready' AND NOT held \
                         ORDER BY priority DESC, tag, id LIMIT $2 /*pg FOR UPDATE SKIP LOCKED*/",
                        TaskRow
                    ),
                    args![*class, *limit],
                )
                .await?;
            found.append(&mut part);
        }
        Ok(found)
    }

    /// Locks concurrency keys in order and counts the leases that live under each. Before planning, in the unit that
    /// grants: nobody else grants under them until it ends.
    pub async fn lock_limits(&mut self, keys: &BTreeSet<String>) -> Result<Vec<LimitUse>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = keys.iter().cloned().collect();
        if self.is_postgres() {
            let insert = sql!(
                "INSERT INTO limit_keys (key) SELECT value FROM [rows] ORDER BY value ON CONFLICT DO NOTHING",
                Value<String>
            );
            self.execute_by(insert, &keys, args![]).await?;
            let lock = sql!(
                "SELECT key FROM limit_keys WHERE key IN (SELECT value FROM [rows]) \
                 ORDER BY key /*pg FOR UPDATE*/",
                Value<String>
            );
            self.execute_by(lock, &keys, args![]).await?;
        }
        let count = sql!(
            "SELECT r.value AS key, COUNT(live_limits.task) AS live, MIN(live_limits.maximum) AS maximum \
             FROM [rows] LEFT JOIN live_limits ON live_limits.key = r.value GROUP BY r.value ORDER BY r.value",
            Value<String>
        );
        self.fetch_by(count, &keys, args![]).await
    }

    /// Whether the kill switch is pulled. A pull, or a change of flags, waits for the end of this unit, or this unit
    /// sees it.
    pub async fn is_halted(&mut self) -> Result<bool, StoreError> {
        if !self.unhalted {
            let halted = self
                .value::<bool>(sql!("SELECT halt <> 'none' AS value FROM organism /*pg FOR SHARE*/"), args![])
                .await?;
            self.unhalted = halted != Some(true);
        }
        Ok(!self.unhalted)
    }

    /// Gives leases. One is given only if the task is still ready and not held, the agent's session is still that
    /// number and open, and nothing is halted; what is missing from the answer was not granted.
    ///
    /// Mission counters are the caller's deltas. `candidates` are the tasks of `rows` as this unit has claimed them, so
    /// that none is read twice.
    pub async fn grant(
        &mut self,
        rows: &[GrantRow],
        candidates: Vec<TaskRow>,
    ) -> Result<Vec<GrantedTask>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_halted().await? {
            return Ok(Vec::new());
        }
        // A Hello waits for these grants, or these see it.
        let agents: BTreeSet<_> = rows.iter().map(|row| row.agent).collect();
        let open: Vec<OpenSession> = self
            .fetch_by(
                each!(
                    "SELECT agent, session FROM agent_sessions WHERE agent = [?] AND connected",
                    "SELECT agent, session FROM agent_sessions WHERE agent IN (SELECT value FROM [rows]) \
                     AND connected ORDER BY agent /*pg FOR SHARE*/",
                    Value<AgentId>
                ),
                &agents.into_iter().collect::<Vec<_>>(),
                args![],
            )
            .await?;
        let open: BTreeSet<_> = open.into_iter().map(|session| (session.agent, session.session)).collect();
        let rows: Vec<_> = rows.iter().filter(|row| open.contains(&(row.agent, row.session))).collect();
        let granted = self.lease(&rows).await?;
        let mut candidates: HashMap<_, _> = candidates.into_iter().map(|task| (task.id, task)).collect();
        // In the order of fairness, which is the order they were given in.
        let given = |row: &&GrantRow| {
            let mut task = candidates.remove(&row.id).filter(|_| granted.contains(&row.id))?;
            task.grant(row);
            Some(task)
        };
        let tasks: Vec<TaskRow> = rows.iter().filter_map(given).collect();
        self.hold_limits(&tasks).await?;
        self.complete(tasks).await
    }

    /// Writes leases; gives the tasks that were still to be had.
    async fn lease(&mut self, rows: &[&GrantRow]) -> Result<HashSet<TaskId>, StoreError> {
        let update = each!(
            "UPDATE tasks SET state = 'leased', agent = [?agent], session = [?session], attempt = [?attempt], \
             fence_epoch = [?fence_epoch], fence_number = [?fence_number], offline_until = [?offline_until], \
             granted_at = [?granted_at], not_before = NULL, since = NULL, started_at = NULL \
             WHERE id = [?id] AND state = 'ready' AND NOT held",
            "UPDATE tasks SET state = 'leased', agent = r.agent, session = r.session, attempt = r.attempt, \
             fence_epoch = r.fence_epoch, fence_number = r.fence_number, offline_until = r.offline_until, \
             granted_at = r.granted_at, not_before = NULL, since = NULL, started_at = NULL \
             FROM [rows] WHERE tasks.id = r.id AND tasks.state = 'ready' AND NOT tasks.held \
             RETURNING tasks.id AS value",
            GrantRow
        );
        if self.is_postgres() {
            let granted: Vec<Value<TaskId>> = self.fetch_batch(update, rows, args![]).await?;
            return Ok(granted.into_iter().map(|id| id.0).collect());
        }
        // What RETURNING gathers costs SQLite more than looking again, and nearly always there is nothing to look for.
        let written = self.execute_batch(update, rows, args![]).await?;
        let ids: Vec<TaskId> = rows.iter().map(|row| row.id).collect();
        if usize::try_from(written) == Ok(rows.len()) {
            return Ok(ids.into_iter().collect());
        }
        let now: HashMap<_, _> = self.tasks(&ids).await?.into_iter().map(|task| (task.id, task)).collect();
        let is_given = |row: &&&GrantRow| {
            let fence = Fence { epoch: row.fence_epoch, number: row.fence_number };
            now.get(&row.id).is_some_and(|task| task.state == TaskStatus::Leased && task.fence() == fence)
        };
        Ok(rows.iter().filter(is_given).map(|row| row.id).collect())
    }

    async fn hold_limits(&mut self, tasks: &[TaskRow]) -> Result<(), StoreError> {
        let held: Vec<_> = tasks
            .iter()
            .flat_map(|task| {
                task.limits.iter().flat_map(|limits| limits.iter()).map(|(key, maximum)| LiveLimit {
                    key: key.clone(),
                    task: task.id,
                    maximum: *maximum,
                })
            })
            .collect();
        let insert = insert!(
            "live_limits",
            LiveLimit,
            "ON CONFLICT (key, task) DO UPDATE SET maximum = excluded.maximum"
        );
        self.execute_batch(insert, &held, args![]).await.map(drop)
    }

    /// Adds leaves and plan digests to granted rows: one statement each for all.
    async fn complete(&mut self, tasks: Vec<TaskRow>) -> Result<Vec<GrantedTask>, StoreError> {
        let parents: BTreeSet<TaskId> =
            tasks.iter().filter(|task| task.spec.is_none()).filter_map(|task| task.parent).collect();
        let mut leaves = BTreeMap::new();
        if !parents.is_empty() {
            let parents: Vec<_> = parents.into_iter().collect();
            leaves.extend(self.specs_of(&parents).await?.into_iter().map(|row| (row.id, row.spec)));
        }
        let missions: BTreeSet<_> = tasks.iter().map(|task| task.mission).collect();
        let plans: Vec<PlanOf> = self
            .fetch_by(
                each!(
                    "SELECT missions.id, missions.plan_digest, plans.size AS tasks_in_plan, missions.traceparent \
                     FROM missions JOIN plans ON plans.mission = missions.id \
                     AND plans.revision = missions.plan_revision WHERE missions.id = [?]",
                    "SELECT missions.id, missions.plan_digest, plans.size AS tasks_in_plan, missions.traceparent \
                     FROM [rows] JOIN missions ON missions.id = r.value \
                     JOIN plans ON plans.mission = missions.id AND plans.revision = missions.plan_revision",
                    Value<MissionId>
                ),
                &missions.into_iter().collect::<Vec<_>>(),
                args![],
            )
            .await?;
        let plans: BTreeMap<_, _> = plans.into_iter().map(|plan| (plan.id, plan)).collect();
        tasks
            .into_iter()
            .map(|mut task| {
                let spec = task
                    .spec
                    .take()
                    .or_else(|| task.parent.and_then(|parent| leaves.get(&parent).cloned()))
                    .ok_or_else(|| missing("tasks.spec", task.id))?;
                let plan = plans.get(&task.mission).ok_or_else(|| missing("plans.digest", task.id))?;
                Ok(GrantedTask {
                    spec,
                    plan_digest: plan.plan_digest,
                    tasks_in_plan: plan.tasks_in_plan,
                    traceparent: plan.traceparent.clone(),
                    task,
                })
            })
            .collect()
    }

    /// Ends the hold of these tasks on their concurrency keys: with the lease, in the same unit.
    pub async fn release_limits(&mut self, tasks: &[TaskId]) -> Result<(), StoreError> {
        let sql = each!(
            "DELETE FROM live_limits WHERE task = [?]",
            "DELETE FROM live_limits WHERE task IN (SELECT value FROM [rows])",
            Value<TaskId>
        );
        self.execute_by(sql, tasks, args![]).await.map(drop)
    }
}

fn missing(column: &str, task: TaskId) -> StoreError {
    StoreError::Corrupt { column: column.to_owned(), reason: format!("{task} was granted without it") }
}

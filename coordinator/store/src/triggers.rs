//! Triggers and what they fired for, one row per occasion.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{FiringId, MissionId, PrincipalId, TriggerId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

use crate::audit::AuditRow;
use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{args, record, words};
use crate::transaction::Tx;

words! {
    pub enum TriggerKind {
        Schedule = "schedule",
        Webhook = "webhook",
        Event = "event_trigger",
    }

    pub enum TriggerState {
        Active = "active",
        Paused = "paused",
    }

    pub enum FiringResult {
        Fired = "fired",
        /// On purpose: the one before still ran.
        Skipped = "skipped",
        Failed = "failed",
    }
}

record! {
    pub struct TriggerRow {
        pub id: TriggerId,
        pub kind: TriggerKind,
        pub name: Name,
        pub state: TriggerState,
        /// Why the system paused it.
        pub reason: Option<String>,
        /// JSON.
        pub rule: String,
        /// JSON: a mission's body.
        pub work: String,
        pub owner: PrincipalId,
        pub created_at: Timestamp,
        pub changed_at: Timestamp,
        pub decided_through: Timestamp,
        pub next_at: Option<Timestamp>,
        pub last_mission: Option<MissionId>,
        pub sealed: Option<String>,
        pub version: i64,
        /// Event triggers: the audit sequence number after which things concern it.
        pub since: i64,
        /// Webhooks: since when the key has been in force.
        pub keyed_at: Option<Timestamp>,
    }

    /// How a mission that a trigger started ended.
    pub struct EndedRunRow {
        pub shape: Option<Digest>,
        pub inputs: Option<Digest>,
        pub status: MissionStatus,
        pub ended_at: Timestamp,
    }

    pub struct FiringRow {
        pub id: FiringId,
        pub trigger_id: TriggerId,
        pub occasion: String,
        pub result: FiringResult,
        pub reason: Option<String>,
        pub due: Option<Timestamp>,
        pub mission: Option<MissionId>,
        pub at: Timestamp,
    }
}

impl Connection {
    pub async fn trigger(&mut self, id: TriggerId) -> Result<Option<TriggerRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM triggers WHERE id = $1", TriggerRow), args![id]).await
    }

    /// Of one kind, newest first.
    pub async fn trigger_list(
        &mut self,
        kind: TriggerKind,
        page: &PageRequest,
    ) -> Result<Page<TriggerRow>, StoreError> {
        let mut list = Filter::over::<TriggerRow>("triggers");
        list.equals("kind", Some(&kind));
        list.newest_first("id", page);
        list.page(self, page, |row: &TriggerRow| row.id.to_string()).await
    }

    pub async fn trigger_count(&mut self, kind: TriggerKind) -> Result<i64, StoreError> {
        let count =
            self.value(sql!("SELECT COUNT(*) AS value FROM triggers WHERE kind = $1"), args![kind]).await?;
        Ok(count.unwrap_or(0))
    }

    /// Those whose next step is due, the longest first.
    pub async fn triggers_due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<TriggerRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM triggers WHERE next_at <= $1 ORDER BY next_at LIMIT $2", TriggerRow),
            args![now, limit],
        )
        .await
    }

    /// Every active one of a kind.
    pub async fn active_triggers(&mut self, kind: TriggerKind) -> Result<Vec<TriggerRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM triggers WHERE kind = $1 AND state = 'active' ORDER BY id LIMIT 10000",
                TriggerRow
            ),
            args![kind],
        )
        .await
    }

    /// Those with a key.
    pub async fn sealed_triggers(&mut self) -> Result<Vec<TriggerRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM triggers WHERE sealed IS NOT NULL ORDER BY id LIMIT 100000",
                TriggerRow
            ),
            args![],
        )
        .await
    }

    /// The newest first.
    pub async fn firings(
        &mut self,
        trigger: TriggerId,
        page: &PageRequest,
    ) -> Result<Page<FiringRow>, StoreError> {
        let mut list = Filter::over::<FiringRow>("firings");
        list.equals("trigger_id", Some(&trigger));
        list.newest_first("id", page);
        list.page(self, page, |row: &FiringRow| row.id.to_string()).await
    }

    /// How many missions a trigger has made since `since`.
    pub async fn fired_since(&mut self, trigger: TriggerId, since: Timestamp) -> Result<i64, StoreError> {
        let count = self
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM firings WHERE trigger_id = $1 AND at >= $2 \
                     AND mission IS NOT NULL"
                ),
                args![trigger, since],
            )
            .await?;
        Ok(count.unwrap_or(0))
    }

    /// How those of its missions ended that were made since `since`, the newest of them first.
    pub async fn ended_since(
        &mut self,
        trigger: TriggerId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<EndedRunRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT missions.shape AS shape, mission_inputs.inputs_digest AS inputs, \
                 missions.status AS status, missions.finished_at AS ended_at FROM firings \
                 JOIN missions ON missions.id = firings.mission \
                 LEFT JOIN mission_inputs ON mission_inputs.mission = firings.mission \
                 WHERE firings.trigger_id = $1 AND firings.at >= $2 AND missions.finished_at IS NOT NULL \
                 ORDER BY firings.at DESC LIMIT $3"
            ),
            args![trigger, since, limit],
        )
        .await
    }

    /// Entries with one of these actions after `after` and up to `through`, oldest first. Of the many that tell how a
    /// task ended only those that name artifacts.
    pub async fn audit_of(
        &mut self,
        actions: &[&'static str],
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut list = Filter::over::<AuditRow>("audit");
        list.with("seq > ?", &after);
        list.with("seq <= ?", &through);
        let actions: Vec<String> = actions.iter().map(|&action| action.to_owned()).collect();
        list.among("action", &actions);
        list.require("(action <> 'task.settled' OR body LIKE '%\"artifacts\":[%')");
        list.order_by("seq");
        list.fetch(self, limit).await
    }

    pub async fn firing(
        &mut self,
        trigger: TriggerId,
        occasion: &str,
    ) -> Result<Option<FiringRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM firings WHERE trigger_id = $1 AND occasion = $2", FiringRow),
            args![trigger, occasion],
        )
        .await
    }
}

impl Tx {
    /// One that has the name already is `Unique`.
    pub async fn insert_trigger(&mut self, row: &TriggerRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("triggers", TriggerRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Reads it, and keeps others from changing it until this unit ends.
    pub async fn lock_trigger(&mut self, id: TriggerId) -> Result<Option<TriggerRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM triggers WHERE id = $1 /*pg FOR UPDATE*/", TriggerRow),
            args![id],
        )
        .await
    }

    /// Writes one that [`Self::lock_trigger`] gave.
    pub async fn update_trigger(&mut self, row: &TriggerRow) -> Result<(), StoreError> {
        let sql = sql!("UPDATE triggers SET [set] FROM [rows] WHERE triggers.id = r.id", TriggerRow);
        self.execute_batch(sql, std::slice::from_ref(row), args![]).await.map(drop)
    }

    pub async fn delete_trigger(&mut self, id: TriggerId) -> Result<bool, StoreError> {
        Ok(self.execute(sql!("DELETE FROM triggers WHERE id = $1"), args![id]).await? > 0)
    }

    /// False if the occasion is there already. With `again`, one that made no mission is replaced.
    pub async fn insert_firing(&mut self, row: &FiringRow, again: bool) -> Result<bool, StoreError> {
        let rows = std::slice::from_ref(row);
        let sql = if again {
            insert!(
                "firings",
                FiringRow,
                "ON CONFLICT (trigger_id, occasion) DO UPDATE SET result = excluded.result, \
                 reason = excluded.reason, mission = excluded.mission, at = excluded.at \
                 WHERE firings.mission IS NULL"
            )
        } else {
            insert!("firings", FiringRow, "ON CONFLICT (trigger_id, occasion) DO NOTHING")
        };
        Ok(self.execute_batch(sql, rows, args![]).await? > 0)
    }

    /// Forgets what fired before `before`, a part at a time. What a webhook made stays while its key is in force and
    /// says nothing of the time: the same call could come again.
    pub async fn forget_firings(&mut self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "DELETE FROM firings WHERE id IN (SELECT id FROM firings WHERE at < $1 \
                 AND NOT (mission IS NOT NULL AND EXISTS (SELECT 1 FROM triggers \
                 WHERE triggers.id = firings.trigger_id AND triggers.keyed_at <= firings.at \
                 AND triggers.rule NOT LIKE '%\"generic\"%')) ORDER BY at LIMIT $2)"
            ),
            args![before, most],
        )
        .await
    }
}

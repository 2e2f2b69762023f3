//! Triggers and what they fired for, one row per occasion.

use nexusmon_shared::id::{FiringId, MissionId, PrincipalId, TriggerId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

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

    /// Forgets what fired before `before`, a part at a time.
    pub async fn forget_firings(&mut self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "DELETE FROM firings WHERE id IN (SELECT id FROM firings WHERE at < $1 ORDER BY at LIMIT $2)"
            ),
            args![before, most],
        )
        .await
    }
}

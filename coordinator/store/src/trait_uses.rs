//! What the system did with its traits, and what came of it.

use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Json, Value, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum UseOutcome {
        Succeeded = "succeeded",
        Failed = "failed",
        /// Ended by nobody's fault.
        Void = "void",
    }
}

record! {
    pub struct NewTraitUse {
        /// Of the trait.
        pub name: String,
        pub subject_kind: String,
        pub subject: String,
        pub mission: Option<MissionId>,
        pub queued: bool,
        pub at: Timestamp,
    }

    pub struct TraitUseRow {
        pub number: i64,
        pub name: String,
        pub subject_kind: String,
        pub subject: String,
        pub mission: Option<MissionId>,
        pub at: Timestamp,
        pub outcome: Option<UseOutcome>,
        pub cause: Option<String>,
    }

    /// An open use of which the mission is over.
    pub struct EndedUse {
        pub number: i64,
        pub name: String,
        pub state: Json<MissionState>,
    }

    pub struct UseDecision {
        pub number: i64,
        pub outcome: UseOutcome,
        pub cause: Option<String>,
        pub decided_at: Timestamp,
    }
}

impl Connection {
    /// Open uses whose missions are over. From the few uses that are open to their missions: missions that are over are many.
    pub async fn ended_uses(&mut self, limit: u32) -> Result<Vec<EndedUse>, StoreError> {
        self.fetch(
            sql!(
                "SELECT trait_uses.number AS number, trait_uses.name AS name, missions.state AS state \
                 FROM trait_uses CROSS JOIN missions WHERE missions.id = trait_uses.mission \
                 AND trait_uses.outcome IS NULL AND trait_uses.mission IS NOT NULL \
                 AND missions.status IN ('succeeded', 'failed', 'cancelled', 'rejected', 'expired') \
                 ORDER BY trait_uses.name, trait_uses.mission LIMIT $1"
            ),
            args![limit],
        )
        .await
    }

    /// Uses of a trait after `since` that are over, newest first.
    pub async fn decided_uses(
        &mut self,
        name: &str,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<TraitUseRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM trait_uses WHERE name = $1 AND outcome IS NOT NULL AND at > $2 \
                 ORDER BY number DESC LIMIT $3",
                TraitUseRow
            ),
            args![name, since, limit],
        )
        .await
    }

    /// Missions a trait began whose reviews were rejected after `since`, for uses after `used_since`.
    pub async fn rejected_uses(
        &mut self,
        name: &str,
        used_since: Timestamp,
        since: Timestamp,
    ) -> Result<Vec<MissionId>, StoreError> {
        self.values(
            sql!(
                "SELECT DISTINCT mission AS value FROM trait_uses WHERE name = $1 AND mission IS NOT NULL \
                 AND rejected_at IS NOT NULL AND at > $2 AND rejected_at > $3"
            ),
            args![name, used_since, since],
        )
        .await
    }

    /// The traits a mission is owed to.
    pub async fn traits_of(&mut self, mission: MissionId) -> Result<Vec<String>, StoreError> {
        self.values(sql!("SELECT DISTINCT name AS value FROM trait_uses WHERE mission = $1"), args![mission])
            .await
    }

    /// The trait for want of which a mission was held last.
    pub async fn held_for(&mut self, mission: MissionId) -> Result<Option<String>, StoreError> {
        self.value(
            sql!(
                "SELECT name AS value FROM trait_uses WHERE mission = $1 AND held_at IS NOT NULL \
                 ORDER BY held_at DESC LIMIT 1"
            ),
            args![mission],
        )
        .await
    }

    /// Traits with work queued that was not held yet.
    pub async fn queued_traits(&mut self) -> Result<Vec<String>, StoreError> {
        self.values(
            sql!(
                "SELECT DISTINCT name AS value FROM trait_uses WHERE outcome IS NULL AND mission IS NOT NULL \
                 AND queued AND held_at IS NULL"
            ),
            args![],
        )
        .await
    }

    /// Missions a trait began that go on and were not held yet.
    pub async fn queued_uses(&mut self, name: &str) -> Result<Vec<MissionId>, StoreError> {
        self.values(
            sql!(
                "SELECT DISTINCT mission AS value FROM trait_uses WHERE outcome IS NULL AND mission IS NOT NULL \
                 AND queued AND held_at IS NULL AND name = $1"
            ),
            args![name],
        )
        .await
    }

    /// When a trait was suspended last.
    pub async fn last_suspension(&mut self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        self.value(
            sql!(
                "SELECT at AS value FROM ledger WHERE subject = $1 AND kind = 'suspended' \
                 ORDER BY number DESC LIMIT 1"
            ),
            args![name],
        )
        .await
    }
}

impl Tx {
    /// Keeps a use; the same trait for the same subject is one use. Whether it was new.
    pub async fn insert_trait_use(&mut self, row: NewTraitUse) -> Result<bool, StoreError> {
        let insert =
            insert!("trait_uses", NewTraitUse, "ON CONFLICT (name, subject_kind, subject) DO NOTHING");
        Ok(self.execute_batch(insert, &[row], args![]).await? == 1)
    }

    pub async fn decide_uses(&mut self, rows: &[UseDecision]) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE trait_uses SET outcome = r.outcome, cause = r.cause, decided_at = r.decided_at FROM [rows] \
             WHERE trait_uses.number = r.number AND trait_uses.outcome IS NULL",
            UseDecision
        );
        self.execute_batch(sql, rows, args![]).await.map(drop)
    }

    /// The review of a mission was rejected.
    pub async fn reject_uses(&mut self, mission: MissionId, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sql!("UPDATE trait_uses SET rejected_at = $2 WHERE mission = $1 AND rejected_at IS NULL"),
            args![mission, at],
        )
        .await
        .map(drop)
    }

    /// What a trait began is held: not again, should a person let it go on.
    pub async fn hold_uses(
        &mut self,
        name: &str,
        missions: &[MissionId],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE trait_uses SET held_at = $3 FROM [rows] \
             WHERE trait_uses.mission = r.value AND trait_uses.name = $2",
            Value<MissionId>
        );
        self.execute_by(sql, missions, args![name, at]).await.map(drop)
    }
}

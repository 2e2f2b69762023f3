//! Mission counters: one statement for a whole batch of reports, however many are of one mission.

use std::collections::BTreeMap;

use nexusmon_shared::id::MissionId;

use super::MissionRow;
use crate::dialect::{each, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    /// What happened to a mission's tasks; several of one mission are added up.
    pub struct MissionDelta {
        pub id: MissionId,
        pub total: i64,
        pub open: i64,
        pub succeeded: i64,
        pub failed: i64,
        pub skipped: i64,
        pub cancelled: i64,
        pub leased: i64,
        pub attempts: i64,
        pub artifact_bytes: i64,
        pub log_bytes: i64,
        /// The newest fair-queue tag given; 0 for none. The highest counts.
        pub tag: i64,
    }
}

record! {
    struct TagRow {
        pub id: MissionId,
        pub tag: i64,
    }
}

impl MissionDelta {
    /// No change yet.
    pub const fn of(id: MissionId) -> Self {
        Self {
            id,
            total: 0,
            open: 0,
            succeeded: 0,
            failed: 0,
            skipped: 0,
            cancelled: 0,
            leased: 0,
            attempts: 0,
            artifact_bytes: 0,
            log_bytes: 0,
            tag: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.open += other.open;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.cancelled += other.cancelled;
        self.leased += other.leased;
        self.attempts += other.attempts;
        self.artifact_bytes += other.artifact_bytes;
        self.log_bytes += other.log_bytes;
        self.tag = self.tag.max(other.tag);
    }
}

impl Tx {
    /// Raises the newest fair-queue tag of missions; a lower one changes nothing.
    pub async fn set_last_tags(&mut self, tags: &[(MissionId, i64)]) -> Result<(), StoreError> {
        let rows: Vec<_> = tags.iter().map(|(id, tag)| TagRow { id: *id, tag: *tag }).collect();
        let sql = each!(
            "UPDATE missions SET last_tag = [?tag] WHERE id = [?id] AND last_tag < [?tag]",
            "UPDATE missions SET last_tag = r.tag FROM [rows] WHERE missions.id = r.id AND missions.last_tag < r.tag",
            TagRow
        );
        self.execute_batch(sql, &rows, args![]).await.map(drop)
    }

    /// Moves counters, and gives the missions as they are then. They stay locked, in id order, until the unit ends.
    pub async fn finish_counters(&mut self, deltas: &[MissionDelta]) -> Result<Vec<MissionRow>, StoreError> {
        let mut grouped = BTreeMap::<MissionId, MissionDelta>::new();
        for delta in deltas {
            grouped.entry(delta.id).or_insert_with(|| MissionDelta::of(delta.id)).add(delta);
        }
        let rows: Vec<_> = grouped.into_values().collect();
        if self.is_postgres() {
            let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
            self.execute_by(
                sql!(
                    "SELECT missions.id FROM [rows] JOIN missions ON missions.id = r.value \
                     ORDER BY missions.id /*pg FOR UPDATE OF missions*/",
                    Value<MissionId>
                ),
                &ids,
                args![],
            )
            .await?;
        }
        let sql = each!(
            "UPDATE missions SET tasks_total = tasks_total + [?total], tasks_open = tasks_open + [?open], \
             tasks_succeeded = tasks_succeeded + [?succeeded], tasks_failed = tasks_failed + [?failed], \
             tasks_skipped = tasks_skipped + [?skipped], tasks_cancelled = tasks_cancelled + [?cancelled], \
             tasks_leased = tasks_leased + [?leased], attempts_used = attempts_used + [?attempts], \
             artifact_bytes = artifact_bytes + [?artifact_bytes], log_bytes = log_bytes + [?log_bytes], \
             last_tag = MAX(last_tag, [?tag]) WHERE id = [?id]",
            "UPDATE missions SET tasks_total = tasks_total + r.total, tasks_open = tasks_open + r.open, \
             tasks_succeeded = tasks_succeeded + r.succeeded, tasks_failed = tasks_failed + r.failed, \
             tasks_skipped = tasks_skipped + r.skipped, tasks_cancelled = tasks_cancelled + r.cancelled, \
             tasks_leased = tasks_leased + r.leased, attempts_used = attempts_used + r.attempts, \
             artifact_bytes = missions.artifact_bytes + r.artifact_bytes, \
             log_bytes = missions.log_bytes + r.log_bytes, \
             last_tag = CASE WHEN r.tag > last_tag THEN r.tag ELSE last_tag END \
             FROM [rows] WHERE missions.id = r.id RETURNING [missions.out]",
            MissionDelta,
            MissionRow
        );
        if self.is_postgres() {
            return self.fetch_batch(sql, &rows, args![]).await;
        }
        // What RETURNING gathers costs SQLite more than looking again.
        self.execute_batch(sql, &rows, args![]).await?;
        self.missions(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await
    }
}

//! What retention takes away of missions that ended long ago. The audit trail, the ledger, approvals, reviews and the
//! tombstones of artifacts stay.

use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;

use super::LabelRow;
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::{Value, args};
use crate::transaction::Tx;

impl Connection {
    /// Missions that ended before `before` and that nothing refers to any more: no version of an artifact that still
    /// has its bytes, no open review, no rerun under way. Oldest first, after `after`.
    pub async fn forgettable_missions(
        &mut self,
        before: Timestamp,
        after: Option<MissionId>,
        limit: u32,
    ) -> Result<Vec<MissionId>, StoreError> {
        // Whatever ended before then began before then, and ids sort by time: no index on the end is needed.
        let millis = u128::try_from(before.as_micros() / 1000).unwrap_or(0).min((1 << 48) - 1);
        let newest = MissionId::from_bits(millis << 80);
        let after = after.map_or_else(String::new, |id| id.to_string());
        self.values(
            sql!(
                "SELECT id AS value FROM missions WHERE id > $1 AND id < $2 AND finished_at < $3 \
                 AND (status <> 'succeeded' OR xp_awarded IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM artifact_versions AS v WHERE v.mission = missions.id AND v.status <> 'purged') \
                 AND NOT EXISTS (SELECT 1 FROM reviews WHERE reviews.mission = missions.id AND reviews.state = 'open') \
                 AND NOT EXISTS (SELECT 1 FROM missions AS again WHERE again.rerun_of = missions.id AND again.finished_at IS NULL) \
                 ORDER BY id LIMIT $4"
            ),
            args![after, newest, before, limit],
        )
        .await
    }
}

impl Tx {
    /// Takes these missions away with everything that is theirs alone; gives those that were there.
    pub async fn forget_missions(&mut self, ids: &[MissionId]) -> Result<Vec<MissionId>, StoreError> {
        macro_rules! take {
            ($($condition:literal),* $(,)?) => {$(
                self.execute_by(sql!(concat!("DELETE FROM ", $condition), Value<MissionId>), ids, args![]).await?;
            )*};
        }
        let rows = self.missions(ids).await?;
        let labels: Vec<LabelRow> = rows.iter().flat_map(LabelRow::of).collect();
        let sql = sql!(
            "DELETE FROM mission_labels WHERE (key, value, mission) IN (SELECT key, value, mission FROM [rows])",
            LabelRow
        );
        self.execute_batch(sql, &labels, args![]).await?;
        take!(
            "attempts WHERE task IN (SELECT id FROM tasks WHERE mission IN (SELECT value FROM [rows]))",
            "logs WHERE task IN (SELECT id FROM tasks WHERE mission IN (SELECT value FROM [rows]))",
            "tasks WHERE mission IN (SELECT value FROM [rows])",
            "task_edges WHERE mission IN (SELECT value FROM [rows])",
            "plans WHERE mission IN (SELECT value FROM [rows])",
            "mission_inputs WHERE mission IN (SELECT value FROM [rows])",
            "chain_links WHERE mission IN (SELECT value FROM [rows])",
            "proposals WHERE parent IN (SELECT value FROM [rows])",
            "plannings WHERE mission IN (SELECT value FROM [rows])",
            "sub_missions WHERE parent IN (SELECT value FROM [rows])",
            "sub_missions_behind WHERE parent IN (SELECT value FROM [rows])",
            "model_calls WHERE mission IN (SELECT value FROM [rows])",
            "spawned WHERE mission IN (SELECT value FROM [rows])",
            "trait_uses WHERE mission IN (SELECT value FROM [rows])",
            "predictions WHERE mission IN (SELECT value FROM [rows])",
            "documents WHERE kind = 'mission' AND subject IN (SELECT value FROM [rows])",
        );
        self.unremember(ids).await?;
        let gone = sql!(
            "DELETE FROM missions WHERE id IN (SELECT value FROM [rows]) RETURNING id AS value",
            Value<MissionId>
        );
        let gone: Vec<Value<MissionId>> = self.fetch_by(gone, ids, args![]).await?;
        Ok(gone.into_iter().map(|value| value.0).collect())
    }
}

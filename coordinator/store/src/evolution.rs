//! What the organism learned: the ledger, predictions and their scores, records per shape, causes, trust counts.

use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, PredictionId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    /// An entry of the ledger, as it is added.
    pub struct NewLedgerRow {
        /// `verified`, `taken_back`, `suspended`, …
        pub kind: String,
        /// A mission's id or a trait's name.
        pub subject: String,
        pub mission: Option<MissionId>,
        pub rank: Option<Rank>,
        pub xp: i64,
        /// Shape and inputs.
        pub fingerprint: Option<Digest>,
        /// Days since the epoch.
        pub day: i64,
        pub at: Timestamp,
        /// JSON object as text.
        pub body: String,
    }

    pub struct LedgerRow {
        pub number: i64,
        pub kind: String,
        pub subject: String,
        pub mission: Option<MissionId>,
        pub rank: Option<Rank>,
        pub xp: i64,
        pub fingerprint: Option<Digest>,
        pub day: i64,
        pub at: Timestamp,
        pub body: String,
    }

    /// What a mission left behind.
    pub struct TraceRow {
        pub mission: MissionId,
        /// Succeeded tasks that are not `core.*`.
        pub executed: i64,
        /// The highest of its tasks' that are not `core.*`, as assessed.
        pub rank: Option<Rank>,
        pub outputs: bool,
        pub artifacts: bool,
    }

    /// XP of a mission; 0 where it never counts.
    pub struct AwardRow {
        pub mission: MissionId,
        pub xp: i64,
    }

    pub struct PredictionRow {
        pub id: PredictionId,
        pub mission: MissionId,
        pub plan_revision: u32,
        pub rank: Rank,
        pub probability: f64,
        pub duration_ms: i64,
        /// Where the numbers come from, as JSON.
        pub evidence: String,
        pub made_at: Timestamp,
        pub succeeded: Option<bool>,
        pub actual_ms: Option<i64>,
        pub scored_at: Option<Timestamp>,
    }

    /// How a prediction came out.
    pub struct Score {
        pub mission: MissionId,
        pub succeeded: bool,
        pub actual_ms: i64,
        pub scored_at: Timestamp,
    }

    /// History of a shape.
    pub struct ShapeRecord {
        pub shape: Digest,
        pub runs: i64,
        pub successes: i64,
        pub duration_ms_sum: i64,
        pub updated_at: Timestamp,
    }

    pub struct CauseCount {
        pub day: i64,
        pub cause: String,
        pub capability: Capability,
        pub count: i64,
    }

    pub struct TrustCount {
        pub capability: Capability,
        pub plugin_version: String,
        pub agent: AgentId,
        pub successes: i64,
        pub failures: i64,
        /// Of the successes those whose duration is known, and their milliseconds together. What was long ago is left out
        /// of both.
        pub timed: i64,
        pub duration_ms_sum: i64,
    }
}

/// The longest an attempt counts for, whatever its agent says.
const LONGEST_MS: i64 = 365 * 24 * 3600 * 1_000;

impl Connection {
    /// The ledger after `number`, oldest first: what stage and XP are folded from.
    pub async fn ledger_after(&mut self, number: i64, limit: u32) -> Result<Vec<LedgerRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM ledger WHERE number > $1 ORDER BY number LIMIT $2", LedgerRow),
            args![number, limit],
        )
        .await
    }

    /// How many entries there are after `number` and up to `through`.
    pub async fn ledger_between(&mut self, number: i64, through: i64) -> Result<i64, StoreError> {
        let count = self
            .value(
                sql!("SELECT COUNT(*) AS value FROM ledger WHERE number > $1 AND number <= $2"),
                args![number, through],
            )
            .await?;
        Ok(count.unwrap_or(0))
    }

    /// Number of the newest entry; 0 for none.
    pub async fn newest_ledger(&mut self) -> Result<i64, StoreError> {
        let newest =
            self.value(sql!("SELECT COALESCE(MAX(number), 0) AS value FROM ledger"), args![]).await?;
        Ok(newest.unwrap_or(0))
    }

    /// The ledger, newest first.
    pub async fn ledger_list(&mut self, page: &PageRequest) -> Result<Page<LedgerRow>, StoreError> {
        let mut list = Filter::over::<LedgerRow>("ledger");
        list.newest_first_by_number("number", page)?;
        list.page(self, page, |row: &LedgerRow| row.number.to_string()).await
    }

    /// Whether this shape with these inputs was counted that day.
    pub async fn counted_on(&mut self, fingerprint: Digest, day: i64) -> Result<bool, StoreError> {
        let count: Option<i64> = self
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM ledger WHERE fingerprint = $1 AND day = $2 AND kind = 'verified'"
                ),
                args![fingerprint, day],
            )
            .await?;
        Ok(count.unwrap_or(0) > 0)
    }

    /// Succeeded missions that nothing has yet been awarded or refused for, by id: what the ledger looks at.
    pub async fn missions_to_judge(
        &mut self,
        after: Option<MissionId>,
        limit: u32,
    ) -> Result<Vec<crate::missions::MissionRow>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        self.fetch(
            sql!(
                "SELECT [columns] FROM missions WHERE status = 'succeeded' AND xp_awarded IS NULL AND id > $1 \
                 ORDER BY id LIMIT $2",
                crate::missions::MissionRow
            ),
            args![after.as_str(), limit],
        )
        .await
    }

    /// What these missions left behind, in one statement.
    pub async fn traces(&mut self, missions: &[MissionId]) -> Result<Vec<TraceRow>, StoreError> {
        // The offset keeps PostgreSQL from gathering all tasks of all missions first, to look these few up among them.
        let sql = sql!(
            "SELECT r.value AS mission, \
             (SELECT COUNT(*) FROM tasks WHERE tasks.mission = r.value AND tasks.state = 'succeeded' \
             AND tasks.uses NOT LIKE 'core.%') AS executed, \
             (SELECT MAX(tasks.rank) FROM tasks WHERE tasks.mission = r.value \
             AND tasks.uses NOT LIKE 'core.%') AS rank, \
             EXISTS (SELECT 1 FROM tasks WHERE tasks.mission = r.value AND tasks.state = 'succeeded' \
             AND tasks.outputs IS NOT NULL AND tasks.outputs <> '{}' LIMIT 1 OFFSET 0) AS outputs, \
             EXISTS (SELECT 1 FROM artifact_versions WHERE artifact_versions.mission = r.value \
             AND artifact_versions.kind = 'output' LIMIT 1 OFFSET 0) AS artifacts FROM [rows]",
            Value<MissionId>
        );
        self.fetch_by(sql, missions, args![]).await
    }

    pub async fn prediction_of(&mut self, mission: MissionId) -> Result<Option<PredictionRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM predictions WHERE mission = $1 ORDER BY plan_revision DESC LIMIT 1",
                PredictionRow
            ),
            args![mission],
        )
        .await
    }

    /// Scored predictions since `since`, newest first: Brier score, calibration and duration error are made from them.
    pub async fn scored_predictions(
        &mut self,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<PredictionRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM predictions WHERE scored_at IS NOT NULL AND scored_at >= $1 \
                 ORDER BY scored_at DESC LIMIT $2",
                PredictionRow
            ),
            args![since, limit],
        )
        .await
    }

    /// How many were made since `since`.
    pub async fn predictions_made(&mut self, since: Timestamp) -> Result<i64, StoreError> {
        // Ids begin with their time, in milliseconds, and have an index.
        let millis = u64::try_from(since.as_micros() / 1_000).unwrap_or(0);
        let first = PredictionId::from_bits(u128::from(millis) << 80);
        let count = self
            .value(sql!("SELECT COUNT(*) AS value FROM predictions WHERE id >= $1"), args![first])
            .await?;
        Ok(count.unwrap_or(0))
    }

    pub async fn shape_record(&mut self, shape: Digest) -> Result<Option<ShapeRecord>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM shape_records WHERE shape = $1", ShapeRecord),
            args![shape],
        )
        .await
    }

    /// Those that ran last.
    pub async fn newest_shape_records(&mut self, limit: u32) -> Result<Vec<ShapeRecord>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM shape_records ORDER BY updated_at DESC LIMIT $1", ShapeRecord),
            args![limit],
        )
        .await
    }

    /// Those of missions that ended since `since`, of the newest.
    pub async fn shape_records_since(
        &mut self,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ShapeRecord>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM shape_records WHERE shape IN (SELECT missions.shape FROM predictions \
                 JOIN missions ON missions.id = predictions.mission WHERE predictions.scored_at IS NOT NULL \
                 AND predictions.scored_at >= $1 ORDER BY predictions.scored_at DESC LIMIT $2)",
                ShapeRecord
            ),
            args![since, limit],
        )
        .await
    }

    /// All shapes together: the prior where a shape has no history.
    pub async fn shape_totals(&mut self) -> Result<(i64, i64, i64), StoreError> {
        let all: Option<ShapeTotals> = self
            .fetch_optional(
                sql!(
                    "SELECT CAST(COALESCE(SUM(runs), 0) AS BIGINT) AS runs, \
                     CAST(COALESCE(SUM(successes), 0) AS BIGINT) AS successes, \
                     CAST(COALESCE(SUM(duration_ms_sum), 0) AS BIGINT) AS duration_ms_sum FROM shape_records"
                ),
                args![],
            )
            .await?;
        Ok(all.map_or((0, 0, 0), |all| (all.runs, all.successes, all.duration_ms_sum)))
    }

    /// Failures by cause and capability since a day, most frequent first.
    pub async fn cause_counts(&mut self, since_day: i64) -> Result<Vec<CauseCount>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM cause_counts WHERE day >= $1 ORDER BY count DESC, cause, capability, day",
                CauseCount
            ),
            args![since_day],
        )
        .await
    }

    pub async fn trust_counts(&mut self) -> Result<Vec<TrustCount>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM trust_counts ORDER BY capability, plugin_version, agent", TrustCount),
            args![],
        )
        .await
    }
}

record! {
    struct ShapeTotals {
        pub runs: i64,
        pub successes: i64,
        pub duration_ms_sum: i64,
    }
}

impl Tx {
    /// Adds to the ledger. An entry of the same kind for the same mission is left as it is; gives how many were new.
    pub async fn append_ledger(&mut self, rows: &[NewLedgerRow]) -> Result<u64, StoreError> {
        let insert = insert!("ledger", NewLedgerRow, "ON CONFLICT DO NOTHING");
        self.execute_batch(insert, rows, args![]).await
    }

    pub async fn set_xp_awarded(&mut self, awarded: &[AwardRow]) -> Result<(), StoreError> {
        let sql =
            sql!("UPDATE missions SET xp_awarded = r.xp FROM [rows] WHERE missions.id = r.mission", AwardRow);
        self.execute_batch(sql, awarded, args![]).await.map(drop)
    }

    pub async fn insert_predictions(&mut self, rows: &[PredictionRow]) -> Result<(), StoreError> {
        let insert = insert!("predictions", PredictionRow, "ON CONFLICT (mission, plan_revision) DO NOTHING");
        self.execute_batch(insert, rows, args![]).await.map(drop)
    }

    /// Scores the predictions of ended missions that are not scored yet: of each that of its newest plan, for no other ran.
    pub async fn score_predictions(&mut self, scores: &[Score]) -> Result<u64, StoreError> {
        let sql = each!(
            "UPDATE predictions SET succeeded = [?succeeded], actual_ms = [?actual_ms], scored_at = [?scored_at] \
             WHERE mission = [?mission] AND scored_at IS NULL AND plan_revision = \
             (SELECT MAX(newest.plan_revision) FROM predictions AS newest WHERE newest.mission = [?mission])",
            "UPDATE predictions SET succeeded = r.succeeded, actual_ms = r.actual_ms, scored_at = r.scored_at \
             FROM [rows] WHERE predictions.mission = r.mission AND predictions.scored_at IS NULL \
             AND predictions.plan_revision = \
             (SELECT MAX(newest.plan_revision) FROM predictions AS newest WHERE newest.mission = r.mission)",
            Score
        );
        self.execute_batch(sql, scores, args![]).await
    }

    /// Adds to the history of shapes: the counts given are added.
    pub async fn add_shape_records(&mut self, rows: &[ShapeRecord]) -> Result<(), StoreError> {
        let mut grouped = std::collections::BTreeMap::<Digest, ShapeRecord>::new();
        for row in rows {
            let sum = grouped.entry(row.shape).or_insert_with(|| ShapeRecord {
                runs: 0,
                successes: 0,
                duration_ms_sum: 0,
                ..row.clone()
            });
            sum.runs += row.runs;
            sum.successes += row.successes;
            sum.duration_ms_sum += row.duration_ms_sum;
        }
        let rows: Vec<_> = grouped.into_values().collect();
        let insert = insert!(
            "shape_records",
            ShapeRecord,
            "ON CONFLICT (shape) DO UPDATE SET runs = shape_records.runs + excluded.runs, \
             successes = shape_records.successes + excluded.successes, \
             duration_ms_sum = shape_records.duration_ms_sum + excluded.duration_ms_sum, \
             updated_at = excluded.updated_at"
        );
        self.execute_batch(insert, &rows, args![]).await.map(drop)
    }

    /// Counts failures: the counts given are added.
    pub async fn add_causes(&mut self, rows: &[CauseCount]) -> Result<(), StoreError> {
        let mut grouped = std::collections::BTreeMap::<(i64, String, Capability), i64>::new();
        for row in rows {
            *grouped.entry((row.day, row.cause.clone(), row.capability.clone())).or_default() += row.count;
        }
        let rows: Vec<_> = grouped
            .into_iter()
            .map(|((day, cause, capability), count)| CauseCount { day, cause, capability, count })
            .collect();
        let insert = insert!(
            "cause_counts",
            CauseCount,
            "ON CONFLICT (day, cause, capability) DO UPDATE SET count = cause_counts.count + excluded.count"
        );
        self.execute_batch(insert, &rows, args![]).await.map(drop)
    }

    /// Counts outcomes per (capability, plugin version, agent): the counts given are added.
    pub async fn add_trust(&mut self, rows: &[TrustCount]) -> Result<(), StoreError> {
        let mut grouped = std::collections::BTreeMap::<(Capability, String, AgentId), TrustCount>::new();
        for row in rows {
            let key = (row.capability.clone(), row.plugin_version.clone(), row.agent);
            let sum = grouped.entry(key).or_insert_with(|| TrustCount {
                successes: 0,
                failures: 0,
                timed: 0,
                duration_ms_sum: 0,
                ..row.clone()
            });
            sum.successes += row.successes;
            sum.failures += row.failures;
            sum.timed += row.timed;
            sum.duration_ms_sum += row.duration_ms_sum.min(row.timed.saturating_mul(LONGEST_MS));
        }
        let rows: Vec<_> = grouped.into_values().collect();
        // Durations that are known are halved at a hundred: recent attempts say more about the next than old ones.
        let insert = insert!(
            "trust_counts",
            TrustCount,
            "ON CONFLICT (capability, plugin_version, agent) DO UPDATE SET \
             successes = trust_counts.successes + excluded.successes, \
             failures = trust_counts.failures + excluded.failures, \
             timed = trust_counts.timed / (CASE WHEN trust_counts.timed >= 100 THEN 2 ELSE 1 END) \
             + excluded.timed, \
             duration_ms_sum = trust_counts.duration_ms_sum \
             / (CASE WHEN trust_counts.timed >= 100 THEN 2 ELSE 1 END) + excluded.duration_ms_sum"
        );
        self.execute_batch(insert, &rows, args![]).await.map(drop)
    }
}

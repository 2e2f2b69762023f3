//! How goals became plans: a row per planner that was asked, and what the asking cost.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record, words};
use crate::transaction::Tx;

words! {
    pub enum PlanningOutcome {
        Planned = "planned",
        /// Something is missing that only people can say.
        Asked = "asked",
        /// It has nothing to offer here.
        Passed = "passed",
        Failed = "failed",
        /// It was not asked: not configured, not earned, over budget.
        Barred = "barred",
    }
}

record! {
    pub struct PlanningRow {
        pub mission: MissionId,
        /// Of the mission, from 1.
        pub number: i64,
        pub planner: String,
        pub outcome: PlanningOutcome,
        pub said: String,
        /// JSON.
        pub detail: String,
        pub model: Option<String>,
        pub prompt: Option<String>,
        pub calls: i64,
        pub tokens_in: i64,
        pub tokens_out: i64,
        /// Micro-dollars.
        pub cost: i64,
        pub cached: i64,
        pub at: Timestamp,
        pub took_ms: i64,
    }

    /// What planners of one kind did with one outcome, on one day.
    pub struct PlanningCount {
        /// Since 1970, UTC.
        pub day: i64,
        pub planner: String,
        pub outcome: PlanningOutcome,
        pub count: i64,
        pub calls: i64,
        pub tokens_in: i64,
        pub tokens_out: i64,
        pub cost: i64,
        pub cached: i64,
        pub took_ms: i64,
    }

    /// What was spent on models.
    pub struct PlanningSpent {
        pub tokens: i64,
        pub cost: i64,
    }
}

impl Connection {
    /// The newest fifty of one mission, in order.
    pub async fn plannings(&mut self, mission: MissionId) -> Result<Vec<PlanningRow>, StoreError> {
        let mut newest: Vec<PlanningRow> = self
            .fetch(
                sql!(
                    "SELECT [columns] FROM plannings WHERE mission = $1 ORDER BY number DESC LIMIT 50",
                    PlanningRow
                ),
                args![mission],
            )
            .await?;
        newest.reverse();
        Ok(newest)
    }

    /// By day, planner and outcome, since then.
    pub async fn planning_counts(&mut self, since: Timestamp) -> Result<Vec<PlanningCount>, StoreError> {
        self.fetch(
            sql!(
                "SELECT at / 86400000000 AS day, planner, outcome, COUNT(*) AS count, \
                 CAST(SUM(calls) AS BIGINT) AS calls, \
                 CAST(SUM(tokens_in) AS BIGINT) AS tokens_in, CAST(SUM(tokens_out) AS BIGINT) AS tokens_out, \
                 CAST(SUM(cost) AS BIGINT) AS cost, CAST(SUM(cached) AS BIGINT) AS cached, \
                 CAST(SUM(took_ms) AS BIGINT) AS took_ms FROM plannings WHERE at >= $1 \
                 GROUP BY at / 86400000000, planner, outcome ORDER BY 1, planner, outcome"
            ),
            args![since],
        )
        .await
    }

    /// What models were paid since then.
    pub async fn planning_spent(&mut self, since: Timestamp) -> Result<PlanningSpent, StoreError> {
        let spent = self
            .fetch_optional(
                sql!(
                    "SELECT CAST(COALESCE(SUM(tokens_in + tokens_out), 0) AS BIGINT) AS tokens, \
                     CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost FROM plannings WHERE at >= $1"
                ),
                args![since],
            )
            .await?;
        Ok(spent.unwrap_or(PlanningSpent { tokens: 0, cost: 0 }))
    }

    /// Missions of this shape whose completion was verified and not taken back.
    pub async fn verified_runs(&mut self, shape: Digest) -> Result<i64, StoreError> {
        let count = self
            .value(
                sql!("SELECT COUNT(*) AS value FROM missions WHERE shape = $1 AND xp_awarded > 0"),
                args![shape],
            )
            .await?;
        Ok(count.unwrap_or(0))
    }
}

impl Tx {
    /// Adds what was asked, behind what was asked for these missions before.
    pub async fn insert_plannings(&mut self, rows: &[PlanningRow]) -> Result<(), StoreError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let known: Option<i64> = self
            .value(
                sql!("SELECT COALESCE(MAX(number), 0) AS value FROM plannings WHERE mission = $1"),
                args![first.mission],
            )
            .await?;
        let known = known.unwrap_or(0);
        let rows: Vec<PlanningRow> =
            (known + 1..).zip(rows).map(|(number, row)| PlanningRow { number, ..row.clone() }).collect();
        self.execute_batch(insert!("plannings", PlanningRow), &rows, args![]).await.map(drop)
    }
}

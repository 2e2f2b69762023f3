//! How goals became plans: a row per planner that was asked, and what the asking cost.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, ModelCallId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record, words};
use crate::transaction::Tx;

/// PostgreSQL: what is spent and what is set aside are looked at together.
const BUDGET_LOCK: i64 = 0x6e65_7876;

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

    /// A question that is out, with the most it may cost.
    pub struct ModelCallRow {
        pub id: ModelCallId,
        pub mission: MissionId,
        pub model: String,
        pub prompt: String,
        pub tokens_in: i64,
        pub tokens_out: i64,
        /// Micro-dollars.
        pub cost: i64,
        pub at: Timestamp,
        /// Whoever asked is not waited for any longer.
        pub until: Timestamp,
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

    /// What models were paid since then, with what is set aside for questions that are out.
    pub async fn planning_spent(&mut self, since: Timestamp) -> Result<PlanningSpent, StoreError> {
        let spent = self
            .fetch_optional(
                sql!(
                    "SELECT CAST(COALESCE(SUM(tokens), 0) AS BIGINT) AS tokens, \
                     CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost FROM (\
                     SELECT tokens_in + tokens_out AS tokens, cost FROM plannings WHERE at >= $1 UNION ALL \
                     SELECT tokens_in + tokens_out AS tokens, cost FROM model_calls WHERE at >= $1) AS spent"
                ),
                args![since],
            )
            .await?;
        Ok(spent.unwrap_or(PlanningSpent { tokens: 0, cost: 0 }))
    }

    /// What models were paid for this mission, with what is set aside for questions that are out.
    pub async fn planning_spent_on(&mut self, mission: MissionId) -> Result<PlanningSpent, StoreError> {
        let spent = self
            .fetch_optional(
                sql!(
                    "SELECT CAST(COALESCE(SUM(tokens), 0) AS BIGINT) AS tokens, \
                     CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost FROM (\
                     SELECT tokens_in + tokens_out AS tokens, cost FROM plannings WHERE mission = $1 UNION ALL \
                     SELECT tokens_in + tokens_out AS tokens, cost FROM model_calls WHERE mission = $1) AS spent"
                ),
                args![mission],
            )
            .await?;
        Ok(spent.unwrap_or(PlanningSpent { tokens: 0, cost: 0 }))
    }

    /// Whether there is one whose asker is not waited for any longer.
    pub async fn any_lapsed_model_call(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let any: Option<ModelCallId> = self
            .value(sql!("SELECT id AS value FROM model_calls WHERE until <= $1 LIMIT 1"), args![now])
            .await?;
        Ok(any.is_some())
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

    /// Sets aside what a question may cost.
    pub async fn insert_model_call(&mut self, row: &ModelCallRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("model_calls", ModelCallRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Until this unit ends nobody else sets anything aside.
    pub async fn lock_model_budget(&mut self) -> Result<(), StoreError> {
        // A file has one writer.
        if self.is_postgres() {
            self.execute(sql!("SELECT pg_advisory_xact_lock($1)"), args![BUDGET_LOCK]).await?;
        }
        Ok(())
    }

    /// These are booked.
    pub async fn settle_model_calls(&mut self, ids: &[ModelCallId]) -> Result<(), StoreError> {
        let sql = sql!("DELETE FROM model_calls WHERE id IN (SELECT value FROM [rows])", Value<ModelCallId>);
        self.execute_by(sql, ids, args![]).await.map(drop)
    }

    /// Takes those of a mission whose planner is gone, or all whose askers are not waited for any longer at `now`.
    pub async fn take_model_calls(
        &mut self,
        mission: Option<MissionId>,
        now: Timestamp,
    ) -> Result<Vec<ModelCallRow>, StoreError> {
        match mission {
            Some(mission) => {
                self.fetch(
                    sql!("DELETE FROM model_calls WHERE mission = $1 RETURNING [columns]", ModelCallRow),
                    args![mission],
                )
                .await
            }
            None => {
                self.fetch(
                    sql!("DELETE FROM model_calls WHERE until <= $1 RETURNING [columns]", ModelCallRow),
                    args![now],
                )
                .await
            }
        }
    }
}

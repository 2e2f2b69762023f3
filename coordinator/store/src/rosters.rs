//! Rosters, and the signed decisions that dispatch shows to agents.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId, PrincipalId, TaskId};
use nexusmon_shared::time::Timestamp;

use crate::approvals::{ApprovalRow, ApprovalSubject};
use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    pub struct RosterRow {
        pub digest: Digest,
        pub number: u64,
        /// Canonical JSON.
        pub signed: String,
        pub in_force_at: Timestamp,
        pub posted_by: PrincipalId,
        pub at: Timestamp,
    }

    /// A signed decision, and what its approval is about.
    pub struct SignedRow {
        pub mission: Option<MissionId>,
        pub subject_kind: ApprovalSubject,
        pub subject: String,
        pub digest: Digest,
        /// JSON, as it was given.
        pub signature: String,
    }
}

impl Connection {
    /// The roster that decides: the newest in force, and of one number the one that came last.
    pub async fn roster(&mut self, now: Timestamp) -> Result<Option<RosterRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM rosters WHERE in_force_at <= $1 ORDER BY number DESC, at DESC LIMIT 1",
                RosterRow
            ),
            args![now],
        )
        .await
    }

    /// Those behind `number`, in the order in which they follow from each other.
    pub async fn rosters_after(&mut self, number: u64) -> Result<Vec<RosterRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM rosters WHERE number > $1 ORDER BY number, at", RosterRow),
            args![number],
        )
        .await
    }

    /// Signed decisions of these missions, newest first; those of void approvals are none.
    pub async fn signed_decisions(&mut self, missions: &[MissionId]) -> Result<Vec<SignedRow>, StoreError> {
        let sql = sql!(
            "SELECT approvals.mission, approvals.subject_kind, approvals.subject, approvals.digest, \
             approval_decisions.signature FROM [rows] JOIN approvals ON approvals.mission = r.value \
             JOIN approval_decisions ON approval_decisions.approval = approvals.id \
             WHERE approvals.state <> 'void' AND approval_decisions.signature IS NOT NULL \
             ORDER BY approval_decisions.at DESC",
            Value<MissionId>
        );
        self.fetch_by(sql, missions, args![]).await
    }

    /// Given approvals whose signatures have ended.
    pub async fn approvals_lapsed(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM approvals WHERE state = 'approved' AND valid_until IS NOT NULL \
                 AND valid_until <= $1 ORDER BY valid_until LIMIT $2",
                ApprovalRow
            ),
            args![now, limit],
        )
        .await
    }

    /// Tasks of a mission that are gated, without an approval of their own that waits.
    pub async fn gated_by_plan(&mut self, mission: MissionId) -> Result<Vec<TaskId>, StoreError> {
        let found: Vec<Value<TaskId>> = self
            .fetch(
                sql!(
                    "SELECT id AS value FROM tasks WHERE mission = $1 AND state = 'gated' AND NOT EXISTS (\
                     SELECT 1 FROM approvals WHERE approvals.mission = $1 AND approvals.subject = tasks.id \
                     AND approvals.state = 'pending') ORDER BY id"
                ),
                args![mission],
            )
            .await?;
        Ok(found.into_iter().map(|one| one.0).collect())
    }

    /// Ready tasks of a mission, which an approval that lapsed may have been for.
    pub async fn ready_in(&mut self, mission: MissionId) -> Result<Vec<TaskId>, StoreError> {
        let found: Vec<Value<TaskId>> = self
            .fetch(
                sql!("SELECT id AS value FROM tasks WHERE mission = $1 AND state = 'ready' ORDER BY id"),
                args![mission],
            )
            .await?;
        Ok(found.into_iter().map(|one| one.0).collect())
    }
}

impl Tx {
    /// Adds a roster; the same one again is `Unique`.
    pub async fn insert_roster(&mut self, row: &RosterRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("rosters", RosterRow), std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// Until when the signatures last that an approval rests on; `None`: they have ended, and that was dealt with.
    pub async fn set_valid_until(
        &mut self,
        approval: ApprovalId,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.execute(
            sql!("UPDATE approvals SET valid_until = $2, version = version + 1 WHERE id = $1"),
            args![approval, until],
        )
        .await
        .map(drop)
    }
}

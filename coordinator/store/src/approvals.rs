//! Approvals and the decisions on them; reviews after the fact.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId, PrincipalId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Json, Value, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum ApprovalSubject {
        MissionPlan = "mission_plan",
        TaskInstance = "task_instance",
        Budget = "budget",
        PolicyChange = "policy_change",
        Standing = "standing",
        TraitGrant = "trait_grant",
        RosterChange = "roster_change",
        Release = "release",
    }

    pub enum ApprovalState {
        Pending = "pending",
        Approved = "approved",
        Rejected = "rejected",
        Expired = "expired",
        /// The subject changed or ended.
        Void = "void",
    }

    pub enum DecisionVerdict {
        Approve = "approve",
        Reject = "reject",
    }
}

record! {
    pub struct ApprovalRow {
        pub id: ApprovalId,
        pub subject_kind: ApprovalSubject,
        /// A mission's or task's id, a policy set, …
        pub subject: String,
        pub mission: Option<MissionId>,
        pub digest: Digest,
        pub rank: Rank,
        pub needed: u32,
        pub author: Json<Author>,
        pub state: ApprovalState,
        /// The policies that asked for it.
        pub policies: Json<Vec<String>>,
        pub created_at: Timestamp,
        pub decide_by: Timestamp,
        pub decided_at: Option<Timestamp>,
        pub version: i64,
        /// When the first of the signatures it rests on ends.
        pub valid_until: Option<Timestamp>,
        /// What the digest covers, where that is a document of its own: canonical JSON.
        pub body: Option<String>,
    }

    /// One principal's decision; one each.
    pub struct DecisionRow {
        pub approval: ApprovalId,
        pub principal: PrincipalId,
        pub verdict: DecisionVerdict,
        pub comment: Option<String>,
        /// `server`, `key`, `passkey`.
        pub method: String,
        /// JSON, as it was given.
        pub signature: Option<String>,
        pub at: Timestamp,
    }
}

/// What a list of approvals may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    pub states: Vec<ApprovalState>,
    pub mission: Option<MissionId>,
}

impl Connection {
    pub async fn approval(&mut self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM approvals WHERE id = $1", ApprovalRow), args![id])
            .await
    }

    /// A mission's approvals, newest first.
    pub async fn approvals_of(&mut self, mission: MissionId) -> Result<Vec<ApprovalRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM approvals WHERE mission = $1 ORDER BY id DESC", ApprovalRow),
            args![mission],
        )
        .await
    }

    /// Approvals of several missions that wait, for lists.
    pub async fn pending_approvals_of(
        &mut self,
        missions: &[MissionId],
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        let sql = sql!(
            "SELECT approvals.* FROM [rows] JOIN approvals ON approvals.mission = r.value \
             WHERE approvals.state = 'pending' ORDER BY approvals.id",
            Value<MissionId>
        );
        self.fetch_by(sql, missions, args![]).await
    }

    pub async fn approval_list(
        &mut self,
        filter: &ApprovalFilter,
        page: &PageRequest,
    ) -> Result<Page<ApprovalRow>, StoreError> {
        let mut list = Filter::over::<ApprovalRow>("approvals");
        list.among("state", &filter.states);
        list.equals("mission", filter.mission.as_ref());
        list.newest_first("id", page);
        list.page(self, page, |row: &ApprovalRow| row.id.to_string()).await
    }

    /// Decisions, oldest first.
    pub async fn decisions(&mut self, approval: ApprovalId) -> Result<Vec<DecisionRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM approval_decisions WHERE approval = $1 ORDER BY at", DecisionRow),
            args![approval],
        )
        .await
    }

    /// Pending approvals about one kind of subject, oldest first.
    pub async fn pending_approvals_about(
        &mut self,
        kind: ApprovalSubject,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM approvals WHERE state = 'pending' AND subject_kind = $1 ORDER BY id",
                ApprovalRow
            ),
            args![kind],
        )
        .await
    }

    /// Pending approvals whose time to decide is over.
    pub async fn approvals_due(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM approvals WHERE state = 'pending' AND decide_by <= $1 \
                 ORDER BY decide_by LIMIT $2",
                ApprovalRow
            ),
            args![now, limit],
        )
        .await
    }

    /// How many wait, the mean seconds from asking to deciding of the newest hundred decided ones, and how many were
    /// decided at all.
    pub async fn approval_attention(&mut self) -> Result<(i64, Option<f64>, i64), StoreError> {
        let waiting = self
            .value(sql!("SELECT COUNT(*) AS value FROM approvals WHERE state = 'pending'"), args![])
            .await?;
        let seconds: Option<Option<f64>> = self
            .value(
                sql!(
                    "SELECT CAST(AVG(spent) / 1000000.0 AS DOUBLE PRECISION) AS value FROM (\
                     SELECT decided_at - created_at AS spent FROM approvals WHERE decided_at IS NOT NULL \
                     AND state IN ('approved', 'rejected') ORDER BY id DESC LIMIT 100) AS newest"
                ),
                args![],
            )
            .await?;
        let decided = self
            .value(
                sql!("SELECT COUNT(*) AS value FROM approvals WHERE state IN ('approved', 'rejected')"),
                args![],
            )
            .await?;
        Ok((waiting.unwrap_or(0), seconds.flatten(), decided.unwrap_or(0)))
    }
}

impl Tx {
    pub async fn insert_approvals(&mut self, rows: &[ApprovalRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("approvals", ApprovalRow), rows, args![]).await.map(drop)
    }

    /// The approval, locked until this unit ends.
    pub async fn lock_approval(&mut self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM approvals WHERE id = $1 /*pg FOR UPDATE*/", ApprovalRow),
            args![id],
        )
        .await
    }

    /// Adds a decision; the same principal's second one is `Unique`.
    pub async fn insert_decision(&mut self, row: &DecisionRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("approval_decisions", DecisionRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Takes a decision back that does not count any more, so that its principal may decide anew.
    pub async fn forget_decision(
        &mut self,
        approval: ApprovalId,
        principal: PrincipalId,
    ) -> Result<(), StoreError> {
        self.execute(
            sql!("DELETE FROM approval_decisions WHERE approval = $1 AND principal = $2"),
            args![approval, principal],
        )
        .await
        .map(drop)
    }

    /// Ends a pending approval. False if it was over already.
    pub async fn end_approval(
        &mut self,
        id: ApprovalId,
        state: ApprovalState,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!(
                    "UPDATE approvals SET state = $2, decided_at = $3, version = version + 1 \
                     WHERE id = $1 AND state = 'pending'"
                ),
                args![id, state, now],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Voids what waits about a kind of subject, which has changed: of one subject, or of all.
    pub async fn void_pending(
        &mut self,
        kind: ApprovalSubject,
        subject: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "UPDATE approvals SET state = 'void', decided_at = $3, version = version + 1 \
                 WHERE state = 'pending' AND subject_kind = $1 AND ($2 = '' OR subject = $2)"
            ),
            args![kind, subject.unwrap_or_default(), now],
        )
        .await
    }

    /// Voids a mission's approvals that wait or were given: its plan changed, or it ended.
    pub async fn void_approvals(&mut self, mission: MissionId, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "UPDATE approvals SET state = 'void', decided_at = COALESCE(decided_at, $2), version = version + 1 \
                 WHERE mission = $1 AND state IN ('pending', 'approved')"
            ),
            args![mission, now],
        )
        .await
    }
}

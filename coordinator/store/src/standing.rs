//! Standing approvals and what they were spent on.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, ApprovalId, MissionId, PrincipalId, StandingId, TaskId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Value, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum StandingState {
        /// Waits for those who sign.
        Pending = "pending",
        Active = "active",
        Revoked = "revoked",
        /// Somebody said no, or nobody yes in time.
        Refused = "refused",
    }
}

record! {
    pub struct StandingRow {
        pub id: StandingId,
        pub approval: ApprovalId,
        pub state: StandingState,
        pub playbook: Name,
        pub version: i64,
        pub shape: Digest,
        pub digest: Digest,
        /// Canonical JSON of what is signed.
        pub body: String,
        pub expires_at: Timestamp,
        pub uses: i64,
        pub used: i64,
        pub created_by: PrincipalId,
        pub created_at: Timestamp,
    }

    pub struct StandingUseRow {
        pub standing: StandingId,
        /// From 1.
        pub number: i64,
        pub mission: MissionId,
        pub task: TaskId,
        pub agent: AgentId,
        pub attempt: u32,
        pub at: Timestamp,
    }
}

impl Connection {
    pub async fn standing(&mut self, id: StandingId) -> Result<Option<StandingRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM standing_approvals WHERE id = $1", StandingRow),
            args![id],
        )
        .await
    }

    /// Those of a shape, or of a playbook in any version, newest first.
    pub async fn standing_for(
        &mut self,
        shape: Digest,
        playbook: &Name,
    ) -> Result<Vec<StandingRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM standing_approvals WHERE (shape = $1 OR playbook = $2) AND state <> 'refused' \
                 ORDER BY id DESC LIMIT 50",
                StandingRow
            ),
            args![shape, *playbook],
        )
        .await
    }

    pub async fn standing_list(&mut self, page: &PageRequest) -> Result<Page<StandingRow>, StoreError> {
        let mut list = Filter::over::<StandingRow>("standing_approvals");
        list.newest_first("id", page);
        list.page(self, page, |row: &StandingRow| row.id.to_string()).await
    }

    /// Those taken back that have not ended by themselves, the newest first.
    pub async fn standing_revoked(
        &mut self,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<StandingRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM standing_approvals WHERE state = 'revoked' AND expires_at > $1 \
                 ORDER BY id DESC LIMIT $2",
                StandingRow
            ),
            args![now, most],
        )
        .await
    }

    /// The newest uses.
    pub async fn standing_uses(
        &mut self,
        id: StandingId,
        most: u32,
    ) -> Result<Vec<StandingUseRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM standing_uses WHERE standing = $1 ORDER BY number DESC LIMIT $2",
                StandingUseRow
            ),
            args![id, most],
        )
        .await
    }
}

impl Tx {
    pub async fn insert_standing(&mut self, row: &StandingRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("standing_approvals", StandingRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Locked until this unit ends, so that no use is counted twice.
    pub async fn lock_standing(&mut self, ids: &[StandingId]) -> Result<Vec<StandingRow>, StoreError> {
        let sql = sql!(
            "SELECT standing_approvals.* FROM [rows] JOIN standing_approvals ON standing_approvals.id = r.value \
             ORDER BY standing_approvals.id /*pg FOR UPDATE OF standing_approvals*/",
            Value<StandingId>
        );
        self.fetch_by(sql, ids, args![]).await
    }

    /// Moves it on. False if it was in another state.
    pub async fn set_standing_state(
        &mut self,
        id: StandingId,
        from: &[StandingState],
        to: StandingState,
    ) -> Result<bool, StoreError> {
        let mut changed = 0;
        for state in from {
            changed += self
                .execute(
                    sql!("UPDATE standing_approvals SET state = $3 WHERE id = $1 AND state = $2"),
                    args![id, *state, to],
                )
                .await?;
        }
        Ok(changed > 0)
    }

    /// Writes uses of one standing approval and counts them; `used` was what was counted before.
    pub async fn spend_standing(
        &mut self,
        id: StandingId,
        used: i64,
        rows: &[StandingUseRow],
    ) -> Result<bool, StoreError> {
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let changed = self
            .execute(
                sql!(
                    "UPDATE standing_approvals SET used = used + $3 \
                     WHERE id = $1 AND used = $2 AND used + $3 <= uses AND state = 'active'"
                ),
                args![id, used, count],
            )
            .await?;
        if changed != 1 {
            return Ok(false);
        }
        self.execute_batch(insert!("standing_uses", StandingUseRow), rows, args![]).await?;
        Ok(true)
    }
}

//! Chains: which mission led to which, and what the system would do next.

use nexusmon_shared::id::{MissionId, ProposalId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::missions::MissionRow;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Value, args, record, words};
use crate::transaction::Tx;

words! {
    /// Whether what follows a mission was looked at.
    pub enum Follows {
        Open = "open",
        Decided = "decided",
    }

    pub enum ProposalState {
        /// Waits for a person.
        Proposed = "proposed",
        Started = "started",
        Dismissed = "dismissed",
        /// It could not be made into a mission.
        Failed = "failed",
    }
}

record! {
    pub struct ChainLinkRow {
        pub mission: MissionId,
        pub root: MissionId,
        pub parent: MissionId,
        pub depth: i64,
        /// A trigger's id, or a proposal's.
        pub started_by: String,
        pub why: String,
        pub at: Timestamp,
    }

    pub struct ProposalRow {
        pub id: ProposalId,
        pub parent: MissionId,
        pub place: i64,
        /// `name@version`.
        pub said_by: String,
        /// `name`, or `name@version`.
        pub playbook: String,
        /// JSON object.
        pub inputs: String,
        pub why: String,
        pub depth: i64,
        pub state: ProposalState,
        pub reason: Option<String>,
        pub mission: Option<MissionId>,
        pub created_at: Timestamp,
        pub decided_at: Option<Timestamp>,
        pub decided_by: Option<String>,
        pub version: i64,
    }
}

impl ProposalRow {
    /// It could not be made into a mission.
    pub fn fail(&mut self, why: &str) {
        self.state = ProposalState::Failed;
        self.reason = Some(why.chars().take(1_000).collect());
    }
}

impl Connection {
    pub async fn chain_link(&mut self, mission: MissionId) -> Result<Option<ChainLinkRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM chain_links WHERE mission = $1", ChainLinkRow),
            args![mission],
        )
        .await
    }

    /// Every link of the chains that began with these, the first ones first.
    pub async fn chains_of(
        &mut self,
        roots: &[MissionId],
        limit: u32,
    ) -> Result<Vec<ChainLinkRow>, StoreError> {
        let sql = sql!(
            "SELECT [chain_links.out] FROM [rows] JOIN chain_links ON chain_links.root = r.value \
             ORDER BY chain_links.mission LIMIT $2",
            Value<MissionId>,
            ChainLinkRow
        );
        self.fetch_by(sql, roots, args![limit]).await
    }

    /// How many missions the system has started of its own accord since `since`.
    pub async fn chained_since(&mut self, since: Timestamp) -> Result<i64, StoreError> {
        let count = self
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM proposals WHERE state = 'started' \
                     AND decided_by = 'nexusmon' AND decided_at >= $1"
                ),
                args![since],
            )
            .await?;
        Ok(count.unwrap_or(0))
    }

    /// Missions that are over, and whose follow-ups were not looked at.
    pub async fn follows_open(&mut self, limit: u32) -> Result<Vec<MissionRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [missions.out] FROM mission_inputs CROSS JOIN missions \
                 WHERE missions.id = mission_inputs.mission AND mission_inputs.follows = 'open' \
                 AND missions.finished_at IS NOT NULL ORDER BY mission_inputs.mission LIMIT $1",
                MissionRow,
                MissionRow
            ),
            args![limit],
        )
        .await
    }

    pub async fn proposal(&mut self, id: ProposalId) -> Result<Option<ProposalRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM proposals WHERE id = $1", ProposalRow), args![id])
            .await
    }

    /// Those of one mission, in the order of its playbook.
    pub async fn proposals_of(&mut self, parent: MissionId) -> Result<Vec<ProposalRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM proposals WHERE parent = $1 ORDER BY place", ProposalRow),
            args![parent],
        )
        .await
    }

    /// Those of several missions, in the order they were made.
    pub async fn proposals_among(&mut self, parents: &[MissionId]) -> Result<Vec<ProposalRow>, StoreError> {
        let sql = sql!(
            "SELECT proposals.* FROM [rows] JOIN proposals ON proposals.parent = r.value ORDER BY proposals.id",
            Value<MissionId>
        );
        self.fetch_by(sql, parents, args![]).await
    }

    /// Newest first.
    pub async fn proposal_list(
        &mut self,
        state: Option<ProposalState>,
        page: &PageRequest,
    ) -> Result<Page<ProposalRow>, StoreError> {
        let mut list = Filter::over::<ProposalRow>("proposals");
        list.equals("state", state.as_ref());
        list.newest_first("id", page);
        list.page(self, page, |row: &ProposalRow| row.id.to_string()).await
    }

    /// How missions ended that the same follow-up of the same playbook led to since `since`, the newest first.
    pub async fn followed_since(
        &mut self,
        said_by: &str,
        place: i64,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<crate::triggers::EndedRunRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT missions.shape AS shape, mission_inputs.inputs_digest AS inputs, \
                 missions.status AS status, missions.finished_at AS ended_at FROM proposals \
                 JOIN missions ON missions.id = proposals.mission \
                 LEFT JOIN mission_inputs ON mission_inputs.mission = proposals.mission \
                 WHERE proposals.said_by = $1 AND proposals.place = $2 AND proposals.state = 'started' \
                 AND proposals.decided_by = 'nexusmon' AND proposals.decided_at >= $3 \
                 AND missions.finished_at IS NOT NULL ORDER BY proposals.id DESC LIMIT $4"
            ),
            args![said_by, place, since, limit],
        )
        .await
    }
}

impl Tx {
    pub async fn insert_chain_link(&mut self, row: &ChainLinkRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("chain_links", ChainLinkRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// False if somebody has looked at this mission's follow-ups before.
    pub async fn decide_follows(&mut self, mission: MissionId) -> Result<bool, StoreError> {
        let sql =
            sql!("UPDATE mission_inputs SET follows = 'decided' WHERE mission = $1 AND follows = 'open'");
        Ok(self.execute(sql, args![mission]).await? == 1)
    }

    pub async fn insert_proposals(&mut self, rows: &[ProposalRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("proposals", ProposalRow), rows, args![]).await.map(drop)
    }

    /// Reads it, and keeps others from deciding it until this unit ends.
    pub async fn lock_proposal(&mut self, id: ProposalId) -> Result<Option<ProposalRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM proposals WHERE id = $1 /*pg FOR UPDATE*/", ProposalRow),
            args![id],
        )
        .await
    }

    /// Writes one that [`Self::lock_proposal`] gave.
    pub async fn update_proposal(&mut self, row: &ProposalRow) -> Result<(), StoreError> {
        let sql = sql!("UPDATE proposals SET [set] FROM [rows] WHERE proposals.id = r.id", ProposalRow);
        self.execute_batch(sql, std::slice::from_ref(row), args![]).await.map(drop)
    }
}

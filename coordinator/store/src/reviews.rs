//! Reviews: after-the-fact judgements of flagged work, grouped by shape.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, PrincipalId, ReviewId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Json, Value, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum ReviewState {
        Open = "open",
        Accepted = "accepted",
        Rejected = "rejected",
        /// Closed by an accepted one of the same shape.
        Covered = "covered",
    }
}

record! {
    pub struct ReviewRow {
        pub id: ReviewId,
        pub mission: MissionId,
        pub shape: Option<Digest>,
        pub rank: Rank,
        pub state: ReviewState,
        pub policies: Json<Vec<String>>,
        pub created_at: Timestamp,
        pub decided_at: Option<Timestamp>,
        pub decided_by: Option<PrincipalId>,
        pub comment: Option<String>,
        pub version: i64,
    }
}

record! {
    /// Open reviews of one shape.
    pub struct OpenOfShape {
        pub shape: Digest,
        pub open: i64,
    }
}

record! {
    /// An agent that took part in a mission.
    pub struct AgentOfMission {
        pub mission: MissionId,
        pub agent: AgentId,
    }
}

/// What a list of reviews may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    pub states: Vec<ReviewState>,
    pub mission: Option<MissionId>,
    pub shape: Option<Digest>,
    /// Of those of one shape and state, the newest alone.
    pub newest_of_shape: bool,
}

impl Connection {
    pub async fn review(&mut self, id: ReviewId) -> Result<Option<ReviewRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM reviews WHERE id = $1", ReviewRow), args![id]).await
    }

    /// The newest review of a mission.
    pub async fn review_of(&mut self, mission: MissionId) -> Result<Option<ReviewRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM reviews WHERE mission = $1 ORDER BY id DESC LIMIT 1", ReviewRow),
            args![mission],
        )
        .await
    }

    pub async fn review_list(
        &mut self,
        filter: &ReviewFilter,
        page: &PageRequest,
    ) -> Result<Page<ReviewRow>, StoreError> {
        let mut list = Filter::over::<ReviewRow>("reviews");
        list.among("state", &filter.states);
        list.equals("mission", filter.mission.as_ref());
        list.equals("shape", filter.shape.as_ref());
        if filter.newest_of_shape {
            list.require(
                "NOT EXISTS (SELECT 1 FROM reviews later WHERE later.shape = reviews.shape \
                 AND later.state = reviews.state AND later.id > reviews.id)",
            );
        }
        list.newest_first("id", page);
        list.page(self, page, |row: &ReviewRow| row.id.to_string()).await
    }

    /// How many open reviews each of these shapes has; those without any are left out.
    pub async fn open_of_shapes(&mut self, shapes: &[Digest]) -> Result<Vec<OpenOfShape>, StoreError> {
        let sql = sql!(
            "SELECT reviews.shape AS shape, COUNT(*) AS open FROM [rows] JOIN reviews ON reviews.shape = r.value \
             WHERE reviews.state = 'open' GROUP BY reviews.shape",
            Value<Digest>
        );
        self.fetch_by(sql, shapes, args![]).await
    }

    /// Open reviews of a shape that come after `after`, oldest first.
    pub async fn open_reviews_of(
        &mut self,
        shape: Digest,
        after: ReviewId,
        limit: u32,
    ) -> Result<Vec<ReviewRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM reviews WHERE shape = $1 AND state = 'open' AND id > $2 ORDER BY id LIMIT $3",
                ReviewRow
            ),
            args![shape, after, i64::from(limit)],
        )
        .await
    }

    /// The newest accepted review of a shape since `since`: what covers identical runs.
    pub async fn covering_review(
        &mut self,
        shape: Digest,
        since: Timestamp,
    ) -> Result<Option<ReviewRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM reviews WHERE shape = $1 AND state = 'accepted' AND decided_at >= $2 \
                 ORDER BY decided_at DESC LIMIT 1",
                ReviewRow
            ),
            args![shape, since],
        )
        .await
    }

    /// Whether a mission of this shape failed since: what was accepted before says nothing any more.
    pub async fn failed_since(&mut self, shape: Digest, since: Timestamp) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM reviews JOIN missions ON missions.id = reviews.mission \
                     WHERE reviews.shape = $1 AND missions.status = 'failed' AND missions.finished_at >= $2"
                ),
                args![shape, since],
            )
            .await?;
        Ok(found.unwrap_or(0) > 0)
    }

    /// The agents that carried out this shape in runs that people accepted since.
    pub async fn accepted_agents(
        &mut self,
        shape: Digest,
        since: Timestamp,
    ) -> Result<Vec<AgentId>, StoreError> {
        self.values(
            sql!(
                "SELECT DISTINCT tasks.agent AS value FROM reviews JOIN tasks ON tasks.mission = reviews.mission \
                 WHERE reviews.shape = $1 AND reviews.state = 'accepted' AND reviews.decided_at >= $2 \
                 AND tasks.agent IS NOT NULL"
            ),
            args![shape, since],
        )
        .await
    }

    /// The agents that carried out each of these missions.
    pub async fn agents_of(&mut self, missions: &[MissionId]) -> Result<Vec<AgentOfMission>, StoreError> {
        let sql = sql!(
            "SELECT DISTINCT tasks.mission AS mission, tasks.agent AS agent FROM [rows] \
             JOIN tasks ON tasks.mission = r.value WHERE tasks.agent IS NOT NULL",
            Value<MissionId>
        );
        self.fetch_by(sql, missions, args![]).await
    }

    pub async fn open_review_count(&mut self) -> Result<i64, StoreError> {
        let count =
            self.value(sql!("SELECT COUNT(*) AS value FROM reviews WHERE state = 'open'"), args![]).await?;
        Ok(count.unwrap_or(0))
    }
}

impl Tx {
    pub async fn insert_reviews(&mut self, rows: &[ReviewRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("reviews", ReviewRow), rows, args![]).await.map(drop)
    }

    /// Decides a review if its version is still `row.version`: state, decider and comment are taken from `row`.
    pub async fn update_review(&mut self, row: &ReviewRow) -> Result<(), StoreError> {
        let mut next = row.clone();
        next.version += 1;
        let sql = sql!(
            "UPDATE reviews SET [set] FROM [rows] WHERE reviews.id = r.id AND reviews.version = r.version - 1",
            ReviewRow
        );
        if self.execute_batch(sql, &[next], args![]).await? == 1 {
            return Ok(());
        }
        let version =
            self.value(sql!("SELECT version AS value FROM reviews WHERE id = $1"), args![row.id]).await?;
        Err(StoreError::Conflict { entity: "review", id: row.id.to_string(), version })
    }
}

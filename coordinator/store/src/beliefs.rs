//! Asserted beliefs: what is held now, every revision of it, and what rests on what. Observed ones are counts (`evolution`).

use nexusmon_shared::id::{BeliefId, ReviewId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record, words};
use crate::transaction::Tx;

words! {
    pub enum BeliefState {
        Held = "held",
        Contradicted = "contradicted",
        Withdrawn = "withdrawn",
    }
}

record! {
    pub struct BeliefRow {
        pub id: BeliefId,
        pub statement: String,
        pub state: BeliefState,
        /// 0 to 1.
        pub confidence: f64,
        /// The belief that fell and that it rests on, however far away.
        pub doubted_by: Option<BeliefId>,
        pub revision: i64,
        /// A principal's id, or `nexusmon`.
        pub created_by: String,
        pub created_at: Timestamp,
        pub changed_at: Timestamp,
    }

    pub struct BeliefRevisionRow {
        pub belief: BeliefId,
        pub revision: i64,
        pub statement: String,
        pub state: BeliefState,
        pub confidence: f64,
        /// JSON.
        pub evidence: String,
        pub comment: Option<String>,
        pub author: String,
        pub at: Timestamp,
    }

    pub struct BeliefEdge {
        pub belief: BeliefId,
        pub rests_on: BeliefId,
    }

    struct Doubt {
        pub id: BeliefId,
        pub doubted_by: Option<BeliefId>,
    }
}

/// The graph is looked at whole; more than this nobody asserts by hand. What was withdrawn does not count.
pub const MOST_BELIEFS: u32 = 2_000;
/// With those that were withdrawn.
pub const MOST_BELIEFS_KEPT: u32 = 5_000;

impl Connection {
    /// All of them, newest first.
    pub async fn beliefs(&mut self) -> Result<Vec<BeliefRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM beliefs ORDER BY id DESC LIMIT $1", BeliefRow),
            args![MOST_BELIEFS_KEPT],
        )
        .await
    }

    pub async fn belief(&mut self, id: BeliefId) -> Result<Option<BeliefRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM beliefs WHERE id = $1", BeliefRow), args![id]).await
    }

    /// Oldest first.
    pub async fn belief_revisions(&mut self, id: BeliefId) -> Result<Vec<BeliefRevisionRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM belief_revisions WHERE belief = $1 ORDER BY revision",
                BeliefRevisionRow
            ),
            args![id],
        )
        .await
    }

    /// Whether people said this of a mission or of an artifact.
    pub async fn is_review(&mut self, id: ReviewId) -> Result<bool, StoreError> {
        let count: Option<i64> = self
            .value(
                sql!(
                    "SELECT (SELECT COUNT(*) FROM reviews WHERE id = $1) \
                     + (SELECT COUNT(*) FROM artifact_reviews WHERE id = $1) AS value"
                ),
                args![id],
            )
            .await?;
        Ok(count.unwrap_or(0) > 0)
    }

    pub async fn belief_edges(&mut self) -> Result<Vec<BeliefEdge>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM belief_edges ORDER BY belief, rests_on", BeliefEdge), args![])
            .await
    }
}

impl Tx {
    pub async fn put_belief(
        &mut self,
        row: &BeliefRow,
        revision: &BeliefRevisionRow,
    ) -> Result<(), StoreError> {
        let insert = insert!(
            "beliefs",
            BeliefRow,
            "ON CONFLICT (id) DO UPDATE SET statement = excluded.statement, state = excluded.state, \
             confidence = excluded.confidence, doubted_by = excluded.doubted_by, revision = excluded.revision, \
             changed_at = excluded.changed_at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await?;
        let insert = insert!("belief_revisions", BeliefRevisionRow);
        self.execute_batch(insert, std::slice::from_ref(revision), args![]).await.map(drop)
    }

    pub async fn add_belief_edges(&mut self, edges: &[BeliefEdge]) -> Result<(), StoreError> {
        let insert = insert!("belief_edges", BeliefEdge, "ON CONFLICT DO NOTHING");
        self.execute_batch(insert, edges, args![]).await.map(drop)
    }

    /// Marks what rests on a fallen belief, and takes the mark from what no longer does.
    pub async fn mark_doubts(&mut self, doubts: &[(BeliefId, Option<BeliefId>)]) -> Result<(), StoreError> {
        let doubts: Vec<_> =
            doubts.iter().map(|(id, doubted_by)| Doubt { id: *id, doubted_by: *doubted_by }).collect();
        let sql =
            sql!("UPDATE beliefs SET doubted_by = r.doubted_by FROM [rows] WHERE beliefs.id = r.id", Doubt);
        self.execute_batch(sql, &doubts, args![]).await.map(drop)
    }
}

//! Playbooks the system drafted, until somebody decides.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{BeliefId, MissionId};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Json, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum LearnedState {
        Offered = "offered",
        Promoted = "promoted",
        Declined = "declined",
    }
}

record! {
    pub struct LearnedRow {
        pub name: Name,
        /// What the plans have in common.
        pub shape: Digest,
        /// JSON.
        pub body: String,
        pub rank: Rank,
        pub missions: Json<Vec<MissionId>>,
        pub belief: Option<BeliefId>,
        pub nearest: Option<String>,
        /// 0 to 1.
        pub likeness: Option<f64>,
        pub state: LearnedState,
        pub decided_by: Option<String>,
        pub decided_at: Option<Timestamp>,
        pub comment: Option<String>,
        pub version: Option<i64>,
        pub created_at: Timestamp,
    }
}

impl Connection {
    /// Newest first.
    pub async fn learned(&mut self, limit: u32) -> Result<Vec<LearnedRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM learned_playbooks ORDER BY created_at DESC, name LIMIT $1",
                LearnedRow
            ),
            args![limit],
        )
        .await
    }

    /// Those that a mission was part of; there are never many.
    pub async fn learned_from(&mut self, mission: MissionId) -> Result<Vec<LearnedRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM learned_playbooks WHERE missions LIKE '%' || $1 || '%' ORDER BY name",
                LearnedRow
            ),
            args![mission],
        )
        .await
    }

    pub async fn learned_named(&mut self, name: &Name) -> Result<Option<LearnedRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM learned_playbooks WHERE name = $1", LearnedRow),
            args![*name],
        )
        .await
    }

    /// Offers of which the vault has no file.
    pub async fn learned_without_file(&mut self, limit: u32) -> Result<Vec<LearnedRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM learned_playbooks WHERE state = 'offered' AND NOT EXISTS (SELECT 1 \
                 FROM artifacts AS a WHERE a.scope = 'organism' AND a.task_key = '' AND a.kind = 'upload' \
                 AND a.name = 'learned/' || learned_playbooks.name || '.json') \
                 ORDER BY learned_playbooks.name LIMIT $1",
                LearnedRow
            ),
            args![limit],
        )
        .await
    }

    /// Kinds of plans with so many verified missions that nothing was drafted from yet, the oldest first. One that was
    /// [unfit](Tx::put_unfit_skeleton) comes up again once there are twice as many.
    pub async fn ripe_skeletons(&mut self, verified: i64, limit: u32) -> Result<Vec<Digest>, StoreError> {
        self.values(
            sql!(
                "SELECT m.skeleton AS value FROM memories AS m JOIN memory_missions AS b ON b.memory = m.number \
                 WHERE m.skeleton IS NOT NULL AND m.forgotten_at IS NULL AND b.quality >= 4 \
                 AND NOT EXISTS (SELECT 1 FROM learned_playbooks AS l WHERE l.shape = m.skeleton) \
                 GROUP BY m.skeleton HAVING COUNT(*) >= $1 AND COUNT(*) >= COALESCE((SELECT 2 * u.verified \
                 FROM unfit_skeletons AS u WHERE u.skeleton = m.skeleton), 0) ORDER BY MIN(m.number) LIMIT $2"
            ),
            args![verified, limit],
        )
        .await
    }

    /// Verified missions of such plans, newest first.
    pub async fn verified_of(&mut self, skeleton: Digest, limit: u32) -> Result<Vec<MissionId>, StoreError> {
        self.values(
            sql!(
                "SELECT b.mission AS value FROM memories AS m JOIN memory_missions AS b ON b.memory = m.number \
                 WHERE m.skeleton = $1 AND m.forgotten_at IS NULL AND b.quality >= 4 ORDER BY b.mission DESC LIMIT $2"
            ),
            args![skeleton, limit],
        )
        .await
    }
}

impl Tx {
    /// Nothing can be drafted of this kind, with the missions there are.
    pub async fn put_unfit_skeleton(&mut self, skeleton: Digest, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sql!(
                "INSERT INTO unfit_skeletons (skeleton, verified, tried_at) VALUES ($1, (SELECT COUNT(*) \
                 FROM memories AS m JOIN memory_missions AS b ON b.memory = m.number \
                 WHERE m.skeleton = $1 AND m.forgotten_at IS NULL AND b.quality >= 4), $2) \
                 ON CONFLICT (skeleton) DO UPDATE SET verified = excluded.verified, tried_at = excluded.tried_at"
            ),
            args![skeleton, now],
        )
        .await
        .map(drop)
    }

    /// False: something was drafted of this kind, or under this name.
    pub async fn insert_learned(&mut self, row: &LearnedRow) -> Result<bool, StoreError> {
        let insert = insert!("learned_playbooks", LearnedRow, "ON CONFLICT DO NOTHING");
        Ok(self.execute_batch(insert, std::slice::from_ref(row), args![]).await? == 1)
    }

    /// Decides an offer; false if it was decided meanwhile.
    pub async fn decide_learned(&mut self, row: &LearnedRow) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!(
                    "UPDATE learned_playbooks SET state = $2, decided_by = $3, decided_at = $4, comment = $5, \
                     version = $6 WHERE name = $1 AND state = 'offered'"
                ),
                args![row.name, row.state, row.decided_by, row.decided_at, row.comment, row.version],
            )
            .await?;
        Ok(changed == 1)
    }
}

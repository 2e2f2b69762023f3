//! Artifacts: series, immutable versions, and the trail of what people said about them.

mod list;

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, ArtifactId, MissionId, PrincipalId, ReviewId, TaskId, VersionId};
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Timestamp;

pub use list::{ArtifactFilter, InputVersion, ItemOutput, OutputName, OutputVersion};

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Json, args, record, words};
use crate::transaction::Tx;

words! {
    pub enum ArtifactKind {
        Output = "output",
        Log = "log",
        Upload = "upload",
        Snapshot = "snapshot",
        Report = "report",
        Bundle = "bundle",
    }

    pub enum VersionStatus {
        Active = "active",
        /// Not handed to later missions unless asked by number.
        Rejected = "rejected",
        /// A secret was found in it.
        Withheld = "withheld",
        /// A tombstone: the bytes are gone.
        Purged = "purged",
    }

    pub enum Verdict {
        Accept = "accept",
        Reject = "reject",
        Comment = "comment",
    }
}

record! {
    /// A series. Unique by (scope, task key, kind, name).
    pub struct ArtifactRow {
        pub id: ArtifactId,
        /// A mission's id, or `organism`.
        pub scope: String,
        pub mission: Option<MissionId>,
        /// The producing task's id in the plan; empty for uploads.
        pub task_key: String,
        pub name: String,
        pub kind: ArtifactKind,
        pub labels: Json<Labels>,
        /// Number of the newest version.
        pub latest: i64,
        pub created_at: Timestamp,
        pub updated_at: Timestamp,
    }

    pub struct VersionRow {
        pub id: VersionId,
        pub artifact: ArtifactId,
        /// From 1, without gaps.
        pub number: i64,
        pub digest: Digest,
        pub size: i64,
        pub media_type: String,
        pub kind: ArtifactKind,
        pub mission: Option<MissionId>,
        pub task: Option<TaskId>,
        pub attempt: Option<u32>,
        pub fence_epoch: Option<u32>,
        pub fence_number: Option<u64>,
        pub agent: Option<AgentId>,
        /// `name@version`.
        pub plugin: Option<String>,
        /// Who uploaded it.
        pub principal: Option<PrincipalId>,
        /// Digests of what it was made from.
        pub inputs: Json<Vec<Digest>>,
        pub status: VersionStatus,
        /// The rule or principal that purged it.
        pub purged_by: Option<String>,
        pub created_at: Timestamp,
        pub version: i64,
    }

    /// One word of the review trail; append-only.
    pub struct ArtifactReviewRow {
        pub id: ReviewId,
        pub artifact: ArtifactId,
        pub version: VersionId,
        pub principal: PrincipalId,
        pub verdict: Verdict,
        pub comment: Option<String>,
        pub at: Timestamp,
    }
}

/// A version to be added: its series is found, or made under the id given.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub series: ArtifactRow,
    /// `artifact` and `number` are set by the store.
    pub version: VersionRow,
}

/// What makes a series.
type SeriesKey = (String, String, ArtifactKind, String);

impl ArtifactRow {
    fn key(&self) -> SeriesKey {
        (self.scope.clone(), self.task_key.clone(), self.kind, self.name.clone())
    }
}

impl Connection {
    pub async fn artifact(&mut self, id: ArtifactId) -> Result<Option<ArtifactRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM artifacts WHERE id = $1", ArtifactRow), args![id])
            .await
    }

    pub async fn version(&mut self, id: VersionId) -> Result<Option<VersionRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM artifact_versions WHERE id = $1", VersionRow),
            args![id],
        )
        .await
    }

    /// A version by number; without one, the newest.
    pub async fn version_of(
        &mut self,
        artifact: ArtifactId,
        number: Option<i64>,
    ) -> Result<Option<VersionRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM artifact_versions WHERE artifact = $1 \
                 AND (CAST($2 AS BIGINT) IS NULL OR number = $2) ORDER BY number DESC LIMIT 1",
                VersionRow
            ),
            args![artifact, number],
        )
        .await
    }
}

impl Tx {
    /// Adds versions, with their series where new, and counts their blobs: a fixed number of statements for all.
    /// Gives the versions as stored, in the order given.
    pub async fn add_versions(&mut self, new: &[NewVersion]) -> Result<Vec<VersionRow>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        // In key order, so that two units that add to the same series do not wait for each other in a ring.
        let mut series = BTreeMap::<SeriesKey, ArtifactRow>::new();
        for one in new {
            series
                .entry(one.series.key())
                .or_insert_with(|| ArtifactRow { latest: 0, ..one.series.clone() })
                .latest += 1;
        }
        let rows: Vec<_> = series.into_values().collect();
        let upsert = sql!(
            "INSERT INTO artifacts ([columns]) SELECT [r.columns] FROM [rows] WHERE true \
             ON CONFLICT (scope, task_key, kind, name) DO UPDATE SET latest = artifacts.latest + excluded.latest, \
             updated_at = excluded.updated_at RETURNING [columns]",
            ArtifactRow
        );
        let stored: Vec<ArtifactRow> = self.fetch_batch(upsert, &rows, args![]).await?;
        let added: BTreeMap<_, _> = rows.iter().map(|row| (row.key(), row.latest)).collect();
        let mut next: BTreeMap<_, _> = stored
            .into_iter()
            .map(|row| {
                let first = row.latest - added.get(&row.key()).copied().unwrap_or(0) + 1;
                (row.key(), (row.id, first))
            })
            .collect();
        let mut versions = Vec::with_capacity(new.len());
        for one in new {
            let (artifact, number) = next.get_mut(&one.series.key()).expect("every series was stored");
            versions.push(VersionRow { artifact: *artifact, number: *number, ..one.version.clone() });
            *number += 1;
        }
        self.execute_batch(insert!("artifact_versions", VersionRow), &versions, args![]).await?;
        let blobs: Vec<_> = versions.iter().map(|v| (v.digest, v.size, v.created_at)).collect();
        self.refer_to_blobs(&blobs).await?;
        Ok(versions)
    }

    /// Changes a version's status if its version number is still `row.version`; nothing else of it ever changes.
    pub async fn set_version_status(
        &mut self,
        row: &VersionRow,
        status: VersionStatus,
    ) -> Result<(), StoreError> {
        let changed = self
            .execute(
                sql!(
                    "UPDATE artifact_versions SET status = $3, version = version + 1 WHERE id = $1 AND version = $2"
                ),
                args![row.id, row.version, status],
            )
            .await?;
        if changed == 1 {
            return Ok(());
        }
        let version = self
            .value(sql!("SELECT version AS value FROM artifact_versions WHERE id = $1"), args![row.id])
            .await?;
        Err(StoreError::Conflict { entity: "artifact version", id: row.id.to_string(), version })
    }

    pub async fn insert_artifact_review(&mut self, row: &ArtifactReviewRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("artifact_reviews", ArtifactReviewRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// Turns versions into tombstones and lets go of their blobs. Gives those that were not purged before.
    pub async fn purge_versions(
        &mut self,
        ids: &[VersionId],
        rule: &str,
        now: Timestamp,
    ) -> Result<Vec<VersionRow>, StoreError> {
        let sql = sql!(
            "UPDATE artifact_versions SET status = 'purged', purged_by = $2, version = version + 1 \
             WHERE id IN (SELECT value FROM [rows]) AND status <> 'purged' RETURNING [artifact_versions.out]",
            crate::record::Value<VersionId>,
            VersionRow
        );
        let purged: Vec<VersionRow> = self.fetch_by(sql, ids, args![rule]).await?;
        let digests: Vec<_> = purged.iter().map(|row| row.digest).collect();
        self.release_blobs(&digests, now).await?;
        Ok(purged)
    }
}

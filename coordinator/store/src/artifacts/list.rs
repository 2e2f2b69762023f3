//! Lists of artifacts and versions.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ArtifactId, MissionId, TaskId, VersionId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

use super::{ArtifactKind, ArtifactReviewRow, ArtifactRow, VersionRow, VersionStatus};
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Value, args, record};
use crate::search::words_query;

/// What a list of artifacts may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ArtifactFilter {
    pub mission: Option<MissionId>,
    pub name: Option<String>,
    pub kinds: Vec<ArtifactKind>,
    /// Of the newest version.
    pub status: Option<VersionStatus>,
    /// Words of name or text.
    pub q: Option<String>,
}

record! {
    /// The newest version of an output, by the task that produced it.
    pub struct InputVersion {
        pub task: TaskId,
        pub key: Name,
        pub name: String,
        pub id: VersionId,
        pub digest: Digest,
        pub size: i64,
        pub status: VersionStatus,
    }

    /// An output of one element of a list.
    pub struct ItemOutput {
        pub parent: TaskId,
        pub item_index: u32,
        pub name: String,
        pub digest: Digest,
        pub size: i64,
        pub status: VersionStatus,
    }

    /// An output by name: what an input asks for.
    pub struct OutputName {
        pub mission: MissionId,
        pub task_key: String,
        pub name: String,
    }

    /// The newest active version of an output.
    pub struct OutputVersion {
        pub mission: MissionId,
        pub task_key: String,
        pub name: String,
        pub id: VersionId,
        pub digest: Digest,
        pub size: i64,
    }
}

impl Connection {
    pub async fn artifact_count(&mut self) -> Result<i64, StoreError> {
        let count = self.value(sql!("SELECT COUNT(*) AS value FROM artifacts"), args![]).await?;
        Ok(count.unwrap_or(0))
    }

    /// Artifacts, newest first.
    pub async fn artifact_list(
        &mut self,
        filter: &ArtifactFilter,
        page: &PageRequest,
    ) -> Result<Page<ArtifactRow>, StoreError> {
        let mut list = Filter::over::<ArtifactRow>("artifacts");
        if let Some(mission) = &filter.mission {
            list.equals("scope", Some(&mission.to_string()));
        }
        list.equals("name", filter.name.as_ref());
        list.among("kind", &filter.kinds);
        if let Some(status) = &filter.status {
            list.with(
                "EXISTS (SELECT 1 FROM artifact_versions WHERE artifact_versions.artifact = artifacts.id \
                 AND artifact_versions.number = artifacts.latest AND artifact_versions.status = ?)",
                status,
            );
        }
        if let Some(q) = &filter.q {
            let words = words_query(q, self.is_postgres());
            list.with(
                if self.is_postgres() {
                    "id IN (SELECT subject FROM documents WHERE kind = 'artifact' AND words @@ to_tsquery('simple', ?))"
                } else {
                    "id IN (SELECT subject FROM documents WHERE kind = 'artifact' AND number IN \
                     (SELECT rowid FROM documents_text WHERE documents_text MATCH ?))"
                },
                &words,
            );
        }
        list.newest_first("id", page);
        list.page(self, page, |row: &ArtifactRow| row.id.to_string()).await
    }

    /// A series' versions, newest first; the cursor is the number.
    pub async fn version_list(
        &mut self,
        artifact: ArtifactId,
        page: &PageRequest,
    ) -> Result<Page<VersionRow>, StoreError> {
        let mut list = Filter::over::<VersionRow>("artifact_versions");
        list.equals("artifact", Some(&artifact));
        list.newest_first_by_number("number", page)?;
        list.page(self, page, |row: &VersionRow| row.number.to_string()).await
    }

    /// The newest versions of several series.
    pub async fn latest_versions(&mut self, artifacts: &[ArtifactId]) -> Result<Vec<VersionRow>, StoreError> {
        let sql = sql!(
            "SELECT artifact_versions.* FROM [rows] JOIN artifacts ON artifacts.id = r.value \
             JOIN artifact_versions ON artifact_versions.artifact = artifacts.id \
             AND artifact_versions.number = artifacts.latest",
            Value<ArtifactId>
        );
        self.fetch_by(sql, artifacts, args![]).await
    }

    pub async fn versions_of_task(&mut self, task: TaskId) -> Result<Vec<VersionRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM artifact_versions WHERE task = $1 ORDER BY id", VersionRow),
            args![task],
        )
        .await
    }

    /// What each child of these `for_each` tasks left, newest version of each name, in list order.
    pub async fn outputs_of_children(&mut self, parents: &[TaskId]) -> Result<Vec<ItemOutput>, StoreError> {
        let sql = sql!(
            "SELECT tasks.parent, tasks.item_index, artifacts.name, v.digest, v.size, v.status FROM [rows] \
             JOIN tasks ON tasks.parent = r.value JOIN artifact_versions AS v ON v.task = tasks.id \
             JOIN artifacts ON artifacts.id = v.artifact AND artifacts.kind = 'output' \
             WHERE v.number = (SELECT MAX(newest.number) FROM artifact_versions AS newest \
             WHERE newest.artifact = v.artifact AND newest.task = v.task) \
             ORDER BY tasks.parent, tasks.item_index",
            Value<TaskId>
        );
        self.fetch_by(sql, parents, args![]).await
    }

    /// What these tasks produced, newest version of each name: for resolving `inputs`.
    pub async fn outputs_of_tasks(&mut self, tasks: &[TaskId]) -> Result<Vec<InputVersion>, StoreError> {
        let sql = sql!(
            "SELECT artifact_versions.task, artifacts.task_key AS key, artifacts.name, artifact_versions.id, \
             artifact_versions.digest, artifact_versions.size, artifact_versions.status FROM [rows] \
             JOIN artifact_versions ON artifact_versions.task = r.value \
             JOIN artifacts ON artifacts.id = artifact_versions.artifact AND artifacts.kind = 'output' \
             AND artifacts.latest = artifact_versions.number",
            Value<TaskId>
        );
        self.fetch_by(sql, tasks, args![]).await
    }

    /// The newest active versions of outputs, by name; what was not found is missing from the answer.
    pub async fn find_outputs(&mut self, wanted: &[OutputName]) -> Result<Vec<OutputVersion>, StoreError> {
        let sql = sql!(
            "SELECT r.mission, r.task_key, r.name, artifact_versions.id, artifact_versions.digest, \
             artifact_versions.size FROM [rows] JOIN artifacts ON artifacts.scope = r.mission \
             AND artifacts.task_key = r.task_key AND artifacts.kind = 'output' AND artifacts.name = r.name \
             JOIN artifact_versions ON artifact_versions.artifact = artifacts.id \
             AND artifact_versions.number = (SELECT MAX(newest.number) FROM artifact_versions AS newest \
             WHERE newest.artifact = artifacts.id AND newest.status = 'active')",
            OutputName
        );
        self.fetch_batch(sql, wanted, args![]).await
    }

    pub async fn versions_by_id(&mut self, ids: &[VersionId]) -> Result<Vec<VersionRow>, StoreError> {
        let sql = sql!(
            "SELECT artifact_versions.* FROM [rows] JOIN artifact_versions ON artifact_versions.id = r.value",
            Value<VersionId>
        );
        self.fetch_by(sql, ids, args![]).await
    }

    /// The review trail of a series, oldest first.
    pub async fn artifact_reviews(
        &mut self,
        artifact: ArtifactId,
        page: &PageRequest,
    ) -> Result<Page<ArtifactReviewRow>, StoreError> {
        let mut list = Filter::over::<ArtifactReviewRow>("artifact_reviews");
        list.equals("artifact", Some(&artifact));
        list.in_order("id", page);
        list.page(self, page, |row: &ArtifactReviewRow| row.id.to_string()).await
    }

    /// Versions of a kind made before `before` that retention may purge: not the newest of a live mission, not named as
    /// an input by a task that may still run.
    pub async fn retention_candidates(
        &mut self,
        kind: ArtifactKind,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<VersionRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM artifact_versions WHERE kind = $1 AND created_at < $2 AND status <> 'purged' \
                 AND NOT EXISTS (SELECT 1 FROM missions WHERE missions.id = artifact_versions.mission \
                 AND missions.finished_at IS NULL) ORDER BY created_at LIMIT $3",
                VersionRow
            ),
            args![kind, before, limit],
        )
        .await
    }
}

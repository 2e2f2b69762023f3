//! Which bytes the object store holds, how many versions refer to them, and uploads under way.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, PrincipalId, TaskId, UploadId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    pub struct BlobRow {
        pub digest: Digest,
        pub size: i64,
        pub refs: i64,
        pub created_at: Timestamp,
        /// Since when nothing refers to it.
        pub idle_since: Option<Timestamp>,
    }

    pub struct UploadRow {
        pub id: UploadId,
        pub task: Option<TaskId>,
        pub fence_epoch: Option<u32>,
        pub fence_number: Option<u64>,
        pub agent: Option<AgentId>,
        pub principal: Option<PrincipalId>,
        pub digest: Digest,
        pub size: i64,
        /// Bytes that survive a crash: where a resume begins.
        pub stored: i64,
        pub finished: bool,
        pub created_at: Timestamp,
        pub updated_at: Timestamp,
    }

    struct Reference {
        pub digest: Digest,
        pub size: i64,
        pub refs: i64,
        pub at: Timestamp,
    }
}

/// One entry per digest, in digest order (the order rows are locked in).
fn grouped(blobs: impl Iterator<Item = (Digest, i64, Timestamp)>) -> Vec<Reference> {
    let mut rows = std::collections::BTreeMap::<Digest, Reference>::new();
    for (digest, size, at) in blobs {
        rows.entry(digest).or_insert(Reference { digest, size, refs: 0, at }).refs += 1;
    }
    rows.into_values().collect()
}

impl Connection {
    pub async fn blob(&mut self, digest: Digest) -> Result<Option<BlobRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM blobs WHERE digest = $1", BlobRow), args![digest])
            .await
    }

    /// Those of `digests` that are stored.
    pub async fn known_blobs(&mut self, digests: &[Digest]) -> Result<Vec<BlobRow>, StoreError> {
        let sql = sql!("SELECT blobs.* FROM [rows] JOIN blobs ON blobs.digest = r.value", Value<Digest>);
        self.fetch_by(sql, digests, args![]).await
    }

    /// How many blobs there are, and their bytes.
    pub async fn blob_totals(&mut self) -> Result<(i64, i64), StoreError> {
        let count = self.value(sql!("SELECT COUNT(*) AS value FROM blobs"), args![]).await?;
        let bytes = sql!("SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) AS value FROM blobs");
        Ok((count.unwrap_or(0), self.value(bytes, args![]).await?.unwrap_or(0)))
    }

    /// Blobs nothing has referred to since `before`.
    pub async fn idle_blobs(&mut self, before: Timestamp, limit: u32) -> Result<Vec<BlobRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM blobs WHERE idle_since IS NOT NULL AND idle_since < $1 \
                 ORDER BY idle_since LIMIT $2",
                BlobRow
            ),
            args![before, limit],
        )
        .await
    }

    pub async fn upload(&mut self, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM uploads WHERE id = $1", UploadRow), args![id]).await
    }

    /// Unfinished uploads that have not moved since `before`.
    pub async fn stale_uploads(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<UploadRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM uploads WHERE updated_at < $1 ORDER BY updated_at LIMIT $2",
                UploadRow
            ),
            args![before, limit],
        )
        .await
    }

    /// Bytes stored once, and bytes that versions refer to.
    pub async fn blob_bytes(&mut self) -> Result<(i64, i64), StoreError> {
        let stored = self
            .value(sql!("SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) AS value FROM blobs"), args![])
            .await?;
        let referred = self
            .value(sql!("SELECT CAST(COALESCE(SUM(size * refs), 0) AS BIGINT) AS value FROM blobs"), args![])
            .await?;
        Ok((stored.unwrap_or(0), referred.unwrap_or(0)))
    }
}

impl Tx {
    /// Notes bytes that are durable in the object store but that nothing refers to yet; known ones stay as they are,
    /// but their idle time begins anew (a dedup hit pins).
    pub async fn put_blobs(&mut self, blobs: &[(Digest, i64)], now: Timestamp) -> Result<(), StoreError> {
        let mut rows = grouped(blobs.iter().map(|(digest, size)| (*digest, *size, now)));
        for row in &mut rows {
            row.refs = 0;
        }
        let sql = sql!(
            "INSERT INTO blobs (digest, size, refs, created_at, idle_since) \
             SELECT r.digest, r.size, r.refs, r.at, r.at FROM [rows] WHERE true \
             ON CONFLICT (digest) DO UPDATE SET idle_since = CASE WHEN blobs.refs = 0 THEN excluded.idle_since END",
            Reference
        );
        self.execute_batch(sql, &rows, args![]).await.map(drop)
    }

    pub(crate) async fn refer_to_blobs(
        &mut self,
        blobs: &[(Digest, i64, Timestamp)],
    ) -> Result<(), StoreError> {
        let sql = sql!(
            "INSERT INTO blobs (digest, size, refs, created_at, idle_since) \
             SELECT r.digest, r.size, r.refs, r.at, NULL FROM [rows] WHERE true \
             ON CONFLICT (digest) DO UPDATE SET refs = blobs.refs + excluded.refs, idle_since = NULL",
            Reference
        );
        self.execute_batch(sql, &grouped(blobs.iter().copied()), args![]).await.map(drop)
    }

    pub(crate) async fn release_blobs(
        &mut self,
        digests: &[Digest],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows = grouped(digests.iter().map(|digest| (*digest, 0, now)));
        let sql = sql!(
            "UPDATE blobs SET refs = blobs.refs - r.refs, \
             idle_since = CASE WHEN blobs.refs - r.refs <= 0 THEN r.at ELSE NULL END \
             FROM [rows] WHERE blobs.digest = r.digest",
            Reference
        );
        self.execute_batch(sql, &rows, args![]).await.map(drop)
    }

    /// Forgets blobs that are still idle since before `before`; gives those whose bytes may now go.
    pub async fn forget_blobs(
        &mut self,
        digests: &[Digest],
        before: Timestamp,
    ) -> Result<Vec<Digest>, StoreError> {
        let sql = sql!(
            "DELETE FROM blobs WHERE digest IN (SELECT value FROM [rows]) AND refs <= 0 \
             AND idle_since IS NOT NULL AND idle_since < $2 RETURNING digest AS value",
            Value<Digest>
        );
        let gone: Vec<Value<Digest>> = self.fetch_by(sql, digests, args![before]).await?;
        Ok(gone.into_iter().map(|value| value.0).collect())
    }

    /// Notes an upload, or how far it has come.
    pub async fn put_upload(&mut self, row: &UploadRow) -> Result<(), StoreError> {
        let insert = insert!(
            "uploads",
            UploadRow,
            "ON CONFLICT (id) DO UPDATE SET stored = excluded.stored, finished = excluded.finished, \
             updated_at = excluded.updated_at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    pub async fn delete_uploads(&mut self, ids: &[UploadId]) -> Result<(), StoreError> {
        let sql = sql!("DELETE FROM uploads WHERE id IN (SELECT value FROM [rows])", Value<UploadId>);
        self.execute_by(sql, ids, args![]).await.map(drop)
    }
}

//! What a copy needs to know of a few rows: whose they are, and which bytes they refer to.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::OrganismId;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Archive, Link};
use crate::error::StoreError;

/// Whose data it is.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub id: OrganismId,
    pub epoch: u32,
}

impl Archive {
    /// The organism, unless the database is empty.
    pub async fn organism(&mut self) -> Result<Option<Kept>, StoreError> {
        let rows = self.pairs("SELECT id, epoch FROM organism LIMIT 1".to_owned()).await?;
        rows.into_iter()
            .next()
            .map(|(id, epoch)| {
                let id = id.parse().map_err(|_| corrupt("organism.id", &id))?;
                Ok(Kept { id, epoch: u32::try_from(epoch).unwrap_or(0) })
            })
            .transpose()
    }

    /// Blobs that versions refer to, behind `after`, with their sizes. Of a log the row alone is there: its bytes are segments.
    pub async fn referred_blobs(
        &mut self,
        after: Option<Digest>,
        limit: u32,
    ) -> Result<Vec<(Digest, u64)>, StoreError> {
        // A digest's text holds no quotes.
        let after = after.map(|digest| digest.to_string()).unwrap_or_default();
        let order = self.byte_order();
        let rows = self
            .pairs(format!(
                "SELECT digest, size FROM blobs WHERE refs > 0 AND digest{order} > '{after}' AND (EXISTS \
                 (SELECT 1 FROM artifact_versions v WHERE v.digest = blobs.digest AND v.kind <> 'log') OR NOT EXISTS \
                 (SELECT 1 FROM artifact_versions v WHERE v.digest = blobs.digest)) ORDER BY digest{order} LIMIT {limit}"
            ))
            .await?;
        rows.into_iter()
            .map(|(digest, size)| {
                let digest = digest.parse().map_err(|_| corrupt("blobs.digest", &digest))?;
                Ok((digest, u64::try_from(size).unwrap_or(0)))
            })
            .collect()
    }

    /// Keys of log segments, behind `after`.
    pub async fn segments(&mut self, after: Option<&str>, limit: u32) -> Result<Vec<String>, StoreError> {
        let after = after.unwrap_or_default().replace('\'', "''");
        let order = self.byte_order();
        let rows = self
            .pairs(format!(
                "SELECT blob, length FROM log_segments WHERE blob{order} > '{after}' \
                 ORDER BY blob{order} LIMIT {limit}"
            ))
            .await?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }

    const fn byte_order(&self) -> &'static str {
        if self.is_sqlite() { "" } else { " COLLATE \"C\"" }
    }

    /// A text and a number.
    async fn pairs(&mut self, text: String) -> Result<Vec<(String, i64)>, StoreError> {
        let text = AssertSqlSafe(text);
        let read: Result<Vec<(String, i64)>, sqlx::Error> = match &mut self.link {
            Link::Sqlite(connection) => match sqlx::query(text).fetch_all(connection).await {
                Ok(rows) => rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect(),
                Err(error) => Err(error),
            },
            Link::Postgres(connection) => match sqlx::query(text).fetch_all(connection).await {
                Ok(rows) => rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect(),
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| StoreError::of("reading what rows refer to", error))
    }
}

fn corrupt(column: &str, text: &str) -> StoreError {
    StoreError::Corrupt { column: column.to_owned(), reason: format!("`{text}` is not one") }
}

//! Idempotency keys: the answer commits with what it answers for.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    pub struct IdempotencyRow {
        pub principal: PrincipalId,
        pub route: String,
        pub key: String,
        pub body_digest: Digest,
        pub status: u32,
        pub response: String,
        pub created_at: Timestamp,
        pub expires_at: Timestamp,
    }
}

/// What an answer is about, for as long as the answer itself is not kept.
pub(crate) fn subject_text(kind: &str, subject: &str) -> String {
    serde_json::json!({"subject_kind": kind, "subject": subject}).to_string()
}

impl IdempotencyRow {
    /// Carried out, with an answer that was not kept: the kind and id of what it was about.
    pub fn unanswered(&self) -> Option<(String, String)> {
        #[derive(serde::Deserialize)]
        struct About {
            subject_kind: String,
            subject: String,
        }
        let about = (self.status == 0).then(|| serde_json::from_str::<About>(&self.response).ok())??;
        Some((about.subject_kind, about.subject))
    }
}

impl Connection {
    /// The answer given before; expired ones are none.
    pub async fn idempotent(
        &mut self,
        principal: PrincipalId,
        route: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM idempotency WHERE principal = $1 AND route = $2 AND key = $3 \
                 AND expires_at > $4",
                IdempotencyRow
            ),
            args![principal, route, key, now],
        )
        .await
    }
}

impl Tx {
    /// Keeps answers. A key that is taken by one not yet expired is `Unique`, and the whole unit fails: the other
    /// request's answer is the one that counts.
    pub async fn remember(&mut self, rows: &[IdempotencyRow]) -> Result<(), StoreError> {
        let expired = sql!(
            "DELETE FROM idempotency WHERE expires_at <= $1 AND principal = $2 AND route = $3 AND key = $4"
        );
        for row in rows {
            self.execute(expired, args![row.created_at, row.principal, row.route, row.key]).await?;
        }
        self.execute_batch(insert!("idempotency", IdempotencyRow), rows, args![]).await.map(drop)
    }

    /// Keeps the answer beside a key that was committed with its result, or both where the request changed nothing
    /// that is written down. An answer already there stays.
    pub async fn answer(&mut self, row: &IdempotencyRow) -> Result<(), StoreError> {
        let insert = insert!(
            "idempotency",
            IdempotencyRow,
            "ON CONFLICT (principal, route, key) DO UPDATE SET status = excluded.status, \
             response = excluded.response WHERE idempotency.status = 0"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    pub async fn delete_expired_idempotency(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(sql!("DELETE FROM idempotency WHERE expires_at <= $1"), args![now]).await
    }
}

//! Browsers that are told of approvals and alerts.

use nexusmon_shared::id::{PrincipalId, PushId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    pub struct PushRow {
        pub id: PushId,
        pub principal: PrincipalId,
        /// For people to tell theirs apart.
        pub name: String,
        pub endpoint: String,
        /// The browser's public key and secret, base64url.
        pub p256dh: String,
        pub auth: String,
        pub created_at: Timestamp,
        pub last_sent_at: Option<Timestamp>,
        /// Messages in a row that did not arrive, however often they were tried.
        pub failures: i64,
    }
}

impl Connection {
    /// Those of one person, in the order they were made.
    pub async fn push_of(&mut self, principal: PrincipalId) -> Result<Vec<PushRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM push_subscriptions WHERE principal = $1 ORDER BY created_at, id",
                PushRow
            ),
            args![principal],
        )
        .await
    }

    /// Everybody's.
    pub async fn push_subscriptions(&mut self) -> Result<Vec<PushRow>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM push_subscriptions ORDER BY id", PushRow), args![]).await
    }

    pub async fn push_subscription(&mut self, id: PushId) -> Result<Option<PushRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM push_subscriptions WHERE id = $1", PushRow),
            args![id],
        )
        .await
    }
}

impl Tx {
    /// Adds a subscription. A browser has one: whoever is logged in there now takes it over.
    pub async fn put_push(&mut self, row: &PushRow) -> Result<(), StoreError> {
        let insert = insert!(
            "push_subscriptions",
            PushRow,
            "ON CONFLICT (endpoint) DO UPDATE SET id = excluded.id, principal = excluded.principal, \
             name = excluded.name, p256dh = excluded.p256dh, auth = excluded.auth, \
             created_at = excluded.created_at, last_sent_at = NULL, failures = 0"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// False where it is gone or somebody else's.
    pub async fn delete_push(&mut self, principal: PrincipalId, id: PushId) -> Result<bool, StoreError> {
        let sql = sql!("DELETE FROM push_subscriptions WHERE principal = $1 AND id = $2");
        Ok(self.execute(sql, args![principal, id]).await? == 1)
    }

    /// Notes what arrived where.
    pub async fn pushed(&mut self, ids: &[PushId], now: Timestamp) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE push_subscriptions SET last_sent_at = $2, failures = 0 \
             WHERE id IN (SELECT value FROM [rows])",
            Value<PushId>
        );
        self.execute_by(sql, ids, args![now]).await.map(drop)
    }

    /// Notes where nothing arrived.
    pub async fn push_failed(&mut self, ids: &[PushId]) -> Result<(), StoreError> {
        let sql = sql!(
            "UPDATE push_subscriptions SET failures = failures + 1 WHERE id IN (SELECT value FROM [rows])",
            Value<PushId>
        );
        self.execute_by(sql, ids, args![]).await.map(drop)
    }

    /// Forgets subscriptions that their browsers took back.
    pub async fn forget_push(&mut self, ids: &[PushId]) -> Result<(), StoreError> {
        let sql =
            sql!("DELETE FROM push_subscriptions WHERE id IN (SELECT value FROM [rows])", Value<PushId>);
        self.execute_by(sql, ids, args![]).await.map(drop)
    }
}

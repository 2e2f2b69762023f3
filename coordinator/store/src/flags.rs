//! What operators switch off or slow down: capability flags, and rates of starts.

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::record::{Json, Value, args, record};
use crate::transaction::Tx;

record! {
    pub struct FlagRow {
        /// A capability, or `plugin.*`.
        pub capability: String,
        /// `fleet`, `label:key=value`, or an agent's id.
        pub scope: String,
        pub disabled: bool,
        pub reason: Option<String>,
        pub by_principal: PrincipalId,
        pub at: Timestamp,
    }

    /// At most so many starts in any stretch of time of that length.
    pub struct RateRow {
        /// `capability:NAME`, `agent:ID`, or `key:NAME` of a concurrency key.
        pub key: String,
        pub most: i64,
        pub per_micros: i64,
        /// Starts of the newest stretch: times in microseconds, each with how many.
        pub spent: Json<Vec<(i64, u32)>>,
        pub by_principal: PrincipalId,
        pub at: Timestamp,
    }

    struct Spent {
        pub key: String,
        pub spent: Json<Vec<(i64, u32)>>,
    }
}

impl Connection {
    pub async fn flags(&mut self) -> Result<Vec<FlagRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM capability_flags ORDER BY capability, scope", FlagRow),
            args![],
        )
        .await
    }

    pub async fn rates(&mut self) -> Result<Vec<RateRow>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM rates ORDER BY key", RateRow), args![]).await
    }
}

impl Tx {
    pub async fn put_flag(&mut self, row: &FlagRow) -> Result<(), StoreError> {
        let insert = insert!(
            "capability_flags",
            FlagRow,
            "ON CONFLICT (capability, scope) DO UPDATE SET disabled = excluded.disabled, \
             reason = excluded.reason, by_principal = excluded.by_principal, at = excluded.at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// Sets a rate; what was started under an earlier one of that key counts on.
    pub async fn put_rate(&mut self, row: &RateRow) -> Result<(), StoreError> {
        let insert = insert!(
            "rates",
            RateRow,
            "ON CONFLICT (key) DO UPDATE SET most = excluded.most, per_micros = excluded.per_micros, \
             by_principal = excluded.by_principal, at = excluded.at"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// False if there was none.
    pub async fn delete_rate(&mut self, key: &str) -> Result<bool, StoreError> {
        Ok(self.execute(sql!("DELETE FROM rates WHERE key = $1"), args![key]).await? == 1)
    }

    /// The rates of these keys, which only this unit spends from until it is over.
    pub async fn lock_rates(&mut self, keys: &[String]) -> Result<Vec<RateRow>, StoreError> {
        self.fetch_by(
            sql!(
                "SELECT key, most, per_micros, spent, by_principal, at FROM rates \
                 WHERE key IN (SELECT value FROM [rows]) ORDER BY key /*pg FOR UPDATE*/",
                Value<String>
            ),
            keys,
            args![],
        )
        .await
    }

    pub async fn spend_rates(&mut self, spent: Vec<(String, Vec<(i64, u32)>)>) -> Result<(), StoreError> {
        let rows: Vec<_> = spent.into_iter().map(|(key, spent)| Spent { key, spent: Json(spent) }).collect();
        let sql = sql!("UPDATE rates SET spent = r.spent FROM [rows] WHERE rates.key = r.key", Spent);
        self.execute_batch(sql, &rows, args![]).await.map(drop)
    }
}

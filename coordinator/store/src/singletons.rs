//! Work that only one node may do at a time: a leased row whose epoch the holder checks in every write.

use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    pub struct SingletonRow {
        pub name: String,
        pub owner: String,
        /// Raised when the owner changes.
        pub epoch: i64,
        pub until: Timestamp,
    }
}

impl Connection {
    pub async fn singleton(&mut self, name: &str) -> Result<Option<SingletonRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM singletons WHERE name = $1", SingletonRow),
            args![name],
        )
        .await
    }
}

impl Tx {
    /// Takes or renews the lease on `name` until `until`. `None`: somebody else holds it.
    pub async fn hold_singleton(
        &mut self,
        name: &str,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.value(
            sql!(
                "INSERT INTO singletons (name, owner, epoch, until) VALUES ($1, $2, 1, $4) \
                 ON CONFLICT (name) DO UPDATE SET epoch = singletons.epoch + \
                 CASE WHEN singletons.owner = excluded.owner THEN 0 ELSE 1 END, \
                 owner = excluded.owner, until = excluded.until \
                 WHERE singletons.owner = excluded.owner OR singletons.until <= $3 RETURNING epoch AS value"
            ),
            args![name, owner, now, until],
        )
        .await
    }

    /// Whether the lease is still held under this epoch; locked until the unit ends, so that the answer stays true.
    pub async fn check_singleton(&mut self, name: &str, owner: &str, epoch: i64) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .value(
                sql!(
                    "SELECT epoch AS value FROM singletons WHERE name = $1 AND owner = $2 AND epoch = $3 \
                     /*pg FOR SHARE*/"
                ),
                args![name, owner, epoch],
            )
            .await?;
        Ok(found.is_some())
    }

    /// Gives the lease back, so that another node need not wait for its end.
    pub async fn release_singleton(&mut self, name: &str, owner: &str) -> Result<(), StoreError> {
        self.execute(
            sql!("UPDATE singletons SET until = 0 WHERE name = $1 AND owner = $2"),
            args![name, owner],
        )
        .await
        .map(drop)
    }
}

//! Taking leases by the database's clock. A holder none of whose connections are left is dead: nobody waits for its
//! lease to end. Wherever that guess is wrong, the epoch checked in every write makes it harmless.

use std::time::Duration;

use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::transaction::Tx;

impl Tx {
    /// Takes or renews the lease on `name` for `length`; `None` if another node holds it.
    pub(crate) async fn take_lease(
        &mut self,
        name: &str,
        owner: &str,
        length: Duration,
    ) -> Result<Option<i64>, StoreError> {
        // The server cuts application names at 63 bytes. Where it shows not even our own (a pooler between), nothing
        // can be told from their absence.
        self.value(
            sql!(
                "INSERT INTO singletons (name, owner, epoch, until) \
                 VALUES ($1, $2, 1, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $3) \
                 ON CONFLICT (name) DO UPDATE SET epoch = singletons.epoch + \
                 CASE WHEN singletons.owner = excluded.owner THEN 0 ELSE 1 END, \
                 owner = excluded.owner, until = excluded.until \
                 WHERE singletons.owner = excluded.owner OR singletons.until <= excluded.until - $3 \
                 OR (EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = left('nexusmon ' || excluded.owner, 63)) \
                 AND NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = left('nexusmon ' || singletons.owner, 63))) \
                 RETURNING epoch AS value"
            ),
            args![name, owner, i64::try_from(length.as_micros()).unwrap_or(i64::MAX)],
        )
        .await
    }
}

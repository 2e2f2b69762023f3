//! This node's place among those of one database, kept by session-level advisory locks: its name is its own, and a node
//! that keeps blobs in a folder of its machine has the database for itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Pool;

use super::pooled;
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::store::Context;

/// First key of the locks; the second is the name's hash, or [`FILES`].
pub(crate) const CLASS: i64 = 0x6e78;
const FILES: i64 = 0;
/// A process that was killed a moment ago may have connections the server has not looked at yet.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_secs(2);

pub(crate) struct Presence {
    pool: Pool<sqlx::Postgres>,
    context: Context,
    alone: bool,
}

impl Presence {
    pub(crate) const fn new(pool: Pool<sqlx::Postgres>, context: Context, alone: bool) -> Self {
        Self { pool, context, alone }
    }

    /// Takes the locks, or says whose they are.
    pub(crate) async fn enter(&self) -> Result<Connection, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut connection = pooled(&self.pool, "joining the other coordinators").await?;
            match self.lock(&mut connection).await {
                Ok(()) => return Ok(connection),
                Err(error) if tries == TRIES => return Err(error),
                Err(StoreError::NameTaken { .. } | StoreError::Alone { .. }) => {}
                Err(error) => return Err(error),
            }
            connection.discard().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn lock(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let own = sql!("SELECT pg_try_advisory_lock(CAST($1 AS integer), hashtext($2)) AS value");
        if connection.value::<bool>(own, args![CLASS, self.context.node]).await? != Some(true) {
            return Err(StoreError::NameTaken { node: self.context.node.clone() });
        }
        let files = if self.alone {
            sql!("SELECT pg_try_advisory_lock(CAST($1 AS integer), CAST($2 AS integer)) AS value")
        } else {
            sql!("SELECT pg_try_advisory_lock_shared(CAST($1 AS integer), CAST($2 AS integer)) AS value")
        };
        if connection.value::<bool>(files, args![CLASS, FILES]).await? == Some(true) {
            return Ok(());
        }
        Err(StoreError::Alone { here: self.alone })
    }

    /// How many there are.
    async fn count(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let nodes: Option<i64> = connection
            .value(
                sql!(
                    "SELECT COUNT(*) AS value FROM pg_locks WHERE locktype = 'advisory' AND granted \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                     AND classid = CAST($1 AS oid) AND objid <> CAST($2 AS oid)"
                ),
                args![CLASS, FILES],
            )
            .await?;
        self.context.nodes.store(u32::try_from(nodes.unwrap_or(1)).unwrap_or(1), Ordering::Relaxed);
        Ok(())
    }

    /// Keeps the locks while the process lives. Losing them to another node ends it.
    pub(crate) async fn stay(self, held: Connection) -> Result<(), StoreError> {
        let soft = self.context.lifecycle.soft();
        let mut held = Some(held);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = soft.cancelled() => {
                    if let Some(held) = held {
                        held.discard().await;
                    }
                    return Ok(());
                }
                _ = look.tick() => {}
            }
            if let Some(connection) = &mut held
                && self.count(connection).await.is_err()
            {
                held = None;
            }
            if held.is_none() {
                match self.enter().await {
                    Ok(connection) => held = Some(connection),
                    Err(error @ (StoreError::NameTaken { .. } | StoreError::Alone { .. })) => {
                        return Err(error);
                    }
                    Err(error) => tracing::warn!(%error, "the place among other coordinators is not held"),
                }
            }
        }
    }
}

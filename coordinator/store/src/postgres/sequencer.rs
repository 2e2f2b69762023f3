//! Gives committed audit entries their gapless numbers. One node at a time does it, under a leased row whose epoch is
//! checked in the same transaction; database time decides the lease. Numbers cannot be taken inside the units of work:
//! a sequence becomes visible out of order.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;

use super::announcer::Announcer;
use crate::connection::Link;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::store::Context;
use crate::transaction::Tx;

const NAME: &str = "sequencer";
const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_secs(1);
/// Entries numbered in one statement.
const BATCH: i64 = 10_000;

pub(crate) async fn run(
    pool: Pool<sqlx::Postgres>,
    context: Context,
    announcer: Arc<Announcer>,
) -> Result<(), StoreError> {
    let sequencer = Sequencer { pool, context, announcer };
    let soft = sequencer.context.lifecycle.soft();
    let mut held: Option<(i64, Duration)> = None;
    loop {
        let stopping = soft.is_cancelled();
        match sequencer.turn(&mut held).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "numbering audit entries failed; trying again");
                held = None;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        // Once the shutdown has begun, entries of units that still run are numbered while anybody lives: this task
        // and the two of the announcer may be all that is left.
        if stopping && sequencer.context.lifecycle.len() <= 1 {
            return sequencer.release().await;
        }
        let pause = if stopping { Duration::from_millis(20) } else { RENEW };
        tokio::select! {
            () = soft.cancelled(), if !stopping => {}
            () = sequencer.announcer.sequence.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Sequencer {
    pool: Pool<sqlx::Postgres>,
    context: Context,
    announcer: Arc<Announcer>,
}

impl Sequencer {
    async fn begin(&self) -> Result<Tx, StoreError> {
        const DOING: &str = "numbering audit entries";
        let begun = self.pool.begin().await.map_err(|error| StoreError::of(DOING, error))?;
        Ok(Tx::new(Link::Postgres(begun), DOING, self.context.clock.clone(), self.context.ids.clone()))
    }

    /// Holds the lease if it can be had, and numbers all that waits.
    async fn turn(&self, held: &mut Option<(i64, Duration)>) -> Result<(), StoreError> {
        let boot = self.context.clock.boot();
        let fresh = held.is_some_and(|(_, at)| boot.saturating_sub(at) < RENEW);
        if !fresh {
            *held = self.hold().await?.map(|epoch| (epoch, boot));
        }
        let Some((epoch, _)) = *held else { return Ok(()) };
        loop {
            let mut tx = self.begin().await?;
            if !tx.check_singleton(NAME, &self.context.node, epoch).await? {
                *held = None;
                return Ok(());
            }
            let numbered = tx
                .execute(
                    sql!(
                        "WITH base AS (SELECT COALESCE(MAX(seq), 0) AS top FROM audit), \
                         waiting AS MATERIALIZED (SELECT place, ROW_NUMBER() OVER (ORDER BY place) AS step FROM (\
                         SELECT place FROM audit WHERE seq IS NULL ORDER BY place LIMIT $1) AS first) \
                         UPDATE audit SET seq = base.top + waiting.step FROM waiting, base \
                         WHERE audit.place = waiting.place"
                    ),
                    args![BATCH],
                )
                .await?;
            if numbered == 0 {
                return Ok(());
            }
            let newest = tx.newest_seq().await?;
            commit(tx).await?;
            self.announcer.numbered(newest);
            if numbered < u64::try_from(BATCH).unwrap_or(u64::MAX) {
                return Ok(());
            }
        }
    }

    async fn hold(&self) -> Result<Option<i64>, StoreError> {
        let mut tx = self.begin().await?;
        let epoch = tx.take_lease(NAME, &self.context.node, LEASE).await?;
        commit(tx).await?;
        Ok(epoch)
    }

    async fn release(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.release_singleton(NAME, &self.context.node).await?;
        commit(tx).await
    }
}

async fn commit(tx: Tx) -> Result<(), StoreError> {
    if let Link::Postgres(transaction) = tx.connection.link {
        transaction.commit().await.map_err(|error| StoreError::of("numbering audit entries", error))?;
    }
    Ok(())
}

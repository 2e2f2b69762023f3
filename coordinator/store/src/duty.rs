//! Work that one node does at a time. Whoever holds its lease proves it in every unit of work begun under it, so that a
//! node that was taken for dead, and comes back, changes nothing any more.

use std::future::Future;
use std::time::Duration;

use crate::error::StoreError;
use crate::store::{Db, Store};
use crate::transaction::Tx;

/// How long a node may be silent before another takes over; one whose connections are gone is replaced at once.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Held {
    name: &'static str,
    epoch: i64,
}

tokio::task_local! {
    static HELD: Held;
}

impl Store {
    /// Runs `work` if this node holds, or gets, the lease on `name`; `None` if another one does. Units of work begun
    /// within fail as [`StoreError::Relieved`] once the lease is another's.
    pub async fn on_duty<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, StoreError> {
        // One process per file: it is always on duty.
        let Db::Postgres(postgres) = self.db() else { return Ok(Some(work.await)) };
        let Some(epoch) = postgres.take_up(name, LEASE).await? else { return Ok(None) };
        Ok(Some(HELD.scope(Held { name, epoch }, work).await))
    }
}

tokio::task_local! {
    static READING: ();
}

impl Store {
    /// Runs `work`, within which no unit of work begins: it fails as [`StoreError::Reading`] before anything is done.
    pub async fn reading<T>(&self, work: impl Future<Output = T>) -> T {
        READING.scope((), work).await
    }
}

/// Refuses to begin a unit of work where only reading was allowed.
pub fn may_write() -> Result<(), StoreError> {
    READING.try_with(|()| ()).map_or(Ok(()), |()| Err(StoreError::Reading))
}

/// Refuses a unit of work whose node has been relieved meanwhile.
pub(crate) async fn prove(tx: &mut Tx, node: &str) -> Result<(), StoreError> {
    let Ok(held) = HELD.try_with(|held| *held) else { return Ok(()) };
    if tx.check_singleton(held.name, node, held.epoch).await? {
        return Ok(());
    }
    Err(StoreError::Relieved { duty: held.name })
}

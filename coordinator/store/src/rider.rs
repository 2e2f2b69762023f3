//! A row that rides along: whatever audited unit of work a request leads to takes the request's idempotency key with
//! it, so that key and result commit together or not at all.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::WaitingAuditRow;
use crate::error::StoreError;
use crate::idempotency::{IdempotencyRow, subject_text};
use crate::transaction::Tx;

/// The key of the request under way, until a unit of work has taken it.
#[derive(Clone, Debug)]
pub struct Rider(Arc<State>);

#[derive(Debug)]
struct State {
    row: IdempotencyRow,
    arrived: AtomicBool,
}

tokio::task_local! {
    static RIDER: Rider;
}

/// Runs `work`; its first audited unit of work commits `row` too, with what that unit was about.
pub async fn riding<T>(row: IdempotencyRow, work: impl Future<Output = T>) -> T {
    RIDER.scope(Rider(Arc::new(State { row, arrived: AtomicBool::new(false) })), work).await
}

impl Rider {
    /// That of the request this task serves, if it has not been taken yet.
    pub fn current() -> Option<Self> {
        RIDER.try_with(Self::clone).ok().filter(|rider| !rider.0.arrived.load(Ordering::Acquire))
    }

    /// The row to commit, for work that is done elsewhere in a batch.
    pub fn row(&self, subject_kind: &str, subject: &str) -> IdempotencyRow {
        let response = subject_text(subject_kind, subject);
        IdempotencyRow { status: 0, response, ..self.0.row.clone() }
    }

    /// The row is committed.
    pub fn arrived(&self) {
        self.0.arrived.store(true, Ordering::Release);
    }

    /// At the end of a unit: true if it took the row.
    pub(crate) async fn board(&self, tx: &mut Tx, audit: &[WaitingAuditRow]) -> Result<bool, StoreError> {
        let Some(first) = audit.first() else { return Ok(false) };
        let row = self.row(&first.subject_kind, &first.subject);
        tx.remember(std::slice::from_ref(&row)).await?;
        Ok(true)
    }
}

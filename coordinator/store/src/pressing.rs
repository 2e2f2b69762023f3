//! Work that may use the space kept back for it: what stops or denies must be written even on a full disk.

use std::future::Future;

tokio::task_local! {
    static PRESSING: ();
}

/// Runs `work`; its units of work may use the reserved space (SQLite; on PostgreSQL the server's disk is not ours).
pub async fn pressing<T>(work: impl Future<Output = T>) -> T {
    PRESSING.scope((), work).await
}

/// [`pressing`] if `needed`, else as it is.
pub async fn pressing_if<T>(needed: bool, work: impl Future<Output = T>) -> T {
    if needed { pressing(work).await } else { work.await }
}

pub(crate) fn is_pressing() -> bool {
    PRESSING.try_with(|()| ()).is_ok()
}

//! Logs when several coordinators serve one fleet: an agent may have gone on with its log at another one, and somebody
//! may watch here what grows there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::id::TaskId;
use nexusmon_store::LogRow;

use super::open::OpenLog;
use crate::app::App;
use crate::error::{Error, Result};

/// How long a wish to see a log sooner holds.
const WISH: Duration = Duration::from_secs(10);

/// Whether the database is ahead of what this node has of a log: its agent writes it through another node now, and what
/// is in memory here is of no use any more.
pub(super) async fn is_behind(app: &App, log: &Arc<OpenLog>, row: &LogRow) -> bool {
    if app.store.is_single_node() {
        return false;
    }
    let growing = log.growing.lock().await;
    // A segment of our own, committed a moment ago: memory follows.
    if growing.storing.iter().any(|storing| storing.done.borrow().is_none()) {
        return false;
    }
    let stored = log.stored();
    u64::try_from(row.stored).unwrap_or(0) > stored.bytes || (row.sealed && !stored.sealed)
}

/// Forgets an open log that another node has gone on with; true if it did.
pub(super) async fn forget_if_behind(app: &App, log: &Arc<OpenLog>) -> Result<bool> {
    if app.store.is_single_node() {
        return Ok(false);
    }
    let row = app.store.read().await?.log(log.attempt()).await?;
    let Some(row) = row else { return Ok(false) };
    let behind = is_behind(app, log, &row).await;
    if behind {
        app.logs.drop_log(log);
    }
    Ok(behind)
}

/// Asks whichever node takes the log in to store it as if somebody watched there.
pub(super) async fn wish(app: &App, task: TaskId) -> Result<()> {
    if app.store.is_single_node() {
        return Ok(());
    }
    let until = app.clock.now() + WISH;
    app.store
        .write("logs.watch", move |tx| {
            Box::pin(async move { Ok::<_, Error>(tx.watch_log(task, until).await?) })
        })
        .await
}

/// How often a watcher says so again.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// Tasks whose logs are watched through other nodes.
pub(super) async fn wishes(app: &App) -> Result<BTreeSet<TaskId>> {
    if app.store.is_single_node() {
        return Ok(BTreeSet::new());
    }
    Ok(app.store.read().await?.log_watches(app.clock.now()).await?.into_iter().collect())
}

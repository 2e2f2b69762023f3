//! Watching a log grow.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::TaskId;

use super::open::OpenLog;
use super::reader::Wanted;
use super::{LogTail, elsewhere, reader};
use crate::app::App;
use crate::error::{Error, Result};

/// Lines told at once.
const LINES: usize = 1_000;
/// Without news from memory (the log may grow on another node, or not have begun) the database is asked this often.
const POLL: Duration = Duration::from_secs(1);

struct Watch {
    app: App,
    task: TaskId,
    next: u64,
    /// The attempt that `next` counts in.
    of: Option<AttemptRef>,
    over: bool,
    watching: Option<Watching>,
    /// Boot clock at which other nodes are to be asked again.
    wish_at: Duration,
}

/// Makes the log be stored sooner while it lives.
struct Watching(Arc<OpenLog>);

impl Watching {
    fn new(log: Arc<OpenLog>) -> Self {
        log.watchers.fetch_add(1, Ordering::Relaxed);
        Self(log)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lines from `from_line` on, then as they come.
pub async fn tail(app: &App, task: TaskId, from_line: u64) -> Result<BoxStream<'static, Result<LogTail>>> {
    let known = app.store.read().await?.task(task).await?;
    known.ok_or_else(|| Error::not_found("task", task))?;
    let watch = Watch {
        app: app.clone(),
        task,
        next: from_line.max(1),
        of: None,
        over: false,
        watching: None,
        wish_at: Duration::ZERO,
    };
    Ok(futures::stream::try_unfold(watch, |mut watch| async move {
        if watch.over {
            return Ok(None);
        }
        let told = watch.next().await?;
        watch.over = told.last;
        Ok(Some((told, watch)))
    })
    .boxed())
}

impl Watch {
    /// Where the log grows at another node, that one is asked to hurry.
    async fn wish(&mut self) -> Result<()> {
        let boot = self.app.clock.boot();
        if boot >= self.wish_at && self.app.logs.of_task(self.task).is_empty() {
            self.wish_at = boot + elsewhere::AGAIN;
            elsewhere::wish(&self.app, self.task).await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<LogTail> {
        loop {
            self.wish().await?;
            let Some(source) = reader::find(&self.app, self.task, None).await? else {
                if super::no_log(&self.app, self.task).await?.sealed {
                    return Ok(LogTail { lines: Vec::new(), last: true });
                }
                tokio::time::sleep(POLL).await;
                continue;
            };
            if self.of.is_some_and(|of| of != source.key) {
                // A new attempt begins a new log.
                self.next = 1;
            }
            self.of = Some(source.key);
            let mut grown = source.open.as_ref().map(|log| log.grown.subscribe());
            if let Some(log) = &source.open
                && self.watching.as_ref().is_none_or(|watching| !Arc::ptr_eq(&watching.0, log))
            {
                self.watching = Some(Watching::new(Arc::clone(log)));
            }
            let wanted = Wanted::Lines { skip: self.next.saturating_sub(1), most: LINES };
            let moment = source.moment(wanted).await;
            let looked = reader::lines(&self.app, source.key, &moment, self.next, LINES, None).await?;
            self.next = looked.next;
            let last = looked.all && moment.stored.sealed;
            if last || !looked.lines.is_empty() {
                return Ok(LogTail { lines: looked.lines, last });
            }
            if let Some(grown) = &mut grown {
                let _ = tokio::time::timeout(POLL, grown.changed()).await;
            } else {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

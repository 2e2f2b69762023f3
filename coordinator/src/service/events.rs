//! The stream of events: resumable at any place of the audit trail, then live.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use nexusmon_store::AuditRow;
use tokio::sync::broadcast::{self, error::RecvError};

use super::audit::{self, Shown};
use crate::app::App;
use crate::app::events::{Event, EventFilter};
use crate::error::Result;

/// Entries read at once.
const PAGE: u32 = 500;

struct Subscription {
    app: App,
    filter: EventFilter,
    live: broadcast::Receiver<Arc<Event>>,
    /// Everything up to here has been told.
    told: i64,
    /// Read from the trail and not told yet.
    queued: VecDeque<Arc<Event>>,
    /// The trail has to be read before the live stream is listened to.
    behind: bool,
}

/// Events after `after` (a `seq`; the newest if absent), then as they come. Events without a `seq` are told once, to
/// who listens at the time.
pub async fn subscribe(
    app: &App,
    after: Option<i64>,
    filter: EventFilter,
) -> Result<BoxStream<'static, Result<Arc<Event>>>> {
    // Listening begins before the place is taken, so that nothing falls in between.
    let live = app.events.receiver();
    let told = match after {
        Some(seq) => seq,
        None => app.store.seq().max(app.store.read().await?.newest_seq().await?),
    };
    let subscription = Subscription {
        app: app.clone(),
        filter,
        live,
        told,
        queued: VecDeque::new(),
        behind: after.is_some(),
    };
    Ok(stream::try_unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await?;
        Ok(event.map(|event| (event, subscription)))
    })
    .boxed())
}

impl Subscription {
    async fn next(&mut self) -> Result<Option<Arc<Event>>> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Ok(Some(event));
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            match self.live.recv().await {
                Ok(event) => {
                    if let Some(seq) = event.seq {
                        if seq <= self.told {
                            continue;
                        }
                        // A gap: entries came before this listener was known to the relay.
                        if seq > self.told + 1 {
                            self.behind = true;
                            continue;
                        }
                        self.told = seq;
                    }
                    if self.filter.accepts(&event) {
                        return Ok(Some(event));
                    }
                }
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        let mut read = self.app.store.read().await?;
        let rows = match self.filter.mission {
            Some(mission) => {
                let newest = read.newest_seq().await?;
                let rows = read.mission_audit_after(mission, self.told, PAGE).await?;
                if rows.len() < PAGE as usize {
                    self.told = self.told.max(newest);
                }
                rows
            }
            None => read.audit_after(self.told, PAGE).await?,
        };
        let shown = audit::shown(&mut read, &rows).await?;
        drop(read);
        self.behind = rows.len() == PAGE as usize;
        for (row, shown) in rows.into_iter().zip(shown) {
            self.told = self.told.max(row.seq);
            let event = Arc::new(event(row, shown));
            if self.filter.accepts(&event) {
                self.queued.push_back(event);
            }
        }
        Ok(())
    }
}

fn event(row: AuditRow, shown: Shown) -> Event {
    Event {
        seq: Some(row.seq),
        kind: row.action,
        actor: row.actor,
        subject_kind: row.subject_kind,
        subject: row.subject,
        mission: row.mission,
        at: row.at,
        body: shown.body,
        erased: shown.unsealed.erased,
    }
}

/// Reads what has been committed and tells it to the subscribers, until shutdown; background runs it once.
pub async fn relay(app: App) -> Result<()> {
    let soft = app.lifecycle.soft();
    let mut newest = app.store.watch_seq();
    let mut told = app.store.read().await?.newest_seq().await?;
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = newest.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
        let target = *newest.borrow_and_update();
        if app.events.listeners() == 0 {
            // Nobody listens: whoever comes reads the trail itself.
            told = told.max(target);
            continue;
        }
        while told < target {
            let waiting = u32::try_from(target - told).unwrap_or(PAGE).min(PAGE);
            match newer(&app, told, waiting).await {
                Ok(events) if events.is_empty() => break,
                Ok(events) => {
                    for event in events {
                        told = event.seq.unwrap_or(told);
                        app.events.publish(event);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "events could not be read; the next change tries again");
                    break;
                }
            }
        }
    }
}

async fn newer(app: &App, told: i64, limit: u32) -> Result<Vec<Event>> {
    let mut read = app.store.read().await?;
    let rows = read.audit_after(told, limit).await?;
    let shown = audit::shown(&mut read, &rows).await?;
    Ok(rows.into_iter().zip(shown).map(|(row, shown)| event(row, shown)).collect())
}

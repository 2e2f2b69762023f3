//! Heartbeats of all sessions, renewed by one statement at most once a second.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::Renewal;
use tokio::sync::Notify;

use crate::app::App;
use crate::error::{Error, Result};

/// Least time between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Heartbeats that wait for their write; the newest of each agent.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    waiting: Mutex<HashMap<AgentId, Renewal>>,
    notify: Notify,
}

impl Renewals {
    pub(super) fn add(&self, agent: AgentId, session: u64, heartbeat: u64, at: Timestamp) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        waiting.insert(agent, Renewal { agent, session, heartbeat, at });
        drop(waiting);
        self.notify.notify_one();
    }

    /// Starts the writer.
    pub(crate) fn start(app: &App) {
        let app = app.clone();
        let lifecycle = app.lifecycle.clone();
        lifecycle.spawn("agents.renew", async move {
            let soft = app.lifecycle.soft();
            loop {
                tokio::select! {
                    () = soft.cancelled() => break,
                    () = app.renewals.notify.notified() => {}
                }
                if let Err(error) = write(&app).await {
                    tracing::warn!(%error, "heartbeats could not be written; the next ones will renew");
                }
                tokio::select! {
                    () = soft.cancelled() => break,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
            Ok::<(), Error>(())
        });
    }
}

async fn write(app: &App) -> Result<()> {
    let waiting = std::mem::take(&mut *app.renewals.waiting.lock().expect("no holder panics"));
    let renewals: Vec<_> = waiting.into_values().collect();
    if renewals.is_empty() {
        return Ok(());
    }
    let (renewals, renewed) = app
        .store
        .write_with("agents.renew", renewals, |tx, renewals| {
            Box::pin(async move {
                let renewed = tx.renew_sessions(renewals).await?;
                Ok::<_, Error>((renewals.clone(), renewed))
            })
        })
        .await?;
    let renewed: std::collections::HashSet<_> = renewed.into_iter().collect();
    for renewal in renewals {
        let Some(live) = app.sessions.get(renewal.agent) else { continue };
        if renewed.contains(&renewal.agent) && live.session == renewal.session {
            live.offer(CoordinatorMessage::Renewed { heartbeat_number: renewal.heartbeat });
        }
    }
    Ok(())
}

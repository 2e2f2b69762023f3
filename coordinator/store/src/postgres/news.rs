//! What is told between nodes and kept nowhere: progress, starts, who came and went. As much as a few messages carry; the
//! rest is dropped, since whoever needs to know asks the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Pool;
use tokio::sync::{broadcast, mpsc};

use super::pooled;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::store::Context;

pub(super) const CHANNEL: &str = "nexusmon_news";
/// Lines that wait to be told; more are dropped.
const WAITING: usize = 1_024;
/// Lines heard and not read yet, per reader.
const HEARD: usize = 1_024;
/// The server takes just under 8,000 bytes in a message.
const BYTES: usize = 7_500;
const PAUSE: Duration = Duration::from_millis(20);

/// Both directions.
pub(crate) struct News {
    context: Context,
    waiting: mpsc::Sender<String>,
    heard: broadcast::Sender<Arc<str>>,
}

impl News {
    /// And what it is to be driven with.
    pub(crate) fn new(context: Context) -> (Self, mpsc::Receiver<String>) {
        let (waiting, queue) = mpsc::channel(WAITING);
        (Self { context, waiting, heard: broadcast::Sender::new(HEARD) }, queue)
    }

    pub(crate) fn tell(&self, line: &str) {
        let others = self.context.nodes.load(Ordering::Relaxed) > 1;
        if others && line.len() < BYTES - 100 && !line.contains('\n') {
            let _ = self.waiting.try_send(line.to_owned());
        }
    }

    pub(crate) fn receiver(&self) -> broadcast::Receiver<Arc<str>> {
        self.heard.subscribe()
    }

    pub(crate) fn hear(&self, payload: &str) {
        let mut lines = payload.lines();
        if lines.next() == Some(self.context.node.as_str()) {
            return;
        }
        for line in lines {
            let _ = self.heard.send(line.into());
        }
    }
}

/// Tells what waits, a message at a time.
pub(crate) async fn drive(
    pool: Pool<sqlx::Postgres>,
    context: Context,
    mut queue: mpsc::Receiver<String>,
) -> Result<(), StoreError> {
    let soft = context.lifecycle.soft();
    let mut kept: Option<String> = None;
    loop {
        let first = match kept.take() {
            Some(line) => line,
            None => tokio::select! {
                () = soft.cancelled() => return Ok(()),
                line = queue.recv() => match line {
                    Some(line) => line,
                    None => return Ok(()),
                },
            },
        };
        let mut payload = format!("{}\n{first}", context.node);
        while let Ok(line) = queue.try_recv() {
            if payload.len() + 1 + line.len() > BYTES {
                kept = Some(line);
                break;
            }
            payload.push('\n');
            payload.push_str(&line);
        }
        let sent = async {
            let mut connection = pooled(&pool, "telling other coordinators").await?;
            connection.execute(sql!("SELECT pg_notify($1, $2)"), args![CHANNEL, payload]).await
        };
        if let Err(error) = sent.await {
            tracing::debug!(%error, "news were not told");
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

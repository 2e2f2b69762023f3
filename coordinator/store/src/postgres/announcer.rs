//! Wake-ups between nodes: NOTIFY after the commit on a connection of its own, gathered to one per 5 ms (inside
//! transactions it serializes their commits), LISTEN on another. What gets lost is found by polling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::Pool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use super::news::{self, News};
use super::pooled;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::store::Context;
use crate::topic::Topics;

const CHANNEL: &str = "nexusmon";
const GATHER: Duration = Duration::from_millis(5);
/// How long a lost notification may go unnoticed.
const POLL: Duration = Duration::from_secs(1);

pub(crate) struct Announcer {
    pool: Pool<sqlx::Postgres>,
    context: Context,
    topics: AtomicU32,
    /// Entries wait for numbers.
    waiting: AtomicBool,
    announce: Notify,
    pub(crate) sequence: Notify,
    news: Arc<News>,
}

impl Announcer {
    pub(crate) fn new(pool: Pool<sqlx::Postgres>, context: Context, news: Arc<News>) -> Self {
        Self {
            pool,
            context,
            topics: AtomicU32::new(0),
            waiting: AtomicBool::new(false),
            announce: Notify::new(),
            sequence: Notify::new(),
            news,
        }
    }

    /// This node committed.
    pub(crate) fn committed(&self, topics: Topics, audited: bool) {
        if audited {
            self.waiting.store(true, Ordering::Release);
            self.sequence.notify_one();
        }
        if audited || !topics.is_empty() {
            self.topics.fetch_or(topics.0, Ordering::AcqRel);
            self.announce.notify_one();
        }
    }

    /// This node gave numbers.
    pub(crate) fn numbered(&self, newest: i64) {
        self.context.signals.raise_seq(newest);
        self.announce.notify_one();
    }

    /// Sends what gathered. A failure is logged and the next one tried: these are hints.
    pub(crate) async fn announce(self: Arc<Self>) -> Result<(), StoreError> {
        let soft = self.context.lifecycle.soft();
        loop {
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = self.announce.notified() => {}
            }
            let payload = self.payload();
            let sent = async {
                let mut connection = pooled(&self.pool, "announcing").await?;
                connection.execute(sql!("SELECT pg_notify($1, $2)"), args![CHANNEL, payload]).await
            };
            if let Err(error) = sent.await {
                tracing::warn!(%error, "other coordinators were not told; they will poll");
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// `topics waiting seq node`.
    fn payload(&self) -> String {
        let topics = self.topics.swap(0, Ordering::AcqRel);
        let waiting = u8::from(self.waiting.swap(false, Ordering::AcqRel));
        format!("{topics} {waiting} {} {}", self.context.signals.seq(), self.context.node)
    }

    /// Hears others, and polls in case a message was lost.
    pub(crate) async fn listen(self: Arc<Self>) -> Result<(), StoreError> {
        let soft = self.context.lifecycle.soft();
        let mut listener: Option<PgListener> = None;
        loop {
            let heard = async {
                if listener.is_none() {
                    let mut fresh = PgListener::connect_with(&self.pool).await?;
                    fresh.listen_all([CHANNEL, news::CHANNEL]).await?;
                    listener = Some(fresh);
                }
                match listener.as_mut() {
                    // `recv` would connect again by itself and keep quiet about what was missed meanwhile.
                    Some(listener) => listener.try_recv().await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                () = soft.cancelled() => return Ok(()),
                heard = heard => Some(heard),
                () = tokio::time::sleep(POLL) => None,
            };
            match heard {
                Some(Ok(Some(message))) if message.channel() == news::CHANNEL => {
                    self.news.hear(message.payload());
                }
                Some(Ok(Some(message))) => self.hear(message.payload()),
                Some(Ok(None)) => {
                    tracing::warn!(
                        "the connection that hears other coordinators was lost; looking at everything"
                    );
                    self.context.signals.hear(Topics::ALL);
                    self.poll().await;
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "listening for other coordinators failed; trying again");
                    listener = None;
                    tokio::time::sleep(POLL).await;
                }
                None => self.poll().await,
            }
        }
    }

    fn hear(&self, payload: &str) {
        let mut parts = payload.splitn(4, ' ');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).unwrap_or(0);
        let (topics, waiting, seq) = (number(), number(), number());
        if parts.next() == Some(self.context.node.as_str()) {
            return;
        }
        // Somebody is there, counted yet or not.
        self.context.nodes.fetch_max(2, Ordering::Relaxed);
        self.context.signals.hear(Topics(u32::try_from(topics).unwrap_or(0)));
        self.context.signals.raise_seq(seq);
        if waiting != 0 {
            self.sequence.notify_one();
        }
    }

    async fn poll(&self) {
        let newest = async { pooled(&self.pool, "polling").await?.newest_seq().await };
        match newest.await {
            Ok(newest) => self.context.signals.raise_seq(newest),
            Err(error) => tracing::debug!(%error, "polling for other coordinators' entries failed"),
        }
        self.sequence.notify_one();
    }
}

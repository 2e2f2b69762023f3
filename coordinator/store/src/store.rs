//! The handle everything above holds: opens a database by URL, runs units of work, hands out readers and wake-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::BoxFuture;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::SharedClock;
use tokio::sync::{broadcast, watch};

use crate::connection::Connection;
use crate::error::StoreError;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::topic::{Signals, Topic};
use crate::transaction::{AuditIds, Tx};

/// Where the database is and how much of it to use.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `sqlite:///path/nexusmon.db` or `postgres://user@host/name`.
    pub url: String,
    /// This coordinator's name among others on the same database.
    pub node: String,
    /// Connections that read (SQLite), or all connections of the pool (PostgreSQL).
    pub connections: u32,
    /// SQLite: the database grows to this many pages of 4 KiB at most.
    pub max_pages: Option<u32>,
    /// PostgreSQL: no other node may be there, since something of this one lies on its own machine.
    pub alone: bool,
    /// SQLite: beyond this many bytes the write-ahead log is checkpointed by force, whoever reads.
    pub log_limit: u64,
}

/// Four times what lies between two ordinary checkpoints.
const LOG_LIMIT: u64 = 64 * 1024 * 1024;

impl StoreConfig {
    pub fn new(url: impl Into<String>, node: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            node: node.into(),
            connections: 8,
            max_pages: None,
            alone: false,
            log_limit: LOG_LIMIT,
        }
    }
}

/// A cheap handle to the database.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: Db,
    context: Context,
}

pub(crate) enum Db {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// What both backends need.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) clock: SharedClock,
    pub(crate) ids: Arc<AuditIds>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) node: String,
    /// Coordinators on this database, this one among them, as last counted.
    pub(crate) nodes: Arc<AtomicU32>,
    pub(crate) log_limit: u64,
}

impl Store {
    /// Opens the database, brings it to the newest migration, and starts what runs beside it.
    ///
    /// Refused: a database newer than this program, a SQLite file another process holds.
    pub async fn open(
        config: &StoreConfig,
        clock: SharedClock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, StoreError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| {
            StoreError::io("asking the system for randomness", std::io::Error::other(error.to_string()))
        })?;
        let context = Context {
            clock,
            ids: Arc::new(AuditIds::new(seed)),
            signals: Arc::new(Signals::new()),
            lifecycle: lifecycle.clone(),
            node: config.node.clone(),
            nodes: Arc::new(AtomicU32::new(1)),
            log_limit: config.log_limit,
        };
        let scheme = config.url.split_once("://").map(|(scheme, _)| scheme);
        let db = match scheme {
            Some("sqlite") => Db::Sqlite(Sqlite::open(config, &context).await?),
            Some("postgres" | "postgresql") => Db::Postgres(Postgres::open(config, &context).await?),
            _ => {
                return Err(StoreError::Url {
                    reason: "expected `sqlite:///path/to/file` or `postgres://…`".to_owned(),
                });
            }
        };
        Ok(Self(Arc::new(Inner { db, context })))
    }

    /// Runs a unit of work: all of it commits, or none. `name` completes "while …" in errors.
    ///
    /// `work` may run more than once (after a deadlock, or when another unit of the same group broke the commit), so it
    /// must not act outside the transaction; capture cheap clones or an `Arc`. It answers once the commit is durable.
    ///
    /// ```ignore
    /// let rows = Arc::new(rows);
    /// store.write("creating missions", move |tx| {
    ///     let rows = rows.clone();
    ///     Box::pin(async move { tx.insert_missions(&rows).await })
    /// }).await?;
    /// ```
    pub async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        crate::duty::may_write()?;
        match &self.0.db {
            Db::Sqlite(sqlite) => sqlite.write(name, work).await,
            Db::Postgres(postgres) => postgres.write(name, work).await,
        }
    }

    /// As [`Self::write`], with an input the work borrows instead of cloning.
    pub async fn write_with<I, T, E, F>(&self, name: &'static str, input: I, work: F) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        let shared = Arc::new((input, work));
        self.write(name, move |tx| {
            let shared = shared.clone();
            Box::pin(async move {
                let (input, work) = &*shared;
                work(tx, input).await
            })
        })
        .await
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    /// A connection for reading. Each statement sees the newest committed state.
    pub async fn read(&self) -> Result<Connection, StoreError> {
        match &self.0.db {
            Db::Sqlite(sqlite) => sqlite.read().await,
            Db::Postgres(postgres) => postgres.read().await,
        }
    }

    /// A counter that grows when something of this topic was committed, here or on another node.
    pub fn wakeups(&self, topic: Topic) -> watch::Receiver<u64> {
        self.0.context.signals.watch(topic)
    }

    /// As [`Self::wakeups`], but only for what other nodes committed.
    pub fn heard(&self, topic: Topic) -> watch::Receiver<u64> {
        self.0.context.signals.watch_heard(topic)
    }

    /// Tells other nodes something that is kept nowhere: one line. Costs nothing where there are none; may be lost.
    pub fn tell(&self, line: &str) {
        if let Db::Postgres(postgres) = &self.0.db {
            postgres.news.tell(line);
        }
    }

    /// What other nodes [`Self::tell`]; `None` where there can be no others.
    pub fn news(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        match &self.0.db {
            Db::Postgres(postgres) => Some(postgres.news.receiver()),
            Db::Sqlite(_) => None,
        }
    }

    /// Coordinators on this database, this one among them.
    pub fn nodes(&self) -> u32 {
        self.0.context.nodes.load(Ordering::Relaxed)
    }

    /// The newest audit sequence number, as it grows.
    pub fn watch_seq(&self) -> watch::Receiver<i64> {
        self.0.context.signals.watch_seq()
    }

    /// The newest audit sequence number.
    pub fn seq(&self) -> i64 {
        self.0.context.signals.seq()
    }

    /// This coordinator's name.
    pub fn node(&self) -> &str {
        &self.0.context.node
    }

    pub(crate) fn sqlite_file(&self) -> Option<&std::path::Path> {
        match &self.0.db {
            Db::Sqlite(sqlite) => Some(sqlite.file()),
            Db::Postgres(_) => None,
        }
    }

    pub(crate) fn log_limit(&self) -> u64 {
        self.0.context.log_limit
    }

    /// Units of work that wait for the writer; on PostgreSQL they wait for connections instead, and are not counted.
    pub fn queued(&self) -> usize {
        match &self.0.db {
            Db::Sqlite(sqlite) => sqlite.queued(),
            Db::Postgres(_) => 0,
        }
    }

    /// One file, one process: other nodes cannot share it.
    pub fn is_single_node(&self) -> bool {
        matches!(self.0.db, Db::Sqlite(_))
    }

    /// Whether the database answers: for readiness checks.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read().await?.newest_seq().await.map(drop)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_single_node() { "sqlite" } else { "postgres" };
        f.debug_struct("Store").field("kind", &kind).field("node", &self.0.context.node).finish()
    }
}

//! SQLite: one writer with group commit, a bounded pool of readers, one process per file.

mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Pool};
use tokio::sync::{mpsc, oneshot};

use crate::connection::{Connection, Link};
use crate::error::StoreError;
use crate::migrate;
use crate::rider::Rider;
use crate::store::{Context, StoreConfig};
use crate::transaction::Tx;
use writer::{Job, Unit, Writer};

/// Units that may wait for the writer before callers have to.
const QUEUE: usize = 4_096;

pub(crate) struct Sqlite {
    units: mpsc::Sender<Box<dyn Unit>>,
    readers: Pool<sqlx::Sqlite>,
    /// Held for as long as the database is open: one process per file.
    _lock: File,
}

impl Sqlite {
    pub(crate) async fn open(config: &StoreConfig, context: &Context) -> Result<Self, StoreError> {
        let path = path(&config.url)?;
        let lock = lock(&path)?;
        let options = options(&path, config);
        let writing = SqliteConnection::connect_with(&options)
            .await
            .map_err(|error| StoreError::of("opening the database", error))?;
        let mut writing = Connection::new(Link::Sqlite(writing), "migrating the database");
        migrate::run(&mut writing).await?;
        let newest = writing.newest_seq().await?;
        context.signals.raise_seq(newest);
        let readers = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(config.connections.max(1))
            .idle_timeout(Duration::from_mins(1))
            // Readers are many and their pages are in the system's cache anyway.
            .connect_with(options.read_only(true).pragma("cache_size", "-4096"))
            .await
            .map_err(|error| StoreError::of("opening readers of the database", error))?;
        let (units, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(writing.link, newest, context.clone());
        context.lifecycle.spawn("store.writer", writer.run(queue));
        Ok(Self { units, readers, _lock: lock })
    }

    pub(crate) async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let unit: Box<dyn Unit> = Box::new(Job::new(name, work, reply, Rider::current()));
        self.units.send(unit).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    pub(crate) async fn read(&self) -> Result<Connection, StoreError> {
        let connection =
            self.readers.acquire().await.map_err(|error| StoreError::of("waiting for a reader", error))?;
        Ok(Connection::new(Link::SqlitePooled(connection), "reading"))
    }
}

pub(crate) fn path(url: &str) -> Result<PathBuf, StoreError> {
    let path = url.strip_prefix("sqlite://").unwrap_or(url);
    if path.is_empty() || path.contains(['?', '#']) {
        return Err(StoreError::Url {
            reason: "expected `sqlite:///path/to/file`, without options".to_owned(),
        });
    }
    Ok(PathBuf::from(path))
}

/// Takes the lock beside the database, or says who cannot.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| StoreError::io(format!("opening {}", name.display()), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StoreError::Locked { path: path.display().to_string() })
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(StoreError::io(format!("locking {}", name.display()), error))
        }
    }
}

fn options(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(512)
        .row_buffer_size(512)
        // 16 MiB of log between checkpoints: few enough fsyncs of the database file, short enough reads.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "memory")
        // Logging formats every statement first; what went wrong comes with the error anyway.
        .disable_statement_logging();
    if let Some(pages) = config.max_pages {
        options = options.pragma("max_page_count", pages.to_string());
    }
    options
}

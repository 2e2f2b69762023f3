//! SQLite: one writer with group commit, a bounded pool of readers, one process per file.

mod carrier;
pub(crate) mod direct;
pub(crate) mod readers;
pub(crate) mod reserve;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::connection::{Connection, Link};
use crate::error::StoreError;
use crate::migrate;
use crate::rider::Rider;
use crate::store::{Context, StoreConfig};
use crate::transaction::Tx;
use carrier::Carrier;
use readers::Readers;
use reserve::Reserve;
use writer::{Job, Unit, Writer};

/// Units that may wait for the writer before callers have to.
const QUEUE: usize = 4_096;

pub(crate) struct Sqlite {
    units: mpsc::Sender<Box<dyn Unit>>,
    readers: Readers,
    file: PathBuf,
    /// Held for as long as the database is open: one process per file.
    _lock: File,
}

impl Sqlite {
    pub(crate) async fn open(config: &StoreConfig, context: &Context) -> Result<Self, StoreError> {
        let path = path(&config.url)?;
        let lock = lock(&path)?;
        let writing = direct::open(&path, config.max_pages)
            .map_err(|error| StoreError::of_sqlite("opening the database", error))?;
        let mut writing = Connection::new(Link::Sqlite(writing), "migrating the database");
        migrate::run(&mut writing).await?;
        let newest = writing.newest_seq().await?;
        context.signals.raise_seq(newest);
        let readers = Readers::new(path.clone(), config.connections);
        let (units, queue) = mpsc::channel(QUEUE);
        let carrier = match &writing.link {
            Link::Sqlite(connection) => {
                carrier::leave_log(connection);
                Some(Carrier::start(&context.lifecycle, path.clone()))
            }
            _ => None,
        };
        let reserve = Reserve::open(&path);
        let writer = Writer::new(writing.link, newest, context.clone(), carrier, reserve);
        context.lifecycle.spawn("store.writer", writer.run_apart(queue));
        Ok(Self { units, readers, file: path, _lock: lock })
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

    pub(crate) fn queued(&self) -> usize {
        self.units.max_capacity() - self.units.capacity()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) async fn read(&self) -> Result<Connection, StoreError> {
        Ok(Connection::new(Link::SqlitePooled(self.readers.acquire().await?), "reading"))
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

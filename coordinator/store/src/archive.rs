//! Whole databases, table by table: for moving to another one, for backups, and for coming back from one. Knows which
//! tables hold what must be kept, not what is in them.
//!
//! Nothing else uses the database meanwhile, or (a backup) a snapshot of it is read.

mod kept;
mod rows;
mod table;

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::SharedClock;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::error::StoreError;
use crate::migrate;
use crate::record::Kind;
use crate::sqlite;
use crate::store::{Store, StoreConfig};
pub use kept::Kept;
use rows::{Batch, Hasher};
use table::Table;
pub use table::TableDigest;

/// Rows written by one statement, and their bytes.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    pub table: &'a str,
    pub rows: u64,
}

/// An open database.
pub struct Archive {
    link: Link,
    /// One process per SQLite file, as ever.
    _lock: Option<std::fs::File>,
}

enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens a database that no coordinator uses, and brings it to the newest migration.
    pub async fn open_alone(url: &str, clock: SharedClock) -> Result<Self, StoreError> {
        // As a coordinator would: it is refused where one runs.
        let lifecycle = Lifecycle::new();
        let config = StoreConfig { alone: true, ..StoreConfig::new(url, "copying") };
        let opened = Store::open(&config, clock, &lifecycle).await.map(drop);
        lifecycle.shutdown(Duration::from_secs(10)).await;
        opened.map_err(|error| match error {
            StoreError::Alone { .. } => StoreError::InUse,
            other => other,
        })?;
        let (link, lock) = if url.starts_with("sqlite:") {
            let path = sqlite::path(url)?;
            let lock = sqlite::lock(&path)?;
            (Link::Sqlite(connect_sqlite(&path, true).await?), Some(lock))
        } else {
            let mut connection = connect_postgres(url).await?;
            alone(&mut connection).await?;
            (Link::Postgres(connection), None)
        };
        Ok(Self { link, _lock: lock })
    }

    /// Opens a database for reading while a coordinator may use it: everything is as it was at one moment.
    pub async fn open_snapshot(url: &str) -> Result<Self, StoreError> {
        let mut this = Self::open_snapshot_of_any_version(url).await?;
        this.check_version().await?;
        Ok(this)
    }

    /// As [`Self::open_snapshot`], for digests alone.
    pub async fn open_snapshot_of_any_version(url: &str) -> Result<Self, StoreError> {
        const DOING: &str = "beginning a snapshot of the database";
        let mut link = if url.starts_with("sqlite:") {
            Link::Sqlite(connect_sqlite(&sqlite::path(url)?, false).await?)
        } else {
            Link::Postgres(connect_postgres(url).await?)
        };
        let begun = match &mut link {
            Link::Sqlite(connection) => connection.execute("BEGIN").await.map(drop),
            Link::Postgres(connection) => {
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map(drop)
            }
        };
        begun.map_err(|error| StoreError::of(DOING, error))?;
        Ok(Self { link, _lock: None })
    }

    /// Whether nothing has been kept here yet.
    pub async fn is_empty(&mut self) -> Result<bool, StoreError> {
        for table in table::discover(&mut self.link).await? {
            if rows::stream(&mut self.link, &table).try_next().await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies every table into `target`, which is empty, in one transaction; gives what was read.
    pub async fn copy_into(
        &mut self,
        target: &mut Self,
        mut progress: impl FnMut(Progress<'_>) + Send,
    ) -> Result<Vec<TableDigest>, StoreError> {
        target.run("BEGIN").await?;
        let copied = self.copy_tables(target, &mut progress).await;
        target.run(if copied.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        copied
    }

    async fn copy_tables(
        &mut self,
        target: &mut Self,
        progress: &mut (impl FnMut(Progress<'_>) + Send),
    ) -> Result<Vec<TableDigest>, StoreError> {
        let theirs = table::discover(&mut target.link).await?;
        let tables = self.tables_as_in(&theirs).await?;
        let mut digests = Vec::new();
        for (ours, theirs) in tables.iter().zip(&theirs) {
            let (mut hasher, mut batch) = (Hasher::default(), Batch::default());
            let mut source = rows::stream(&mut self.link, ours);
            while let Some(row) = source.try_next().await? {
                hasher.add(&row);
                batch.push(row);
                if batch.is_full() {
                    batch.write(&mut target.link, theirs).await?;
                    progress(Progress { table: &ours.name, rows: hasher.rows() });
                }
            }
            drop(source);
            batch.write(&mut target.link, theirs).await?;
            target.continue_numbers(theirs).await?;
            progress(Progress { table: &ours.name, rows: hasher.rows() });
            digests.push(hasher.finish(ours));
        }
        Ok(digests)
    }

    /// The tables, if they have the same columns as those of the other database.
    async fn tables_as_in(&mut self, theirs: &[Table]) -> Result<Vec<Table>, StoreError> {
        let ours = table::discover(&mut self.link).await?;
        let shape = |tables: &[Table]| -> Vec<(String, Vec<String>)> {
            let columns = |table: &Table| table.columns.iter().map(|(name, _)| name.clone()).collect();
            tables.iter().map(|table| (table.name.clone(), columns(table))).collect()
        };
        if shape(&ours) == shape(theirs) {
            return Ok(ours);
        }
        Err(StoreError::Corrupt {
            column: "tables".to_owned(),
            reason: "the two databases do not have the same tables and columns".to_owned(),
        })
    }

    /// What the tables hold, for comparing.
    pub async fn digests(&mut self) -> Result<Vec<TableDigest>, StoreError> {
        let mut digests = Vec::new();
        for table in table::discover(&mut self.link).await? {
            let mut hasher = Hasher::default();
            let mut rows = rows::stream(&mut self.link, &table);
            while let Some(row) = rows.try_next().await? {
                hasher.add(&row);
            }
            drop(rows);
            digests.push(hasher.finish(&table));
        }
        Ok(digests)
    }

    /// Whether this is a SQLite file, which can be copied as it is by [`Self::copy_file`].
    pub const fn is_sqlite(&self) -> bool {
        matches!(self.link, Link::Sqlite(_))
    }

    /// Writes the snapshot into a new SQLite file, by SQLite's own means.
    pub async fn copy_file(&mut self, path: &Path) -> Result<(), StoreError> {
        const DOING: &str = "copying the database file";
        // A statement that copies the file does not run within a transaction; it reads in one of its own.
        self.run("COMMIT").await?;
        let Link::Sqlite(connection) = &mut self.link else {
            return Err(StoreError::Url { reason: "only a SQLite file can be copied as it is".to_owned() });
        };
        let path = path.to_str().ok_or_else(|| StoreError::Url {
            reason: format!("{} is not a path in UTF-8", path.display()),
        })?;
        let statement = AssertSqlSafe(format!("VACUUM INTO '{}'", path.replace('\'', "''")));
        connection.execute(statement).await.map_err(|error| StoreError::of(DOING, error))?;
        Ok(())
    }

    /// PostgreSQL: numbers given from now on follow those that were copied.
    async fn continue_numbers(&mut self, table: &Table) -> Result<(), StoreError> {
        let Link::Postgres(connection) = &mut self.link else { return Ok(()) };
        for (column, _) in table.columns.iter().filter(|(_, kind)| *kind == Kind::Int) {
            let name = &table.name;
            let text = format!(
                "SELECT setval(pg_get_serial_sequence('{name}', '{column}'), \
                 COALESCE((SELECT MAX(\"{column}\") FROM \"{name}\"), 0) + 1, false) \
                 WHERE pg_get_serial_sequence('{name}', '{column}') IS NOT NULL"
            );
            let done = connection.execute(AssertSqlSafe(text)).await;
            done.map_err(|error| StoreError::of("continuing the numbers of a table", error))?;
        }
        Ok(())
    }

    async fn run(&mut self, text: &str) -> Result<(), StoreError> {
        let text = AssertSqlSafe(text.to_owned());
        let done = match &mut self.link {
            Link::Sqlite(connection) => connection.execute(text).await.map(drop),
            Link::Postgres(connection) => connection.execute(text).await.map(drop),
        };
        done.map_err(|error| StoreError::of("copying the database", error))
    }

    /// A copy is of the tables this program knows.
    async fn check_version(&mut self) -> Result<(), StoreError> {
        const VERSION: &str = "SELECT MAX(version) FROM migrations";
        let found: Result<Option<i64>, _> = match &mut self.link {
            Link::Sqlite(connection) => sqlx::query_scalar(VERSION).fetch_one(connection).await,
            Link::Postgres(connection) => sqlx::query_scalar(VERSION).fetch_one(connection).await,
        };
        let database = found.map_err(|error| StoreError::of("asking for the database's migration", error))?;
        let (database, binary) = (database.unwrap_or(0), migrate::newest());
        match database.cmp(&binary) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(StoreError::Newer { database, binary }),
            std::cmp::Ordering::Less => Err(StoreError::Older { database, binary }),
        }
    }

    /// Makes a SQLite file that was written whole by itself: nothing lies beside it any more.
    pub async fn seal(mut self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            self.run("PRAGMA journal_mode = DELETE").await?;
        }
        self.close().await
    }

    /// Ends the connection.
    pub async fn close(self) -> Result<(), StoreError> {
        let closed = match self.link {
            Link::Sqlite(connection) => connection.close().await,
            Link::Postgres(connection) => connection.close().await,
        };
        closed.map_err(|error| StoreError::of("closing the database", error))
    }
}

async fn connect_sqlite(path: &Path, create: bool) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .read_only(!create)
        .busy_timeout(Duration::from_secs(30))
        .disable_statement_logging();
    // A new file gets the journal its coordinator will use.
    let options = if create {
        options
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
    } else {
        options
    };
    SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| StoreError::of("opening the database", error))
}

async fn connect_postgres(url: &str) -> Result<PgConnection, StoreError> {
    let options: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| StoreError::Url { reason: error.to_string() })?;
    PgConnection::connect_with(&options.disable_statement_logging())
        .await
        .map_err(|error| StoreError::of("connecting to the database", error))
}

/// Refuses a PostgreSQL database that a coordinator serves; while this connection lives none can begin to.
async fn alone(connection: &mut PgConnection) -> Result<(), StoreError> {
    let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
        .bind(i32::try_from(crate::postgres::PRESENCE_CLASS).unwrap_or(0))
        .bind(0_i32)
        .fetch_one(connection)
        .await
        .map_err(|error| StoreError::of("looking for coordinators of the database", error))?;
    if taken { Ok(()) } else { Err(StoreError::InUse) }
}

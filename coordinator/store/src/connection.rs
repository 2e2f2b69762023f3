//! A connection to either database and the few ways to run a statement on it. The only place that names both drivers'
//! query types; everything above speaks in [`Sql`], arguments and records.

use std::borrow::Cow;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _, Transaction};

use crate::dialect::{Sql, batches};
use crate::error::{Fate, StoreError, fate};
use crate::record::{Arg, Cell, Fields, Kind, Record, Row, Value, places};
use crate::sqlite::direct::{self, Direct};
use crate::sqlite::readers::Reader;

/// So many rows are read in less time than it takes to wake another thread.
const FEW: u32 = 32;

/// A connection for reading; [`crate::Tx`] is one that may write.
#[derive(Debug)]
pub struct Connection {
    pub(crate) link: Link,
    /// Completes "while …" in errors.
    pub(crate) doing: &'static str,
    /// A statement failed in a way that asks for another try of the whole unit.
    pub(crate) retry: bool,
    /// Inside a unit of work: the statement that failed. Nothing runs after it, on either database.
    broken: Option<StoreError>,
    /// How SQLite ran each statement, while a test asks.
    #[cfg(feature = "testing")]
    pub(crate) plans: Option<Vec<String>>,
}

#[derive(Debug)]
pub(crate) enum Link {
    /// The writer's. On SQLite, statements run on the calling thread.
    Sqlite(Direct),
    SqlitePooled(Reader),
    PostgresPooled(PoolConnection<Postgres>),
    Postgres(Transaction<'static, Postgres>),
}

pub(crate) enum Backend<'c> {
    Sqlite(&'c Direct),
    Postgres(&'c mut PgConnection),
}

impl Link {
    pub(crate) fn backend(&mut self) -> Backend<'_> {
        match self {
            Self::Sqlite(connection) => Backend::Sqlite(connection),
            Self::SqlitePooled(reader) => Backend::Sqlite(reader),
            Self::PostgresPooled(connection) => Backend::Postgres(connection),
            Self::Postgres(transaction) => Backend::Postgres(transaction),
        }
    }
}

impl Connection {
    pub(crate) fn new(link: Link, doing: &'static str) -> Self {
        Self {
            link,
            doing,
            retry: false,
            broken: None,
            #[cfg(feature = "testing")]
            plans: None,
        }
    }

    /// The error that ended the unit of work, if one did.
    pub(crate) fn broken(&self) -> Option<StoreError> {
        self.broken.clone()
    }

    /// A new unit of work begins on this connection.
    pub(crate) fn mend(&mut self) {
        self.broken = None;
        self.retry = false;
    }

    fn intact(&self) -> Result<(), StoreError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Where `make prove` lets statements of units of work fail.
    fn may_fail(&mut self, sql: &Sql) -> Result<(), StoreError> {
        if !matches!(self.link, Link::Sqlite(_) | Link::Postgres(_)) || sql.sqlite.starts_with("ROLLBACK") {
            return Ok(());
        }
        let point = if sql.sqlite.starts_with("COMMIT") { "store.commit" } else { "store.statement" };
        nexusmon_shared::planted::failure(point).map_err(|error| self.failed(sqlx::Error::Io(error)))
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_) | Link::PostgresPooled(_))
    }

    /// Inside a unit of work: what is read here may not be committed yet, nor ever.
    pub const fn is_unit(&self) -> bool {
        matches!(self.link, Link::Sqlite(_) | Link::Postgres(_))
    }

    pub(crate) fn failed(&mut self, error: sqlx::Error) -> StoreError {
        self.retry |= fate(&error) == Fate::Retry;
        let error = StoreError::of(self.doing, error);
        self.broke(error)
    }

    fn broke(&mut self, error: StoreError) -> StoreError {
        if matches!(self.link, Link::Sqlite(_) | Link::Postgres(_)) {
            self.broken = Some(error.clone());
        }
        error
    }

    /// What the writer's statement came to.
    fn direct<T>(&mut self, done: Result<T, direct::Failure>) -> Result<T, StoreError> {
        done.map_err(|failure| match failure {
            direct::Failure::Database(error) => {
                let error = StoreError::of_sqlite(self.doing, error);
                self.broke(error)
            }
            direct::Failure::Row(error) => error,
        })
    }

    pub(crate) async fn execute(&mut self, sql: &Sql, args: Vec<Arg>) -> Result<u64, StoreError> {
        self.intact()?;
        self.may_fail(sql)?;
        #[cfg(feature = "testing")]
        self.explain(sql, &args).await?;
        let done = match self.link.backend() {
            Backend::Sqlite(connection) => {
                let done = direct::execute(connection, &sql.sqlite, &args);
                return self.direct(done);
            }
            Backend::Postgres(connection) => {
                bind_postgres(sqlx::query(AssertSqlSafe(sql.postgres.clone())), args)
                    .execute(connection)
                    .await
                    .map(|done| done.rows_affected())
            }
        };
        done.map_err(|error| self.failed(error))
    }

    pub(crate) async fn fetch<T: Record>(&mut self, sql: &Sql, args: Vec<Arg>) -> Result<Vec<T>, StoreError> {
        // How much there is to read is not known: other work must not wait behind it.
        let apart = matches!(self.link, Link::SqlitePooled(_));
        self.read(sql, args, apart).await
    }

    /// As [`Self::fetch`], of at most `limit` rows that an index leads to: for a few of them, handing over the other
    /// work of the thread takes longer than reading.
    pub(crate) async fn fetch_within<T: Record>(
        &mut self,
        sql: &Sql,
        args: Vec<Arg>,
        limit: u32,
    ) -> Result<Vec<T>, StoreError> {
        let apart = limit > FEW && matches!(self.link, Link::SqlitePooled(_));
        self.read(sql, args, apart).await
    }

    pub(crate) async fn fetch_optional<T: Record>(
        &mut self,
        sql: &Sql,
        args: Vec<Arg>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.read(sql, args, false).await?.into_iter().next())
    }

    async fn read<T: Record>(
        &mut self,
        sql: &Sql,
        args: Vec<Arg>,
        apart: bool,
    ) -> Result<Vec<T>, StoreError> {
        self.intact()?;
        self.may_fail(sql)?;
        #[cfg(feature = "testing")]
        self.explain(sql, &args).await?;
        let read = match self.link.backend() {
            Backend::Sqlite(connection) => {
                let read = || direct::fetch(connection, &sql.sqlite, &args);
                let read = if apart { aside(read) } else { read() };
                return self.direct(read);
            }
            Backend::Postgres(connection) => {
                bind_postgres(sqlx::query(AssertSqlSafe(sql.postgres.clone())), args)
                    .fetch_all(connection)
                    .await
                    .map(|rows| records(&rows))
            }
        };
        read.map_err(|error| self.failed(error))?
    }

    pub(crate) async fn value<T: crate::record::Column + Send + Sync>(
        &mut self,
        sql: &Sql,
        args: Vec<Arg>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.fetch_optional::<Value<T>>(sql, args).await?.map(|value| value.0))
    }

    pub(crate) async fn values<T: crate::record::Column + Send + Sync>(
        &mut self,
        sql: &Sql,
        args: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError> {
        Ok(self.fetch::<Value<T>>(sql, args).await?.into_iter().map(|value| value.0).collect())
    }

    /// Runs a statement over `rows`, which stand as `[rows]` in it (`$1`); `more` follow from `$2`.
    pub(crate) async fn execute_batch<I: Fields>(
        &mut self,
        sql: &Sql,
        rows: &[I],
        more: Vec<Arg>,
    ) -> Result<u64, StoreError> {
        self.intact()?;
        if more.is_empty() && !self.is_postgres() && sql.single.is_some() {
            self.may_fail(sql)?;
        }
        if more.is_empty()
            && let (Backend::Sqlite(connection), Some(single)) = (self.link.backend(), &sql.single)
        {
            let done = direct::execute_each(connection, single, rows);
            #[cfg(feature = "testing")]
            self.explain_single(single).await?;
            return self.direct(done);
        }
        let mut affected = 0;
        for text in batches(rows, self.is_postgres()) {
            affected += self.execute(sql, with_batch(text, &more)).await?;
        }
        Ok(affected)
    }

    /// As [`Self::execute_batch`], for statements that return rows.
    pub(crate) async fn fetch_batch<I: Fields, T: Record>(
        &mut self,
        sql: &Sql,
        rows: &[I],
        more: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError> {
        self.intact()?;
        if more.is_empty() && !self.is_postgres() && sql.single.is_some() {
            self.may_fail(sql)?;
        }
        if more.is_empty()
            && let (Backend::Sqlite(connection), Some(single)) = (self.link.backend(), &sql.single)
        {
            let read = direct::fetch_each(connection, single, rows);
            #[cfg(feature = "testing")]
            self.explain_single(single).await?;
            return self.direct(read);
        }
        let mut read = Vec::new();
        for text in batches(rows, self.is_postgres()) {
            let mut part = self.fetch(sql, with_batch(text, &more)).await?;
            if read.is_empty() {
                read = part;
            } else {
                read.append(&mut part);
            }
        }
        Ok(read)
    }

    /// As [`Self::fetch_batch`] over bare values, for `WHERE id IN (SELECT value FROM [rows])` with [`Value`].
    pub(crate) async fn fetch_by<K, T>(
        &mut self,
        sql: &Sql,
        keys: &[K],
        more: Vec<Arg>,
    ) -> Result<Vec<T>, StoreError>
    where
        K: crate::record::Column + Clone + Send + Sync,
        T: Record,
    {
        let rows: Vec<_> = keys.iter().cloned().map(Value).collect();
        self.fetch_batch(sql, &rows, more).await
    }

    /// As [`Self::execute_batch`] over bare values.
    pub(crate) async fn execute_by<K>(
        &mut self,
        sql: &Sql,
        keys: &[K],
        more: Vec<Arg>,
    ) -> Result<u64, StoreError>
    where
        K: crate::record::Column + Clone + Send + Sync,
    {
        let rows: Vec<_> = keys.iter().cloned().map(Value).collect();
        self.execute_batch(sql, &rows, more).await
    }

    /// Ends the session with the database, and the locks it holds.
    pub(crate) async fn discard(self) {
        if let Link::PostgresPooled(connection) = self.link {
            let _ = connection.close().await;
        }
    }

    /// Runs a text of several statements without parameters.
    pub(crate) async fn script(&mut self, text: &str) -> Result<(), StoreError> {
        use sqlx::Executor as _;
        let done = match self.link.backend() {
            Backend::Sqlite(connection) => {
                let done = direct::script(connection, text);
                return self.direct(done);
            }
            Backend::Postgres(connection) => {
                connection.execute(sqlx::raw_sql(AssertSqlSafe(text.to_owned()))).await.map(drop)
            }
        };
        done.map_err(|error| self.failed(error))
    }
}

/// Runs what may take long without holding up other tasks of this thread.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Handle::try_current();
    match runtime.map(|runtime| runtime.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn with_batch(text: String, more: &[Arg]) -> Vec<Arg> {
    let mut args = Vec::with_capacity(more.len() + 1);
    args.push(Arg::Text(Some(text)));
    args.extend_from_slice(more);
    args
}

pub(crate) fn bind_postgres(
    query: Query<'_, Postgres, PgArguments>,
    args: Vec<Arg>,
) -> Query<'_, Postgres, PgArguments> {
    args.into_iter().fold(query, |query, arg| match arg {
        Arg::Text(value) => query.bind(value),
        Arg::Int(value) => query.bind(value),
        Arg::Bool(value) => query.bind(value),
        Arg::Real(value) => query.bind(value),
    })
}

/// A row, with where each column of the record stands in it.
struct Placed<'r> {
    row: &'r PgRow,
    places: &'r [usize],
}

fn records<T: Record>(rows: &[PgRow]) -> Result<Vec<T>, StoreError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let names: Vec<&str> = first.columns().iter().map(sqlx::Column::name).collect();
    let places = places(T::COLUMNS, &names)?;
    rows.iter().map(|row| T::read(&Placed { row, places: &places })).collect()
}

impl Row for Placed<'_> {
    fn cell(&self, field: usize, column: &str, kind: Kind) -> Result<Cell<'_>, StoreError> {
        let (row, place) = (self.row, self.places[field]);
        let cell = match kind {
            Kind::Text => row
                .try_get::<Option<&str>, _>(place)
                .map(|v| v.map_or(Cell::Null, |v| Cell::Text(Cow::Borrowed(v)))),
            Kind::Int => row.try_get::<Option<i64>, _>(place).map(|v| v.map_or(Cell::Null, Cell::Int)),
            Kind::Bool => row.try_get::<Option<bool>, _>(place).map(|v| v.map_or(Cell::Null, Cell::Bool)),
            Kind::Real => row.try_get::<Option<f64>, _>(place).map(|v| v.map_or(Cell::Null, Cell::Real)),
        };
        cell.map_err(|error| StoreError::Corrupt { column: column.to_owned(), reason: error.to_string() })
    }
}

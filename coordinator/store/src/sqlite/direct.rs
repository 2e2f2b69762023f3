//! Statements on SQLite: run on the calling thread, prepared once, their values bound without a detour.
//!
//! Handing a statement to another thread costs more than most statements. The writer has a thread of its own, which is
//! there to be blocked; reads are short (bounded pages, found by an index) and never wait for a writer.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, OpenFlags, ToSql};

use crate::error::StoreError;
use crate::record::{Arg, Cell, Fields, Kind, Record, Row, Sink, places};

pub(crate) type Direct = rusqlite::Connection;

/// Why a statement gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    Database(rusqlite::Error),
    /// A row does not hold what it must.
    Row(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

type Result<T, E = Failure> = std::result::Result<T, E>;

pub(crate) fn open(path: &Path, max_pages: Option<u32>) -> Result<Direct, rusqlite::Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Direct::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(512);
    steady(&connection)?;
    connection.execute_batch(
        // Before the first table: free pages can then be given back a few at a time.
        "PRAGMA auto_vacuum = INCREMENTAL;",
    )?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384; \
         PRAGMA temp_store = memory;",
    )?;
    if let Some(pages) = max_pages {
        connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
    }
    Ok(connection)
}

/// Carries the whole write-ahead log into the file and cuts it off, if no reader is in the way. Those who write wait
/// meanwhile, so nobody is waited for long.
pub(crate) fn checkpoint(path: &Path) -> Result<(), rusqlite::Error> {
    let connection =
        Direct::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_millis(200))?;
    // A reader in the way is no error: the answer says so, and the size of the log does.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// A connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Direct, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Direct::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(256);
    steady(&connection)?;
    // Readers are many and their pages are in the system's cache anyway.
    connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA temp_store = memory;")?;
    Ok(connection)
}

/// One plan per statement, whatever is bound: else SQLite prepares some anew for each value.
fn steady(connection: &Direct) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

impl ToSql for Arg {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Bool(Some(value)) => ValueRef::Integer(i64::from(*value)),
            Self::Real(Some(number)) => ValueRef::Real(*number),
            Self::Text(None) | Self::Int(None) | Self::Bool(None) | Self::Real(None) => ValueRef::Null,
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// Binds a row's values as they are, without owning them first.
struct Binder<'b, 's> {
    statement: &'b mut CachedStatement<'s>,
    place: usize,
    /// For values that are shown.
    text: &'b mut String,
    failed: Option<rusqlite::Error>,
}

impl Binder<'_, '_> {
    fn one(&mut self, value: impl ToSql) {
        self.place += 1;
        if let Err(error) = self.statement.raw_bind_parameter(self.place, value) {
            self.failed.get_or_insert(error);
        }
    }
}

impl Sink for Binder<'_, '_> {
    fn text(&mut self, value: &str) {
        self.one(value);
    }

    fn shown(&mut self, value: &dyn Display) {
        self.place += 1;
        self.text.clear();
        // Writing to a string does not fail.
        let _ = write!(self.text, "{value}");
        if let Err(error) = self.statement.raw_bind_parameter(self.place, self.text.as_str()) {
            self.failed.get_or_insert(error);
        }
    }

    fn arg(&mut self, value: &Arg) {
        self.one(value);
    }
}

fn bind_row<I: Fields>(
    statement: &mut CachedStatement<'_>,
    row: &I,
    text: &mut String,
) -> Result<(), rusqlite::Error> {
    let mut binder = Binder { statement, place: 0, text, failed: None };
    row.put(&mut binder);
    binder.failed.map_or(Ok(()), Err)
}

fn bind(statement: &mut CachedStatement<'_>, args: &[Arg]) -> Result<(), rusqlite::Error> {
    for (place, arg) in (1..).zip(args) {
        statement.raw_bind_parameter(place, arg)?;
    }
    Ok(())
}

pub(crate) fn execute(connection: &Direct, text: &str, args: &[Arg]) -> Result<u64> {
    let mut statement = connection.prepare_cached(text)?;
    bind(&mut statement, args)?;
    run(connection, &mut statement)
}

/// Runs to the end, whether or not it gives rows; how many it changed.
fn run(connection: &Direct, statement: &mut CachedStatement<'_>) -> Result<u64> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    drop(rows);
    // What only reads leaves the count of the statement before.
    Ok(if statement.readonly() { 0 } else { connection.changes() })
}

pub(crate) fn fetch<T: Record>(connection: &Direct, text: &str, args: &[Arg]) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(text)?;
    let places = places_in::<T>(&statement)?;
    bind(&mut statement, args)?;
    let mut read = Vec::new();
    collect(&mut statement, &places, &mut read)?;
    Ok(read)
}

/// Runs the statement once for each row; how many rows it changed.
pub(crate) fn execute_each<I: Fields>(connection: &Direct, text: &str, rows: &[I]) -> Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut statement = connection.prepare_cached(text)?;
    let mut text = String::new();
    let mut changed = 0;
    for row in rows {
        bind_row(&mut statement, row, &mut text)?;
        changed += run(connection, &mut statement)?;
    }
    Ok(changed)
}

/// Runs the statement once for each row, and gives all it answers.
pub(crate) fn fetch_each<I: Fields, T: Record>(
    connection: &Direct,
    text: &str,
    rows: &[I],
) -> Result<Vec<T>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(text)?;
    let places = places_in::<T>(&statement)?;
    let mut text = String::new();
    let mut read = Vec::with_capacity(rows.len());
    for row in rows {
        bind_row(&mut statement, row, &mut text)?;
        collect(&mut statement, &places, &mut read)?;
    }
    Ok(read)
}

/// Runs a text of several statements without parameters.
pub(crate) fn script(connection: &Direct, text: &str) -> Result<()> {
    Ok(connection.execute_batch(text)?)
}

fn places_in<T: Record>(statement: &CachedStatement<'_>) -> Result<Vec<usize>> {
    places(T::COLUMNS, &statement.column_names()).map_err(Failure::Row)
}

fn collect<T: Record>(
    statement: &mut CachedStatement<'_>,
    places: &[usize],
    read: &mut Vec<T>,
) -> Result<()> {
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        read.push(T::read(&Placed { row, places }).map_err(Failure::Row)?);
    }
    Ok(())
}

struct Placed<'r, 's> {
    row: &'r rusqlite::Row<'s>,
    places: &'r [usize],
}

impl Row for Placed<'_, '_> {
    fn cell(&self, field: usize, column: &str, kind: Kind) -> Result<Cell<'_>, StoreError> {
        let corrupt = |reason: String| StoreError::Corrupt { column: column.to_owned(), reason };
        let value = self.row.get_ref(self.places[field]).map_err(|error| corrupt(error.to_string()))?;
        Ok(match (kind, value) {
            (_, ValueRef::Null) => Cell::Null,
            (Kind::Text, ValueRef::Text(text)) => Cell::Text(Cow::Borrowed(
                std::str::from_utf8(text).map_err(|error| corrupt(error.to_string()))?,
            )),
            (Kind::Int, ValueRef::Integer(number)) => Cell::Int(number),
            (Kind::Bool, ValueRef::Integer(number)) => Cell::Bool(number != 0),
            (Kind::Real, ValueRef::Real(number)) => Cell::Real(number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number that was written as one without a fraction"
            )]
            (Kind::Real, ValueRef::Integer(number)) => Cell::Real(number as f64),
            (_, other) => return Err(corrupt(format!("unexpected {}", other.data_type()))),
        })
    }
}

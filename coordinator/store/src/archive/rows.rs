//! Rows of any table, read in the order of their keys, hashed, and written in batches.

use std::fmt::Write as _;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use nexusmon_shared::digest::Digest;
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;

use super::table::{Table, TableDigest};
use super::{BATCH_BYTES, BATCH_ROWS, Link};
use crate::error::StoreError;
use crate::record::Kind;

const READING: &str = "reading a table";
const WRITING: &str = "writing a table";

/// One value, without what only one of the databases has.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum {
    Null,
    Text(String),
    /// Truth values too.
    Int(i64),
    Real(f64),
}

pub(super) type Values = Vec<Datum>;

/// The rows of a table in the order of its key.
pub(super) fn stream<'c>(link: &'c mut Link, table: &'c Table) -> BoxStream<'c, Result<Values, StoreError>> {
    match link {
        Link::Sqlite(connection) => {
            let text = AssertSqlSafe(select(table, false));
            sqlx::query(text).fetch(connection).map(|row| values(row, table)).boxed()
        }
        Link::Postgres(connection) => {
            let text = AssertSqlSafe(select(table, true));
            sqlx::query(text).fetch(connection).map(|row| values(row, table)).boxed()
        }
    }
}

fn select(table: &Table, postgres: bool) -> String {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let columns = columns.join(", ");
    let order: Vec<_> = table
        .key
        .iter()
        .map(|name| {
            let text = table.columns.iter().any(|(column, kind)| column == name && *kind == Kind::Text);
            // Byte order on both.
            if postgres && text { format!("\"{name}\" COLLATE \"C\"") } else { format!("\"{name}\"") }
        })
        .collect();
    let (name, order) = (&table.name, order.join(", "));
    if postgres && name == "audit" {
        // Entries the sequencer has not come to yet get the numbers it would give them.
        let rest: Vec<_> = table
            .columns
            .iter()
            .map(|(name, _)| name)
            .filter(|name| *name != "seq")
            .map(|n| format!("\"{n}\""))
            .collect();
        let rest = rest.join(", ");
        return format!(
            "SELECT {columns} FROM (SELECT seq, {rest} FROM audit WHERE seq IS NOT NULL UNION ALL \
             SELECT (SELECT COALESCE(MAX(seq), 0) FROM audit) + ROW_NUMBER() OVER (ORDER BY place) AS seq, {rest} \
             FROM audit WHERE seq IS NULL) AS entries ORDER BY seq"
        );
    }
    format!("SELECT {columns} FROM \"{name}\" ORDER BY {order}")
}

fn values<R>(row: Result<R, sqlx::Error>, table: &Table) -> Result<Values, StoreError>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Option<bool>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Option<f64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let read = row.and_then(|row| {
        let columns = table.columns.iter().enumerate();
        columns
            .map(|(place, (_, kind))| {
                Ok(match kind {
                    Kind::Text => row.try_get::<Option<String>, _>(place)?.map(Datum::Text),
                    Kind::Int => row.try_get::<Option<i64>, _>(place)?.map(Datum::Int),
                    Kind::Bool => {
                        row.try_get::<Option<bool>, _>(place)?.map(|truth| Datum::Int(i64::from(truth)))
                    }
                    Kind::Real => row.try_get::<Option<f64>, _>(place)?.map(Datum::Real),
                }
                .unwrap_or(Datum::Null))
            })
            .collect()
    });
    read.map_err(|error| StoreError::of(READING, error))
}

/// Over all rows of a table; each value says what it is and how long, so that nothing can move from one to the next.
#[derive(Default)]
pub(super) struct Hasher {
    hasher: Sha256,
    rows: u64,
}

impl Hasher {
    pub(super) fn add(&mut self, row: &[Datum]) {
        self.rows += 1;
        for value in row {
            match value {
                Datum::Null => self.hasher.update([0]),
                Datum::Text(text) => {
                    self.hasher.update([1]);
                    self.hasher.update((text.len() as u64).to_be_bytes());
                    self.hasher.update(text.as_bytes());
                }
                Datum::Int(number) => {
                    self.hasher.update([2]);
                    self.hasher.update(number.to_be_bytes());
                }
                Datum::Real(number) => {
                    self.hasher.update([3]);
                    self.hasher.update(number.to_be_bytes());
                }
            }
        }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn finish(self, table: &Table) -> TableDigest {
        let digest = Digest::from_bytes(self.hasher.finalize().into());
        TableDigest { table: table.name.clone(), rows: self.rows, digest }
    }
}

/// Rows that wait to be written.
#[derive(Default)]
pub(super) struct Batch {
    rows: Vec<Values>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, row: Values) {
        self.bytes += row
            .iter()
            .map(|value| if let Datum::Text(text) = value { text.len() + 8 } else { 16 })
            .sum::<usize>();
        self.rows.push(row);
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Writes what there is, and is empty then.
    pub(super) async fn write(&mut self, link: &mut Link, table: &Table) -> Result<(), StoreError> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let written = match link {
            Link::Postgres(connection) => sqlx::query(AssertSqlSafe(insert_many(table)))
                .bind(json(&rows, table))
                .execute(connection)
                .await
                .map(drop),
            Link::Sqlite(connection) => write_each(connection, table, rows).await,
        };
        written.map_err(|error| StoreError::of(WRITING, error))
    }
}

/// SQLite reads numbers from JSON less exactly than it takes bound ones.
async fn write_each(
    connection: &mut sqlx::SqliteConnection,
    table: &Table,
    rows: Vec<Values>,
) -> Result<(), sqlx::Error> {
    let text = insert_one(table);
    for row in rows {
        let query =
            row.into_iter().fold(sqlx::query(AssertSqlSafe(text.clone())), |query, value| match value {
                Datum::Null => query.bind(None::<String>),
                Datum::Text(text) => query.bind(text),
                Datum::Int(number) => query.bind(number),
                Datum::Real(number) => query.bind(number),
            });
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn names(table: &Table) -> String {
    table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn insert_one(table: &Table) -> String {
    let places: Vec<_> = (1..=table.columns.len()).map(|place| format!("${place}")).collect();
    format!("INSERT INTO \"{}\" ({}) VALUES ({})", table.name, names(table), places.join(", "))
}

fn insert_many(table: &Table) -> String {
    let mut columns = String::new();
    for (place, (name, kind)) in table.columns.iter().enumerate() {
        let kind = match kind {
            Kind::Text => "text",
            Kind::Int => "bigint",
            Kind::Bool => "boolean",
            Kind::Real => "double precision",
        };
        let _ = write!(columns, "{}\"{name}\" {kind}", if place == 0 { "" } else { ", " });
    }
    let names = names(table);
    format!(
        "INSERT INTO \"{}\" ({names}) SELECT {names} FROM json_to_recordset($1::json) AS r({columns})",
        table.name
    )
}

fn json(rows: &[Values], table: &Table) -> String {
    let rows: Vec<serde_json::Map<_, _>> = rows
        .iter()
        .map(|row| {
            let named = table.columns.iter().zip(row);
            named
                .map(|((name, kind), value)| {
                    let value = match value {
                        Datum::Null => serde_json::Value::Null,
                        Datum::Text(text) => text.as_str().into(),
                        Datum::Int(number) if *kind == Kind::Bool => (*number != 0).into(),
                        Datum::Int(number) => (*number).into(),
                        Datum::Real(number) => (*number).into(),
                    };
                    (name.clone(), value)
                })
                .collect()
        })
        .collect();
    serde_json::to_string(&rows).expect("rows are JSON")
}

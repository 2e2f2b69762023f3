//! What can go wrong in the store, told apart as far as callers act on it.

use std::sync::Arc;

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The row was changed by somebody else; `version` is what it has now (`None`: it is gone).
    #[error("{entity} {id} was changed meanwhile")]
    Conflict { entity: &'static str, id: String, version: Option<i64> },
    #[error("there is no {entity} {id}")]
    NotFound { entity: &'static str, id: String },
    /// `constraint` reads `table(column, column)` on both databases.
    #[error("{constraint} is taken already")]
    Unique { constraint: String },
    /// The disk, or the quota of the database, is full. Nothing was written.
    #[error("the database has no space left; free some, nothing was written")]
    Full,
    #[error(
        "the database is at migration {database}, this program knows up to {binary}: start a newer program, or restore a backup made before the upgrade"
    )]
    Newer { database: i64, binary: i64 },
    #[error(
        "the database is at migration {database}, this program is of {binary}: take the program its coordinator runs"
    )]
    Older { database: i64, binary: i64 },
    #[error("a coordinator serves this database: stop it first")]
    InUse,
    /// A migration that was applied is not the one in this program.
    #[error("migration {version} in the database differs from the one in this program ({name})")]
    Altered { version: i64, name: String },
    #[error("another coordinator has the database {path} open; one SQLite file serves one process")]
    Locked { path: String },
    #[error("the database URL is refused: {reason}")]
    Url { reason: String },
    /// Something in a row cannot be what this program wrote.
    #[error("column `{column}` holds what it cannot hold: {reason}")]
    Corrupt { column: String, reason: String },
    #[error(
        "another coordinator is connected to this database as `{node}`: give each its own name (NEXUSMON_NODE, --node)"
    )]
    NameTaken { node: String },
    #[error("{}", alone(*.here))]
    Alone { here: bool },
    /// Another node has taken over what this unit of work was part of.
    #[error("another coordinator has taken over `{duty}`")]
    Relieved { duty: &'static str },
    /// What was begun may only read.
    #[error("this may only read, and tried to write")]
    Reading,
    #[error("the store is shutting down")]
    Closed,
    #[error("while {doing}: the database failed")]
    Database {
        doing: String,
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    #[error("while {doing}: the file system failed")]
    Io {
        doing: String,
        #[source]
        source: Arc<std::io::Error>,
    },
}

/// Whether a failed statement ended its transaction in a way that calls for another try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Serialization failure or deadlock: the same work may succeed at once.
    Retry,
    Final,
}

pub(crate) fn fate(error: &sqlx::Error) -> Fate {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        Some("40001" | "40P01") => Fate::Retry,
        _ => Fate::Final,
    }
}

impl StoreError {
    /// Sorts a database error; `doing` completes "while …".
    pub(crate) fn of(doing: &str, error: sqlx::Error) -> Self {
        if let Some(database) = error.as_database_error() {
            let code = database.code();
            match code.as_deref() {
                // SQLITE_FULL, and disk_full of PostgreSQL.
                Some("13" | "53100") => return Self::Full,
                // SQLITE_CONSTRAINT_UNIQUE and _PRIMARYKEY, and unique_violation of PostgreSQL.
                Some("2067" | "1555" | "23505") => {
                    return Self::Unique { constraint: constraint(database) };
                }
                // SQLITE_IOERR_WRITE and its kin say "disk full" in words only.
                Some("778" | "4874") if is_full(database.message()) => return Self::Full,
                _ => {}
            }
        }
        match &error {
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Self::Full,
            sqlx::Error::PoolClosed => Self::Closed,
            _ => Self::Database { doing: doing.to_owned(), source: Arc::new(error) },
        }
    }

    /// As [`Self::of`], for the connection of SQLite's writer.
    pub(crate) fn of_sqlite(doing: &str, error: rusqlite::Error) -> Self {
        if let rusqlite::Error::SqliteFailure(failure, message) = &error {
            let message = message.as_deref().unwrap_or_default();
            match failure.extended_code {
                // SQLITE_FULL.
                13 => return Self::Full,
                // SQLITE_CONSTRAINT_UNIQUE and _PRIMARYKEY.
                2067 | 1555 => return Self::Unique { constraint: places(message).unwrap_or_default() },
                // SQLITE_IOERR_WRITE and its kin say "disk full" in words only.
                778 | 4874 if is_full(message) => return Self::Full,
                _ => {}
            }
        }
        Self::Database { doing: doing.to_owned(), source: Arc::new(error) }
    }

    pub(crate) fn io(doing: impl Into<String>, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full;
        }
        Self::Io { doing: doing.into(), source: Arc::new(error) }
    }
}

fn alone(here: bool) -> String {
    let who = if here {
        "this coordinator keeps blobs in a folder, and another one serves this database already"
    } else {
        "another coordinator serves this database and keeps blobs in a folder of its machine"
    };
    format!(
        "{who}: several share only an object store; set NEXUSMON_BLOBS_URL to the same s3:// URL on all of them"
    )
}

fn is_full(message: &str) -> bool {
    message.contains("full") || message.contains("No space left")
}

/// `table(column, column)` from SQLite's "UNIQUE constraint failed: agents.name" or "…: plans.mission, plans.revision".
fn places(message: &str) -> Option<String> {
    let places = message.split("UNIQUE constraint failed: ").nth(1)?;
    let mut table = "";
    let mut columns = Vec::new();
    for place in places.split(", ") {
        match place.split_once('.') {
            Some((found, column)) => {
                table = found;
                columns.push(column);
            }
            None => columns.push(place),
        }
    }
    Some(format!("{table}({})", columns.join(", ")))
}

/// `table(column, column)` from what either database says.
fn constraint(error: &dyn sqlx::error::DatabaseError) -> String {
    if let Some(places) = places(error.message()) {
        return places;
    }
    // PostgreSQL: detail "Key (mission, revision)=(…) already exists."
    let postgres = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    let columns = postgres
        .and_then(|e| e.detail())
        .and_then(|detail| detail.strip_prefix("Key (")?.split_once(")="))
        .map_or("", |(columns, _)| columns);
    format!("{}({columns})", error.table().unwrap_or(""))
}

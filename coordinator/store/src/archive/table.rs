//! The tables that are kept, with their columns, as a database itself describes them: whatever a migration adds is kept
//! too.

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use sqlx::Row as _;

use super::Link;
use crate::error::StoreError;
use crate::record::Kind;

/// Each database has migrations of its own; the rest means something only to the processes that wrote it.
const NOT_KEPT: [&str; 4] = ["migrations", "singletons", "notices", "log_watches"];
/// What foreign keys refer to comes first.
const FIRST: [&str; 2] = ["principals", "agents"];
const DOING: &str = "reading the tables of the database";

/// What one table held.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableDigest {
    pub table: String,
    pub rows: u64,
    /// SHA-256 over all rows in the order of their keys.
    pub digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    /// In alphabetical order, so that both databases agree.
    pub(super) columns: Vec<(String, Kind)>,
    /// Rows are read in the order of these.
    pub(super) key: Vec<String>,
}

#[derive(Default)]
struct Found {
    columns: BTreeMap<String, Kind>,
    key: BTreeMap<i64, String>,
}

/// All tables that are kept, in an order that foreign keys allow.
pub(super) async fn discover(link: &mut Link) -> Result<Vec<Table>, StoreError> {
    let mut found = BTreeMap::<String, Found>::new();
    for (table, column, kind, place) in described(link).await.map_err(|error| StoreError::of(DOING, error))? {
        if NOT_KEPT.contains(&table.as_str())
            || table.starts_with("documents_text")
            || table.starts_with("memories_text")
        {
            continue;
        }
        // On PostgreSQL the order of commits is given by a number of its own.
        if table == "audit" && column == "place" {
            continue;
        }
        let kind = kind_of(&table, &column, &kind)?;
        let known = found.entry(table).or_default();
        known.columns.insert(column.clone(), kind);
        if place > 0 {
            known.key.insert(place, column);
        }
    }
    let mut tables: Vec<Table> = found
        .into_iter()
        .map(|(name, found)| {
            let key = match name.as_str() {
                "audit" => vec!["seq".to_owned()],
                _ => found.key.into_values().collect(),
            };
            Table { name, columns: found.columns.into_iter().collect(), key }
        })
        .collect();
    tables.sort_by_key(|table| FIRST.iter().position(|name| *name == table.name).unwrap_or(FIRST.len()));
    Ok(tables)
}

/// Table, column, type, place in the primary key (0: none).
async fn described(link: &mut Link) -> Result<Vec<(String, String, String, i64)>, sqlx::Error> {
    match link {
        Link::Sqlite(connection) => {
            let rows = sqlx::query(
                "SELECT t.name, c.name, c.type, c.pk FROM sqlite_schema AS t, pragma_table_info(t.name) AS c \
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid",
            )
            .fetch_all(connection)
            .await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
                .collect()
        }
        Link::Postgres(connection) => {
            let rows = sqlx::query(
                "SELECT CAST(c.table_name AS text), CAST(c.column_name AS text), CAST(c.data_type AS text), \
                 COALESCE((SELECT CAST(k.ordinal_position AS bigint) FROM information_schema.key_column_usage AS k \
                 JOIN information_schema.table_constraints AS p ON p.constraint_name = k.constraint_name \
                 AND p.table_schema = k.table_schema AND p.constraint_type = 'PRIMARY KEY' \
                 WHERE k.table_schema = c.table_schema AND k.table_name = c.table_name \
                 AND k.column_name = c.column_name), 0) \
                 FROM information_schema.columns AS c JOIN information_schema.tables AS t \
                 ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
                 WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
                 AND c.is_generated = 'NEVER'",
            )
            .fetch_all(connection)
            .await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
                .collect()
        }
    }
}

fn kind_of(table: &str, column: &str, name: &str) -> Result<Kind, StoreError> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(Kind::Text),
        // SQLite has no truth values of its own; 0 and 1 are read and written as numbers.
        "integer" | "bigint" => Ok(Kind::Int),
        "boolean" => Ok(Kind::Bool),
        "real" | "double precision" => Ok(Kind::Real),
        other => Err(StoreError::Corrupt {
            column: format!("{table}.{column}"),
            reason: format!("has the type {other}, which is not one of ours"),
        }),
    }
}

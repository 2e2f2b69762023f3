//! One SQL text, two databases. What differs is here: where a batch of rows comes from, what only one of them
//! understands, and the types of a migration.
//!
//! A statement's text is valid on SQLite once its placeholders are filled. `/*pg …*/` holds what PostgreSQL alone is
//! to see (locks, casts); to SQLite it is a comment. Placeholders, given a record:
//! `[rows]` is the batch bound as `$1`, under the alias `r`; `[columns]` its columns; `[r.columns]` the same, qualified;
//! `[set]` is `column = r.column` for all but `id`; `[table.out]` the columns of a second record, qualified.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::record::{Fields, Kind};

/// A statement in both dialects.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: Arc<str>,
    pub(crate) postgres: Arc<str>,
    /// For SQLite's writer: the same for one row of the batch, its columns bound one by one. Only where every row stands
    /// for itself.
    pub(crate) single: Option<Arc<str>>,
}

impl Sql {
    pub(crate) fn new(text: &str, columns: &[(&'static str, Kind)]) -> Self {
        Self::returning(text, columns, &[])
    }

    pub(crate) fn returning(
        text: &str,
        columns: &[(&'static str, Kind)],
        out: &[(&'static str, Kind)],
    ) -> Self {
        let join = |part: &dyn Fn(&str) -> String| {
            columns.iter().map(|(column, _)| part(column)).collect::<Vec<_>>().join(", ")
        };
        let set = columns
            .iter()
            .filter(|(column, _)| *column != "id")
            .map(|(column, _)| format!("{column} = r.{column}"))
            .collect::<Vec<_>>()
            .join(", ");
        let text = qualify(text, out)
            .replace("[columns]", &join(&str::to_owned))
            .replace("[r.columns]", &join(&|column| format!("r.{column}")))
            .replace("[set]", &set);
        let postgres = uncomment(&text.replace("[rows]", &postgres_rows(columns)));
        let sqlite = text.replace("[rows]", &sqlite_rows(columns)).replace('$', "?");
        Self { sqlite: sqlite.into(), postgres: postgres.into(), single: None }
    }

    /// Adds the text for one row. `[?]` stands for all its parameters, `[?column]` for one, `[set?]` for
    /// `column = ?` of all but `id`, `[columns]` and `[table.out]` as ever.
    pub(crate) fn with_single(
        mut self,
        text: &str,
        columns: &[(&'static str, Kind)],
        out: &[(&'static str, Kind)],
    ) -> Self {
        let numbered = || (1..).zip(columns.iter().map(|(column, _)| *column));
        let join = |parts: Vec<String>| parts.join(", ");
        let mut text = qualify(text, out)
            .replace("[columns]", &join(numbered().map(|(_, column)| column.to_owned()).collect()))
            .replace("[?]", &join(numbered().map(|(place, _)| format!("?{place}")).collect()))
            .replace(
                "[set?]",
                &join(
                    numbered()
                        .filter(|(_, column)| *column != "id")
                        .map(|(place, column)| format!("{column} = ?{place}"))
                        .collect(),
                ),
            );
        for (place, column) in numbered() {
            text = text.replace(&format!("[?{column}]"), &format!("?{place}"));
        }
        self.single = Some(text.into());
        self
    }
}

/// A statement, translated once: `sql!("…")`, or `sql!("… [rows] …", Record)`.
macro_rules! sql {
    ($text:expr) => {{
        static SQL: std::sync::LazyLock<$crate::dialect::Sql> =
            std::sync::LazyLock::new(|| $crate::dialect::Sql::new($text, &[]));
        &*SQL
    }};
    ($text:expr, $record:ty) => {{
        static SQL: std::sync::LazyLock<$crate::dialect::Sql> = std::sync::LazyLock::new(|| {
            $crate::dialect::Sql::new($text, <$record as $crate::record::Fields>::COLUMNS)
        });
        &*SQL
    }};
    ($text:expr, $record:ty, $out:ty) => {{
        static SQL: std::sync::LazyLock<$crate::dialect::Sql> = std::sync::LazyLock::new(|| {
            $crate::dialect::Sql::returning(
                $text,
                <$record as $crate::record::Fields>::COLUMNS,
                <$out as $crate::record::Fields>::COLUMNS,
            )
        });
        &*SQL
    }};
}
pub(crate) use sql;

/// A batch of which every row stands for itself: the text for one row (SQLite's writer), then that for all.
macro_rules! each {
    ($single:expr, $text:expr, $record:ty) => {
        $crate::dialect::each!($single, $text, $record, $record)
    };
    ($single:expr, $text:expr, $record:ty, $out:ty) => {{
        static SQL: std::sync::LazyLock<$crate::dialect::Sql> = std::sync::LazyLock::new(|| {
            let columns = <$record as $crate::record::Fields>::COLUMNS;
            let out = <$out as $crate::record::Fields>::COLUMNS;
            $crate::dialect::Sql::returning($text, columns, out).with_single($single, columns, out)
        });
        &*SQL
    }};
}
pub(crate) use each;

/// Inserts a batch: `insert!("missions", MissionRow)`, with what follows the rows as a third argument.
macro_rules! insert {
    ($table:literal, $record:ty) => {
        $crate::dialect::insert!($table, $record, "")
    };
    ($table:literal, $record:ty, $tail:literal) => {
        $crate::dialect::each!(
            concat!("INSERT INTO ", $table, " ([columns]) VALUES ([?]) ", $tail),
            concat!("INSERT INTO ", $table, " ([columns]) SELECT [r.columns] FROM [rows] WHERE true ", $tail),
            $record
        )
    };
}
pub(crate) use insert;

/// Fills `[table.out]` with the columns of the record that comes back (SQLite knows no `table.*` in RETURNING).
fn qualify(text: &str, out: &[(&'static str, Kind)]) -> String {
    let Some((before, after)) = text.split_once(".out]") else {
        return text.to_owned();
    };
    let (lead, table) = before.rsplit_once('[').expect("`[table.out]` is opened");
    let columns = out.iter().map(|(column, _)| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
    format!("{lead}{columns}{}", qualify(after, out))
}

fn sqlite_rows(columns: &[(&'static str, Kind)]) -> String {
    let mut text = String::from("(SELECT ");
    for (place, (column, _)) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}value->>{place} AS {column}");
    }
    text.push_str(" FROM jsonb_each($1)) AS r");
    text
}

fn postgres_rows(columns: &[(&'static str, Kind)]) -> String {
    let mut text = String::from("json_to_recordset($1::json) AS r(");
    for (place, (column, kind)) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let kind = match kind {
            Kind::Text => "text",
            Kind::Int => "bigint",
            Kind::Bool => "boolean",
            Kind::Real => "double precision",
        };
        let _ = write!(text, "{comma}{column} {kind}");
    }
    text.push(')');
    text
}

fn uncomment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*pg ") {
        let (inside, tail) = after.split_once("*/").expect("a `/*pg` comment is closed");
        out.push_str(before);
        out.push_str(inside);
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Most rows and bytes of one batch; larger ones are cut.
const BATCH_ROWS: usize = 5_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Rows as JSON texts, each small enough for one statement.
pub(crate) fn batches<T: Fields>(rows: &[T], named: bool) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = String::new();
    let mut count = 0;
    for row in rows {
        text.push(if count == 0 { '[' } else { ',' });
        row.write(named, &mut text);
        count += 1;
        if count == BATCH_ROWS || text.len() >= BATCH_BYTES {
            text.push(']');
            texts.push(std::mem::take(&mut text));
            count = 0;
        }
    }
    if count > 0 {
        text.push(']');
        texts.push(text);
    }
    texts
}

/// A migration for SQLite.
pub(crate) fn migration_for_sqlite(text: &str) -> String {
    let text = section(text, "--- sqlite");
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line
            .replace("BIGSERIAL PRIMARY KEY", "INTEGER PRIMARY KEY")
            .replace("BIGINT", "INTEGER")
            .replace("BOOLEAN", "INTEGER")
            .replace("DOUBLE PRECISION", "REAL");
        match line.as_str() {
            ");" => out.push_str(") STRICT;"),
            ") WITHOUT ROWID;" => out.push_str(") STRICT, WITHOUT ROWID;"),
            other => out.push_str(other),
        }
        out.push('\n');
    }
    out
}

/// A migration for PostgreSQL.
pub(crate) fn migration_for_postgres(text: &str) -> String {
    section(text, "--- postgres").replace(") WITHOUT ROWID;", ");")
}

/// The lines for both databases and those behind `wanted`.
fn section(text: &str, wanted: &str) -> String {
    let mut include = true;
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("--- ") {
            include = line == "--- both" || line == wanted;
        } else if include {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::record;

    record! {
        struct Sample {
            pub id: String,
            pub count: i64,
            pub good: bool,
        }
    }

    #[test]
    fn a_batch_source_is_written_for_both() {
        let sql = Sql::new(
            "UPDATE t SET [set] FROM [rows] WHERE t.id = r.id/*pg  AND true*/",
            <Sample as Fields>::COLUMNS,
        );
        assert_eq!(
            &*sql.sqlite,
            "UPDATE t SET count = r.count, good = r.good FROM (SELECT value->>0 AS id, value->>1 AS count, \
             value->>2 AS good FROM jsonb_each(?1)) AS r WHERE t.id = r.id/*pg  AND true*/"
        );
        assert_eq!(
            &*sql.postgres,
            "UPDATE t SET count = r.count, good = r.good FROM json_to_recordset($1::json) AS r(id text, count \
             bigint, good boolean) WHERE t.id = r.id AND true"
        );
    }

    #[test]
    fn batches_are_cut_and_lose_nothing() {
        let rows: Vec<_> = (0..12_345)
            .map(|count| Sample { id: format!("\"{count}\n"), count, good: count % 2 == 0 })
            .collect();
        let texts = batches(&rows, false);
        assert_eq!(texts.len(), 3);
        let read: Vec<(String, i64, bool)> =
            texts.iter().flat_map(|t| serde_json::from_str::<Vec<(String, i64, bool)>>(t).unwrap()).collect();
        assert_eq!(read.len(), rows.len());
        assert!(read.iter().zip(&rows).all(|(a, b)| a.0 == b.id && a.1 == b.count && a.2 == b.good));
    }
}

//! A past made up for measuring: a million missions in a database that no coordinator has open, written by a few
//! set-based statements from missions that really ran there.

use std::fmt::Write as _;

use nexusmon_shared::id::MissionId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection};

use super::TestingError;

/// Tables whose rows belong to a mission, and the column that says to which.
const TABLES: [(&str, &str); 7] = [
    ("missions", "id"),
    ("plans", "mission"),
    ("mission_labels", "mission"),
    ("tasks", "mission"),
    ("predictions", "mission"),
    ("documents", "mission"),
    ("audit", "mission"),
];
/// Moved along with the time at which a copy is said to have been created.
const TIMES: [&str; 9] = [
    "created_at",
    "started_at",
    "finished_at",
    "ready_at",
    "granted_at",
    "made_at",
    "scored_at",
    "at",
    "updated_at",
];
/// Between two missions of the past, in microseconds.
const APART: i64 = 8_000_000;
/// Most rows of one mission in one table.
const PLACES: i64 = 8;

/// Copies of missions of `templates`, in turn, `count` in all, each older than any of them. Words `common` and, in one
/// of a thousand, `rare` are added to their goals; labels are the templates' own.
pub async fn fill_sqlite(
    path: &std::path::Path,
    templates: &[MissionId],
    count: u32,
) -> Result<(), TestingError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Made up: nothing is lost with it.
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .pragma("locking_mode", "exclusive")
        .pragma("cache_size", "-262144")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    connection.execute("BEGIN EXCLUSIVE").await?;
    let mut pattern = String::from(
        "CREATE TEMP TABLE pattern (place INTEGER PRIMARY KEY, mission TEXT NOT NULL, created_at INTEGER NOT NULL);",
    );
    for (place, mission) in templates.iter().enumerate() {
        let _ = write!(
            pattern,
            "INSERT INTO pattern SELECT {place}, id, created_at FROM missions WHERE id = '{mission}';"
        );
    }
    connection.execute(AssertSqlSafe(pattern)).await?;
    connection.execute(AssertSqlSafe(past(templates.len(), count))).await?;
    for (table, owner) in TABLES {
        let columns = columns(&mut connection, table).await?;
        let statement = copy(table, owner, &columns);
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    connection.execute("COMMIT").await?;
    connection.execute("PRAGMA journal_mode = WAL").await?;
    connection.close().await?;
    // A real past would lie on the disk: else the first one to sync anything waits for gigabytes.
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| TestingError::Io { doing: "syncing a made-up past", source })
}

/// The ids and times of the past: `UUIDv7` as every id is, so that they sort by time.
fn past(templates: usize, count: u32) -> String {
    let letters = (0..10).rev().map(|place| {
        let shift = place * 5;
        format!("substr('0123456789abcdefghjkmnpqrstvwxyz', (at / 1000 >> {shift} & 31) + 1, 1)")
    });
    let time = letters.collect::<Vec<_>>().join(" || ");
    format!(
        "CREATE TEMP TABLE past AS \
         WITH RECURSIVE first(oldest) AS (SELECT MIN(missions.created_at) FROM missions), \
         n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}), \
         t(i, at) AS (SELECT i, oldest - ({count} - i) * {APART} FROM n, first) \
         SELECT i, at, {time} || 'e008' || printf('%011d', i) AS id, i % {templates} AS place FROM t ORDER BY i"
    )
}

async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, TestingError> {
    let rows = connection.fetch_all(AssertSqlSafe(format!("PRAGMA table_info({table})"))).await?;
    Ok(rows.iter().map(|row| row.get("name")).collect())
}

fn copy(table: &str, owner: &str, columns: &[String]) -> String {
    let value = |column: &String| match (table, column.as_str()) {
        (_, column) if column == owner => "'mis_' || past.id || '0'".to_owned(),
        ("tasks", "id") => "'tsk_' || past.id || (s.place % 8)".to_owned(),
        ("predictions", "id") => "'prd_' || past.id || '0'".to_owned(),
        ("audit", "id") => "'aud_' || past.id || (s.place % 8)".to_owned(),
        ("audit", "seq") => format!("newest + past.i * {PLACES} + s.place"),
        ("audit", "subject") => "CASE s.subject_kind WHEN 'task' THEN 'tsk_' || past.id || '0' \
                                 ELSE 'mis_' || past.id || '0' END"
            .to_owned(),
        ("documents", "number") => "newest + past.i + 1".to_owned(),
        ("documents", "subject") => "'mis_' || past.id || '0'".to_owned(),
        ("documents", "title") | ("missions", "goal") => {
            "'common ' || CASE WHEN past.i % 1000 = 0 THEN 'rare ' ELSE '' END || past.i".to_owned()
        }
        // Nothing of the past waits to be judged.
        ("missions", "xp_awarded") => "COALESCE(s.xp_awarded, 0)".to_owned(),
        (_, column) if TIMES.contains(&column) => format!("past.at + (s.{column} - pattern.created_at)"),
        (_, column) => format!("s.{column}"),
    };
    let names = columns.join(", ");
    let values = columns.iter().map(value).collect::<Vec<_>>().join(", ");
    let key = match table {
        "audit" => "seq",
        "documents" => "number",
        _ => "rowid",
    };
    let newest = match table {
        "audit" | "documents" => format!("SELECT MAX({key}) AS newest FROM {table}"),
        _ => "SELECT 0 AS newest".to_owned(),
    };
    // Tables without row ids hold one row a mission here.
    let place = match table {
        "tasks" | "audit" => {
            format!("ROW_NUMBER() OVER (PARTITION BY {table}.{owner} ORDER BY {table}.rowid)")
        }
        _ => "1".to_owned(),
    };
    format!(
        "CREATE TEMP TABLE source_{table} AS SELECT {table}.*, {place} AS place, pattern.place AS of_pattern \
         FROM pattern JOIN {table} ON {table}.{owner} = pattern.mission; \
         CREATE INDEX source_{table}_place ON source_{table} (of_pattern, place); \
         CREATE TEMP TABLE newest_{table} AS {newest}; \
         INSERT INTO {table} ({names}) SELECT {values} FROM past CROSS JOIN newest_{table} \
         CROSS JOIN source_{table} AS s ON s.of_pattern = past.place AND s.place <= {PLACES} \
         CROSS JOIN pattern ON pattern.place = past.place"
    )
}

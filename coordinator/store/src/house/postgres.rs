//! PostgreSQL keeps itself small as long as autovacuum keeps up: whether it does.

use super::{Advice, Sizes};
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::{args, record};

/// Dead rows a table may have beside a part of its live ones before it is worth a word.
const DEAD: i64 = 50_000;
/// Transactions after which wrapping around is near; the server shuts down at two thousand million.
const OLD: i64 = 1_000_000_000;

record! {
    struct Table {
        pub name: String,
        pub live: i64,
        pub dead: i64,
        /// Seconds since the table was last vacuumed, by whomever.
        pub vacuumed: Option<i64>,
    }

    struct Setting {
        pub name: String,
        pub value: String,
    }

    struct Session {
        pub pid: i64,
        pub application: String,
        /// Seconds since its transaction began.
        pub open: i64,
    }
}

pub(super) async fn sizes(read: &mut Connection) -> Result<Sizes, StoreError> {
    let bytes: Option<i64> =
        read.value(sql!("SELECT pg_database_size(current_database()) AS value"), args![]).await?;
    Ok(Sizes { database: bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0), free: 0, log: 0 })
}

pub(super) async fn advice(read: &mut Connection) -> Result<Vec<Advice>, StoreError> {
    let mut advice = Vec::new();
    let settings: Vec<Setting> = read
        .fetch(
            sql!(
                "SELECT name, setting AS value FROM pg_settings \
                 WHERE name IN ('autovacuum', 'track_counts', 'fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
            ),
            args![],
        )
        .await?;
    for Setting { name, .. } in settings {
        let (problem, remedy) = match name.as_str() {
            "fsync" | "full_page_writes" => {
                ("what was promised to be kept can be lost with the machine's power", "set it to `on`")
            }
            _ => ("dead rows are not cleared away: tables and indexes grow without end", "set it to `on`"),
        };
        advice.push(Advice { about: name, problem: problem.to_owned(), remedy: remedy.to_owned() });
    }
    let tables: Vec<Table> = read
        .fetch(
            sql!(
                "SELECT CAST(relname AS TEXT) AS name, n_live_tup AS live, n_dead_tup AS dead, \
                 CAST(EXTRACT(EPOCH FROM now() - GREATEST(last_vacuum, last_autovacuum)) AS BIGINT) AS vacuumed \
                 FROM pg_stat_user_tables WHERE n_dead_tup > $1 AND n_dead_tup > n_live_tup / 2 ORDER BY n_dead_tup DESC"
            ),
            args![DEAD],
        )
        .await?;
    advice.extend(tables.into_iter().map(|table| {
        let since = table.vacuumed.map_or("it was never vacuumed".to_owned(), |seconds| {
            format!("it was last vacuumed {} minutes ago", seconds / 60)
        });
        Advice {
            problem: format!("{} dead rows beside {} live ones; {since}", table.dead, table.live),
            remedy: format!(
                "VACUUM {0}; then let autovacuum come sooner: ALTER TABLE {0} SET (autovacuum_vacuum_scale_factor = 0.05, \
                 autovacuum_vacuum_cost_delay = 0)",
                table.name
            ),
            about: table.name,
        }
    }));
    let age: Option<i64> = read
        .value(
            sql!("SELECT CAST(age(datfrozenxid) AS BIGINT) AS value FROM pg_database WHERE datname = current_database()"),
            args![],
        )
        .await?;
    if let Some(age) = age.filter(|age| *age > OLD) {
        advice.push(Advice {
            about: "transaction ids".to_owned(),
            problem: format!("the oldest row is {age} transactions old; at two thousand million the server refuses to write"),
            remedy: "run VACUUM FREEZE, and find what keeps autovacuum from it".to_owned(),
        });
    }
    let sessions: Vec<Session> = read
        .fetch(
            sql!(
                "SELECT CAST(pid AS BIGINT) AS pid, application_name AS application, \
                 CAST(EXTRACT(EPOCH FROM now() - xact_start) AS BIGINT) AS open FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
                 AND xact_start < now() - INTERVAL '10 minutes' ORDER BY xact_start LIMIT 10"
            ),
            args![],
        )
        .await?;
    advice.extend(sessions.into_iter().map(|session| Advice {
        about: format!("session {} ({})", session.pid, session.application),
        problem: format!(
            "its transaction has been open for {} minutes; nothing newer can be cleared away",
            session.open / 60
        ),
        remedy: format!("end it: SELECT pg_terminate_backend({})", session.pid),
    }));
    Ok(advice)
}

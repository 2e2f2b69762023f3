//! A look at a database from beside it: nothing is migrated, locked or written. For `doctor`.

use std::path::Path;

use nexusmon_shared::id::OrganismId;
use nexusmon_shared::time::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::StoreError;
use crate::migrate;
use crate::organism::KeyRow;

/// What is in a database.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The newest migration in it; `None`: no coordinator has used it yet.
    pub migration: Option<i64>,
    /// The newest one this program knows.
    pub known: i64,
    pub organism: Option<OrganismId>,
    /// Still wrapped.
    pub keys: Vec<KeyRow>,
    pub server: Option<PostgresServer>,
}

/// How a PostgreSQL server is set up, as far as a coordinator minds.
#[derive(Debug, Clone)]
pub struct PostgresServer {
    pub version: String,
    /// `on` or `off`, and for `synchronous_commit` some more.
    pub fsync: String,
    pub full_page_writes: String,
    pub synchronous_commit: String,
    pub autovacuum: String,
    pub max_connections: i64,
    /// Kept back for administrators.
    pub reserved: i64,
    /// Open now, by anybody.
    pub connections: i64,
    /// Coordinators connected now, by name.
    pub nodes: Vec<String>,
    /// The server's clock.
    pub now: Timestamp,
    /// Tables with more dead rows than living ones, and many of them.
    pub bloated: Vec<String>,
}

/// Looks. An error says that the database cannot be reached or read.
pub async fn inspect(url: &str) -> Result<Inspection, StoreError> {
    let known = migrate::newest();
    match url.strip_prefix("sqlite://") {
        Some(path) if !Path::new(path).exists() => {
            Ok(Inspection { migration: None, known, organism: None, keys: Vec::new(), server: None })
        }
        Some(path) => {
            let options =
                SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
            let mut connection = SqliteConnection::connect_with(&options).await.map_err(opening)?;
            let found = sqlite(&mut connection, known).await.map_err(looking);
            let _ = connection.close().await;
            found
        }
        None => {
            let options: PgConnectOptions =
                url.parse().map_err(|error: sqlx::Error| StoreError::Url { reason: error.to_string() })?;
            let options = options.application_name("nexusmon-doctor").disable_statement_logging();
            let mut connection = PgConnection::connect_with(&options).await.map_err(opening)?;
            let found = postgres(&mut connection, known).await.map_err(looking);
            let _ = connection.close().await;
            found
        }
    }
}

fn opening(error: sqlx::Error) -> StoreError {
    StoreError::of("opening the database", error)
}

fn looking(error: sqlx::Error) -> StoreError {
    StoreError::of("looking into the database", error)
}

const MIGRATION: &str = "SELECT MAX(version) FROM migrations";
const ORGANISM: &str = "SELECT id FROM organism LIMIT 1";
const KEYS: &str = "SELECT name, wrapped, public FROM keys ORDER BY name";

type Key = (String, String, Option<String>);

async fn sqlite(connection: &mut SqliteConnection, known: i64) -> Result<Inspection, sqlx::Error> {
    let there: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name IN ('migrations', 'keys')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if there < 2 {
        return Ok(Inspection { migration: None, known, organism: None, keys: Vec::new(), server: None });
    }
    let migration: Option<i64> = sqlx::query_scalar(MIGRATION).fetch_one(&mut *connection).await?;
    let organism: Option<String> = sqlx::query_scalar(ORGANISM).fetch_optional(&mut *connection).await?;
    let keys: Vec<Key> = sqlx::query_as(KEYS).fetch_all(&mut *connection).await?;
    Ok(Inspection { migration, known, organism: id(organism), keys: rows(keys), server: None })
}

async fn postgres(connection: &mut PgConnection, known: i64) -> Result<Inspection, sqlx::Error> {
    let server = server(connection).await?;
    let there: bool = sqlx::query_scalar(
        "SELECT to_regclass('migrations') IS NOT NULL AND to_regclass('keys') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !there {
        return Ok(Inspection {
            migration: None,
            known,
            organism: None,
            keys: Vec::new(),
            server: Some(server),
        });
    }
    let migration: Option<i64> = sqlx::query_scalar(MIGRATION).fetch_one(&mut *connection).await?;
    let organism: Option<String> =
        sqlx::query_scalar("SELECT id::text FROM organism LIMIT 1").fetch_optional(&mut *connection).await?;
    let keys: Vec<Key> = sqlx::query_as(KEYS).fetch_all(&mut *connection).await?;
    Ok(Inspection { migration, known, organism: id(organism), keys: rows(keys), server: Some(server) })
}

async fn server(connection: &mut PgConnection) -> Result<PostgresServer, sqlx::Error> {
    let setting =
        |name: &'static str| sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(name);
    let number = |text: String| text.parse().unwrap_or(0);
    let nodes: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT substr(application_name, 10) FROM pg_stat_activity \
         WHERE application_name LIKE 'nexusmon %' AND datname = current_database()",
    )
    .fetch_all(&mut *connection)
    .await?;
    let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .fetch_one(&mut *connection)
        .await?;
    let bloated: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_stat_user_tables WHERE n_dead_tup > 100000 AND n_dead_tup > n_live_tup",
    )
    .fetch_all(&mut *connection)
    .await?;
    let connections: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            .fetch_one(&mut *connection)
            .await?;
    Ok(PostgresServer {
        version: setting("server_version").fetch_one(&mut *connection).await?,
        fsync: setting("fsync").fetch_one(&mut *connection).await?,
        full_page_writes: setting("full_page_writes").fetch_one(&mut *connection).await?,
        synchronous_commit: setting("synchronous_commit").fetch_one(&mut *connection).await?,
        autovacuum: setting("autovacuum").fetch_one(&mut *connection).await?,
        max_connections: number(setting("max_connections").fetch_one(&mut *connection).await?),
        reserved: number(setting("superuser_reserved_connections").fetch_one(&mut *connection).await?),
        connections,
        nodes,
        now: Timestamp::from_micros(now),
        bloated,
    })
}

fn id(text: Option<String>) -> Option<OrganismId> {
    text?.parse().ok()
}

fn rows(keys: Vec<Key>) -> Vec<KeyRow> {
    let row = |(name, wrapped, public)| KeyRow { name, wrapped, public, created_at: Timestamp::default() };
    keys.into_iter().map(row).collect()
}

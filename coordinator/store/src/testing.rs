//! Fresh databases for tests: a SQLite file each, a PostgreSQL database each, and a way to run one test on both.

mod explain;
mod history;
mod postgres_server;

use std::sync::Arc;

use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::{SharedClock, SystemClock};

use crate::{Store, StoreConfig, StoreError};
pub use history::fill_sqlite;
pub use postgres_server::{DurablePostgres, PostgresDatabase};

/// Why a test has no database.
#[derive(Debug, thiserror::Error)]
pub enum TestingError {
    #[error(
        "no PostgreSQL server programs found: install PostgreSQL, or name a server in NEXUSMON_TEST_POSTGRES"
    )]
    NoPrograms,
    #[error("while {doing}: {output}")]
    Program { doing: &'static str, output: String },
    #[error("while {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("while talking to the test server")]
    Server(#[from] sqlx::Error),
}

/// A fresh, empty database, gone when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    keep: Keep,
}

/// Held only to be dropped with the database.
#[derive(Debug)]
enum Keep {
    Folder(#[expect(dead_code, reason = "dropped with the database")] tempfile::TempDir),
    Postgres(#[expect(dead_code, reason = "dropped with the database")] PostgresDatabase),
}

/// A store that is open, with what it runs under.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    lifecycle: Arc<Lifecycle>,
}

impl TestDatabase {
    pub fn sqlite() -> Result<Self, TestingError> {
        let folder = tempfile::tempdir()
            .map_err(|source| TestingError::Io { doing: "making a folder for a database", source })?;
        let url = format!("sqlite://{}", folder.path().join("nexusmon.db").display());
        Ok(Self { url, keep: Keep::Folder(folder) })
    }

    pub async fn postgres() -> Result<Self, TestingError> {
        let database = PostgresDatabase::create().await?;
        Ok(Self { url: database.url().to_owned(), keep: Keep::Postgres(database) })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub const fn is_postgres(&self) -> bool {
        matches!(self.keep, Keep::Postgres(_))
    }

    pub async fn open(&self) -> Result<Opened, StoreError> {
        self.open_as("node-1", Arc::new(SystemClock)).await
    }

    /// Opens the database as a node of this name; on PostgreSQL several may.
    pub async fn open_as(&self, node: &str, clock: SharedClock) -> Result<Opened, StoreError> {
        self.open_config(&StoreConfig::new(self.url(), node), clock).await
    }

    pub async fn open_config(&self, config: &StoreConfig, clock: SharedClock) -> Result<Opened, StoreError> {
        let lifecycle = Lifecycle::new();
        let store = Store::open(config, clock, &lifecycle).await?;
        Ok(Opened { store, lifecycle: Arc::new(lifecycle) })
    }
}

impl Opened {
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Ends everything, so that the database can be opened again.
    pub async fn close(self) {
        let Self { store, lifecycle } = self;
        drop(store);
        lifecycle.shutdown(std::time::Duration::from_secs(10)).await;
    }
}

/// One fresh database of each kind.
pub async fn databases() -> Result<Vec<TestDatabase>, TestingError> {
    Ok(vec![TestDatabase::sqlite()?, TestDatabase::postgres().await?])
}

/// Runs a test on both databases: `on_both!(async fn name(store: Store) { … });`. Ends in two tests, `name::sqlite`
/// and `name::postgres`. With a second parameter, `database: TestDatabase`, the test gets that too.
#[macro_export]
macro_rules! on_both {
    ($(#[$meta:meta])* async fn $name:ident($store:ident: Store) $body:block) => {
        $crate::on_both! { $(#[$meta])* async fn $name($store: Store, _database: TestDatabase) $body }
    };
    ($(#[$meta:meta])* async fn $name:ident($store:ident: Store, $database:ident: TestDatabase) $body:block) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "a test may need nothing from around it")]
            use super::*;

            async fn test($store: $crate::Store, $database: &$crate::testing::TestDatabase) $body

            async fn run(database: $crate::testing::TestDatabase) {
                let opened = database.open().await.expect("a fresh database opens");
                test(opened.store.clone(), &database).await;
                opened.close().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run($crate::testing::TestDatabase::sqlite().expect("a folder can be made")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let database = $crate::testing::TestDatabase::postgres().await;
                run(database.expect("a PostgreSQL server is there")).await;
            }
        }
    };
}

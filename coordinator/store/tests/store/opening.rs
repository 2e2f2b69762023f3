use std::sync::Arc;

use nexusmon_shared::time::SystemClock;
use nexusmon_store::testing::{TestDatabase, databases};
use nexusmon_store::{StoreConfig, StoreError, on_both};
use sqlx::{Connection as _, Executor as _};

use crate::fixtures::*;

on_both! {
    async fn a_store_survives_being_closed(store: Store, database: TestDatabase) {
        insert(&store, vec![mission(1, vec![task(1, 0)], &[])]).await;
        write(&store, |tx| Box::pin(async move { tx.audit([entry("x")]) })).await.unwrap();
        let again = if database.is_postgres() {
            // A second node on the same database.
            database.open_as("node-2", Arc::new(SystemClock)).await.unwrap()
        } else {
            let refused = database.open().await.unwrap_err();
            assert!(matches!(refused, StoreError::Locked { .. }), "{refused:?}");
            assert!(refused.to_string().contains("one SQLite file serves one process"));
            return;
        };
        let found = again.store.read().await.unwrap().mission(mission_id(1)).await.unwrap().unwrap();
        assert_eq!(found, mission(1, vec![task(1, 0)], &[]).mission);
        again.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_reopening() {
    for database in databases().await.unwrap() {
        let opened = database.open().await.unwrap();
        insert(&opened.store, vec![mission(1, vec![task(1, 0)], &[])]).await;
        write(&opened.store, |tx| Box::pin(async move { tx.audit([entry("x"), entry("y")]) })).await.unwrap();
        opened.store.watch_seq().wait_for(|seq| *seq == 2).await.unwrap();
        opened.close().await;
        let opened = database.open().await.unwrap();
        assert_eq!(opened.store.seq(), 2);
        let mut read = opened.store.read().await.unwrap();
        assert_eq!(read.task(task_id(1, 0)).await.unwrap().unwrap(), task(1, 0));
        drop(read);
        opened.close().await;
    }
}

/// Runs SQL beside the store, as somebody else would.
async fn meddle(database: &TestDatabase, sql: &'static str) {
    if database.is_postgres() {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
        connection.execute(sql).await.unwrap();
    } else {
        let mut connection = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_refused_by_name() {
    for database in databases().await.unwrap() {
        database.open().await.unwrap().close().await;
        meddle(&database, "INSERT INTO migrations (version, name, digest) VALUES (9001, 'later', '00')")
            .await;
        // The digest of an unknown migration is not looked at.
        meddle(&database, "UPDATE migrations SET digest = (SELECT digest FROM migrations WHERE version = 1) WHERE version = 9001").await;
        let refused = database.open().await.unwrap_err();
        assert!(matches!(refused, StoreError::Newer { database: 9001, .. }), "{refused:?}");
        assert!(refused.to_string().contains("9001"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_migration_is_refused() {
    for database in databases().await.unwrap() {
        database.open().await.unwrap().close().await;
        meddle(
            &database,
            "UPDATE migrations SET digest = (SELECT digest FROM migrations WHERE version = 2) WHERE version = 1",
        )
        .await;
        let refused = database.open().await.unwrap_err();
        assert!(matches!(refused, StoreError::Altered { version: 1, .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn other_urls_are_refused_with_the_reason() {
    let lifecycle = nexusmon_shared::lifecycle::Lifecycle::new();
    for url in ["mysql://x", "", "sqlite://", "sqlite:///tmp/x?mode=memory"] {
        let config = StoreConfig::new(url, "n");
        let refused =
            nexusmon_store::Store::open(&config, Arc::new(SystemClock), &lifecycle).await.unwrap_err();
        assert!(matches!(refused, StoreError::Url { .. }), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lifecycle = nexusmon_shared::lifecycle::Lifecycle::new();
    let path = folder.path().join("none/x.db");
    let config = StoreConfig::new(format!("sqlite://{}", path.display()), "n");
    let refused = nexusmon_store::Store::open(&config, Arc::new(SystemClock), &lifecycle).await.unwrap_err();
    assert!(refused.to_string().contains("none/x.db"), "{refused}");
}

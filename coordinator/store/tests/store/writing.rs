//! Units of work: grouped, isolated, answered when durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nexusmon_shared::time::SystemClock;
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{MissionDelta, StoreConfig, StoreError, Topic, on_both};

use crate::fixtures::*;

on_both! {
    async fn a_failing_unit_rolls_back_alone(store: Store) {
        insert(&store, vec![mission(1, vec![], &[])]).await;
        let mut units = tokio::task::JoinSet::new();
        for n in 0..64_u128 {
            let store = store.clone();
            units.spawn(async move {
                let done = write(&store, move |tx| Box::pin(async move {
                    tx.insert_missions(&[mission(100 + n, vec![task(100 + n, 0)], &[])]).await?;
                    tx.audit([entry(n.to_string())])?;
                    if n % 3 == 0 {
                        // Taken: the whole unit must go, its first insert included.
                        tx.insert_missions(&[mission(1, vec![], &[])]).await?;
                    }
                    Ok(())
                }))
                .await;
                (n, done)
            });
        }
        let mut failed = 0;
        while let Some(done) = units.join_next().await {
            let (n, done) = done.unwrap();
            let stored = store.read().await.unwrap().mission(mission_id(100 + n)).await.unwrap();
            if n % 3 == 0 {
                failed += 1;
                let error = done.unwrap_err();
                assert!(matches!(&error, StoreError::Unique { constraint } if constraint == "missions(id)"), "{error:?}");
                assert!(stored.is_none());
            } else {
                done.unwrap();
                assert!(stored.is_some());
            }
        }
        assert_eq!(failed, 22);
        // Only the good ones wrote entries.
        store.watch_seq().wait_for(|seq| *seq == 42).await.unwrap();
    }
}

on_both! {
    async fn an_error_that_is_swallowed_still_ends_the_unit(store: Store) {
        insert(&store, vec![mission(1, vec![], &[])]).await;
        let swallowed = write(&store, |tx| Box::pin(async move {
            tx.insert_missions(&[mission(2, vec![], &[])]).await?;
            let _ = tx.insert_missions(&[mission(1, vec![], &[])]).await;
            Ok(())
        })).await;
        assert!(matches!(swallowed, Err(StoreError::Unique { .. })), "{swallowed:?}");
        assert!(store.read().await.unwrap().mission(mission_id(2)).await.unwrap().is_none());
    }
}

on_both! {
    async fn an_error_of_the_callers_own_rolls_back(store: Store) {
        #[derive(Debug)]
        enum Own { Refused, Store(#[expect(dead_code, reason = "for Debug")] StoreError) }
        impl From<StoreError> for Own {
            fn from(error: StoreError) -> Self { Self::Store(error) }
        }
        let refused: Result<(), Own> = store.write("testing", |tx| Box::pin(async move {
            tx.insert_missions(&[mission(1, vec![], &[])]).await?;
            tx.audit([entry("never")])?;
            Err(Own::Refused)
        })).await;
        assert!(matches!(refused, Err(Own::Refused)), "{refused:?}");
        let stored: Result<_, Own> = async { Ok(store.read().await?.mission(mission_id(1)).await?) }.await;
        assert!(stored.unwrap().is_none());
        assert_eq!(store.seq(), 0);
    }
}

on_both! {
    async fn a_panicking_unit_harms_nobody_else(store: Store) {
        let panicking = store.clone();
        let mut panicked = tokio::task::JoinSet::new();
        panicked.spawn(async move {
            write(&panicking, |tx| Box::pin(async move {
                tx.insert_missions(&[mission(1, vec![], &[])]).await?;
                panic!("on purpose")
            })).await
        });
        let panicked = panicked.join_next().await.unwrap();
        // SQLite: the caller is told; PostgreSQL: it runs in the caller's own task.
        assert!(!matches!(panicked, Ok(Ok(()))));
        insert(&store, vec![mission(2, vec![], &[])]).await;
        let mut read = store.read().await.unwrap();
        assert!(read.mission(mission_id(1)).await.unwrap().is_none());
        assert!(read.mission(mission_id(2)).await.unwrap().is_some());
    }
}

on_both! {
    async fn wake_ups_come_after_the_commit_only(store: Store) {
        let ready = store.wakeups(Topic::Ready);
        let mut timers = store.wakeups(Topic::Timers);
        let failed: Result<(), StoreError> = write(&store, |tx| Box::pin(async move {
            tx.wake(Topic::Ready);
            Err(StoreError::Closed)
        })).await;
        assert!(failed.is_err());
        assert!(!ready.has_changed().unwrap());
        write(&store, |tx| Box::pin(async move { tx.wake(Topic::Timers); Ok(()) })).await.unwrap();
        timers.changed().await.unwrap();
        assert!(!ready.has_changed().unwrap());
    }
}

on_both! {
    async fn counters_are_exact_under_concurrency(store: Store) {
        insert(&store, vec![mission(1, vec![], &[]), mission(2, vec![], &[]), mission(3, vec![], &[])]).await;
        let mut units = tokio::task::JoinSet::new();
        let runs = Arc::new(AtomicU32::new(0));
        for n in 0..40_u128 {
            let (store, runs) = (store.clone(), runs.clone());
            units.spawn(async move {
                write(&store, move |tx| {
                    let runs = runs.clone();
                    Box::pin(async move {
                        runs.fetch_add(1, Ordering::Relaxed);
                        // Each in another order, and one mission twice.
                        let ids = [1 + n % 3, 1 + (n + 1) % 3, 1 + n % 3];
                        let deltas: Vec<_> = ids
                            .iter()
                            .map(|id| MissionDelta { open: -1, succeeded: 1, tag: 10 + i64::try_from(n).unwrap(), ..MissionDelta::of(mission_id(*id)) })
                            .collect();
                        let after = tx.finish_counters(&deltas).await?;
                        assert_eq!(after.len(), 2);
                        Ok(())
                    })
                }).await
            });
        }
        while let Some(done) = units.join_next().await {
            done.unwrap().unwrap();
        }
        let rows = store.read().await.unwrap().missions(&[mission_id(1), mission_id(2), mission_id(3)]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.tasks_succeeded).sum::<i64>(), 120);
        assert_eq!(rows.iter().map(|row| row.tasks_open).sum::<i64>(), -120);
        assert_eq!(rows.iter().map(|row| row.last_tag).max(), Some(49));
        assert!(runs.load(Ordering::Relaxed) >= 40);
    }
}

on_both! {
    async fn edits_by_people_check_the_version(store: Store) {
        insert(&store, vec![mission(1, vec![], &[])]).await;
        let change = shared(mission(1, vec![], &[]).mission.change());
        for (expected, good) in [(Some(1), true), (Some(1), false), (Some(2), true), (None, true)] {
            let change = change.clone();
            let done = write(&store, move |tx| {
                let change = change.clone();
                Box::pin(async move { tx.change_mission(mission_id(1), &change, expected).await })
            }).await;
            match done {
                Ok(()) => assert!(good),
                Err(StoreError::Conflict { version, .. }) => { assert!(!good); assert_eq!(version, Some(2)); }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_apart_and_nothing_is_half_written() {
    let database = TestDatabase::sqlite().unwrap();
    let config = StoreConfig { max_pages: Some(400), ..StoreConfig::new(database.url(), "node-1") };
    let opened = database.open_config(&config, Arc::new(SystemClock)).await.unwrap();
    let store = opened.store.clone();
    let mut stored = Vec::new();
    let full = loop {
        let n = 1 + u128::try_from(stored.len()).unwrap();
        let done = write(&store, move |tx| {
            Box::pin(async move {
                let tasks = (0..50).map(|leaf| task(n, leaf)).collect();
                tx.insert_missions(&[mission(n, tasks, &[])]).await?;
                tx.audit([entry(n.to_string())])
            })
        })
        .await;
        match done {
            Ok(()) => stored.push(n),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full), "{full:?}");
    assert!(!stored.is_empty(), "some fitted before");
    let n = 1 + u128::try_from(stored.len()).unwrap();
    let mut read = store.read().await.unwrap();
    assert!(read.mission(mission_id(n)).await.unwrap().is_none());
    assert!(read.task(task_id(n, 0)).await.unwrap().is_none());
    for n in &stored {
        assert_eq!(read.leaves(mission_id(*n)).await.unwrap().len(), 50);
    }
    assert_eq!(read.newest_seq().await.unwrap(), i64::try_from(stored.len()).unwrap());
    drop(read);
    // Small work goes on where there is room in what is allocated.
    let small =
        write(&store, |tx| Box::pin(async move { tx.set_held(mission_id(1), true).await.map(drop) })).await;
    assert!(matches!(small, Ok(()) | Err(StoreError::Full)), "{small:?}");
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_there_is_a_clear_error() {
    let database = TestDatabase::sqlite().unwrap();
    let opened = database.open().await.unwrap();
    let store = opened.store.clone();
    opened.close().await;
    let refused = write(&store, |_| Box::pin(async { Ok(()) })).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
}

//! Several nodes on one database: duties, idempotency keys that commit with their results, wake-ups, whole copies.

use std::sync::Arc;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::{ManualClock, SystemClock};
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{Archive, IdempotencyRow, Store, StoreError, Topic, on_both, riding};

use crate::fixtures::*;

fn key(name: &str) -> IdempotencyRow {
    IdempotencyRow {
        principal: principal(),
        route: "/v1/things".to_owned(),
        key: name.to_owned(),
        body_digest: Digest::of(name.as_bytes()),
        status: 0,
        response: String::new(),
        created_at: at(0),
        expires_at: at(3600),
    }
}

async fn put(store: &Store, name: &'static str) -> Result<(), StoreError> {
    write(store, move |tx| {
        Box::pin(async move {
            tx.put_setting(name, "1", at(0)).await?;
            tx.audit([entry(format!("setting/{name}"))])
        })
    })
    .await
}

on_both! {
    async fn a_key_commits_with_its_result_or_not_at_all(store: Store) {
        riding(key("k"), async {
            // What is not written down is not the result.
            write(&store, |tx| Box::pin(async move { tx.put_setting("aside", "1", at(0)).await })).await.unwrap();
            let known = store.read().await.unwrap().idempotent(principal(), "/v1/things", "k", at(1)).await.unwrap();
            assert!(known.is_none());
            put(&store, "first").await.unwrap();
            // Once is enough.
            put(&store, "more").await.unwrap();
        }).await;
        let known = store.read().await.unwrap().idempotent(principal(), "/v1/things", "k", at(1)).await.unwrap().unwrap();
        assert_eq!(known.unanswered().map(|(_, subject)| subject).as_deref(), Some("setting/first"));
        // The same request through another node at the same time: nothing of it stays.
        let doubled = riding(key("k"), put(&store, "doubled")).await;
        assert!(matches!(&doubled, Err(StoreError::Unique { constraint }) if constraint.starts_with("idempotency(")), "{doubled:?}");
        assert!(store.read().await.unwrap().setting("doubled").await.unwrap().is_none());
        // The answer comes later, once.
        for status in [201, 500] {
            write(&store, move |tx| Box::pin(async move {
                tx.answer(&IdempotencyRow { status, response: "{}".to_owned(), ..key("k") }).await
            })).await.unwrap();
        }
        let known = store.read().await.unwrap().idempotent(principal(), "/v1/things", "k", at(1)).await.unwrap().unwrap();
        assert_eq!((known.status, known.unanswered()), (201, None));
        assert!(riding(key("other"), async { put(&store, "other").await }).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_on_duty_and_a_relieved_one_changes_nothing() {
    let database = TestDatabase::postgres().await.unwrap();
    // Its time stands still: no lease ends by itself.
    let clock = Arc::new(ManualClock::new(at(1_000)));
    let one = database.open_as("one", clock.clone()).await.unwrap();
    let two = database.open_as("two", clock).await.unwrap();
    let (a, b) = (&one.store, &two.store);
    a.on_duty("sweep", async {
        put(a, "mine").await.unwrap();
        assert!(b.on_duty("sweep", async {}).await.unwrap().is_none(), "somebody lives who holds it");
        assert!(b.on_duty("other", async {}).await.unwrap().is_some());
        // Taken for dead while it was only slow; by a task of its own, since a duty goes with the task.
        let other = b.clone();
        let mut taking = tokio::task::JoinSet::new();
        taking.spawn(async move {
            write(&other, |tx| {
                Box::pin(async move {
                    let far = at(1_000_000_000);
                    assert_eq!(tx.hold_singleton("sweep", "two", far, far).await?, Some(2));
                    Ok(())
                })
            })
            .await
            .unwrap();
        });
        taking.join_all().await;
        let late = put(a, "late").await;
        assert!(matches!(late, Err(StoreError::Relieved { duty: "sweep" })), "{late:?}");
    })
    .await
    .unwrap()
    .expect("nobody held it");
    assert!(b.read().await.unwrap().setting("late").await.unwrap().is_none());
    // Who is gone is replaced as soon as the server has noticed.
    two.close().await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
    let replaced = async {
        while a.on_duty("other", async {}).await.unwrap().is_none() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), replaced).await.expect("it has gone");
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_commit_is_heard() {
    let database = TestDatabase::postgres().await.unwrap();
    let one = database.open_as("one", Arc::new(SystemClock)).await.unwrap();
    let two = database.open_as("two", Arc::new(SystemClock)).await.unwrap();
    let (mut own, mut heard) = (one.store.heard(Topic::Fleet), two.store.heard(Topic::Fleet));
    // The listener may only just be connecting: said until it is heard.
    let saying = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            pace.tick().await;
            write(&one.store, |tx| {
                tx.wake(Topic::Fleet);
                Box::pin(async { Ok(()) })
            })
            .await
            .unwrap();
        }
    };
    tokio::select! {
        () = saying => {}
        heard = heard.changed() => heard.unwrap(),
    }
    assert!(!own.has_changed().unwrap(), "its own commits are no news");
    own.mark_unchanged();
    one.close().await;
    two.close().await;
}

on_both! {
    async fn a_copy_is_the_same_in_either_database(store: Store, database: TestDatabase) {
        for name in ["a", "b", "with \u{e9} and \"quotes\"\n"] {
            put(&store, name).await.unwrap();
        }
        drop(store);
        let mut source = Archive::open_snapshot(database.url()).await.unwrap();
        let expected = source.digests().await.unwrap();
        assert!(expected.iter().any(|table| table.table == "audit" && table.rows == 3), "{expected:?}");
        for target in [TestDatabase::sqlite().unwrap(), TestDatabase::postgres().await.unwrap()] {
            let mut copy = Archive::open_alone(target.url(), Arc::new(SystemClock)).await.unwrap();
            assert!(copy.is_empty().await.unwrap());
            assert_eq!(source.copy_into(&mut copy, |_| {}).await.unwrap(), expected);
            assert_eq!(copy.digests().await.unwrap(), expected);
            assert!(!copy.is_empty().await.unwrap());
            copy.close().await.unwrap();
        }
        source.close().await.unwrap();
    }
}

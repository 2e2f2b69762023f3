//! What keeps the database small: pages given back, a bounded write-ahead log, missions forgotten; and bounded queues.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::join_all;
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::time::SystemClock;
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{
    ArtifactKind, ArtifactRow, Json, MissionFilter, NewVersion, PageRequest, StoreConfig, StoreError,
    VersionRow, VersionStatus, on_both,
};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::Semaphore;

use crate::fixtures::*;

const MIB: u64 = 1024 * 1024;

/// A mission that has ended, at this many seconds.
fn ended(n: u128, second: i64) -> nexusmon_store::NewMission {
    let mut new = mission(n, vec![task(n, 0), task(n, 1)], &[(0, 1)]);
    new.mission.state = Json(MissionState::Expired);
    new.mission.status = new.mission.state.status();
    new.mission.finished_at = Some(at(second));
    new.mission.labels.0.insert("team".to_owned(), "a".to_owned());
    new
}

fn version(n: u128) -> NewVersion {
    let id = nexusmon_shared::id::ArtifactId::from_bits(n);
    NewVersion {
        series: ArtifactRow {
            id,
            scope: mission_id(n).to_string(),
            mission: Some(mission_id(n)),
            task_key: String::new(),
            name: "kept".to_owned(),
            kind: ArtifactKind::Upload,
            labels: Json(std::collections::BTreeMap::new()),
            latest: 0,
            created_at: NOW,
            updated_at: NOW,
        },
        version: VersionRow {
            id: nexusmon_shared::id::VersionId::from_bits(n),
            artifact: id,
            number: 0,
            digest: nexusmon_shared::digest::Digest::of(b"kept"),
            size: 4,
            media_type: "text/plain".to_owned(),
            kind: ArtifactKind::Upload,
            mission: Some(mission_id(n)),
            task: None,
            attempt: None,
            fence_epoch: None,
            fence_number: None,
            agent: None,
            plugin: None,
            principal: Some(principal()),
            inputs: Json(Vec::new()),
            status: VersionStatus::Active,
            purged_by: None,
            created_at: NOW,
            version: 1,
        },
    }
}

on_both! {
    async fn only_what_ended_long_ago_and_nothing_refers_to_is_forgotten(store: Store) {
        let mut missions = vec![ended(1, 10), ended(2, 10), ended(3, 90), mission(4, vec![task(4, 0)], &[]), ended(5, 20)];
        missions[3].mission.rerun_of = Some(mission_id(5));
        insert(&store, missions).await;
        write(&store, |tx| Box::pin(async move { tx.add_versions(&[version(2)]).await.map(drop) })).await.unwrap();
        let mut read = store.read().await.unwrap();
        let found = read.forgettable_missions(at(50), None, 10).await.unwrap();
        assert_eq!(found, [mission_id(1)], "2 keeps an artifact, 3 ended later, 4 has not ended, 4 repeats 5");
        assert!(read.forgettable_missions(at(50), Some(mission_id(1)), 10).await.unwrap().is_empty());
        let gone = store.write("forgetting", |tx| Box::pin(async move {
            tx.forget_missions(&[mission_id(1), mission_id(77)]).await
        }));
        assert_eq!(gone.await.unwrap(), [mission_id(1)]);
        assert!(read.mission(mission_id(1)).await.unwrap().is_none());
        assert!(read.leaves(mission_id(1)).await.unwrap().is_empty());
        assert!(read.plan(mission_id(1)).await.unwrap().is_none());
        assert!(read.edges(mission_id(1)).await.unwrap().is_empty());
        let label = MissionFilter { labels: vec![("team".to_owned(), "a".to_owned())], ..MissionFilter::default() };
        let left = read.mission_list(&label, &PageRequest::first(0)).await.unwrap();
        assert_eq!(left.items.iter().map(|row| row.id).collect::<Vec<_>>(), [mission_id(5), mission_id(3), mission_id(2)]);
        assert_eq!(read.leaves(mission_id(2)).await.unwrap().len(), 2, "others keep what is theirs");
    }
}

on_both! {
    async fn sizes_and_advice_are_told(store: Store) {
        assert!(store.sizes().await.unwrap().database > 0);
        for advice in store.advice().await.unwrap() {
            // The private test server does without them, and is told so.
            let off = ["autovacuum", "fsync", "full_page_writes"].contains(&advice.about.as_str());
            assert!(!store.is_single_node() && off, "{advice:?}");
            assert!(!advice.remedy.is_empty());
        }
        let tidied = store.tidy().await.unwrap();
        assert!(!tidied.held);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_nobody_needs_go_back_to_the_system() {
    let database = TestDatabase::sqlite().unwrap();
    let opened = database.open().await.unwrap();
    let store = opened.store.clone();
    let large = (1..=60_u128).map(|n| {
        let mut new = ended(n, 10);
        new.mission.metadata = format!("\"{}\"", "x".repeat(1024 * 1024));
        new
    });
    for one in large {
        insert(&store, vec![one]).await;
    }
    let full = store.sizes().await.unwrap();
    assert!(full.database > 60 * MIB);
    let ids: Vec<_> = (1..=60).map(mission_id).collect();
    write(&store, move |tx| {
        let ids = ids.clone();
        Box::pin(async move { tx.forget_missions(&ids).await.map(drop) })
    })
    .await
    .unwrap();
    assert!(store.sizes().await.unwrap().free > 50 * MIB);
    let tidied = store.tidy().await.unwrap();
    assert!(tidied.after.database < 25 * MIB, "{tidied:?}");
    assert!(!tidied.held && tidied.after.log <= 64 * MIB);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_bounded_unless_somebody_reads_an_old_state_and_then_it_is_told() {
    let database = TestDatabase::sqlite().unwrap();
    let config = StoreConfig { log_limit: MIB, ..StoreConfig::new(database.url(), "node-1") };
    let opened = database.open_config(&config, Arc::new(SystemClock)).await.unwrap();
    let store = opened.store.clone();
    let mut reader = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
    insert(&store, vec![mission(1, vec![], &[])]).await;
    reader.execute("BEGIN").await.unwrap();
    reader.execute("SELECT COUNT(*) FROM missions").await.unwrap();
    let mut large = mission(2, vec![], &[]);
    large.mission.metadata = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
    insert(&store, vec![large]).await;
    let held = store.tidy().await.unwrap();
    assert!(held.held && held.after.log > MIB, "{held:?}");
    let told = store.advice().await.unwrap();
    assert_eq!(told.iter().map(|one| one.about.as_str()).collect::<Vec<_>>(), ["write-ahead log"]);
    // Writing goes on meanwhile.
    insert(&store, vec![mission(3, vec![], &[])]).await;
    reader.close().await.unwrap();
    let tidied = store.tidy().await.unwrap();
    assert_eq!((tidied.held, tidied.after.log), (false, 0), "{tidied:?}");
    assert!(store.advice().await.unwrap().is_empty());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_writer_holds_callers_back_and_loses_nothing() {
    let database = TestDatabase::sqlite().unwrap();
    let opened = database.open().await.unwrap();
    let store = opened.store.clone();
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut stuck = tokio::task::JoinSet::new();
    {
        let (begun, go, store) = (begun.clone(), go.clone(), store.clone());
        stuck.spawn(async move {
            let work = store.write("being stuck", move |_tx| {
                let (begun, go) = (begun.clone(), go.clone());
                Box::pin(async move {
                    begun.add_permits(1);
                    go.acquire().await.unwrap().forget();
                    Ok::<_, StoreError>(())
                })
            });
            work.await
        });
    }
    begun.acquire().await.unwrap().forget();
    let unit = |n: u128| {
        let store = store.clone();
        async move { store.write("waiting", move |_tx| Box::pin(async move { Ok::<_, StoreError>(n) })).await }
    };
    let mut waiting: Vec<_> = (0..6_000).map(|n| Box::pin(tokio::task::unconstrained(unit(n)))).collect();
    for one in &mut waiting {
        assert!(one.now_or_never().is_none(), "nobody is answered before the commit");
    }
    let queued = store.queued();
    assert!((1_000..6_000).contains(&queued), "{queued} wait in the queue, the rest with their callers");
    go.add_permits(1);
    stuck.join_next().await.unwrap().unwrap().unwrap();
    let answers: Vec<u128> = join_all(waiting).await.into_iter().map(|done| done.unwrap()).collect();
    assert_eq!(answers, (0..6_000).collect::<Vec<_>>());
    opened.close().await;
}

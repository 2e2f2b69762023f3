//! Memory: each mission counts once, verdicts move it, and what retention takes goes along.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MemoryId, VersionId};
use nexusmon_store::{MemoryKind, MemoryRow, Store, StoreError, on_both};

use crate::fixtures::*;
use crate::vault::{add, new_version};

fn row(number: u128, kind: MemoryKind, subject: &str, mission: u128, quality: i64) -> MemoryRow {
    MemoryRow {
        id: MemoryId::from_bits(number),
        kind,
        subject: subject.to_owned(),
        mission: Some(mission_id(mission)),
        skeleton: None,
        title: format!("title of {subject}"),
        body: format!("text of {mission}"),
        quality,
        runs: 0,
        verified: 0,
        succeeded: 0,
        failed: 0,
        recalled: 0,
        used: 0,
        at: NOW,
        forgotten_at: None,
    }
}

async fn remember(store: &Store, rows: Vec<MemoryRow>) {
    let rows = shared(rows);
    write(store, move |tx| {
        let rows = rows.clone();
        Box::pin(async move { tx.remember_missions(&rows).await })
    })
    .await
    .unwrap();
}

async fn counts(store: &Store, number: u128) -> Option<[i64; 5]> {
    let found = store.read().await.unwrap().memory(MemoryId::from_bits(number)).await.unwrap()?;
    Some([found.runs, found.verified, found.succeeded, found.failed, found.quality])
}

on_both! {
    async fn a_verdict_moves_a_mission_and_never_counts_it_twice(store: Store) {
        let of = |mission, quality| row(mission, MemoryKind::Mission, "a", mission, quality);
        remember(&store, vec![of(1, 3), of(2, 2)]).await;
        assert_eq!(counts(&store, 1).await, Some([2, 0, 1, 1, 3]));
        remember(&store, vec![of(2, 2), of(1, 4)]).await;
        assert_eq!(counts(&store, 1).await, Some([2, 1, 1, 1, 4]), "verified since");
        remember(&store, vec![of(1, 0)]).await;
        assert_eq!(counts(&store, 1).await, Some([2, 0, 0, 1, 2]), "rejected since: another stands for it");
        let found = store.read().await.unwrap().memories_about("text", None, 10).await.unwrap();
        assert_eq!((found.len(), found[0].mission), (1, Some(mission_id(2))));
    }
}

on_both! {
    async fn retention_takes_a_memory_with_the_last_mission_behind_it(store: Store) {
        insert(&store, vec![mission(1, vec![], &[]), mission(2, vec![], &[])]).await;
        remember(&store, vec![row(1, MemoryKind::Mission, "a", 1, 4), row(2, MemoryKind::Mission, "a", 2, 3)]).await;
        let bytes = Digest::of(b"bytes");
        let texts = shared(vec![row(3, MemoryKind::Artifact, &bytes.to_string(), 1, 4), row(4, MemoryKind::Review, "r", 1, 4)]);
        write(&store, move |tx| { let texts = texts.clone(); Box::pin(async move { tx.remember_texts(&texts.iter().collect::<Vec<_>>()).await }) }).await.unwrap();
        write(&store, |tx| Box::pin(async move { tx.forget_missions(&[mission_id(1)]).await.map(drop) })).await.unwrap();
        assert_eq!(counts(&store, 1).await.map(|found| found[4]), Some(3), "the other mission stands for it");
        assert_eq!(counts(&store, 4).await, None, "what was said of the mission");
        write(&store, move |tx| Box::pin(async move { tx.forget_bytes(&[bytes]).await })).await.unwrap();
        assert_eq!(counts(&store, 3).await, None);
        write(&store, |tx| Box::pin(async move { tx.forget_missions(&[mission_id(2)]).await.map(drop) })).await.unwrap();
        assert_eq!(counts(&store, 1).await, None);
    }
}

/// Subjects of what may be remembered still.
async fn still_told(store: &Store, rows: &[MemoryRow]) -> Vec<String> {
    store
        .write_with("telling", rows.to_vec(), |tx, rows| {
            Box::pin(async move {
                let told = tx.still_told(rows).await?;
                Ok::<_, StoreError>(told.into_iter().map(|row| row.subject.clone()).collect())
            })
        })
        .await
        .unwrap()
}

on_both! {
    async fn what_was_purged_or_forgotten_meanwhile_is_not_told(store: Store) {
        add(&store, vec![new_version(1, "a", b"kept"), new_version(2, "b", b"gone")]).await;
        let (kept, gone) = (Digest::of(b"kept").to_string(), Digest::of(b"gone").to_string());
        remember(&store, vec![row(1, MemoryKind::Mission, "a", 1, 4), row(2, MemoryKind::Mission, "b", 2, 4)]).await;
        let rows = vec![
            row(3, MemoryKind::Artifact, &kept, 1, 4),
            row(4, MemoryKind::Artifact, &gone, 1, 4),
            row(5, MemoryKind::Review, "said", 1, 4),
            row(6, MemoryKind::Review, "unsaid", 2, 4),
        ];
        assert_eq!(still_told(&store, &rows).await, [kept.as_str(), gone.as_str(), "said", "unsaid"]);
        write(&store, |tx| Box::pin(async move {
            tx.purge_versions(&[VersionId::from_bits(2)], "erased", NOW).await?;
            tx.forget_memory(MemoryId::from_bits(2), NOW).await.map(drop)
        })).await.unwrap();
        assert_eq!(still_told(&store, &rows).await, [kept.as_str(), "said"]);
    }
}

/// A mission and a text, looked at again.
async fn remembered_again(
    store: &Store,
    rows: Vec<MemoryRow>,
    texts: Vec<MemoryRow>,
) -> [Option<MemoryRow>; 2] {
    remember(store, rows).await;
    let texts = shared(texts);
    write(store, move |tx| {
        let texts = texts.clone();
        Box::pin(async move { tx.remember_texts(&texts.iter().collect::<Vec<_>>()).await })
    })
    .await
    .unwrap();
    let mut read = store.read().await.unwrap();
    [read.memory(MemoryId::from_bits(1)).await.unwrap(), read.memory(MemoryId::from_bits(3)).await.unwrap()]
}

on_both! {
    async fn a_second_look_changes_nothing_and_another_text_replaces_the_first(store: Store) {
        let missions = vec![row(1, MemoryKind::Mission, "a", 1, 4)];
        let texts = vec![row(3, MemoryKind::Review, "r", 1, 4)];
        let first = remembered_again(&store, missions.clone(), texts.clone()).await;
        assert_eq!(first, remembered_again(&store, missions.clone(), texts.clone()).await);
        let other = |row: &MemoryRow| MemoryRow { body: "another text".to_owned(), ..row.clone() };
        let [mission, text] = remembered_again(&store, missions.iter().map(other).collect(), texts.iter().map(other).collect()).await;
        assert_eq!((mission.unwrap().body, text.unwrap().body), ("another text".to_owned(), "another text".to_owned()));
    }
}

on_both! {
    async fn a_kind_that_is_unfit_stands_before_no_other_until_there_are_twice_as_many(store: Store) {
        let of = |mission, kind: &str| MemoryRow {
            skeleton: Some(Digest::of(kind.as_bytes())),
            ..row(mission, MemoryKind::Mission, &format!("{kind} {mission}"), mission, 4)
        };
        let ripe = async || store.read().await.unwrap().ripe_skeletons(3, 1).await.unwrap();
        remember(&store, (1..=3).map(|mission| of(mission, "old")).collect()).await;
        remember(&store, (4..=6).map(|mission| of(mission, "new")).collect()).await;
        // A verdict taken back counts no longer.
        remember(&store, vec![of(7, "other"), of(8, "other"), MemoryRow { quality: 3, ..of(9, "other") }]).await;
        assert_eq!(ripe().await, [Digest::of(b"old")], "the oldest first");
        write(&store, |tx| Box::pin(async move { tx.put_unfit_skeleton(Digest::of(b"old"), NOW).await })).await.unwrap();
        assert_eq!(ripe().await, [Digest::of(b"new")]);
        write(&store, |tx| Box::pin(async move { tx.put_unfit_skeleton(Digest::of(b"new"), NOW).await })).await.unwrap();
        assert!(ripe().await.is_empty());
        remember(&store, (10..=12).map(|mission| of(mission, "new")).collect()).await;
        assert_eq!(ripe().await, [Digest::of(b"new")], "there are twice as many");
    }
}

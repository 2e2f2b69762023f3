//! Artifacts, blobs and logs.

use std::collections::BTreeMap;

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ArtifactId, ReviewId, VersionId};
use nexusmon_store::{
    ArtifactFilter, ArtifactKind, ArtifactReviewRow, ArtifactRow, Json, LogRow, NewVersion, OutputName,
    PageRequest, SegmentRow, Store, StoreError, Verdict, VersionRow, VersionStatus, on_both,
};

use crate::fixtures::*;

pub(crate) fn new_version(n: u128, name: &str, bytes: &[u8]) -> NewVersion {
    NewVersion {
        series: ArtifactRow {
            id: ArtifactId::from_bits(n),
            scope: mission_id(1).to_string(),
            mission: Some(mission_id(1)),
            task_key: "t0".to_owned(),
            name: name.to_owned(),
            kind: ArtifactKind::Output,
            labels: Json(BTreeMap::new()),
            latest: 0,
            created_at: NOW,
            updated_at: NOW,
        },
        version: VersionRow {
            id: VersionId::from_bits(n),
            artifact: ArtifactId::from_bits(n),
            number: 0,
            digest: Digest::of(bytes),
            size: i64::try_from(bytes.len()).unwrap(),
            media_type: "text/csv".to_owned(),
            kind: ArtifactKind::Output,
            mission: Some(mission_id(1)),
            task: Some(task_id(1, 0)),
            attempt: Some(1),
            fence_epoch: Some(1),
            fence_number: Some(1),
            agent: Some(agent_id(1)),
            plugin: Some("shell@1".to_owned()),
            principal: None,
            inputs: Json(vec![Digest::of(b"in")]),
            status: VersionStatus::Active,
            purged_by: None,
            created_at: NOW,
            version: 1,
        },
    }
}

pub(crate) async fn add(store: &Store, new: Vec<NewVersion>) -> Vec<VersionRow> {
    store
        .write_with("adding", new, |tx, new| Box::pin(async move { tx.add_versions(new).await }))
        .await
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

on_both! {
    async fn versions_are_numbered_per_series_and_bytes_counted_once(store: Store) {
        let first = add(&store, vec![new_version(1, "a", b"x"), new_version(2, "b", b"x"), new_version(3, "a", b"y")]).await;
        assert_eq!(first.iter().map(|v| v.number).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(first[0].artifact, first[2].artifact);
        let mut adders = tokio::task::JoinSet::new();
        for n in 10..30_u128 {
            let store = store.clone();
            adders.spawn(async move { add(&store, vec![new_version(n, if n % 2 == 0 { "a" } else { "c" }, b"x"), new_version(100 + n, "b", b"x")]).await });
        }
        while let Some(done) = adders.join_next().await {
            done.unwrap();
        }
        let mut read = store.read().await.unwrap();
        let page = read.version_list(first[0].artifact, &PageRequest::first(200)).await.unwrap();
        assert_eq!(page.items.iter().map(|v| v.number).collect::<Vec<_>>(), (1..=12).rev().collect::<Vec<_>>());
        let blob = read.blob(Digest::of(b"x")).await.unwrap().unwrap();
        assert_eq!((blob.refs, blob.idle_since), (42, None));
        assert_eq!(read.blob_bytes().await.unwrap(), (2, 43));
        assert_eq!(read.artifact(first[0].artifact).await.unwrap().unwrap().latest, 12);
        let newest = read.version_of(first[0].artifact, None).await.unwrap().unwrap();
        assert_eq!(newest.number, 12);
        assert_eq!(read.version_of(first[0].artifact, Some(2)).await.unwrap().unwrap().id, VersionId::from_bits(3));
    }
}

on_both! {
    async fn outputs_are_found_by_name_newest_active_first(store: Store) {
        let added = add(&store, vec![new_version(1, "a", b"1"), new_version(2, "a", b"2"), new_version(3, "a", b"3")]).await;
        let last = shared(added[2].clone());
        write(&store, move |tx| {
            let last = last.clone();
            Box::pin(async move { tx.set_version_status(&last, VersionStatus::Rejected).await })
        }).await.unwrap();
        let mut read = store.read().await.unwrap();
        let name = |name: &str| OutputName { mission: mission_id(1), task_key: "t0".to_owned(), name: name.to_owned() };
        let found = read.find_outputs(&[name("a"), name("none")]).await.unwrap();
        assert_eq!(found.iter().map(|v| v.digest).collect::<Vec<_>>(), [Digest::of(b"2")]);
        assert_eq!(read.versions_by_id(&[VersionId::from_bits(1), VersionId::from_bits(9)]).await.unwrap().len(), 1);
        let rejected = ArtifactFilter { status: Some(VersionStatus::Rejected), ..ArtifactFilter::default() };
        assert_eq!(read.artifact_list(&rejected, &PageRequest::first(0)).await.unwrap().items.len(), 1);
        let other = ArtifactFilter { mission: Some(mission_id(2)), ..ArtifactFilter::default() };
        assert!(read.artifact_list(&other, &PageRequest::first(0)).await.unwrap().items.is_empty());
        let kind = ArtifactFilter { kinds: vec![ArtifactKind::Output], name: Some("a".to_owned()), mission: Some(mission_id(1)), ..ArtifactFilter::default() };
        assert_eq!(read.artifact_list(&kind, &PageRequest::first(0)).await.unwrap().items.len(), 1);
    }
}

on_both! {
    async fn purging_leaves_tombstones_and_frees_bytes_last(store: Store) {
        let added = add(&store, vec![new_version(1, "a", b"x"), new_version(2, "b", b"x")]).await;
        let digest = Digest::of(b"x");
        let purge = |id: VersionId| {
            let store = store.clone();
            async move {
                store.write("purging", move |tx| Box::pin(async move {
                    Ok::<_, StoreError>(tx.purge_versions(&[id, id], "rule: age", at(5)).await?.len())
                })).await.unwrap()
            }
        };
        assert_eq!(purge(added[0].id).await, 1);
        assert_eq!(purge(added[0].id).await, 0, "once");
        assert!(store.read().await.unwrap().idle_blobs(at(100), 10).await.unwrap().is_empty(), "still referred to");
        purge(added[1].id).await;
        let idle = store.read().await.unwrap().idle_blobs(at(100), 10).await.unwrap();
        assert_eq!(idle.iter().map(|blob| blob.digest).collect::<Vec<_>>(), [digest]);
        // A dedup hit in between pins it.
        write(&store, move |tx| Box::pin(async move { tx.put_blobs(&[(digest, 1)], at(200)).await })).await.unwrap();
        let forget = |before| {
            let store = store.clone();
            async move {
                store.write("sweeping", move |tx| Box::pin(async move { tx.forget_blobs(&[digest], before).await }))
                    .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            }
        };
        assert_eq!(forget(at(100)).await, []);
        assert_eq!(forget(at(300)).await, [digest]);
        let mut read = store.read().await.unwrap();
        let tombstone = read.version(added[0].id).await.unwrap().unwrap();
        assert_eq!((tombstone.status, tombstone.purged_by.as_deref(), tombstone.digest), (VersionStatus::Purged, Some("rule: age"), digest));
    }
}

on_both! {
    async fn the_review_trail_only_grows(store: Store) {
        let added = add(&store, vec![new_version(1, "a", b"x")]).await;
        let review = |n: u128, verdict| ArtifactReviewRow {
            id: ReviewId::from_bits(n), artifact: added[0].artifact, version: added[0].id, principal: principal(),
            verdict, comment: Some("so".to_owned()), at: NOW,
        };
        let rows = shared([review(1, Verdict::Comment), review(2, Verdict::Accept)]);
        write(&store, move |tx| {
            let rows = rows.clone();
            Box::pin(async move {
                for row in rows.iter() { tx.insert_artifact_review(row).await?; }
                Ok(())
            })
        }).await.unwrap();
        let mut read = store.read().await.unwrap();
        let trail = read.artifact_reviews(added[0].artifact, &PageRequest::first(0)).await.unwrap();
        assert_eq!(trail.items.iter().map(|row| row.verdict).collect::<Vec<_>>(), [Verdict::Comment, Verdict::Accept]);
    }
}

on_both! {
    async fn segments_join_without_gap_or_double(store: Store) {
        let key = AttemptRef { task: task_id(1, 0), fence: Fence { epoch: 1, number: 2 } };
        let log = shared(LogRow {
            task: key.task, fence_epoch: 1, fence_number: 2, mission: mission_id(1), attempt: 1, agent: agent_id(1),
            stored: 0, lines: 0, segments: 0, sealed: false, version: None, created_at: NOW, updated_at: NOW,
        });
        write(&store, move |tx| {
            let log = log.clone();
            Box::pin(async move {
                tx.open_logs(std::slice::from_ref(&log)).await?;
                tx.open_logs(std::slice::from_ref(&log)).await
            })
        }).await.unwrap();
        let append = |number: i64, start_byte: i64, first_line: i64| {
            let store = store.clone();
            async move {
                store.write("appending", move |tx| Box::pin(async move {
                    tx.append_segment(&SegmentRow {
                        task: key.task, fence_epoch: 1, fence_number: 2, number, start_byte, length: 100, first_line,
                        lines: 10, blob: format!("b{number}"), line_index: String::new(),
                    }, at(1)).await
                })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            }
        };
        assert!(append(0, 0, 0).await);
        assert!(!append(0, 0, 0).await, "doubled");
        assert!(!append(2, 200, 20).await, "a hole");
        assert!(append(1, 100, 10).await);
        assert!(append(2, 200, 20).await);
        let mut read = store.read().await.unwrap();
        let row = read.log(key).await.unwrap().unwrap();
        assert_eq!((row.stored, row.lines, row.segments), (300, 30, 3));
        let numbers = |rows: Vec<SegmentRow>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
        assert_eq!(numbers(read.segments_from_line(key, 15, 1).await.unwrap()), [1]);
        assert_eq!(numbers(read.segments_from_line(key, 10, 9).await.unwrap()), [1, 2]);
        assert_eq!(numbers(read.segments_from_byte(key, 99, 9).await.unwrap()), [0, 1, 2]);
        assert_eq!(numbers(read.segments_from_byte(key, 100, 9).await.unwrap()), [1, 2]);
        drop(read);
        write(&store, move |tx| Box::pin(async move {
            assert!(tx.seal_log(key, at(2)).await?);
            assert!(!tx.seal_log(key, at(2)).await?);
            tx.set_log_version(key, VersionId::from_bits(1)).await
        })).await.unwrap();
        assert!(!append(3, 300, 30).await, "sealed");
        let gone = store.write("forgetting", move |tx| Box::pin(async move { tx.delete_segments(key).await }))
            .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(gone.len(), 3);
    }
}

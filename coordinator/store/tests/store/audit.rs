use nexusmon_store::{
    AuditFilter, Beside, Body, PageRequest, WaitingAuditRow, canonical_audit_entry, on_both,
};
use std::sync::Arc;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::SystemClock;

use crate::fixtures::*;

/// Whether numbers run from 1 to `count` without a gap, each entry once.
async fn assert_gapless(store: &nexusmon_store::Store, count: i64) {
    store.watch_seq().wait_for(|seq| *seq >= count).await.unwrap();
    let mut read = store.read().await.unwrap();
    let rows = read.audit_after(0, u32::try_from(count).unwrap() + 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
    let subjects: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.subject).collect();
    assert_eq!(i64::try_from(subjects.len()).unwrap(), count);
    // Within a unit the order is the one given.
    for pair in rows.windows(2) {
        let unit =
            |subject: &str| subject.rsplit_once('/').map(|(unit, place)| (unit.to_owned(), place.to_owned()));
        let (Some((a, x)), Some((b, y))) = (unit(&pair[0].subject), unit(&pair[1].subject)) else { continue };
        assert!(a != b || x < y, "{a}/{x} before {b}/{y}");
    }
}

on_both! {
    async fn numbers_have_no_gaps_under_eight_writers(store: Store) {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let store = store.clone();
            writers.spawn(async move {
                for unit in 0..20 {
                    let done = write(&store, move |tx| Box::pin(async move {
                        tx.audit((0..3).map(|place| entry(format!("{writer}.{unit}/{place}"))))?;
                        if unit % 5 == 4 { Err(nexusmon_store::StoreError::Closed) } else { Ok(()) }
                    })).await;
                    assert_eq!(done.is_err(), unit % 5 == 4);
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        assert_gapless(&store, 8 * 16 * 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_number_together_and_one_takes_over() {
    let database = nexusmon_store::testing::TestDatabase::postgres().await.unwrap();
    let one = database.open_as("one", Arc::new(SystemClock)).await.unwrap();
    let two = database.open_as("two", Arc::new(SystemClock)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for (name, store) in [("one", one.store.clone()), ("two", two.store.clone())] {
        writers.spawn(async move {
            for unit in 0..30 {
                write(&store, move |tx| {
                    Box::pin(
                        async move { tx.audit((0..2).map(|place| entry(format!("{name}.{unit}/{place}")))) },
                    )
                })
                .await
                .unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_gapless(&one.store, 120).await;
    // The other node hears of them.
    two.store.watch_seq().wait_for(|seq| *seq == 120).await.unwrap();
    one.close().await;
    write(&two.store, |tx| Box::pin(async move { tx.audit([entry("after/0")]) })).await.unwrap();
    assert_gapless(&two.store, 121).await;
    two.close().await;
}

on_both! {
    async fn entries_are_read_back_as_sealed(store: Store) {
        let mut about_mission = entry("mis_x");
        about_mission.mission = Some(mission_id(3));
        about_mission.actor = principal().to_string().into();
        let entries = shared(vec![entry("a"), about_mission, entry("c")]);
        write(&store, move |tx| {
            let entries = entries.clone();
            Box::pin(async move { tx.audit(entries.iter().cloned()) })
        }).await.unwrap();
        store.watch_seq().wait_for(|seq| *seq == 3).await.unwrap();
        let mut read = store.read().await.unwrap();
        for row in read.audit_after(0, 10).await.unwrap() {
            let waiting = WaitingAuditRow {
                id: row.id, at: row.at, actor: row.actor, action: row.action, subject_kind: row.subject_kind,
                subject: row.subject, mission: row.mission, body: row.body, digest: row.digest,
            };
            assert_eq!(Digest::of(canonical_audit_entry(&waiting).as_bytes()), row.digest);
            assert_eq!(waiting.body, r#"{"a":[1,"x"],"b":1}"#);
        }
        let only = |filter: AuditFilter| async move { filter };
        for (filter, expected) in [
            (AuditFilter { actor: Some(principal().to_string()), ..AuditFilter::default() }, vec![2]),
            (AuditFilter { actor: Some("nexusmon".to_owned()), ..AuditFilter::default() }, vec![3, 1]),
            (AuditFilter { subject: Some("a".to_owned()), ..AuditFilter::default() }, vec![1]),
            (AuditFilter { mission: Some(mission_id(3)), ..AuditFilter::default() }, vec![2]),
            (AuditFilter { action: Some("test.done".to_owned()), ..AuditFilter::default() }, vec![3, 2, 1]),
            (AuditFilter { since: Some(at(1)), ..AuditFilter::default() }, vec![]),
        ] {
            let filter = only(filter).await;
            let page = read.audit_list(&filter, &PageRequest::first(10)).await.unwrap();
            assert_eq!(page.items.iter().map(|row| row.seq).collect::<Vec<_>>(), expected, "{filter:?}");
        }
        let mission = read.mission_audit_after(mission_id(3), 0, 10).await.unwrap();
        assert_eq!(mission.len(), 1);
        let refused = read.audit_list(&AuditFilter::default(), &PageRequest { limit: 1, cursor: Some("x'".to_owned()) }).await;
        assert!(refused.is_err());
    }
}

on_both! {
    async fn words_beside_entries_are_there_until_they_are_erased(store: Store) {
        let entries = shared((0..4_i64).map(|number| {
            let mut one = entry(format!("e{number}"));
            one.mission = (number > 0).then(|| mission_id(u128::from(number > 1)));
            let beside = ["/a", "/b"].map(|place| Beside {
                place: place.to_owned(), key: "00".repeat(32), value: format!("\"{number}{place}\""),
            });
            let tree = serde_json::json!({"sealed": number});
            one.body = Body::Parted { tree, about: format!("about {number}"), beside: beside.to_vec() };
            one
        }).collect::<Vec<_>>());
        write(&store, move |tx| {
            let entries = entries.clone();
            Box::pin(async move { tx.audit(entries.iter().cloned()) })
        }).await.unwrap();
        store.watch_seq().wait_for(|seq| *seq == 4).await.unwrap();
        let mut read = store.read().await.unwrap();
        let rows = read.audit_after(0, 10).await.unwrap();
        assert_eq!(rows[3].body, r#"{"sealed":3}"#);
        let found = read.openings_of(&rows, |body| !body.contains('2')).await.unwrap();
        let mut values: Vec<_> = found.iter().map(|row| row.value.clone()).collect();
        values.sort();
        assert_eq!(values, ["\"0/a\"", "\"0/b\"", "\"1/a\"", "\"1/b\"", "\"3/a\"", "\"3/b\""]);
        assert!(read.openings_of(&rows, |_| false).await.unwrap().is_empty());
        let about = read.openings_about("about 0").await.unwrap();
        assert_eq!((about.len(), about[0].entry, about[0].mission), (2, rows[0].id, None));
        assert_eq!(read.openings_of_mission(mission_id(1)).await.unwrap().len(), 4);
        drop(read);
        let one = shared(vec![about[1].clone()]);
        let gone = store.write("erasing", move |tx| {
            let one = one.clone();
            Box::pin(async move {
                let one = tx.erase_openings(&one).await?;
                Ok::<_, nexusmon_store::StoreError>((one, tx.erase_openings_of(&[mission_id(1), mission_id(7)]).await?))
            })
        }).await.unwrap();
        assert_eq!(gone, (1, 4));
        let mut read = store.read().await.unwrap();
        assert_eq!(read.audit_after(0, 10).await.unwrap(), rows, "the entries stay as they were");
        let left = read.openings_of(&rows, |_| true).await.unwrap();
        let mut values: Vec<_> = left.iter().map(|row| row.value.clone()).collect();
        values.sort();
        assert_eq!(values, ["\"0/a\"", "\"1/a\"", "\"1/b\""]);
    }
}

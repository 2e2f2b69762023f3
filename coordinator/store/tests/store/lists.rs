//! Lists with filters and cursors, and search.

use std::collections::BTreeMap;

use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{
    Connection, DocumentRow, Json, MissionFilter, PageRequest, TaskFilter, TaskRow, on_both,
};

use crate::fixtures::*;

/// What is asked for, and which missions, by number, are to come.
type Asked = (MissionFilter, fn(u128) -> bool);

async fn ids(read: &mut Connection, filter: &MissionFilter) -> Vec<u128> {
    let page = read.mission_list(filter, &PageRequest::first(0)).await.unwrap();
    page.items.iter().map(|row| row.id.to_bits() >> 64).collect()
}

on_both! {
    async fn missions_are_found_by_every_filter(store: Store) {
        let mut missions: Vec<_> = (1..=6).map(|n| mission(n, vec![], &[])).collect();
        missions[0].mission.rank = Rank::B;
        missions[1].mission.state = Json(MissionState::Succeeded);
        missions[1].mission.status = MissionStatus::Succeeded;
        missions[2].mission.labels = Json(BTreeMap::from([("team".to_owned(), "a".to_owned())]));
        missions[3].mission.labels = Json(BTreeMap::from([("team".to_owned(), "b".to_owned())]));
        insert(&store, missions).await;
        write(&store, |tx| Box::pin(async move {
            tx.index_documents(&[
                DocumentRow { kind: "mission".to_owned(), subject: mission_id(5).to_string(), mission: Some(mission_id(5)),
                    title: "Zähle die Zeilen".to_owned(), body: "count today's lines".to_owned(), at: NOW },
            ]).await
        })).await.unwrap();
        let mut read = store.read().await.unwrap();
        let all = MissionFilter::default();
        assert_eq!(ids(&mut read, &all).await, [6, 5, 4, 3, 2, 1]);
        assert_eq!(ids(&mut read, &MissionFilter { rank: Some(Rank::B), ..all.clone() }).await, [1]);
        assert_eq!(ids(&mut read, &MissionFilter { statuses: vec![MissionStatus::Succeeded, MissionStatus::Failed], ..all.clone() }).await, [2]);
        let label = |value: &str| MissionFilter { labels: vec![("team".to_owned(), value.to_owned())], ..MissionFilter::default() };
        assert_eq!(ids(&mut read, &label("a")).await, [3]);
        assert_eq!(ids(&mut read, &label("*")).await, [4, 3]);
        assert_eq!(ids(&mut read, &label("x' OR '1'='1")).await, [0_u128; 0]);
        for (q, found) in [("lines", true), ("LINE", true), ("today's count", true), ("zähle", true), ("absent", false), ("\" OR *", false), ("", false)] {
            let hits = ids(&mut read, &MissionFilter { q: Some(q.to_owned()), ..all.clone() }).await;
            assert_eq!(hits == [5], found, "{q}: {hits:?}");
        }
        let mut counts = read.mission_counts().await.unwrap();
        counts.sort_by_key(|count| count.count);
        assert_eq!(counts.iter().map(|one| (one.status, one.count)).collect::<Vec<_>>(),
            [(MissionStatus::Succeeded, 1), (MissionStatus::Running, 5)]);
    }
}

on_both! {
    async fn filters_hold_together_and_pages_go_on(store: Store) {
        let millis = |n: u128| u128::try_from(at(i64::try_from(n).unwrap()).as_micros()).unwrap() / 1000;
        let missions = (1..=40_u128).map(|n| {
            let mut one = mission(n, vec![], &[]).mission;
            one.id = nexusmon_shared::id::MissionId::from_bits((millis(n) << 80) | n);
            one.state = Json(if n % 4 == 0 { MissionState::Expired } else { MissionState::Succeeded });
            one.status = one.state.status();
            one.labels = Json(BTreeMap::from([("team".to_owned(), if n % 2 == 0 { "even" } else { "odd" }.to_owned())]));
            one
        });
        let missions: Vec<_> = missions.collect();
        let documents: Vec<_> = missions.iter().map(|one| DocumentRow {
            kind: "mission".to_owned(), subject: one.id.to_string(), mission: Some(one.id),
            title: if one.id.to_bits() % 5 == 0 { "common rare" } else { "common" }.to_owned(), body: String::new(), at: NOW,
        }).collect();
        insert(&store, missions.into_iter().map(|one| nexusmon_store::NewMission { mission: one, plan: None, tasks: vec![], edges: vec![] }).collect()).await;
        write(&store, move |tx| { let documents = documents.clone(); Box::pin(async move { tx.index_documents(&documents).await }) }).await.unwrap();
        let mut read = store.read().await.unwrap();
        let of = |statuses: &[MissionStatus], team: Option<&str>, q: Option<&str>, since: Option<i64>| MissionFilter {
            statuses: statuses.to_vec(),
            labels: team.map(|team| ("team".to_owned(), team.to_owned())).into_iter().collect(),
            q: q.map(str::to_owned),
            since: since.map(at),
            ..MissionFilter::default()
        };
        let both = [MissionStatus::Expired, MissionStatus::Succeeded];
        let asked: [Asked; 10] = [
            (of(&[], None, None, Some(20)), |n| n >= 20),
            (of(&both, None, None, None), |_| true),
            (of(&both, None, None, Some(31)), |n| n >= 31),
            (of(&both, Some("even"), None, None), |n| n % 2 == 0),
            (of(&both[..1], Some("even"), None, None), |n| n % 4 == 0),
            (of(&[MissionStatus::Running, MissionStatus::Ready], Some("even"), None, None), |_| false),
            (of(&[], Some("odd"), Some("common"), None), |n| n % 2 == 1),
            (of(&[], None, Some("rare"), None), |n| n % 5 == 0),
            (of(&both[..1], None, Some("common"), Some(10)), |n| n % 4 == 0 && n >= 10),
            (of(&[], Some("*"), None, Some(40)), |n| n == 40),
        ];
        for (filter, wanted) in asked {
            let mut page = PageRequest::first(3);
            let mut seen = Vec::new();
            loop {
                let got = read.mission_list(&filter, &page).await.unwrap();
                assert!(got.items.len() <= 3);
                seen.extend(got.items.iter().map(|row| row.id.to_bits() & 0xff));
                let Some(cursor) = got.next_cursor else { break };
                page.cursor = Some(cursor);
            }
            let wanted: Vec<u128> = (1..=40).rev().filter(|n| wanted(*n)).collect();
            assert_eq!(seen, wanted, "{filter:?}");
        }
    }
}

on_both! {
    async fn the_last_word_may_be_the_beginning_of_few_or_many(store: Store) {
        let goals: Vec<String> = (1..=60_u128)
            .map(|n| match n {
                0..=20 => "deploy the site".to_owned(),
                21..=23 => format!("Deployment of site {n}"),
                24 => "dépôt".to_owned(),
                _ => format!("many{n} sites"),
            })
            .collect();
        let missions: Vec<_> = (1..=60).map(|n| mission(n, vec![], &[])).collect();
        let documents: Vec<_> = missions.iter().zip(&goals).map(|(one, goal)| DocumentRow {
            kind: "mission".to_owned(), subject: one.mission.id.to_string(), mission: Some(one.mission.id),
            title: goal.clone(), body: String::new(), at: NOW,
        }).collect();
        insert(&store, missions).await;
        write(&store, move |tx| { let documents = documents.clone(); Box::pin(async move { tx.index_documents(&documents).await }) }).await.unwrap();
        let mut read = store.read().await.unwrap();
        for (q, found) in [("deploy", 23), ("deploym", 3), ("DEPLOY site", 20), ("site deploy", 23), ("many", 36), ("many4", 10),
            ("nothing", 0), ("site", 59), ("deploy many", 0), ("d\" OR \"m", 0), ("d", 24)]
        {
            let filter = MissionFilter { q: Some(q.to_owned()), ..MissionFilter::default() };
            let got = read.mission_list(&filter, &PageRequest::first(200)).await.unwrap();
            assert_eq!(got.items.len(), found, "{q}");
            assert!(got.items.is_sorted_by(|a, b| a.id > b.id), "{q}: newest first");
        }
    }
}

on_both! {
    async fn cursors_walk_a_list_once(store: Store) {
        insert(&store, (1..=25).map(|n| mission(n, vec![], &[])).collect()).await;
        let mut read = store.read().await.unwrap();
        let mut page = PageRequest::first(10);
        let mut seen = Vec::new();
        loop {
            let got = read.mission_list(&MissionFilter::default(), &page).await.unwrap();
            seen.extend(got.items.iter().map(|row| row.id.to_bits() >> 64));
            let Some(next) = got.next_cursor else { break };
            page.cursor = Some(next);
        }
        assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
    }
}

on_both! {
    async fn tasks_are_listed_in_plan_order_with_children_in_place(store: Store) {
        let mut tasks: Vec<_> = (0..4).map(|leaf| task(1, leaf)).collect();
        tasks[3].state = TaskStatus::Failed;
        for item in 0..3 {
            tasks.push(TaskRow { id: task_id(1, 100 + item), item_index: Some(item), parent: Some(task_id(1, 1)), spec: None, ..task(1, 1) });
        }
        insert(&store, vec![mission(1, tasks, &[]), mission(2, vec![task(2, 0)], &[])]).await;
        let mut read = store.read().await.unwrap();
        let mut page = PageRequest::first(2);
        let mut seen = Vec::new();
        loop {
            let got = read.task_list(mission_id(1), &TaskFilter::default(), &page).await.unwrap();
            seen.extend(got.items.iter().map(|row| (row.leaf_index, row.item_index)));
            let Some(next) = got.next_cursor else { break };
            page.cursor = Some(next);
        }
        assert_eq!(seen, [(0, None), (1, None), (1, Some(0)), (1, Some(1)), (1, Some(2)), (2, None), (3, None)]);
        let failed = TaskFilter { statuses: vec![TaskStatus::Failed], ..TaskFilter::default() };
        assert_eq!(read.task_list(mission_id(1), &failed, &PageRequest::first(0)).await.unwrap().items.len(), 1);
        let children = TaskFilter { parent: Some(task_id(1, 1)), ..TaskFilter::default() };
        assert_eq!(read.task_list(mission_id(1), &children, &PageRequest::first(0)).await.unwrap().items.len(), 3);
    }
}

on_both! {
    async fn what_is_due_is_found(store: Store) {
        let mut missions: Vec<_> = (1..=4).map(|n| mission(n, vec![], &[])).collect();
        missions[0].mission.start_at = Some(at(10));
        missions[1].mission.deadline = Some(at(20));
        missions[2].mission.decide_by = Some(at(30));
        missions[3].mission.deadline = Some(at(5));
        missions[3].mission.finished_at = Some(at(1));
        insert(&store, missions).await;
        let mut read = store.read().await.unwrap();
        let mut due = async |seconds| -> Vec<u128> {
            read.missions_due(at(seconds), 10).await.unwrap().iter().map(|one| one.id.to_bits() >> 64).collect()
        };
        assert_eq!(due(9).await, [0_u128; 0]);
        assert_eq!(due(20).await, [1, 2]);
        assert_eq!(due(30).await, [1, 2, 3]);
    }
}

on_both! {
    async fn search_ranks_narrows_and_forgets(store: Store) {
        let document = |kind: &str, subject: &str, title: &str, body: &str| DocumentRow {
            kind: kind.to_owned(), subject: subject.to_owned(), mission: Some(mission_id(1)),
            title: title.to_owned(), body: body.to_owned(), at: NOW,
        };
        let rows = shared(vec![
            document("artifact", "a", "report.csv", "numbers of the backup run"),
            document("mission", "b", "backup the photos", "all of them"),
            document("artifact", "c", "other.txt", "nothing of note"),
        ]);
        write(&store, move |tx| {
            let rows = rows.clone();
            Box::pin(async move {
                tx.index_documents(&rows).await?;
                // Replaced, not doubled.
                tx.index_documents(&rows[2..]).await
            })
        }).await.unwrap();
        let mut read = store.read().await.unwrap();
        let found = async |read: &mut Connection, text: &str, kind: Option<&str>| -> Vec<String> {
            read.search(text, kind, None, 10).await.unwrap().into_iter().map(|row| row.subject).collect()
        };
        assert_eq!(found(&mut read, "backup", None).await, ["b", "a"], "a title weighs more");
        assert_eq!(found(&mut read, "backup", Some("artifact")).await, ["a"]);
        assert_eq!(found(&mut read, "not", None).await, ["c"]);
        assert!(read.search("backup", None, Some(mission_id(2)), 10).await.unwrap().is_empty());
        drop(read);
        write(&store, |tx| Box::pin(async move { tx.delete_document("mission", "b").await })).await.unwrap();
        let mut read = store.read().await.unwrap();
        assert_eq!(found(&mut read, "backup", None).await, ["a"]);
    }
}

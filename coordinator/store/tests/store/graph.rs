//! Unlocking along the plan.

use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{LeafRef, StoreError, TaskRow, on_both};

use crate::fixtures::*;

fn leaf(mission: u128, leaf_index: u32) -> LeafRef {
    LeafRef { mission: mission_id(mission), leaf_index }
}

on_both! {
    async fn children_unlock_when_their_last_need_ends(store: Store) {
        // 0 → 2, 1 → 2, 1 → 3, 0 reads nothing; 4 reads 0 without waiting.
        let mut tasks: Vec<_> = (0..5).map(|leaf| task(1, leaf)).collect();
        tasks[2].needs_open = 2;
        tasks[3].needs_open = 1;
        let mut new = mission(1, tasks, &[(0, 2), (1, 2), (1, 3), (0, 4)]);
        new.edges[3].needed = false;
        insert(&store, vec![new]).await;
        let unlock = |leaves: Vec<LeafRef>| {
            let store = store.clone();
            async move {
                store.write_with("unlocking", leaves, |tx, leaves| Box::pin(async move { tx.unlock_children(leaves).await }))
                    .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            }
        };
        assert_eq!(unlock(vec![leaf(1, 0)]).await, []);
        assert_eq!(unlock(vec![leaf(1, 1)]).await, [task_id(1, 2), task_id(1, 3)]);
    }
}

on_both! {
    async fn a_fan_in_is_unlocked_once_by_racing_reports(store: Store) {
        let count = 60_u32;
        let mut tasks: Vec<_> = (0..=count).map(|leaf| task(1, leaf)).collect();
        tasks[count as usize].needs_open = count;
        let edges: Vec<_> = (0..count).map(|from| (from, count)).collect();
        insert(&store, vec![mission(1, tasks, &edges)]).await;
        let mut reports = tokio::task::JoinSet::new();
        for part in 0..12 {
            let store = store.clone();
            reports.spawn(async move {
                let leaves: Vec<_> = (part * 5..part * 5 + 5).map(|n| leaf(1, n)).collect();
                store.write_with("reporting", leaves, |tx, leaves| Box::pin(async move { tx.unlock_children(leaves).await }))
                    .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            });
        }
        let mut unlocked = Vec::new();
        while let Some(done) = reports.join_next().await {
            unlocked.extend(done.unwrap());
        }
        assert_eq!(unlocked, [task_id(1, count)]);
    }
}

on_both! {
    async fn a_decision_sees_leaves_needs_and_outputs(store: Store) {
        let mut tasks: Vec<_> = (0..3).map(|leaf| task(1, leaf)).collect();
        tasks[0].state = TaskStatus::Succeeded;
        tasks[0].outputs = Some("{\"lines\":3}".to_owned());
        tasks[0].agent = Some(agent_id(5));
        tasks[1].state = TaskStatus::Skipped;
        let child = TaskRow {
            id: task_id(1, 77), item_index: Some(0), parent: Some(task_id(1, 2)), spec: None,
            item: Some("\"x\"".to_owned()), ..task(1, 2)
        };
        tasks.push(child);
        let mut new = mission(1, tasks, &[(0, 2), (1, 2)]);
        new.edges[1].needed = false;
        insert(&store, vec![new]).await;
        let decisions = store.write("deciding", |tx| Box::pin(async move {
            tx.load_decision_context(&[task_id(1, 2), task_id(1, 77), task_id(1, 0)]).await
        })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(decisions.iter().map(|one| one.task.id).collect::<Vec<_>>(), [task_id(1, 0), task_id(1, 2), task_id(1, 77)]);
        assert!(decisions[0].sources.is_empty());
        for decision in &decisions[1..] {
            assert_eq!(decision.spec, task(1, 2).spec.unwrap());
            let mut sources: Vec<_> = decision.sources.iter()
                .map(|one| (one.key.as_str(), one.needed, one.state, one.outputs.as_deref(), one.agent)).collect();
            sources.sort();
            assert_eq!(sources, [
                ("t0", true, TaskStatus::Succeeded, Some("{\"lines\":3}"), Some(agent_id(5))),
                ("t1", false, TaskStatus::Skipped, None, None),
            ]);
        }
    }
}

on_both! {
    async fn a_for_each_counts_its_children(store: Store) {
        let mut parent = task(1, 0);
        parent.children_open = 3;
        let children: Vec<_> = (0..3).map(|item| TaskRow {
            id: task_id(1, 100 + item), item_index: Some(item), parent: Some(parent.id), spec: None,
            state: TaskStatus::Succeeded, outputs: Some(format!("{{\"n\":{item}}}")), ..task(1, 0)
        }).collect();
        insert(&store, vec![mission(1, vec![parent], &[])]).await;
        write(&store, move |tx| {
            let children = children.clone();
            Box::pin(async move { tx.insert_tasks(&children).await })
        }).await.unwrap();
        let ended = |count: u32| {
            let store = store.clone();
            async move {
                let rows = store.write("ending", move |tx| Box::pin(async move {
                    tx.children_ended(&[(task_id(1, 0), count)]).await
                })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
                rows[0].children_open
            }
        };
        assert_eq!(ended(2).await, 1);
        assert_eq!(ended(1).await, 0);
        let mut read = store.read().await.unwrap();
        let outcomes = read.children_outcomes(task_id(1, 0)).await.unwrap();
        assert_eq!(outcomes.iter().map(|one| one.item_index).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(read.leaves(mission_id(1)).await.unwrap().len(), 1, "children are no leaves");
    }
}

on_both! {
    async fn a_plan_is_replaced_whole(store: Store) {
        insert(&store, vec![mission(1, (0..3).map(|leaf| task(1, leaf)).collect(), &[(0, 1), (1, 2)])]).await;
        write(&store, |tx| Box::pin(async move {
            let new = mission(1, vec![task(1, 0)], &[]);
            let plan = nexusmon_store::PlanRow { revision: 2, ..new.plan.unwrap() };
            tx.replace_plan(mission_id(1), &plan, &new.tasks, &[]).await?;
            let change = nexusmon_store::MissionChange { plan_revision: 2, ..new.mission.change() };
            tx.change_mission(mission_id(1), &change, Some(1)).await
        })).await.unwrap();
        let mut read = store.read().await.unwrap();
        let row = read.mission(mission_id(1)).await.unwrap().unwrap();
        assert_eq!((row.plan_revision, row.tasks_total, row.tasks_open), (2, 1, 1));
        assert!(read.edges(mission_id(1)).await.unwrap().is_empty());
        assert_eq!(read.plan(mission_id(1)).await.unwrap().unwrap().revision, 2);
        assert_eq!(read.plans(mission_id(1)).await.unwrap().len(), 2);
        assert!(read.task(task_id(1, 2)).await.unwrap().is_none());
    }
}

on_both! {
    async fn a_hundred_thousand_tasks_fit_one_mission(store: Store) {
        let count = 100_000_u32;
        let tasks = (0..count).map(|leaf| TaskRow { needs_open: u32::from(leaf > 0), ..task(1, leaf) }).collect();
        let edges: Vec<_> = (1..count).map(|to| (to - 1, to)).collect();
        insert(&store, vec![mission(1, tasks, &edges)]).await;
        let unlocked = store.write("unlocking", move |tx| Box::pin(async move {
            tx.unlock_children(&[leaf(1, count - 2)]).await
        })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(unlocked, [task_id(1, count - 1)]);
        let counts = store.read().await.unwrap().task_counts(mission_id(1)).await.unwrap();
        assert_eq!(counts[0].count, i64::from(count));
    }
}

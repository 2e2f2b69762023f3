//! From ready to leased to settled, with everybody racing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexusmon_shared::attempt::Lease;
use nexusmon_shared::id::JournalId;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::task::{Task, TaskState, TaskStatus};
use nexusmon_store::{AttemptRow, Halt, Json, Renewal, StartedRow, Store, StoreError, TaskRow, on_both};

use crate::fixtures::*;

/// Claims up to `limit` tasks of a class for an agent, as dispatch does.
async fn claim(
    store: &Store,
    class: nexusmon_store::ClassId,
    agent: u128,
    session: u64,
    limit: u32,
) -> Result<Vec<nexusmon_store::GrantedTask>, StoreError> {
    store
        .write("claiming", move |tx| {
            Box::pin(async move {
                let found = tx.claim_candidates(&[(class, limit)]).await?;
                let rows: Vec<_> = found.iter().map(|task| grant_row(task, agent, session)).collect();
                tx.grant(&rows, found).await
            })
        })
        .await
}

on_both! {
    async fn each_task_is_claimed_exactly_once(store: Store) {
        organism(&store).await;
        let class = class(&store, "{}").await;
        insert(&store, vec![ready_mission(1, 150, class), ready_mission(2, 150, class)]).await;
        let mut sessions = Vec::new();
        for agent in 1..=6 {
            sessions.push((agent, enrol(&store, agent).await));
        }
        let mut claimers = tokio::task::JoinSet::new();
        for (agent, session) in sessions {
            let store = store.clone();
            claimers.spawn(async move {
                let mut got = Vec::new();
                loop {
                    let granted = claim(&store, class, agent, session, 7).await.unwrap();
                    if granted.is_empty() {
                        let left = store.read().await.unwrap().ready_classes().await.unwrap();
                        if left.is_empty() { return got; }
                        tokio::task::yield_now().await;
                    }
                    got.extend(granted.into_iter().map(|granted| granted.task.id));
                }
            });
        }
        let mut seen = BTreeSet::new();
        while let Some(done) = claimers.join_next().await {
            for task in done.unwrap() {
                assert!(seen.insert(task), "{task} was granted twice");
            }
        }
        assert_eq!(seen.len(), 300);
        let mut read = store.read().await.unwrap();
        for task in read.tasks(&seen.into_iter().collect::<Vec<_>>()).await.unwrap() {
            assert_eq!((task.state, task.attempt, task.fence_number), (TaskStatus::Leased, 1, 1));
        }
        assert_eq!(read.live_leases(None, 1_000).await.unwrap().len(), 300);
    }
}

on_both! {
    async fn candidates_come_by_priority_then_tag_then_age(store: Store) {
        let class = class(&store, "{}").await;
        let mut tasks: Vec<_> = (0..5).map(|leaf| ready(1, leaf, class)).collect();
        tasks[4].priority = 9;
        tasks[0].tag = 50;
        tasks[1].held = true;
        tasks[2].state = TaskStatus::Pending;
        insert(&store, vec![mission(1, tasks, &[])]).await;
        let found = store.write("claiming", move |tx| Box::pin(async move {
            tx.claim_candidates(&[(class, 10)]).await
        })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(found.iter().map(|task| task.leaf_index).collect::<Vec<_>>(), [4, 3, 0]);
    }
}

on_both! {
    async fn a_grant_holds_only_while_its_conditions_do(store: Store) {
        organism(&store).await;
        let class = class(&store, "{}").await;
        insert(&store, vec![ready_mission(1, 3, class)]).await;
        let old = enrol(&store, 1).await;
        let new = store.write("opening", |tx| Box::pin(async move {
            tx.open_session(agent_id(1), "node-1", JournalId::from_bits(1), NOW).await
        })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((new.session, new.previous.unwrap().session), (old + 1, old));
        assert!(claim(&store, class, 1, old, 3).await.unwrap().is_empty(), "an old session number");
        write(&store, |tx| Box::pin(async move { tx.set_halt(Halt::Halt).await })).await.unwrap();
        assert!(claim(&store, class, 1, new.session, 3).await.unwrap().is_empty(), "halted");
        write(&store, |tx| Box::pin(async move { tx.set_halt(Halt::None).await })).await.unwrap();
        write(&store, |tx| Box::pin(async move { tx.set_held(mission_id(1), true).await.map(drop) })).await.unwrap();
        assert!(claim(&store, class, 1, new.session, 3).await.unwrap().is_empty(), "held");
        write(&store, |tx| Box::pin(async move { tx.set_held(mission_id(1), false).await.map(drop) })).await.unwrap();
        let granted = claim(&store, class, 1, new.session, 2).await.unwrap();
        assert_eq!(granted.len(), 2);
        assert_eq!(granted[0].plan_digest, mission(1, vec![], &[]).mission.plan_digest.unwrap());
        assert_eq!(granted[0].tasks_in_plan, 3);
        assert_eq!(granted[0].spec, task(1, 0).spec.unwrap());
        assert_eq!(granted[0].traceparent.as_deref(), Some("00-trace"));
        let closed = store.write("closing", move |tx| Box::pin(async move {
            tx.close_session(agent_id(1), new.session, NOW).await
        })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert!(closed);
        assert!(claim(&store, class, 1, new.session, 3).await.unwrap().is_empty(), "the stream is gone");
        assert_eq!(store.read().await.unwrap().leases_of(agent_id(1)).await.unwrap().len(), 2);
    }
}

on_both! {
    async fn a_hello_and_a_grant_never_pass_each_other(store: Store) {
        organism(&store).await;
        let class = class(&store, "{}").await;
        insert(&store, vec![ready_mission(1, 200, class)]).await;
        let first = enrol(&store, 1).await;
        let mut claiming = tokio::task::JoinSet::new();
        let claimer = store.clone();
        claiming.spawn(async move {
            let mut granted = 0;
            loop {
                let got = claim(&claimer, class, 1, first, 5).await.unwrap().len();
                if got == 0 { return granted; }
                granted += got;
            }
        });
        let seen = store.write("opening", |tx| Box::pin(async move {
            tx.open_session(agent_id(1), "node-1", JournalId::from_bits(1), NOW).await?;
            Ok::<_, StoreError>(tx.leases_of(agent_id(1)).await?.len())
        })).await.unwrap();
        let granted: usize = claiming.join_next().await.unwrap().unwrap();
        assert_eq!(granted, seen, "what the Hello saw is all that session ever got");
    }
}

on_both! {
    async fn limits_hold_under_racing_claimers(store: Store) {
        organism(&store).await;
        let class = class(&store, "{}").await;
        let limits = Json(BTreeMap::from([("nas".to_owned(), 5), ("disk".to_owned(), 100)]));
        let tasks = (0..40).map(|leaf| TaskRow { limits: Some(limits.clone()), ..ready(1, leaf, class) }).collect();
        insert(&store, vec![mission(1, tasks, &[])]).await;
        let mut claimers = tokio::task::JoinSet::new();
        for agent in 1..=6 {
            let session = enrol(&store, agent).await;
            let store = store.clone();
            claimers.spawn(async move {
                let mut got = Vec::new();
                for _ in 0..4 {
                    let granted = store.write("claiming", move |tx| Box::pin(async move {
                        let keys = BTreeSet::from(["nas".to_owned(), "disk".to_owned()]);
                        let uses = tx.lock_limits(&keys).await?;
                        let nas = uses.iter().find(|one| one.key == "nas").unwrap();
                        assert!(nas.live == 0 || nas.maximum == Some(5));
                        let free = u32::try_from(5 - nas.live).unwrap().min(2);
                        let found = tx.claim_candidates(&[(class, free)]).await?;
                        let rows: Vec<_> = found.iter().map(|task| grant_row(task, agent, session)).collect();
                        tx.grant(&rows, found).await
                    })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
                    got.extend(granted.into_iter().map(|granted| granted.task.id));
                }
                got
            });
        }
        let mut got = Vec::new();
        while let Some(done) = claimers.join_next().await {
            got.extend(done.unwrap());
        }
        assert_eq!(got.len(), 5);
        let freed = shared(got[..2].to_vec());
        write(&store, move |tx| {
            let freed = freed.clone();
            Box::pin(async move {
                tx.release_limits(&freed).await?;
                let uses = tx.lock_limits(&BTreeSet::from(["nas".to_owned()])).await?;
                assert_eq!((uses[0].live, uses[0].maximum), (3, Some(5)));
                Ok(())
            })
        }).await.unwrap();
    }
}

on_both! {
    async fn every_state_lies_in_the_columns_and_comes_back(store: Store) {
        insert(&store, vec![mission(1, (0..11).map(|leaf| task(1, leaf)).collect(), &[])]).await;
        let lease = Lease {
            attempt: 3, agent: agent_id(1), session: 4,
            fence: nexusmon_shared::attempt::Fence { epoch: 1, number: 9 }, offline_until: Some(at(9)),
        };
        let outputs = serde_json::json!({"lines": 3, "odd": "\u{0} \" é"}).as_object().unwrap().clone();
        let states = [
            TaskState::Pending, TaskState::Gated, TaskState::Ready, TaskState::Leased { lease },
            TaskState::Running { lease, since: at(2) }, TaskState::Backoff { until: at(5), cause: Cause::Timeout },
            TaskState::Uncertain { lease, since: at(3) }, TaskState::Succeeded { outputs },
            TaskState::Failed { cause: Cause::ExitStatus { code: 2 } },
            TaskState::Skipped { reason: nexusmon_shared::task::SkipReason::NeedFailed },
            TaskState::Cancelled { effect_unknown: true },
        ];
        let states = states.map(|state| Task { state, fence: lease.fence, attempts: 3, retries: 2 });
        let wanted = shared(states);
        let giving = wanted.clone();
        write(&store, move |tx| {
            let giving = giving.clone();
            Box::pin(async move {
                let ids: Vec<_> = (0..11).map(|leaf| task_id(1, leaf)).collect();
                let mut rows = tx.lock_tasks(&ids).await?;
                for (row, state) in rows.iter_mut().zip(giving.iter()) {
                    row.put(state, at(6));
                }
                tx.update_tasks(&rows.iter().map(Into::into).collect::<Vec<_>>()).await
            })
        }).await.unwrap();
        let mut read = store.read().await.unwrap();
        for (leaf, wanted) in wanted.iter().enumerate() {
            let row = read.task(task_id(1, u32::try_from(leaf).unwrap())).await.unwrap().unwrap();
            assert_eq!(&row.task().unwrap(), wanted);
            assert_eq!(row.finished_at.is_some(), row.state.is_terminal());
        }
    }
}

on_both! {
    async fn settling_moves_a_batch_and_keeps_earlier_attempts(store: Store) {
        organism(&store).await;
        let class = class(&store, "{}").await;
        insert(&store, vec![ready_mission(1, 4, class)]).await;
        let session = enrol(&store, 1).await;
        let granted = shared(claim(&store, class, 1, session, 4).await.unwrap());
        let started = granted.clone();
        write(&store, move |tx| {
            let started = started.clone();
            Box::pin(async move {
                let rows: Vec<_> = started.iter().enumerate().map(|(place, one)| StartedRow {
                    id: one.task.id, fence_epoch: 1, fence_number: if place == 0 { 99 } else { 1 }, at: at(1),
                }).collect();
                let held = tx.mark_running(&rows).await?;
                assert_eq!(held.len(), 3, "a stale fence starts nothing");
                Ok(())
            })
        }).await.unwrap();
        write(&store, move |tx| {
            let granted = granted.clone();
            Box::pin(async move {
                let ids: Vec<_> = granted.iter().rev().map(|one| one.task.id).collect();
                let mut rows = tx.load_for_report(&ids).await?;
                assert!(rows.is_sorted_by_key(|row| row.id));
                let failed = AttemptRow::of(&rows[3], "failed", Some(Cause::Timeout), at(2)).unwrap();
                tx.insert_attempts(&[failed.clone(), failed]).await?;
                for row in &mut rows {
                    let mut task = row.task()?;
                    task.state = TaskState::Succeeded { outputs: serde_json::Map::new() };
                    row.put(&task, at(3));
                }
                tx.settle(&rows.iter().map(Into::into).collect::<Vec<_>>()).await
            })
        }).await.unwrap();
        let mut read = store.read().await.unwrap();
        for leaf in 0..4 {
            let row = read.task(task_id(1, leaf)).await.unwrap().unwrap();
            assert_eq!((row.state, row.finished_at, row.agent), (TaskStatus::Succeeded, Some(at(3)), Some(agent_id(1))));
        }
        let attempts = read.attempts(task_id(1, 3)).await.unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].cause, Some(Json(Cause::Timeout)));
        assert!(read.leases_of(agent_id(1)).await.unwrap().is_empty());
    }
}

on_both! {
    async fn sessions_are_renewed_in_a_batch_and_grow_stale(store: Store) {
        organism(&store).await;
        let class = class(&store, "{}").await;
        insert(&store, vec![ready_mission(1, 1, class)]).await;
        let (one, two) = (enrol(&store, 1).await, enrol(&store, 2).await);
        claim(&store, class, 1, one, 1).await.unwrap();
        let renewed = store.write("renewing", move |tx| Box::pin(async move {
            tx.renew_sessions(&[
                Renewal { agent: agent_id(2), session: two, heartbeat: 5, at: at(10) },
                Renewal { agent: agent_id(1), session: one + 1, heartbeat: 5, at: at(10) },
            ]).await
        })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(renewed, [agent_id(2)]);
        let mut read = store.read().await.unwrap();
        assert!(read.stale_sessions(NOW, 10).await.unwrap().is_empty());
        // Agent 2 holds nothing, so its silence would end nothing.
        let stale = read.stale_sessions(at(100), 10).await.unwrap();
        assert_eq!(stale.iter().map(|row| (row.agent, row.heartbeat)).collect::<Vec<_>>(), [(agent_id(1), 0)]);
        drop(read);
        let closed = store.write("closing", |tx| Box::pin(async move { tx.close_sessions_of("node-1", NOW).await }))
            .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(closed, 2);
    }
}

on_both! {
    async fn backoffs_come_due_once(store: Store) {
        let mut tasks: Vec<_> = (0..3).map(|leaf| task(1, leaf)).collect();
        for (row, due) in tasks.iter_mut().zip([30, 10, 20]) {
            row.state = TaskStatus::Backoff;
            row.not_before = Some(at(due));
            row.cause = Some(Json(Cause::LostAgent));
        }
        insert(&store, vec![mission(1, tasks, &[])]).await;
        assert_eq!(store.read().await.unwrap().next_backoff().await.unwrap(), Some(at(10)));
        let due = store.write("timing", |tx| Box::pin(async move { tx.backoff_due(at(20), 10).await }))
            .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(due.iter().map(|row| row.leaf_index).collect::<Vec<_>>(), [1, 2]);
    }
}

on_both! {
    async fn classes_are_interned_once_by_all(store: Store) {
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let store = store.clone();
            racers.spawn(async move {
                let keys: Arc<BTreeSet<String>> = Arc::new((n..n + 4).map(|k| format!("{{\"k\":{k}}}")).collect());
                store.write("interning", move |tx| {
                    let keys = keys.clone();
                    Box::pin(async move { tx.intern_classes(&keys).await })
                }).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            });
        }
        let mut all = BTreeMap::new();
        while let Some(done) = racers.join_next().await {
            let rows = done.unwrap();
            assert_eq!(rows.len(), 4);
            for row in rows {
                assert_eq!(*all.entry(row.key.clone()).or_insert(row.id), row.id);
            }
        }
        let numbers: BTreeSet<_> = all.values().collect();
        assert_eq!((all.len(), numbers.len()), (11, 11));
        assert_eq!(store.read().await.unwrap().classes().await.unwrap().len(), 11);
    }
}

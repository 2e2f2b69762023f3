//! The quieter tables.

use std::collections::BTreeMap;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, InviteId, OrganismId, PredictionId, PrincipalId, ReviewId, SessionId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_store::{
    AgentFilter, ApprovalFilter, ApprovalRow, ApprovalState, ApprovalSubject, BarRow, CauseCount, ClassId,
    DecisionRow, DecisionVerdict, FlagRow, IdempotencyRow, InviteRow, Json, KeyRow, LoginKind,
    LoginSessionRow, NewLedgerRow, PageRequest, PredictionRow, PrincipalKind, PrincipalRow, ReviewRow,
    ReviewState, Role, Score, ShapeRecord, StoreError, TrustCount, on_both,
};

use crate::fixtures::*;

on_both! {
    async fn an_invite_is_used_once_by_ten_racers(store: Store) {
        let invite = |n: u128, expires| InviteRow {
            id: InviteId::from_bits(n), name: "nas".to_owned(), labels: Json(BTreeMap::new()), max_rank: Rank::C,
            key_wrapped: "k".to_owned(), created_by: principal(), created_at: NOW, expires_at: expires, used_at: None,
            used_by: None, revoked_at: None,
        };
        let rows = shared([invite(1, at(60)), invite(2, NOW)]);
        write(&store, move |tx| {
            let rows = rows.clone();
            Box::pin(async move { for row in rows.iter() { tx.insert_invite(row).await?; } Ok(()) })
        }).await.unwrap();
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..10 {
            let store = store.clone();
            racers.spawn(async move {
                store.write("joining", move |tx| Box::pin(async move {
                    tx.consume_invite(InviteId::from_bits(1), agent_id(n), at(1)).await
                })).await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            });
        }
        let mut winners = 0;
        while let Some(done) = racers.join_next().await {
            winners += u32::from(done.unwrap().is_some());
        }
        assert_eq!(winners, 1);
        let late = store.write("joining", |tx| Box::pin(async move {
            let late = tx.consume_invite(InviteId::from_bits(2), agent_id(1), at(1)).await?;
            assert!(!tx.revoke_invite(InviteId::from_bits(1), at(2)).await?, "used ones cannot be revoked");
            Ok::<_, StoreError>(late)
        })).await.unwrap();
        assert!(late.is_none(), "expired");
        assert_eq!(store.read().await.unwrap().invite_list(&PageRequest::first(0)).await.unwrap().items.len(), 2);
    }
}

on_both! {
    async fn the_organism_is_made_once(store: Store) {
        let mut racers = tokio::task::JoinSet::new();
        for n in 1..=4 {
            let store = store.clone();
            racers.spawn(async move {
                store.write("starting", move |tx| Box::pin(async move { tx.init_organism(OrganismId::from_bits(n), NOW).await }))
                    .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
            });
        }
        let first = racers.join_next().await.unwrap().unwrap();
        while let Some(done) = racers.join_next().await {
            assert_eq!(done.unwrap(), first);
        }
        let epoch = store.write("restoring", |tx| Box::pin(async move { tx.raise_epoch().await }))
            .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(epoch, 2);
        write(&store, |tx| Box::pin(async move {
            let key = |wrapped: &str| KeyRow { name: "ca".to_owned(), wrapped: wrapped.to_owned(), public: None, created_at: NOW };
            assert_eq!(tx.put_key_once(&key("one")).await?.wrapped, "one");
            assert_eq!(tx.put_key_once(&key("two")).await?.wrapped, "one");
            tx.put_setting("retention", "{}", NOW).await?;
            tx.put_setting("retention", "{\"log\":1}", at(1)).await?;
            let setting = tx.setting("retention").await?.unwrap();
            assert_eq!((setting.value.as_str(), setting.version), ("{\"log\":1}", 2));
            Ok(())
        })).await.unwrap();
    }
}

on_both! {
    async fn people_and_their_sessions(store: Store) {
        let person = |n: u128, name: &str, role| PrincipalRow {
            id: PrincipalId::from_bits(n), kind: PrincipalKind::Person, name: name.to_owned(), role,
            secret_hash: Some(format!("h{n}")), rank_ceiling: None, created_by: None, created_at: NOW, expires_at: None,
            revoked_at: None, version: 1,
        };
        let rows = shared([person(1, "owner", Role::Owner), person(2, "eve", Role::Viewer)]);
        write(&store, move |tx| {
            let rows = rows.clone();
            Box::pin(async move { for row in rows.iter() { tx.insert_principal(row).await?; } Ok(()) })
        }).await.unwrap();
        let taken = write(&store, move |tx| Box::pin(async move { tx.insert_principal(&person(3, "eve", Role::Viewer)).await })).await;
        assert!(matches!(&taken, Err(StoreError::Unique { constraint }) if constraint == "principals(name)"), "{taken:?}");
        let mut read = store.read().await.unwrap();
        assert_eq!(read.owner().await.unwrap().unwrap().name, "owner");
        let eve = shared(read.principal_named("eve").await.unwrap().unwrap());
        assert_eq!(read.principal_with_secret("h2").await.unwrap().unwrap(), *eve);
        assert_eq!(read.persons_with(&[Role::Owner, Role::Approver]).await.unwrap().len(), 1);
        drop(read);
        for good in [true, false] {
            let eve = eve.clone();
            let done = write(&store, move |tx| {
                let eve = eve.clone();
                Box::pin(async move { tx.update_principal(&PrincipalRow { revoked_at: Some(at(1)), ..(*eve).clone() }).await })
            }).await;
            assert_eq!(done.is_ok(), good, "{done:?}");
        }
        write(&store, |tx| Box::pin(async move {
            let session = LoginSessionRow {
                proved_at: None,
                id: SessionId::from_bits(1), principal: PrincipalId::from_bits(1), kind: LoginKind::Browser,
                hash: Some("s".to_owned()), client: None, created_at: NOW, last_seen_at: NOW, expires_at: at(60), revoked_at: None,
            };
            tx.insert_login_session(&session).await?;
            tx.touch_login_sessions(&[session.id], at(5)).await?;
            assert_eq!(tx.login_session_with("s").await?.unwrap().last_seen_at, at(5));
            assert!(tx.revoke_login_session(session.id, at(6)).await?);
            assert!(!tx.revoke_login_session(session.id, at(7)).await?);
            assert_eq!(tx.login_session(session.id).await?.unwrap().revoked_at, Some(at(6)));
            assert_eq!(tx.delete_login_sessions(at(61)).await?, 1);
            Ok(())
        })).await.unwrap();
    }
}

on_both! {
    async fn idempotency_keys_answer_once(store: Store) {
        let row = |response: &str, created| IdempotencyRow {
            principal: principal(), route: "POST /v1/engine/missions".to_owned(), key: "k".to_owned(),
            body_digest: Digest::of(b"body"), status: 201, response: response.to_owned(), created_at: created, expires_at: at(100),
        };
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..6 {
            let store = store.clone();
            let row = shared(row(&n.to_string(), NOW));
            racers.spawn(async move {
                write(&store, move |tx| {
                    let row = row.clone();
                    Box::pin(async move {
                        tx.insert_missions(&[mission(10 + n, vec![], &[])]).await?;
                        tx.remember(std::slice::from_ref(&row)).await
                    })
                }).await
            });
        }
        let mut good = 0;
        while let Some(done) = racers.join_next().await {
            match done.unwrap() {
                Ok(()) => good += 1,
                Err(StoreError::Unique { constraint }) => assert_eq!(constraint, "idempotency(principal, route, key)"),
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(good, 1);
        let mut read = store.read().await.unwrap();
        let kept = read.idempotent(principal(), "POST /v1/engine/missions", "k", at(1)).await.unwrap().unwrap();
        let made = read.mission_counts().await.unwrap();
        assert_eq!(made.iter().map(|one| one.count).sum::<i64>(), 1, "{}", kept.response);
        assert!(read.idempotent(principal(), "POST /v1/engine/missions", "k", at(100)).await.unwrap().is_none());
        drop(read);
        let later = shared(IdempotencyRow { expires_at: at(900), ..row("later", at(101)) });
        write(&store, move |tx| {
            let later = later.clone();
            Box::pin(async move { tx.remember(std::slice::from_ref(&later)).await })
        }).await.unwrap();
        assert_eq!(store.write("sweeping", |tx| Box::pin(async move { tx.delete_expired_idempotency(at(900)).await }))
            .await.unwrap_or_else(|error: StoreError| panic!("{error:?}")), 1);
    }
}

on_both! {
    async fn a_singleton_has_one_holder_and_a_growing_epoch(store: Store) {
        write(&store, |tx| Box::pin(async move {
            assert_eq!(tx.hold_singleton("ledger", "a", at(0), at(10)).await?, Some(1));
            assert_eq!(tx.hold_singleton("ledger", "b", at(5), at(15)).await?, None);
            assert_eq!(tx.hold_singleton("ledger", "a", at(5), at(15)).await?, Some(1), "renewed");
            assert_eq!(tx.hold_singleton("ledger", "b", at(15), at(25)).await?, Some(2), "taken over");
            assert!(!tx.check_singleton("ledger", "a", 1).await?);
            assert!(tx.check_singleton("ledger", "b", 2).await?);
            tx.release_singleton("ledger", "b").await?;
            assert_eq!(tx.hold_singleton("ledger", "a", at(16), at(26)).await?, Some(3));
            Ok(())
        })).await.unwrap();
    }
}

on_both! {
    async fn approvals_are_decided_once_each_and_end_once(store: Store) {
        let approval = |n: u128| ApprovalRow {
            id: ApprovalId::from_bits(n), subject_kind: ApprovalSubject::MissionPlan, subject: mission_id(n).to_string(),
            mission: Some(mission_id(n)), digest: Digest::of(b"plan"), rank: Rank::A, needed: 1,
            author: Json(Author::Person(principal())), state: ApprovalState::Pending, policies: Json(vec!["rank-a".to_owned()]),
            created_at: NOW, decide_by: at(60), decided_at: None, version: 1,
            valid_until: None,
 body: None,
        };
        let rows = shared(vec![approval(1), approval(2)]);
        write(&store, move |tx| {
            let rows = rows.clone();
            Box::pin(async move { tx.insert_approvals(&rows).await })
        }).await.unwrap();
        let decision = || DecisionRow {
            approval: ApprovalId::from_bits(1), principal: principal(), verdict: DecisionVerdict::Approve,
            comment: Some("read it".to_owned()), method: "server".to_owned(), signature: None, at: at(5),
        };
        write(&store, move |tx| Box::pin(async move {
            tx.insert_decision(&decision()).await?;
            assert!(tx.end_approval(ApprovalId::from_bits(1), ApprovalState::Approved, at(5)).await?);
            assert!(!tx.end_approval(ApprovalId::from_bits(1), ApprovalState::Rejected, at(6)).await?);
            Ok(())
        })).await.unwrap();
        let twice = write(&store, move |tx| Box::pin(async move { tx.insert_decision(&decision()).await })).await;
        assert!(matches!(twice, Err(StoreError::Unique { .. })), "{twice:?}");
        let mut read = store.read().await.unwrap();
        assert_eq!(read.decisions(ApprovalId::from_bits(1)).await.unwrap().len(), 1);
        assert_eq!(read.approval_attention().await.unwrap(), (1, Some(5.0), 1));
        assert_eq!(read.approvals_due(at(60), 10).await.unwrap().len(), 1);
        let pending = ApprovalFilter { states: vec![ApprovalState::Pending], mission: None };
        assert_eq!(read.approval_list(&pending, &PageRequest::first(0)).await.unwrap().items[0].id, ApprovalId::from_bits(2));
        assert_eq!(read.pending_approvals_of(&[mission_id(1), mission_id(2)]).await.unwrap().len(), 1);
        drop(read);
        let voided = store.write("voiding", |tx| Box::pin(async move { tx.void_approvals(mission_id(1), at(9)).await }))
            .await.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(voided, 1);
        assert_eq!(store.read().await.unwrap().approvals_of(mission_id(1)).await.unwrap()[0].state, ApprovalState::Void);
    }
}

on_both! {
    async fn reviews_cover_their_shape(store: Store) {
        let shape = Digest::of(b"shape");
        let open = shared(ReviewRow {
            id: ReviewId::from_bits(1), mission: mission_id(1), shape: Some(shape), rank: Rank::C, state: ReviewState::Open,
            policies: Json(vec![]), created_at: NOW, decided_at: None, decided_by: None, comment: None, version: 1,
        });
        write(&store, move |tx| {
            let open = open.clone();
            Box::pin(async move {
                tx.insert_reviews(std::slice::from_ref(&open)).await?;
                assert_eq!(tx.open_review_count().await?, 1);
                assert!(tx.covering_review(shape, NOW).await?.is_none());
                tx.update_review(&ReviewRow {
                    state: ReviewState::Accepted, decided_at: Some(at(9)), decided_by: Some(principal()), ..(*open).clone()
                }).await?;
                assert!(tx.covering_review(shape, at(10)).await?.is_none(), "too old");
                assert_eq!(tx.covering_review(shape, at(9)).await?.unwrap().version, 2);
                Ok(())
            })
        }).await.unwrap();
        assert_eq!(store.read().await.unwrap().review_of(mission_id(1)).await.unwrap().unwrap().state, ReviewState::Accepted);
    }
}

on_both! {
    async fn the_ledger_counts_a_mission_once(store: Store) {
        let row = |n: u128, xp| NewLedgerRow {
            kind: "verified".to_owned(), subject: mission_id(n).to_string(), mission: Some(mission_id(n)), rank: Some(Rank::E),
            xp, fingerprint: Some(Digest::of(b"f")), day: 3, at: NOW, body: "{}".to_owned(),
        };
        write(&store, move |tx| Box::pin(async move {
            assert_eq!(tx.append_ledger(&[row(1, 10), row(2, 25)]).await?, 2);
            assert_eq!(tx.append_ledger(&[row(1, 10), row(3, 50)]).await?, 1);
            assert!(tx.counted_on(Digest::of(b"f"), 3).await?);
            assert!(!tx.counted_on(Digest::of(b"f"), 4).await?);
            let rows = tx.ledger_after(0, 10).await?;
            assert_eq!(rows.iter().map(|row| row.xp).collect::<Vec<_>>(), [10, 25, 50]);
            assert!(rows.is_sorted_by_key(|row| row.number));
            Ok(())
        })).await.unwrap();
    }
}

on_both! {
    async fn what_was_learned_adds_up(store: Store) {
        write(&store, |tx| Box::pin(async move {
            let prediction = PredictionRow {
                id: PredictionId::from_bits(1), mission: mission_id(1), plan_revision: 1, rank: Rank::E, probability: 0.75,
                duration_ms: 1_500, evidence: "{}".to_owned(), made_at: NOW, succeeded: None, actual_ms: None, scored_at: None,
            };
            tx.insert_predictions(std::slice::from_ref(&prediction)).await?;
            let score = || Score { mission: mission_id(1), succeeded: true, actual_ms: 1_000, scored_at: at(2) };
            assert_eq!(tx.score_predictions(&[score()]).await?, 1);
            assert_eq!(tx.score_predictions(&[score()]).await?, 0, "once");
            let scored = tx.scored_predictions(NOW, 10).await?;
            assert_eq!(scored, [PredictionRow { succeeded: Some(true), actual_ms: Some(1_000), scored_at: Some(at(2)), ..prediction }]);
            let shape = || ShapeRecord { shape: Digest::of(b"s"), runs: 1, successes: 1, duration_ms_sum: 10, updated_at: NOW };
            tx.add_shape_records(&[shape(), shape()]).await?;
            tx.add_shape_records(&[ShapeRecord { successes: 0, ..shape() }]).await?;
            assert_eq!(tx.shape_totals().await?, (3, 2, 30));
            assert_eq!(tx.shape_record(Digest::of(b"s")).await?.unwrap().runs, 3);
            let cause = || CauseCount { day: 1, cause: "timeout".to_owned(), capability: "shell.run".parse().unwrap(), count: 2 };
            tx.add_causes(&[cause(), cause()]).await?;
            assert_eq!(tx.cause_counts(1).await?[0].count, 4);
            let trust = || TrustCount { capability: "shell.run".parse().unwrap(), plugin_version: "1".to_owned(), agent: agent_id(1), successes: 1, failures: 2, timed: 1, duration_ms_sum: 500 };
            tx.add_trust(&[trust(), trust()]).await?;
            tx.add_trust(&[trust()]).await?;
            let counts = tx.trust_counts().await?;
            assert_eq!((counts[0].successes, counts[0].failures), (3, 6));
            assert_eq!((counts[0].timed, counts[0].duration_ms_sum), (3, 1_500));
            // An agent that says it took for ever is believed a year, and a hundred durations count for half.
            let many = TrustCount { timed: 97, duration_ms_sum: i64::MAX, ..trust() };
            tx.add_trust(&[many]).await?;
            tx.add_trust(&[trust()]).await?;
            let counts = tx.trust_counts().await?;
            let year = 365 * 24 * 3600 * 1_000;
            assert_eq!((counts[0].successes, counts[0].timed), (5, 51));
            assert_eq!(counts[0].duration_ms_sum, i64::midpoint(97 * year, 1_500) + 500);
            Ok(())
        })).await.unwrap();
    }
}

on_both! {
    async fn only_the_newest_plan_of_a_mission_is_scored(store: Store) {
        write(&store, |tx| Box::pin(async move {
            let prediction = |number, plan_revision, probability| PredictionRow {
                id: PredictionId::from_bits(number), mission: mission_id(1), plan_revision, rank: Rank::E, probability,
                duration_ms: 1_500, evidence: "{}".to_owned(), made_at: NOW, succeeded: None, actual_ms: None, scored_at: None,
            };
            tx.insert_predictions(&[prediction(1, 1, 0.95), prediction(2, 2, 0.5)]).await?;
            let score = Score { mission: mission_id(1), succeeded: false, actual_ms: 1_000, scored_at: at(2) };
            assert_eq!(tx.score_predictions(&[score]).await?, 1);
            let scored = tx.scored_predictions(NOW, 10).await?;
            assert_eq!(scored.iter().map(|row| row.plan_revision).collect::<Vec<_>>(), [2], "the first one never ran");
            Ok(())
        })).await.unwrap();
    }
}

on_both! {
    async fn agents_bars_and_flags(store: Store) {
        enrol(&store, 1).await;
        write(&store, |tx| Box::pin(async move {
            let stored = tx.lock_agent(agent_id(1)).await?.unwrap();
            assert_eq!(stored, agent(1));
            assert_eq!(tx.raise_join_counter(agent_id(1), 1, at(60)).await?, Some(2));
            assert_eq!(tx.raise_join_counter(agent_id(1), 1, at(60)).await?, None, "a clone");
            let bar = BarRow { agent: agent_id(1), class: ClassId(4), reason: "rank".to_owned(), at: NOW };
            tx.insert_bars(&[bar.clone(), bar]).await?;
            assert_eq!(tx.bars().await?.len(), 1);
            assert_eq!(tx.clear_bars(agent_id(1)).await?, 1);
            let flag = |disabled| FlagRow { capability: "shell.run".to_owned(), scope: "fleet".to_owned(), disabled, reason: None, by_principal: principal(), at: NOW };
            tx.put_flag(&flag(true)).await?;
            tx.put_flag(&flag(false)).await?;
            assert_eq!(tx.flags().await?, [flag(false)]);
            Ok(())
        })).await.unwrap();
        let mut read = store.read().await.unwrap();
        assert_eq!(read.agent_named("agent-1").await.unwrap().unwrap().join_counter, 2);
        assert_eq!(read.agent_list(&AgentFilter::default(), &PageRequest::first(0)).await.unwrap().items.len(), 1);
        drop(read);
        // A revoked agent's name is free again.
        write(&store, |tx| Box::pin(async move {
            let row = tx.lock_agent(agent_id(1)).await?.unwrap();
            tx.update_agent(&nexusmon_store::AgentRow { revoked_at: Some(at(1)), state: nexusmon_store::AgentState::Revoked, ..row }).await?;
            tx.insert_agent(&nexusmon_store::AgentRow { id: agent_id(2), ..agent(1) }).await
        })).await.unwrap();
        assert_eq!(store.read().await.unwrap().live_agents().await.unwrap().len(), 1);
    }
}

//! Traits taken away: by evidence, by the operator, by time; and what they had queued.

use std::time::Duration;

use nexusmon_coordinator::service::companion::{self, Question};
use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::{memory, missions};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Clock as _;
use nexusmon_store::NewTraitUse;
use serde_json::json;

use crate::harness::{World, both, exit, succeed};

async fn grant(world: &World, name: &str, hours: u64) {
    let until = world.clock.now() + Duration::from_hours(hours);
    let change = TraitChange::Grant { until };
    evolution::change_trait(&world.app, &world.logged_in().await, name, change, "to try".to_owned())
        .await
        .unwrap();
}

async fn state(world: &World, name: &str) -> String {
    let status = evolution::organism_status(&world.app).await.unwrap();
    status.traits.into_iter().find(|held| held.name == name).unwrap().state
}

/// As the path of a trait does in its unit.
async fn used(world: &World, name: &str, mission: MissionId) {
    let row = NewTraitUse {
        name: name.to_owned(),
        subject_kind: "mission".to_owned(),
        subject: mission.to_string(),
        mission: Some(mission),
        queued: true,
        at: world.clock.now(),
    };
    let write = world.app.store.write_with("test.use", row, |tx, row| {
        Box::pin(async move { tx.insert_trait_use(row.clone()).await })
    });
    assert!(write.await.unwrap());
}

async fn follow_up(world: &World, number: u32) -> MissionId {
    let body =
        json!({"goal": "follow up", "tasks": [{"id": "t", "uses": "probe.careful", "with": {"n": number}}]});
    let made = world.create(body).await.summary.id;
    used(world, "AUTONOMOUS_CHAIN", made).await;
    made
}

both! {
    async fn what_a_trait_began_is_held_when_it_is_switched_off(world) {
        let mut agent = world.agent("a").await;
        let owner = world.logged_in().await;
        grant(&world, "AUTONOMOUS_CHAIN", 24).await;
        agent.live.set_credit(0);
        let queued = follow_up(&world, 1).await;
        evolution::watch(&world.app).await.unwrap();
        assert_eq!(world.status(queued).await, "running");
        evolution::change_trait(&world.app, &owner, "AUTONOMOUS_CHAIN", TraitChange::Disable, String::new()).await.unwrap();
        assert_eq!(world.status(queued).await, "paused", "in the same unit");
        agent.live.set_credit(4);
        assert_eq!(world.tick().await, 0);
        // Letting it go on is a person's own decision, and it stays one.
        missions::resume(&world.app, &owner, queued).await.unwrap();
        evolution::watch(&world.app).await.unwrap();
        assert_eq!(agent.work(&world, |_, _| succeed(json!({"n": 1}))).await, ["t"]);
        assert_eq!(world.status(queued).await, "succeeded");
        let written = world.written(3, |action| action.starts_with("trait.") || action == "mission.paused").await;
        let actions: Vec<&str> = written.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["mission.paused", "trait.disabled", "trait.granted"]);
        assert!(written[0].body.to_string().contains("AUTONOMOUS_CHAIN"));
    }

    async fn a_grant_that_ends_holds_what_it_queued(world) {
        let agent = world.agent("a").await;
        grant(&world, "AUTONOMOUS_CHAIN", 1).await;
        agent.live.set_credit(0);
        let queued = follow_up(&world, 1).await;
        world.clock.advance(Duration::from_mins(61));
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "locked");
        evolution::watch(&world.app).await.unwrap();
        assert_eq!(world.status(queued).await, "paused");
    }

    async fn two_rejected_reviews_within_a_week_suspend(world) {
        use nexusmon_coordinator::service::reviews::{self, ReviewVerdict};
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        grant(&world, "AUTONOMOUS_CHAIN", 24 * 60).await;
        let mut reject = async |number: u32| {
            let made = follow_up(&world, number).await;
            agent.beat(4);
            agent.work(&world, |_, _| succeed(json!({"n": 1}))).await;
            let review = world.mission(made).await.review.unwrap();
            reviews::decide(&world.app, &owner, review, ReviewVerdict::Reject, None).await.unwrap();
        };
        reject(1).await;
        world.clock.advance(Duration::from_hours(8 * 24));
        reject(2).await;
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "granted", "more than a week between them");
        world.clock.advance(Duration::from_hours(6 * 24));
        reject(3).await;
        // Never earned, so without the grant it is locked; the ledger says why the grant ended.
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "locked");
        let told = world.written(1, |action| action == "trait.suspended").await;
        assert!(told[0].body.to_string().contains("rejected within seven days"), "{:?}", told[0].body);
    }

    async fn a_use_that_failed_before_does_not_count_twice(world) {
        let mut agent = world.agent("a").await;
        grant(&world, "AUTONOMOUS_CHAIN", 24).await;
        for number in 0..3 {
            follow_up(&world, number).await;
            agent.work(&world, |_, _| exit(1)).await;
            evolution::watch(&world.app).await.unwrap();
        }
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "locked");
        world.clock.advance(Duration::from_secs(1));
        agent.beat(4);
        grant(&world, "AUTONOMOUS_CHAIN", 24).await;
        follow_up(&world, 9).await;
        agent.work(&world, |_, _| exit(1)).await;
        evolution::watch(&world.app).await.unwrap();
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "granted", "one failure since");
        assert_eq!(world.written(1, |action| action == "trait.suspended").await.len(), 1);
    }

    async fn evidence_closes_the_paths_of_recalling_and_answering(world) {
        let mut agent = world.agent("a").await;
        assert_eq!((recalls(&world).await, answers(&world).await), (false, false), "locked");
        let body = json!({"goal": "count the boxes in the attic", "tasks": [
            {"id": "look", "uses": "probe.run", "with": {"what": "the attic"}}]});
        world.create(body).await;
        agent.work(&world, |_, _| succeed(json!({"found": 3}))).await;
        evolution::settle(&world.app).await.unwrap();
        let remembering = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while !recalls(&world).await {
                pace.tick().await;
                memory::learn(&world.app).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), remembering).await.expect("it is remembered in time");
        assert!(answers(&world).await, "one verified mission is AWAKENING");
        for name in ["RECALL", "COMPANION"] {
            for number in 0..3 {
                let body = json!({"goal": format!("{name} {number}"), "tasks": [{"id": "t", "uses": "probe.run"}]});
                let made = world.create(body).await.summary.id;
                used(&world, name, made).await;
            }
            agent.work(&world, |_, _| exit(1)).await;
            evolution::watch(&world.app).await.unwrap();
            assert_eq!(state(&world, name).await, "suspended");
            let open = if name == "RECALL" { recalls(&world).await } else { answers(&world).await };
            assert!(!open, "{name} is suspended");
        }
    }
}

async fn recalls(world: &World) -> bool {
    let mut read = world.app.store.read().await.unwrap();
    !memory::similar(&world.app, &mut read, "count the boxes in the attic", 5).await.unwrap().is_empty()
}

async fn answers(world: &World) -> bool {
    let question = Question { text: "what is the status".to_owned(), about: None };
    match companion::ask(&world.app, &world.owner().await, question).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), "trait_locked");
            false
        }
    }
}

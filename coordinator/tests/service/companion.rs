//! What the companion says of failed work and of memory; and that what only reads cannot write: not by a unit of work, and
//! not by the hands of others.

use std::time::Duration;

use futures::StreamExt as _;
use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::companion::{self, Part, Question};
use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::memory;
use nexusmon_shared::id::MissionId;
use nexusmon_store::StoreError;
use serde_json::json;

use crate::harness::*;

async fn change(world: &World, name: &str, change: TraitChange) {
    let owner = world.logged_in().await;
    evolution::change_trait(&world.app, &owner, name, change, "to be asked".to_owned()).await.unwrap();
}

fn granted(world: &World) -> TraitChange {
    TraitChange::Grant { until: world.app.clock.now() + Duration::from_hours(1) }
}

/// What is said, each with what it cites: kind and id.
async fn asked(world: &World, text: &str) -> Vec<(String, Vec<(&'static str, String)>)> {
    let question = Question { text: text.to_owned(), about: None };
    let parts = companion::ask(&world.app, &world.owner().await, question).await.unwrap();
    let parts: Vec<_> = parts.collect().await;
    let said = parts.into_iter().map(|part| match part.unwrap() {
        Part::Said { text, citations } => {
            (text, citations.into_iter().map(|one| (one.kind, one.id)).collect())
        }
        Part::Draft { text, .. } => (text, Vec::new()),
    });
    said.collect()
}

/// Asked, hit and used for answers.
async fn looked(world: &World) -> Option<(i64, i64, i64)> {
    let uses = world.app.store.read().await.unwrap().memory_uses(0).await.unwrap();
    uses.iter().find(|one| one.purpose == "answer").map(|one| (one.asked, one.hits, one.used))
}

/// A mission that verified, and that memory knows.
async fn remembered(world: &World, agent: &mut Agent) -> MissionId {
    let tasks = json!([{"id": "t", "uses": "probe.run", "with": {"what": "scales"}}]);
    let made = world.create(json!({"goal": "weigh the zebras", "tasks": tasks})).await.summary.id;
    agent.work(world, |_, _| succeed(json!({"grams": 3}))).await;
    evolution::settle(&world.app).await.unwrap();
    let learned = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            memory::learn(&world.app).await.unwrap();
            let found = memory::search(&world.app, None, None, 50).await.unwrap();
            if found.iter().any(|one| one.outcome == "verified") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), learned).await.expect("it is learned in time");
    made
}

both! {
    async fn why_it_failed_names_the_task_the_cause_and_the_entry(world) {
        let mut agent = world.agent("a").await;
        change(&world, "COMPANION", granted(&world)).await;
        let tasks = json!([{"id": "pack", "uses": "probe.run"},
            {"id": "send", "uses": "probe.run", "needs": ["pack"], "retry": {"max": 0}}]);
        let made = world.create(json!({"goal": "post the parcels", "tasks": tasks})).await;
        agent.work(&world, |spec, _| if spec.id.as_str() == "send" { exit(3) } else { succeed(json!({})) }).await;
        let entry = world.written(1, |action| action == "mission.completed").await.remove(0);
        let mission = ("mission", made.summary.id.to_string());
        let send = made.tasks.iter().find(|task| task.id == "send").unwrap();
        for question in ["why did the parcels fail?", "what went wrong?", &format!("why did {} fail", mission.1)] {
            let said = asked(&world, question).await;
            assert_eq!(said.len(), 2, "{question}: {said:?}");
            assert_eq!(said[0].0, "“post the parcels” failed: 1 of 2 tasks failed, 1 succeeded.");
            assert_eq!(said[0].1, [mission.clone(), ("audit", entry.seq.to_string())]);
            assert_eq!(said[1].0, "Task “send” on “a”, attempt 1: exit status (3). Its log has the rest.");
            assert_eq!(said[1].1, [("task", send.task_id.to_string())]);
        }
    }

    async fn two_missions_are_compared_by_the_words_of_their_goals(world) {
        let mut agent = world.agent("a").await;
        change(&world, "COMPANION", granted(&world)).await;
        let mut ids = Vec::new();
        for (goal, ends) in [("nightly backup", succeed(json!({}))), ("weekly backup", exit(1))] {
            let tasks = json!([{"id": "copy", "uses": "probe.run", "with": {"what": goal}}]);
            ids.push(("mission", world.create(json!({"goal": goal, "tasks": tasks})).await.summary.id.to_string()));
            agent.work(&world, |_, _| ends.clone()).await;
        }
        let said = asked(&world, "compare the nightly backup with the weekly backup").await;
        assert_eq!(said[0].1, ids, "{said:?}");
        assert!(said[0].0.contains("The first is succeeded") && said[0].0.contains("the second failed"), "{said:?}");
        assert_eq!(said[1].0, "Their plans differ.");
        assert!(said[2].0.contains("succeeded there, failed here"), "{said:?}");
    }

    async fn memory_is_looked_into_where_something_is_to_be_found_and_recall_is_held(world) {
        let mut agent = world.agent("a").await;
        let made = remembered(&world, &mut agent).await;
        let said = asked(&world, "find zebras").await;
        assert!(said[0].0.starts_with("No artifact has"), "{said:?}");
        assert!(said[1].0.starts_with("Remembered: “weigh the zebras”, verified; 1 of 1 runs succeeded."), "{said:?}");
        assert_eq!(said[1].1, [("mission", made.to_string())]);
        assert_eq!(looked(&world).await, Some((1, 1, 1)));
        let written = world.written(2, |action| action.starts_with("memory.")).await;
        assert!(written.iter().all(|entry| entry.body["for"] == "answer" && entry.body["trait"] == "RECALL"));
        // What is asked for something else does not look there, and what finds nothing is counted as that.
        asked(&world, "status").await;
        assert_eq!(asked(&world, "find the unicorn").await.len(), 1);
        assert_eq!(looked(&world).await, Some((2, 1, 1)));
        change(&world, "RECALL", TraitChange::Disable).await;
        assert_eq!(asked(&world, "find zebras").await.len(), 1, "memory is closed");
        assert_eq!(looked(&world).await, Some((2, 1, 1)));
    }

    async fn within_reading_no_unit_of_work_begins(world) {
        let app = world.app.clone();
        let tried = app.store.reading(app.store.write("a try", |tx| {
            Box::pin(async move { tx.put_setting("tried", "1", tx.now()).await })
        })).await;
        assert!(matches!(tried, Err(StoreError::Reading)), "{tried:?}");
        // Missions are written by a task that gathers them; it does not know who asked.
        let mission = json!({"goal": "x", "tasks": [{"id": "a", "uses": "core.noop"}]});
        let tried = app.store.reading(world.try_create(mission.clone())).await;
        assert!(matches!(tried, Err(Error::Internal(_))), "{tried:?}");
        let mut read = app.store.read().await.unwrap();
        assert!(read.setting("tried").await.unwrap().is_none());
        assert_eq!(read.mission_counts().await.unwrap().len(), 0);
        // The very same works outside.
        world.create(mission).await;
    }
}

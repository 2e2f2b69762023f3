//! Triggers where several coordinators share one database: each event once, whoever looks and whoever ends over it.

use std::time::Duration;

use nexusmon_coordinator::config::Settings;
use nexusmon_coordinator::service::triggers::{FiringView, events};
use nexusmon_coordinator::service::{PageRequest, triggers};
use nexusmon_shared::id::TriggerId;
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{FiringResult, TriggerState};
use serde_json::{Value, json};

use crate::event_triggers::keep;
use crate::harness::{Agent, World, exit};

const PATIENCE: Duration = Duration::from_secs(30);

async fn fail(world: &World, agent: &mut Agent, count: usize) {
    for number in 0..count {
        let body = json!({"goal": format!("goal {number}"), "tasks": [{"id": "t", "uses": "probe.run"}]});
        world.create(body).await;
    }
    agent.work(world, |_, _| exit(1)).await;
}

fn body(name: &str, more: Value) -> Value {
    let mut body = json!({"name": name, "on": ["mission.failed"],
        "mission": {"goal": "x", "tasks": [{"id": "t", "uses": "core.noop"}]}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn firings(world: &World, id: TriggerId) -> Vec<FiringView> {
    let page = PageRequest { limit: Some(200), cursor: None };
    events::firings(&world.app, id, page).await.unwrap().items
}

/// All look at the same time, until the trigger has decided about so many events; how many missions they made.
async fn race(worlds: &[&World], id: TriggerId, count: usize) -> usize {
    let racing = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut fired = 0;
        loop {
            pace.tick().await;
            // Each of them twice.
            let looks = worlds.iter().chain(worlds).map(|world| triggers::look(&world.app));
            for looked in futures::future::join_all(looks).await {
                fired += looked.unwrap().fired;
            }
            if firings(worlds[0], id).await.len() >= count {
                return fired;
            }
        }
    };
    tokio::time::timeout(PATIENCE, racing).await.expect("decided in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_fires_once_whichever_of_them_looks() {
    let one = World::new(TestDatabase::postgres().await.unwrap()).await;
    let two = one.beside("node-2").await;
    let mut agent = one.agent("a").await;
    // Kept here and concerned there, too: what one of them saw before does not hide it from the other.
    assert_eq!(triggers::look(&two.app).await.unwrap().fired, 0);
    let made = keep(&one, body("each", json!({}))).await.id;
    let bounded = keep(&two, body("few", json!({"per_day": 4}))).await.id;
    fail(&one, &mut agent, 9).await;
    race(&[&one, &two], made, 9).await;
    race(&[&one, &two], bounded, 5).await;
    let found = firings(&two, made).await;
    assert_eq!((found.len(), found.iter().filter(|one| one.result == FiringResult::Fired).count()), (9, 9));
    let few = firings(&one, bounded).await;
    assert_eq!(few.iter().filter(|one| one.result == FiringResult::Fired).count(), 4, "one budget for both");
    assert_eq!(events::get(&two.app, bounded).await.unwrap().state, TriggerState::Paused);
    // Nothing is left for anybody, also not for one that begins now and has seen nothing yet.
    let three = one.beside("node-3").await;
    for world in [&one, &two, &three] {
        assert_eq!(triggers::look(&world.app).await.unwrap().fired, 0);
    }
    // Paused over there it is paused here.
    events::pause(&two.app, &two.logged_in().await, made).await.unwrap();
    fail(&one, &mut agent, 1).await;
    one.written(10, |action| action == "mission.completed").await;
    assert_eq!(triggers::look(&one.app).await.unwrap().fired, 0);
    assert_eq!(firings(&one, made).await.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_ended_over_another_makes() {
    let with = |settings: &mut Settings| settings.node = Some("node-1".to_owned());
    let one = World::with(TestDatabase::postgres().await.unwrap(), with).await;
    let mut agent = one.agent("a").await;
    let made = keep(&one, body("each", json!({}))).await.id;
    let two = one.beside("node-2").await;
    fail(&one, &mut agent, 12).await;
    one.written(12, |action| action == "mission.completed").await;
    {
        // It has fired for some of them; then it is gone, wherever it is.
        let mut looking = Box::pin(triggers::look(&two.app));
        while firings(&one, made).await.is_empty() {
            if tokio::time::timeout(Duration::from_millis(1), &mut looking).await.is_ok() {
                break;
            }
        }
    }
    two.kill().await;
    assert!(!firings(&one, made).await.is_empty());
    race(&[&one], made, 12).await;
    let found = firings(&one, made).await;
    let mut occasions: Vec<_> = found.iter().map(|one| one.occasion.clone()).collect();
    occasions.sort();
    occasions.dedup();
    assert_eq!((found.len(), occasions.len()), (12, 12));
    let mut missions: Vec<_> = found.iter().map(|one| one.mission.unwrap()).collect();
    missions.sort();
    missions.dedup();
    assert_eq!(missions.len(), 12, "a mission for each");
    assert_eq!(triggers::look(&one.app).await.unwrap().fired, 0);
}

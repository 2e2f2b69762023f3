//! An end without delay, from every state a mission can be in.

use std::time::Duration;

use nexusmon_coordinator::service::missions;
use nexusmon_shared::message::{Cancel, CoordinatorMessage};
use nexusmon_shared::outcome::Ending;
use serde_json::{Value, json};

use crate::harness::*;

fn work(goal: &str) -> Value {
    json!({"goal": goal, "tasks": [
        {"id": "t", "uses": "probe.run"}, {"id": "later", "uses": "probe.run", "needs": ["t"]},
    ]})
}

/// What the agent is told to end next.
async fn told(agent: &mut Agent) -> Cancel {
    loop {
        if let CoordinatorMessage::Cancel(cancel) = agent.next().await {
            return cancel;
        }
    }
}

both! {
    async fn what_has_not_begun_is_over_at_once_in_every_state(world) {
        let owner = world.owner().await;
        let agent = world.agent("a").await;
        // Nothing is granted.
        agent.live.set_credit(0);
        let mut manual = work("held");
        manual["start"] = json!("manual");
        let held = world.create(manual).await;
        let plan_less = world.create(json!({"goal": "no plan"})).await;
        let grave = world.create(json!({"goal": "grave", "tasks": [{"id": "t", "uses": "probe.grave"}]})).await;
        let queued = world.create(work("queued")).await;
        let paused = world.create(work("paused")).await;
        missions::pause(&world.app, &owner, paused.summary.id).await.unwrap();
        for (mission, state) in [
            (&held, "ready"),
            (&plan_less, "needs_plan"),
            (&grave, "awaiting_approval"),
            (&queued, "running"),
            (&paused, "paused"),
        ] {
            let id = mission.summary.id;
            assert_eq!(world.status(id).await, state);
            let stopped = missions::kill(&world.app, &owner, id).await.unwrap();
            assert_eq!(stopped.cancelled_attempts, 0, "{state}");
            assert_eq!(world.status(id).await, "cancelled", "{state}");
            let again = missions::kill(&world.app, &owner, id).await.unwrap_err();
            assert_eq!(again.code(), "already_terminal", "{state}");
        }
    }

    async fn what_runs_gets_no_grace_in_any_state(world) {
        let owner = world.owner().await;
        let mut agent = world.agent("a").await;
        for state in ["running", "paused", "cancelling"] {
            agent.live.set_credit(4);
            let id = world.create(work(state)).await.summary.id;
            world.tick().await;
            let order = agent.orders().remove(0);
            if state == "paused" {
                missions::pause(&world.app, &owner, id).await.unwrap();
            }
            if state == "cancelling" {
                missions::cancel(&world.app, &owner, id).await.unwrap();
                let softly = told(&mut agent).await;
                assert!(softly.attempts == [order.attempt] && !softly.grace.is_zero(), "{softly:?}");
            }
            assert_eq!(world.status(id).await, state);
            let stopped = missions::kill(&world.app, &owner, id).await.unwrap();
            assert_eq!((stopped.status.as_str(), stopped.cancelled_attempts), ("cancelling", 1), "{state}");
            let now = told(&mut agent).await;
            assert_eq!((now.attempts, now.grace), (vec![order.attempt], Duration::ZERO), "{state}");
            agent.report(order.attempt, Ending::Cancelled).await;
            assert_eq!(world.status(id).await, "cancelled", "{state}");
            let again = missions::kill(&world.app, &owner, id).await.unwrap_err();
            assert_eq!(again.code(), "already_terminal", "{state}");
        }
        // Three kills, and the cancel before one of them.
        let written = world.written(4, |action| action == "mission.cancelled").await;
        assert_eq!(written.iter().filter(|entry| entry.body["at_once"] == true).count(), 3);
    }
}

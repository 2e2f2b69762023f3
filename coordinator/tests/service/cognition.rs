//! What the organism knows of its own thinking: numbers that say what they are counted from.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_coordinator::service::{cognition, playbooks, sub_missions};
use serde_json::json;

use crate::harness::*;

/// Failures of the day, by cause and by capability.
async fn failures(world: &World) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let found = cognition::errors(&world.app, Some(1)).await.unwrap();
    (found.by_cause.into_iter().collect(), found.by_capability.into_iter().collect())
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

both! {
    async fn a_lost_attempt_counts_among_the_failures(world) {
        let agent = world.agent("a").await;
        world.create(json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run"}]})).await;
        world.tick().await;
        let (id, _) = agent.vanish().await;
        // Another journal knows nothing of what was given out.
        let mut agent = Agent::connect(&world, id, 2, Vec::new()).await;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(failures(&world).await, (counts(&[("lost_agent", 1)]), counts(&[("probe.run", 1)])));
    }

    async fn what_the_coordinator_ends_itself_counts_among_the_failures(world) {
        let mut agent = world.agent("a").await;
        let tasks = json!([{"id": "a", "uses": "probe.run"},
            {"id": "b", "uses": "probe.effect", "needs": ["a"], "retry": {"max": 0},
             "for_each": {"in": "tasks.a.outputs.list", "max": 5}}]);
        let made = world.create(json!({"goal": "g", "tasks": tasks})).await;
        agent.work(&world, |_, _| succeed(json!({"list": 7}))).await;
        assert_eq!(world.status(made.summary.id).await, "failed", "it is no list");
        assert_eq!(failures(&world).await, (counts(&[("bad_parameters", 1)]), counts(&[("probe.effect", 1)])));
        // Two elements fail: two failures, and none of the list itself.
        world.create(json!({"goal": "g", "tasks": tasks})).await;
        agent
            .work(&world, |spec, _| if spec.id.as_str() == "a" { succeed(json!({"list": [1, 2]})) } else { exit(3) })
            .await;
        let both = counts(&[("bad_parameters", 1), ("exit_status", 2)]);
        assert_eq!(failures(&world).await, (both, counts(&[("probe.effect", 3)])));
    }

    async fn a_mission_of_a_task_that_fails_counts_among_the_failures(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let body = json!({"name": "sub", "goal": "sub", "tasks": [{"id": "s", "uses": "probe.run", "retry": {"max": 0}}]});
        playbooks::create(&world.app, &owner, body).await.unwrap();
        let tasks = json!([{"id": "m", "uses": "core.mission", "with": {"playbook": "sub@1"}}]);
        let made = world.create(json!({"goal": "g", "tasks": tasks})).await;
        sub_missions::look(&world.app).await.unwrap();
        agent.work(&world, |_, _| exit(4)).await;
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(world.status(made.summary.id).await, "failed");
        let both = counts(&[("core.mission", 1), ("probe.run", 1)]);
        assert_eq!(failures(&world).await, (counts(&[("exit_status", 2)]), both));
    }

    async fn a_plan_nobody_approves_in_time_counts_among_the_failures(world) {
        let _agent = world.agent("a").await;
        let made = world.create(json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.grave"}]})).await;
        assert_eq!(world.status(made.summary.id).await, "awaiting_approval");
        world.pass(25 * 3600).await;
        assert_eq!(world.status(made.summary.id).await, "expired");
        assert_eq!(failures(&world).await, (counts(&[("approval_expired", 1)]), counts(&[("core.approval", 1)])));
    }

    async fn what_was_made_and_what_was_scored_are_of_the_same_days(world) {
        let mut agent = world.agent("a").await;
        let body = json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run"}]});
        for _ in 0..3 {
            world.create(body.clone()).await;
            agent.work(&world, |_, _| succeed(json!({}))).await;
        }
        world.clock.advance(Duration::from_hours(3 * 24));
        agent.beat(4);
        world.create(body).await;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        let of = async |days| {
            let shown = cognition::predictions(&world.app, Some(days), 10).await.unwrap().summary;
            (shown.made, shown.scored)
        };
        assert_eq!((of(1).await, of(7).await), ((1, 1), (4, 4)));
    }
}

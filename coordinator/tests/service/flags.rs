//! Capability flags and rates: respected by the next grant, told to agents, and said by whoever waits.

use nexusmon_coordinator::service::{agents, flags};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::message::CoordinatorMessage;
use serde_json::{Value, json};

use crate::harness::{Agent, World, both, succeed};

fn mission(uses: &str) -> Value {
    json!({"goal": "under flags", "tasks": [{"id": "a", "uses": uses}]})
}

async fn flag(world: &World, target: &str, scope: &str, disabled: bool) -> usize {
    let change = flags::FlagChange { scope: scope.to_owned(), disabled, reason: None, stop: false };
    flags::set(&world.app, &world.owner().await, target, change).await.unwrap().len()
}

async fn waiting(world: &World, id: MissionId) -> String {
    let waiting = world.mission(id).await.tasks[0].waiting.clone();
    waiting.map(|waiting| waiting.reason).unwrap_or_default()
}

/// What the agent is told is switched off, next.
async fn told(agent: &mut Agent) -> Vec<String> {
    loop {
        if let CoordinatorMessage::Flags { disabled_capabilities } = agent.next().await {
            return disabled_capabilities.iter().map(ToString::to_string).collect();
        }
    }
}

both! {
    async fn a_flag_holds_for_the_fleet_a_label_or_an_agent(world) {
        let (mut one, mut two) = (world.agent("one").await, world.agent("two").await);
        for scope in ["fleet", "label:name=one", "one"] {
            assert_eq!(flag(&world, "probe.run", scope, true).await, 1, "{scope}");
            assert_eq!(told(&mut one).await, ["probe.run"], "{scope}");
            let id = world.create(mission("probe.run")).await.summary.id;
            one.live.set_credit(4);
            two.live.set_credit(if scope == "fleet" { 4 } else { 0 });
            assert_eq!(world.tick().await, 0, "{scope}");
            if scope == "fleet" {
                assert_eq!(waiting(&world, id).await, "capability_disabled");
            }
            // What is not switched off goes on, at that agent too.
            two.live.set_credit(0);
            let other = world.create(mission("probe.effect")).await.summary.id;
            assert_eq!(one.work(&world, |_, _| succeed(json!({}))).await, ["a"]);
            assert_eq!(world.status(other).await, "succeeded");
            assert_eq!(flag(&world, "probe.run", scope, false).await, 0);
            assert!(told(&mut one).await.is_empty());
            if scope == "fleet" {
                assert_eq!(told(&mut two).await, ["probe.run"]);
                assert!(told(&mut two).await.is_empty());
            }
            assert_eq!(one.work(&world, |_, _| succeed(json!({}))).await, ["a"]);
            assert_eq!(world.status(id).await, "succeeded");
        }
    }

    async fn a_plugin_can_be_put_out_whole(world) {
        let mut agent = world.agent("a").await;
        let running = world.create(mission("probe.effect")).await.summary.id;
        world.tick().await;
        let order = agent.orders().remove(0);
        let change = flags::FlagChange { scope: "fleet".to_owned(), disabled: true, reason: Some("leaks".to_owned()), stop: true };
        flags::set(&world.app, &world.owner().await, "probe.*", change).await.unwrap();
        let listed = agents::capabilities(&world.app).await.unwrap();
        let probes = listed.iter().filter(|one| one.name.plugin() == "probe");
        assert!(probes.clone().count() >= 4 && probes.into_iter().all(|one| one.flags.len() == 1));
        assert_eq!(told(&mut agent).await.len(), 4);
        match agent.next().await {
            CoordinatorMessage::Cancel(cancel) => assert_eq!(cancel.attempts, [order.attempt]),
            other => panic!("expected a cancel, got {other:?}"),
        }
        assert_eq!(world.status(running).await, "running");
    }

    async fn flags_survive_and_greet_whoever_comes(world) {
        let enrolled = world.enroll("a").await;
        flag(&world, "probe.careful", "fleet", true).await;
        let world = world.restart().await;
        let mut agent = Agent::connect(&world, enrolled, 1, Vec::new()).await;
        assert_eq!(told(&mut agent).await, ["probe.careful"]);
    }

    async fn rates_bound_starts_by_capability_key_and_agent(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        for (key, shown) in [("capability:probe.run", "capability:probe.run"), ("key:db", "key:db"), ("agent:a", "agent:a")] {
            let rate = flags::NewRate { most: 2, per: std::time::Duration::from_mins(10) };
            flags::set_rate(&world.app, &owner, key, rate).await.unwrap();
            let mut ids = Vec::new();
            for _ in 0..3 {
                let task = json!({"id": "a", "uses": "probe.run", "limits": {"db": 9}});
                ids.push(world.create(json!({"goal": "slowly", "tasks": [task]})).await.summary.id);
            }
            assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await.len(), 2, "{key}");
            let mut waits = Vec::new();
            for id in ids {
                waits.extend(world.mission(id).await.tasks[0].waiting.clone());
            }
            let [waits] = waits.as_slice() else { panic!("one waits: {waits:?}") };
            assert_eq!((waits.reason.as_str(), &waits.detail["key"]), ("limit_reached", &json!(shown)), "{key}");
            assert_eq!(flags::rate_list(&world.app).await.unwrap()[0].used, 2);
            // A place of ten minutes is some two seconds wide.
            world.clock.advance(std::time::Duration::from_secs(603));
            agent.beat(4);
            assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await.len(), 1, "{key}");
            flags::remove_rate(&world.app, &owner, key).await.unwrap();
        }
    }
}

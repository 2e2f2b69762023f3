//! The kill switch: nothing starts while it is pulled, whoever looks; everybody obeys or is fenced; it survives.

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::{agents, halt, missions};
use nexusmon_shared::message::{CoordinatorMessage, HaltAck, HaltLevel, HaltNotice, Order};
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::plan::TaskSpec;
use serde_json::{Value, json};

use crate::harness::{Agent, World, both, succeed};

fn mission(uses: &str) -> Value {
    json!({"goal": "under the switch", "tasks": [{"id": "a", "uses": uses}]})
}

async fn pull(world: &World, level: HaltLevel) -> halt::HaltView {
    halt::pull(&world.app, &world.owner().await, level, Some("smoke".to_owned())).await.unwrap()
}

async fn release(world: &World) -> halt::HaltView {
    halt::release(&world.app, &world.logged_in().await, "the smoke is gone".to_owned()).await.unwrap().0
}

async fn waiting(world: &World, id: nexusmon_shared::id::MissionId) -> String {
    let waiting = world.mission(id).await.tasks[0].waiting.clone();
    waiting.map(|waiting| waiting.reason).unwrap_or_default()
}

/// What the agent is told of the switch next.
async fn told(agent: &mut Agent) -> HaltNotice {
    loop {
        if let CoordinatorMessage::Halt(notice) = agent.next().await {
            return notice;
        }
    }
}

async fn answer(world: &World, agent: &Agent, notice: HaltNotice, running: u32) {
    let ack = HaltAck { level: notice.level, number: notice.number, running };
    halt::acknowledged(&world.app, &agent.live, ack).await.unwrap();
}

/// What was written down of it, newest first, once there are so many.
async fn halt_acts(world: &World, count: usize) -> Vec<String> {
    let entries = world.written(count, |action| action.starts_with("halt.")).await;
    entries.into_iter().map(|entry| entry.action).collect()
}

fn code(error: &Error) -> &'static str {
    error.code()
}

both! {
    async fn nothing_starts_until_it_is_released(world) {
        let mut agent = world.agent("a").await;
        let view = pull(&world, HaltLevel::Halt).await;
        assert_eq!((view.level, view.number, view.waiting), (HaltLevel::Halt, 1, 1));
        assert_eq!(told(&mut agent).await, HaltNotice { level: HaltLevel::Halt, number: 1 });
        let id = world.create(mission("probe.run")).await.summary.id;
        assert_eq!(world.status(id).await, "running", "work is accepted, and waits");
        assert_eq!(world.tick().await, 0);
        assert_eq!(waiting(&world, id).await, "halted");
        let stats = missions::stats(&world.app).await.unwrap();
        assert_eq!(stats.waiting_by_reason.get("halted"), Some(&1));

        answer(&world, &agent, HaltNotice { level: HaltLevel::Halt, number: 1 }, 0).await;
        let view = halt::view(&world.app).await.unwrap();
        assert_eq!((view.acknowledged, view.waiting, view.agents[0].state), (1, 0, "acknowledged"));

        assert_eq!(release(&world).await.level, HaltLevel::None);
        assert_eq!(told(&mut agent).await, HaltNotice { level: HaltLevel::None, number: 2 });
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["a"]);
        assert_eq!(world.status(id).await, "succeeded");
    }

    async fn it_survives_a_restart_and_greets_whoever_comes(world) {
        let agent = world.agent("a").await;
        pull(&world, HaltLevel::Stop).await;
        let id = world.create(mission("probe.run")).await.summary.id;
        let (enrolled, _) = agent.vanish().await;
        let world = world.restart().await;
        // Told behind the welcome, before anything else could be.
        let mut agent = Agent::connect(&world, enrolled, 1, Vec::new()).await;
        assert_eq!(told(&mut agent).await, HaltNotice { level: HaltLevel::Stop, number: 1 });
        agent.beat(4);
        assert_eq!((world.tick().await, waiting(&world, id).await.as_str()), (0, "halted"));
        release(&world).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["a"]);
    }

    async fn a_stop_costs_idempotent_work_nothing_and_leaves_the_rest_to_a_person(world) {
        let mut agent = world.agent("a").await;
        let again = world.create(mission("probe.run")).await.summary.id;
        let once = world.create(mission("probe.effect")).await.summary.id;
        world.tick().await;
        let orders = agent.orders();
        assert_eq!(orders.len(), 2);
        pull(&world, HaltLevel::Stop).await;
        for order in orders {
            agent.report(order.attempt, Ending::Cancelled).await;
        }
        agent.live.set_credit(4);
        assert_eq!(world.tick().await, 0, "what was stopped does not start again by itself");
        assert_eq!(world.statuses(again).await[0].1, "ready");
        assert_eq!(world.statuses(once).await[0].1, "uncertain");
    }

    async fn who_is_cut_off_is_bounded_by_lease_and_allowance(world) {
        let mut agent = world.agent("away").await;
        world.create(mission("probe.effect")).await;
        world.tick().await;
        assert_eq!(agent.orders().len(), 1);
        let renewed = world.app.store.read().await.unwrap().agent_session(agent.id).await.unwrap().unwrap().renewed_at;
        let (id, _) = agent.vanish().await;
        let view = pull(&world, HaltLevel::Stop).await;
        assert_eq!((view.unreachable, view.acknowledged), (1, 0));
        let seen = &view.agents[0];
        assert_eq!((seen.id, seen.state, seen.leases), (id, "unreachable", 1));
        // 30 s of lease, and 15 min in which a cut-off agent may finish what must not be repeated.
        let bound = renewed + std::time::Duration::from_secs(30 + 15 * 60);
        assert_eq!(seen.may_run_until, Some(bound));
        world.pass(16 * 60).await;
        let view = halt::view(&world.app).await.unwrap();
        assert_eq!((view.unreachable, view.agents[0].state), (0, "clear"));
    }

    async fn levels_rise_and_only_the_owner_releases(world) {
        let owner = world.owner().await;
        let (app, none) = (&world.app, None::<String>);
        assert_eq!(code(&halt::pull(app, &owner, HaltLevel::None, none.clone()).await.unwrap_err()), "invalid");
        let early = halt::release(app, &world.logged_in().await, "why".to_owned()).await;
        assert_eq!(code(&early.unwrap_err()), "not_halted");
        assert_eq!(pull(&world, HaltLevel::Halt).await.number, 1);
        assert_eq!(pull(&world, HaltLevel::Halt).await.number, 1, "the same again is nothing new");
        assert_eq!(pull(&world, HaltLevel::Stop).await.number, 2);
        assert_eq!(code(&halt::pull(app, &owner, HaltLevel::Halt, none).await.unwrap_err()), "stopped");

        let caller = world.logged_in().await;
        assert_eq!(code(&halt::release(app, &caller, "  ".to_owned()).await.unwrap_err()), "invalid");
        world.clock.advance(std::time::Duration::from_secs(301));
        let late = halt::release(app, &caller, "why".to_owned()).await;
        assert_eq!(code(&late.unwrap_err()), "log_in_again");
        assert_eq!(release(&world).await.number, 3);
        assert_eq!(halt_acts(&world, 3).await, ["halt.released", "halt.pulled", "halt.pulled"], "newest first");
    }

    async fn cancel_works_in_every_state_under_it(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let create = async |body: Value| world.create(body).await.summary.id;
        let running = create(mission("probe.run")).await;
        world.tick().await;
        let mut given = agent.orders();
        let paused = create(mission("probe.run")).await;
        missions::pause(&world.app, &owner, paused).await.unwrap();
        let uncertain = create(mission("probe.effect")).await;
        agent.live.set_credit(4);
        world.tick().await;
        given.extend(agent.orders());
        let uses = |order: &Order| serde_json::from_slice::<TaskSpec>(&order.leaf).unwrap().uses;
        let effect = given.iter().position(|order| uses(order).as_str() == "probe.effect").unwrap();
        agent.report(given.remove(effect).attempt, Ending::Unknown).await;
        let before = [
            (running, "running"),
            (paused, "paused"),
            (uncertain, "running"),
            (create(json!({"goal": "no plan yet"})).await, "needs_plan"),
            (create(mission("probe.grave")).await, "awaiting_approval"),
            (create(json!({"goal": "by hand", "start": "manual", "tasks": [{"id": "a", "uses": "probe.run"}]})).await, "ready"),
            (create(mission("probe.run")).await, "running"),
        ];
        pull(&world, HaltLevel::Stop).await;
        for (id, state) in before {
            assert_eq!(world.status(id).await, state);
            missions::cancel(&world.app, &owner, id).await.unwrap();
        }
        // Whatever was given out before the pull, along with other work on one node.
        given.extend(agent.orders());
        for order in given {
            agent.report(order.attempt, Ending::Cancelled).await;
        }
        for (id, state) in before {
            assert_eq!(world.status(id).await, "cancelled", "it was {state}");
        }
    }

    async fn a_quarantined_agent_is_no_longer_waited_for(world) {
        let mut agent = world.agent("bad").await;
        world.create(mission("probe.run")).await;
        world.tick().await;
        assert_eq!(agent.orders().len(), 1);
        let owner = world.owner().await;
        agents::command(&world.app, &owner, agent.id, agents::AgentCommand::Quarantine).await.unwrap();
        pull(&world, HaltLevel::Halt).await;
        let view = halt::view(&world.app).await.unwrap();
        assert_eq!((view.agents[0].state, view.agents[0].leases), ("clear", 0), "its leases are fenced");
        assert_eq!(view.waiting, 0);
    }
}

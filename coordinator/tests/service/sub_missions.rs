//! Tasks that are missions of their own: inputs, outputs, ceilings, budgets, and whatever happens to their parents.

use std::collections::BTreeMap;

use nexusmon_coordinator::service::missions::{self, MissionView, TaskView};
use nexusmon_coordinator::service::{playbooks, sub_missions};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::rank::Rank;
use nexusmon_store::testing::TestDatabase;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::harness::{Agent, World, both, exit, succeed};

/// `count` doubles what it is given, with a task of this capability.
async fn playbook(world: &World, name: &str, uses: &str) {
    let body = json!({
        "name": name, "goal": "count ${{ inputs.n }}",
        "input_schema": {"properties": {"n": {"type": "integer"}}, "required": ["n"]},
        "tasks": [{"id": "count", "uses": uses, "with": {"n": "${{ inputs.n }}"}}]
    });
    playbooks::create(&world.app, &world.owner().await, body).await.unwrap();
}

fn parent(with: Value) -> Value {
    json!({"goal": "parent", "labels": {"team": "a"}, "tasks": [
        {"id": "first", "uses": "probe.run"},
        {"id": "sub", "uses": "core.mission", "needs": ["first"], "with": with},
        {"id": "last", "uses": "probe.run", "needs": ["sub"],
         "with": {"seen": "${{ tasks.sub.outputs.tasks.count.n }}"}},
    ]})
}

fn whole() -> Value {
    json!({"playbook": "count@1", "inputs": {"n": "${{ tasks.first.outputs.n }}"}})
}

/// Orders are answered until nothing happens any more; gives what ran.
async fn work(world: &World, agent: &mut Agent) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        sub_missions::look(&world.app).await.unwrap();
        let ran = agent
            .work(world, |spec, order| {
                let with: Value = match &order.parameters {
                    Some(evaluated) => serde_json::from_slice(evaluated).unwrap(),
                    None => Value::Object(spec.with.clone()),
                };
                succeed(match spec.id.as_str() {
                    "first" => json!({"n": 21}),
                    "count" => json!({"n": with["n"].as_i64().unwrap() * 2}),
                    _ => json!({"seen": with["seen"]}),
                })
            })
            .await;
        if ran.is_empty() {
            return done;
        }
        done.extend(ran);
    }
}

/// Until its mission has begun, which nothing is asked to carry out yet.
async fn begun(world: &World, agent: &mut Agent, body: Value) -> (MissionView, MissionId) {
    let made = world.create(body).await;
    agent.live.set_credit(1);
    world.tick().await;
    let order = agent.orders().remove(0);
    agent.live.set_credit(0);
    agent.report(order.attempt, succeed(json!({"n": 1}))).await;
    sub_missions::look(&world.app).await.unwrap();
    let made = world.mission(made.summary.id).await;
    let child = task(&made, "sub").sub_mission.expect("a mission has begun");
    (made, child)
}

fn task<'a>(mission: &'a MissionView, id: &str) -> &'a TaskView {
    mission.tasks.iter().find(|task| task.id == id).unwrap()
}

both! {
    async fn its_outputs_are_the_tasks(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.run").await;
        let made = world.create(parent(whole())).await;
        assert_eq!(work(&world, &mut agent).await, ["first", "count", "last"]);
        let made = world.mission(made.summary.id).await;
        assert_eq!(made.summary.status.as_str(), "succeeded");
        let sub = task(&made, "sub");
        let child = sub.sub_mission.unwrap();
        assert_eq!(sub.outputs, Some(json!({"mission": child, "tasks": {"count": {"n": 42}}})));
        assert_eq!(task(&made, "last").outputs, Some(json!({"seen": 42})));
        let child = world.mission(child).await;
        assert_eq!((child.summary.goal.as_str(), child.parent), ("count 21", Some((made.summary.id, sub.task_id))));
        assert_eq!(child.summary.labels["team"], "a");
        assert_eq!((child.summary.created_by, child.summary.origin), (made.summary.created_by, made.summary.origin));
        let told = world.written(1, |action| action == "sub_mission.begun").await;
        assert_eq!(told[0].body["depth"], 1);
    }

    async fn its_failure_is_the_tasks(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.run").await;
        let (made, child) = begun(&world, &mut agent, parent(whole())).await;
        assert_eq!((task(&made, "sub").status.as_str(), made.summary.tasks.open), ("running", 2));
        agent.live.set_credit(4);
        agent.work(&world, |_, _| exit(7)).await;
        sub_missions::look(&world.app).await.unwrap();
        let made = world.mission(made.summary.id).await;
        assert_eq!((made.summary.status.as_str(), world.status(child).await), ("failed", "failed"));
        assert_eq!(task(&made, "sub").cause, Some(Cause::ExitStatus { code: 7 }));
        assert_eq!(task(&made, "last").status.as_str(), "skipped");
    }

    async fn cancel_pause_and_resume_reach_it(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        playbook(&world, "count", "probe.run").await;
        let (made, child) = begun(&world, &mut agent, parent(whole())).await;
        missions::pause(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(world.status(child).await, "paused");
        missions::resume(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(world.status(child).await, "running");
        // What a person paused by itself stays so.
        missions::pause(&world.app, &owner, child).await.unwrap();
        missions::pause(&world.app, &owner, made.summary.id).await.unwrap();
        missions::resume(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(world.status(child).await, "paused");
        missions::cancel(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(world.status(child).await, "cancelled");
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(world.status(made.summary.id).await, "cancelled");

        // Cancelled alone, it fails its task.
        let (made, child) = begun(&world, &mut agent, parent(whole())).await;
        missions::cancel(&world.app, &owner, child).await.unwrap();
        sub_missions::look(&world.app).await.unwrap();
        let made = world.mission(made.summary.id).await;
        assert!(matches!(&task(&made, "sub").cause, Some(Cause::Resolved { comment }) if comment.contains("cancelled")));
        assert_eq!(made.summary.status.as_str(), "failed");
    }

    async fn nothing_begins_while_its_parent_rests_and_a_restart_forgets_nothing(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        playbook(&world, "count", "probe.run").await;
        let made = world.create(parent(whole())).await.summary.id;
        world.tick().await;
        let order = agent.orders().remove(0);
        missions::pause(&world.app, &owner, made).await.unwrap();
        agent.report(order.attempt, succeed(json!({"n": 21}))).await;
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(task(&world.mission(made).await, "sub").sub_mission, None);
        missions::resume(&world.app, &owner, made).await.unwrap();
        let (id, _) = agent.vanish().await;
        let world = world.restart().await;
        let mut agent = Agent::connect(&world, id, 2, Vec::new()).await;
        sub_missions::look(&world.app).await.unwrap();
        assert!(task(&world.mission(made).await, "sub").sub_mission.is_some());
        let (id, _) = agent.vanish().await;
        let world = world.restart().await;
        agent = Agent::connect(&world, id, 3, Vec::new()).await;
        assert_eq!(work(&world, &mut agent).await, ["count", "last"]);
        assert_eq!(world.status(made).await, "succeeded");
    }

    async fn above_its_ceiling_people_are_asked(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.careful").await;
        let (low, child) = begun(&world, &mut agent, parent(whole())).await;
        assert_eq!(low.summary.rank, Rank::D, "the ceiling is the task's rank");
        assert_eq!(world.status(child).await, "awaiting_approval", "C above D");
        let mut with = whole();
        with["max_rank"] = json!("C");
        let high = world.create(parent(with)).await;
        assert_eq!((high.summary.rank, high.review.is_some()), (Rank::C, true));
        assert_eq!(work(&world, &mut agent).await.last().map(String::as_str), Some("last"));
        assert_eq!(world.status(high.summary.id).await, "succeeded");
    }

    async fn it_spends_what_its_parent_has(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.run").await;
        let mut body = parent(whole());
        body["budget"] = json!({"attempts": 3});
        let (made, child) = begun(&world, &mut agent, body).await;
        assert_eq!(world.mission(child).await.budget.attempts, 2);
        agent.live.set_credit(4);
        assert_eq!(work(&world, &mut agent).await, ["count", "last"]);
        assert_eq!(world.status(made.summary.id).await, "succeeded");
        let mut body = parent(whole());
        body["budget"] = json!({"attempts": 1});
        let none = world.create(body).await.summary.id;
        work(&world, &mut agent).await;
        let none = world.mission(none).await;
        assert!(matches!(&task(&none, "sub").cause, Some(Cause::BudgetExceeded { budget }) if budget.contains("attempts")));
    }

    async fn what_cannot_begin_says_why(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.run").await;
        let wrong = world.try_create(parent(json!({"playbook": "count"}))).await.unwrap_err();
        assert!(wrong.to_string().contains("tidy-up@3"), "{wrong}");
        for (with, said) in [
            (json!({"playbook": "count@9", "inputs": {"n": 1}}), "count"),
            (json!({"playbook": "count@1", "inputs": {"n": "x"}}), "/inputs/n"),
        ] {
            let made = world.create(parent(with)).await.summary.id;
            work(&world, &mut agent).await;
            let made = world.mission(made).await;
            let cause = task(&made, "sub").cause.clone();
            assert!(matches!(&cause, Some(Cause::BadParameters { detail }) if detail.contains(said)), "{cause:?}");
        }
    }

    async fn a_mission_that_begins_itself_ends(world) {
        let mut agent = world.agent("a").await;
        let body = json!({
            "name": "ever", "goal": "deeper", "input_schema": {},
            "tasks": [{"id": "down", "uses": "core.mission", "with": {"playbook": "ever@1"}}]
        });
        playbooks::create(&world.app, &world.owner().await, body).await.unwrap();
        let made = world.create(json!({"playbook": "ever"})).await.summary.id;
        // One look for each level down, and one for each on the way back.
        for _ in 0..20 {
            work(&world, &mut agent).await;
        }
        let made = world.mission(made).await;
        assert_eq!(made.summary.status.as_str(), "failed");
        assert!(matches!(&task(&made, "down").cause, Some(Cause::BudgetExceeded { budget }) if budget.contains("deep")));
        assert_eq!(world.written(4, |action| action == "sub_mission.begun").await.len(), 4);
    }

    async fn one_for_each_of_a_list(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.run").await;
        let body = json!({"goal": "many", "tasks": [
            {"id": "sub", "uses": "core.mission", "for_each": {"in": "[1, 2, 3]", "max": 3},
             "with": {"playbook": "count@1", "inputs": {"n": "${{ item }}"}}}
        ]});
        let made = world.create(body).await.summary.id;
        assert_eq!(work(&world, &mut agent).await, ["count", "count", "count"]);
        let made = world.mission(made).await;
        let outputs = task(&made, "sub").outputs.clone().unwrap();
        let counted: Vec<i64> = outputs.as_array().unwrap().iter().map(|one| one["tasks"]["count"]["n"].as_i64().unwrap()).collect();
        assert_eq!(counted, [2, 4, 6]);
    }

    async fn a_child_that_is_being_cancelled_stops_no_pause_and_is_waited_for(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        playbook(&world, "count", "probe.run").await;
        let (made, child) = begun(&world, &mut agent, parent(whole())).await;
        let made = made.summary.id;
        agent.live.set_credit(1);
        world.tick().await;
        let order = agent.orders().remove(0);
        missions::cancel(&world.app, &owner, child).await.unwrap();
        assert_eq!(world.status(child).await, "cancelling");
        missions::pause(&world.app, &owner, made).await.unwrap();
        assert_eq!(world.status(made).await, "paused");
        missions::cancel(&world.app, &owner, made).await.unwrap();
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!((world.status(made).await, world.status(child).await), ("cancelling", "cancelling"));
        agent.report(order.attempt, Ending::Cancelled).await;
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!((world.status(made).await, world.status(child).await), ("cancelled", "cancelled"));
    }

    async fn a_kill_reaches_it_and_what_it_runs(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        playbook(&world, "count", "probe.run").await;
        let (made, child) = begun(&world, &mut agent, parent(whole())).await;
        let made = made.summary.id;
        agent.live.set_credit(1);
        world.tick().await;
        let order = agent.orders().remove(0);
        // Even where it is being cancelled already.
        missions::cancel(&world.app, &owner, child).await.unwrap();
        missions::kill(&world.app, &owner, made).await.unwrap();
        let told = loop {
            if let CoordinatorMessage::Cancel(cancel) = agent.next().await && cancel.grace.is_zero() {
                break cancel;
            }
        };
        assert_eq!(told.attempts, [order.attempt]);
        agent.report(order.attempt, Ending::Cancelled).await;
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!((world.status(made).await, world.status(child).await), ("cancelled", "cancelled"));
    }

    async fn children_share_the_budget(world) {
        let mut agent = world.agent("a").await;
        playbook(&world, "count", "probe.run").await;
        let list = |attempts: u32| json!({"goal": "many", "budget": {"attempts": attempts}, "tasks": [
            {"id": "sub", "uses": "core.mission", "for_each": {"in": "[1, 2]", "max": 2},
             "with": {"playbook": "count@1", "inputs": {"n": "${{ item }}"}}}
        ]});
        agent.live.set_credit(0);
        let made = world.create(list(3)).await.summary.id;
        sub_missions::look(&world.app).await.unwrap();
        let children = world.app.store.read().await.unwrap().living_sub_missions(made, None, 10).await.unwrap();
        let mut given = Vec::new();
        for child in &children {
            given.push(world.mission(child.mission.unwrap()).await.budget.attempts);
        }
        given.sort_unstable();
        assert_eq!(given, [1, 2], "together what there is");
        assert_eq!(work(&world, &mut agent).await, ["count", "count"]);
        assert_eq!(world.status(made).await, "succeeded");
        // The second waits for what the first may leave, which is nothing.
        agent.live.set_credit(0);
        let made = world.create(list(1)).await.summary.id;
        sub_missions::look(&world.app).await.unwrap();
        let children = world.app.store.read().await.unwrap().living_sub_missions(made, None, 10).await.unwrap();
        assert_eq!(children.len(), 1);
        assert_eq!(work(&world, &mut agent).await, ["count"]);
        let made = world.mission(made).await;
        assert_eq!(made.summary.status.as_str(), "failed");
        let cause = task(&made, "sub").cause.clone();
        assert!(matches!(&cause, Some(Cause::BudgetExceeded { budget }) if budget.contains("attempts")), "{cause:?}");
    }

    async fn a_whole_list_of_them_follows_over_several_units_and_a_restart(world) {
        let agent = world.agent("a").await;
        let owner = world.owner().await;
        playbook(&world, "count", "probe.run").await;
        agent.live.set_credit(0);
        let (made, children) = many(&world, 160).await;
        missions::pause(&world.app, &owner, made).await.unwrap();
        // Whatever is behind then is found by the next coordinator.
        drop(agent);
        let world = world.restart().await;
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(counted(&world, &children).await, [("paused", 160)]);
        // A person lets one go on by itself, and it stays so.
        missions::resume(&world.app, &owner, children[0]).await.unwrap();
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(counted(&world, &children).await, [("paused", 159), ("running", 1)]);
        missions::resume(&world.app, &owner, made).await.unwrap();
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(counted(&world, &children).await, [("running", 160)]);
        // What that person pauses now was not paused with its parent, and does not go on with it.
        missions::pause(&world.app, &owner, children[0]).await.unwrap();
        missions::pause(&world.app, &owner, made).await.unwrap();
        sub_missions::look(&world.app).await.unwrap();
        missions::resume(&world.app, &owner, made).await.unwrap();
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(counted(&world, &children).await, [("paused", 1), ("running", 159)]);
        missions::cancel(&world.app, &owner, made).await.unwrap();
        let world = world.restart().await;
        sub_missions::look(&world.app).await.unwrap();
        assert_eq!(counted(&world, &children).await, [("cancelled", 160)]);
        assert_eq!(world.status(made).await, "cancelled", "it ends with the last of them");
    }
}

/// A mission of so many sub-missions, all begun, that nothing is asked to carry out.
async fn many(world: &World, count: usize) -> (MissionId, Vec<MissionId>) {
    let list = (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
    let body = json!({"goal": "many", "tasks": [
        {"id": "sub", "uses": "core.mission", "for_each": {"in": format!("[{list}]"), "max": count},
         "with": {"playbook": "count@1", "inputs": {"n": "${{ item }}"}}}
    ]});
    let made = world.create(body).await.summary.id;
    sub_missions::look(&world.app).await.unwrap();
    let links = world.app.store.read().await.unwrap().living_sub_missions(made, None, 1_000).await.unwrap();
    let children: Vec<_> = links.into_iter().filter_map(|link| link.mission).collect();
    assert_eq!(children.len(), count);
    (made, children)
}

/// How many there are in each state.
async fn counted(world: &World, missions: &[MissionId]) -> Vec<(&'static str, usize)> {
    let mut counts = BTreeMap::new();
    for row in world.app.store.read().await.unwrap().missions(missions).await.unwrap() {
        *counts.entry(row.status.as_str()).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_unit_of_work_takes_a_bounded_number_along() {
    let one = World::new(TestDatabase::postgres().await.unwrap()).await;
    let two = one.beside("node-2").await;
    let owner = one.owner().await;
    let agent = one.agent("a").await;
    agent.live.set_credit(0);
    playbook(&one, "count", "probe.run").await;
    let (taken, begun) = oneshot::channel();
    let (done, over) = oneshot::channel::<()>();
    // While the other is on duty nobody looks behind the back of this test.
    let duty = two.app.store.on_duty(sub_missions::DUTY, async move {
        taken.send(()).unwrap();
        let _ = over.await;
    });
    let test = async {
        begun.await.unwrap();
        let (made, children) = many(&one, 120).await;
        missions::pause(&one.app, &owner, made).await.unwrap();
        assert_eq!(counted(&one, &children).await, [("paused", 50), ("running", 70)]);
        let behind =
            || async { one.app.store.read().await.unwrap().sub_missions_behind(None, 10).await.unwrap() };
        assert_eq!(behind().await, [made]);
        // Resumed before the rest was paused, the rest never is.
        missions::resume(&one.app, &owner, made).await.unwrap();
        assert_eq!(counted(&one, &children).await, [("running", 120)]);
        sub_missions::look(&one.app).await.unwrap();
        assert_eq!(counted(&one, &children).await, [("running", 120)]);
        missions::cancel(&one.app, &owner, made).await.unwrap();
        assert_eq!(counted(&one, &children).await, [("cancelled", 50), ("running", 70)]);
        assert_eq!(one.status(made).await, "cancelling");
        // Whoever looks next goes on where it stopped; again changes nothing.
        for _ in 0..2 {
            sub_missions::look(&one.app).await.unwrap();
            assert_eq!(counted(&one, &children).await, [("cancelled", 120)]);
        }
        assert_eq!((behind().await.len(), one.status(made).await), (0, "cancelled"));
        done.send(()).unwrap();
    };
    let (held, ()) = tokio::join!(duty, test);
    held.unwrap().expect("the other is on duty");
    drop(agent);
}

//! Tasks that running tasks add: the envelope, the fence, the trait, and what becomes of them when their parent fails.

use std::time::Duration;

use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::missions::{self, MissionView, TaskView};
use nexusmon_coordinator::service::spawned;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::{HeldAttempt, Order, Spawn, SpawnAnswer};
use nexusmon_shared::plan::{TaskDraft, TaskSpec, Usual};
use nexusmon_shared::sandbox::Profile;
use nexusmon_shared::time::{Clock as _, Span};
use nexusmon_shared::trust::spawned::{SignedSpawned, Spawned};
use serde_json::{Value, json};

use crate::ascent::many;
use crate::harness::{Agent, World, both, exit, identity_key, succeed};

async fn grant(world: &World) {
    let until = world.clock.now() + Duration::from_hours(24);
    let change = TraitChange::Grant { until };
    let owner = world.logged_in().await;
    evolution::change_trait(&world.app, &owner, "WORKER_SPAWN", change, "to try".to_owned()).await.unwrap();
}

/// `scan` may add; `sum` waits for it.
fn mission(spawn: &Value) -> Value {
    json!({"goal": "scan", "tasks": [
        {"id": "scan", "uses": "probe.run", "spawn": spawn, "retry": {"max": 1, "backoff": "1s", "jitter": 0}},
        {"id": "sum", "uses": "probe.run", "needs": ["scan"]},
    ]})
}

fn usual_envelope() -> Value {
    json!({"capabilities": ["probe.run", "probe.effect"], "max": 2, "rank": "D"})
}

/// The order of the task that adds.
async fn begun(world: &World, agent: &mut Agent, body: Value) -> (MissionView, Order) {
    let made = world.create(body).await;
    agent.live.set_credit(4);
    world.tick().await;
    let order = agent.orders().into_iter().find(|order| leaf(order).spawn.is_some()).expect("its order");
    (made, order)
}

fn leaf(order: &Order) -> TaskSpec {
    serde_json::from_slice(&order.leaf).unwrap()
}

/// What an honest agent signs.
fn document(world: &World, agent: &Agent, order: &Order, number: u32, task: Value) -> Spawned {
    let draft: TaskDraft = serde_json::from_value(task).unwrap();
    let usual = Usual { idempotent: true, profile: Profile::Strict, offline: Span::default() };
    Spawned {
        organism: world.app.organism,
        agent: agent.id,
        plan_digest: order.plan_digest,
        parent: order.attempt,
        number,
        leaf: draft.added_by(&leaf(order).id, usual),
    }
}

fn signed(document: Spawned, name: &str) -> Spawn {
    let signed: SignedSpawned = identity_key(name).sign_spawned(document).unwrap();
    Spawn { task: signed.document.task(), signed: signed.to_bytes().into() }
}

async fn send(world: &World, agent: &Agent, spawn: Spawn) -> SpawnAnswer {
    spawned::add(&world.app, &agent.live, spawn).await.unwrap()
}

async fn add(world: &World, agent: &Agent, order: &Order, number: u32, task: Value) -> SpawnAnswer {
    send(world, agent, signed(document(world, agent, order, number, task), "a")).await
}

fn child(id: &str) -> Value {
    json!({"id": id, "uses": "probe.run"})
}

async fn task(world: &World, made: &MissionView, id: &str) -> TaskView {
    world.mission(made.summary.id).await.tasks.into_iter().find(|task| task.id == id).unwrap()
}

both! {
    async fn what_is_added_waits_for_its_parent_and_is_waited_for(world) {
        let mut agent = world.agent("a").await;
        grant(&world).await;
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert_eq!(made.summary.rank.letter(), "D", "the envelope counts");
        let first = add(&world, &agent, &order, 0, child("eu")).await;
        assert_eq!(first.refused, "");
        assert_eq!(add(&world, &agent, &order, 1, child("us")).await.refused, "");
        let seen = world.mission(made.summary.id).await;
        assert_eq!((seen.summary.tasks.total, seen.summary.tasks.open), (4, 4));
        let eu = seen.tasks.iter().find(|task| task.id == "eu").unwrap();
        assert_eq!((eu.task_id, eu.spawned_by), (first.task, Some(order.attempt.task)));
        assert_eq!((eu.needs.clone(), eu.waiting.as_ref().unwrap().reason.as_str()), (vec!["scan".to_owned()], "needs"));
        for edge in [("scan", "eu"), ("eu", "sum"), ("us", "sum"), ("scan", "sum")] {
            assert!(seen.dag_edges.contains(&(edge.0.to_owned(), edge.1.to_owned())), "{edge:?}");
        }
        assert!(!seen.dag_edges.iter().any(|(from, to)| from == "eu" && to == "us"), "not for each other");
        agent.report(order.attempt, succeed(json!({}))).await;
        // `sum` comes last, although its only need in the plan was met first.
        assert_eq!(agent.work(&world, |_, order| {
            if leaf(order).id.as_str() != "sum" {
                assert!(order.proof.is_empty() && order.spawned.is_some());
            }
            succeed(json!({}))
        }).await, ["eu", "us", "sum"]);
        assert_eq!(world.status(made.summary.id).await, "succeeded");
        let told = world.written(2, |action| action == "task.spawned").await;
        assert_eq!((told[1].actor.clone(), told[1].body["task"].clone()), (agent.id.to_string(), json!("eu")));
        assert_eq!(world.written(1, |action| action == "trait.used").await.len(), 1, "once for a mission");
    }

    async fn adding_twice_adds_once_whatever_happened_in_between(world) {
        let mut agent = world.agent("a").await;
        grant(&world).await;
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        let spawn = signed(document(&world, &agent, &order, 0, child("eu")), "a");
        assert_eq!(send(&world, &agent, spawn.clone()).await.refused, "");
        // The answer was lost; another session asks again, and again when all is over.
        let (id, _) = agent.vanish().await;
        let held = HeldAttempt { attempt: order.attempt, started: true, finished: false };
        let mut agent = Agent::connect(&world, id, 1, vec![held]).await;
        assert_eq!(send(&world, &agent, spawn.clone()).await, SpawnAnswer { task: spawn.task, refused: String::new() });
        assert_eq!(world.mission(made.summary.id).await.summary.tasks.total, 3);
        agent.report(order.attempt, succeed(json!({}))).await;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(send(&world, &agent, spawn).await.refused, "");
        let done = world.mission(made.summary.id).await;
        assert_eq!((done.summary.status.as_str(), done.summary.tasks.total), ("succeeded", 3));
        assert_eq!(world.written(1, |action| action == "task.spawned").await.len(), 1);
    }

    async fn what_lies_outside_is_refused_by_name(world) {
        let mut agent = world.agent("a").await;
        grant(&world).await;
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        for (task, reason) in [
            (json!({"id": "x", "uses": "probe.careful"}), "spawn.capabilities"),
            (json!({"id": "x", "uses": "probe.run", "sandbox": "user"}), "spawn.rank"),
            (json!({"id": "x", "uses": "probe.run", "sandbox": "none"}), "spawn.rank"),
            (json!({"id": "x", "uses": "probe.run", "effects": {"spends": true}}), "spawn.rank"),
            (json!({"id": "sum", "uses": "probe.run"}), "`id`"),
            (json!({"id": "scan", "uses": "probe.run"}), "`id`"),
            (json!({"id": "x", "uses": "probe.run", "secrets": ["key"]}), "secrets"),
            (json!({"id": "x", "uses": "probe.run", "with": {"n": "${{ mission.id }}"}}), "with"),
            (json!({"id": "x", "uses": "probe.run", "limits": {"db": 0}}), "limits"),
            (json!({"id": "x", "uses": "probe.run", "timeout": 0.001}), "timeout"),
        ] {
            let answer = add(&world, &agent, &order, 0, task.clone()).await;
            assert!(answer.refused.contains(reason), "{task}: {}", answer.refused);
        }
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        assert!(add(&world, &agent, &order, 1, json!({"id": "eu", "uses": "probe.effect"})).await.refused.contains("`id`"));
        assert_eq!(add(&world, &agent, &order, 1, child("us")).await.refused, "");
        // Two were agreed on, and what an agent calls the next one does not matter.
        assert!(add(&world, &agent, &order, 2, child("af")).await.refused.contains("spawn.max"));
        assert!(add(&world, &agent, &order, 0, child("af")).await.refused.contains("spawn.max"));
        assert_eq!(world.mission(made.summary.id).await.summary.tasks.total, 4);
        let told = world.written(12, |action| action == "task.spawn_refused").await;
        assert!(told.iter().all(|entry| entry.actor == agent.id.to_string()));
    }

    async fn forged_ones_raise_the_alarm(world) {
        let mut agent = world.agent("a").await;
        let other = world.agent("b").await;
        other.live.set_credit(0);
        grant(&world).await;
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        let honest = || document(&world, &agent, &order, 0, child("eu"));
        let mut renamed = signed(honest(), "a");
        renamed.task = TaskId::from_bits(7);
        let mut cut = signed(honest(), "a");
        cut.signed = cut.signed.slice(..cut.signed.len() - 1);
        let forgeries = [
            signed(honest(), "b"),
            renamed,
            cut,
            signed(Spawned { organism: nexusmon_shared::id::OrganismId::from_bits(1), ..honest() }, "a"),
            signed(Spawned { agent: other.id, ..honest() }, "a"),
        ];
        for (number, forged) in forgeries.into_iter().enumerate() {
            assert!(!send(&world, &agent, forged).await.refused.is_empty(), "{number}");
        }
        // Another agent's attempt, signed by whoever has no part in it.
        let stolen = Spawned { agent: other.id, ..honest() };
        assert!(!send(&world, &other, signed(stolen, "b")).await.refused.is_empty());
        assert_eq!(world.mission(made.summary.id).await.summary.tasks.total, 2);
        assert_eq!(world.written(5, |action| action == "alert.raised").await.len(), 5);
        let elsewhere = Spawned { plan_digest: Digest::of(b"other"), ..honest() };
        assert!(send(&world, &agent, signed(elsewhere, "a")).await.refused.contains("plan"));
    }

    async fn a_lost_attempt_takes_what_it_added_along(world) {
        let mut agent = world.agent("a").await;
        grant(&world).await;
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        assert_eq!(add(&world, &agent, &order, 1, child("us")).await.refused, "");
        agent.report(order.attempt, exit(1)).await;
        world.pass(2).await;
        agent.live.set_credit(4);
        world.tick().await;
        let again = agent.orders().remove(0);
        assert_eq!(again.attempt.task, order.attempt.task);
        let late = add(&world, &agent, &order, 1, child("af")).await;
        assert!(late.refused.contains("newest"), "the fence decides: {}", late.refused);
        // The same name again, and room for as many as before.
        assert_eq!(add(&world, &agent, &again, 0, child("eu")).await.refused, "");
        agent.report(again.attempt, succeed(json!({}))).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["eu", "sum"]);
        let done = world.mission(made.summary.id).await;
        assert_eq!(done.summary.status.as_str(), "succeeded");
        let skipped: Vec<_> = done.tasks.iter().filter(|task| task.status.as_str() == "skipped").collect();
        assert_eq!(skipped.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["eu", "us"]);
        assert!(skipped.iter().all(|task| serde_json::to_value(task.skip_reason).unwrap() == "superseded"));
    }

    async fn a_parent_that_fails_leaves_nothing_to_run(world) {
        let mut agent = world.agent("a").await;
        grant(&world).await;
        let mut body = mission(&usual_envelope());
        body["tasks"][0]["retry"] = json!({"max": 0});
        let (made, order) = begun(&world, &mut agent, body).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        agent.report(order.attempt, exit(1)).await;
        assert!(agent.work(&world, |_, _| succeed(json!({}))).await.is_empty());
        assert_eq!(world.status(made.summary.id).await, "failed");
        assert_eq!(task(&world, &made, "eu").await.status.as_str(), "skipped");
        // One that fails fails its mission, and what waits for the parent is skipped.
        let mut body = mission(&usual_envelope());
        body["goal"] = json!("again");
        let (made, order) = begun(&world, &mut agent, body).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        agent.report(order.attempt, succeed(json!({}))).await;
        assert_eq!(agent.work(&world, |_, _| exit(3)).await, ["eu"]);
        assert_eq!(world.status(made.summary.id).await, "failed");
        assert_eq!(task(&world, &made, "sum").await.status.as_str(), "skipped");
        // From what failed: the task that added it adds it again.
        let rerun = missions::rerun(&world.app, &world.owner().await, made.summary.id, true).await.unwrap();
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["scan", "sum"]);
        assert_eq!(world.status(rerun.summary.id).await, "succeeded");
    }

    async fn the_trait_opens_closes_and_holds_what_is_queued(world) {
        let mut agent = world.agent("a").await;
        let owner = world.logged_in().await;
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        let locked = add(&world, &agent, &order, 0, child("eu")).await;
        assert!(locked.refused.contains("WORKER_SPAWN"), "{}", locked.refused);
        grant(&world).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        agent.live.set_credit(0);
        agent.report(order.attempt, succeed(json!({}))).await;
        let change = async |change| {
            evolution::change_trait(&world.app, &owner, "WORKER_SPAWN", change, String::new()).await.unwrap();
        };
        change(TraitChange::Disable).await;
        agent.live.set_credit(4);
        assert_eq!(world.tick().await, 0, "what is queued waits");
        let eu = task(&world, &made, "eu").await;
        assert_eq!((eu.status.as_str(), eu.waiting.unwrap().reason.as_str()), ("ready", "trait_closed"));
        // Other work goes on meanwhile.
        let beside = world.create(json!({"goal": "beside", "tasks": [{"id": "t", "uses": "probe.run"}]})).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        assert_eq!(world.status(beside.summary.id).await, "succeeded");
        change(TraitChange::Reinstate).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["eu", "sum"]);
        assert_eq!(world.status(made.summary.id).await, "succeeded");
    }

    async fn it_is_earned_at_its_stage_and_suspended_by_what_came_of_it(world) {
        let mut agent = world.agent("a").await;
        many(&world, &mut agent, 0, 9).await;
        let (_, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert!(add(&world, &agent, &order, 0, child("eu")).await.refused.contains("WORKER_SPAWN"), "nine is AWAKENING");
        agent.report(order.attempt, succeed(json!({}))).await;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        many(&world, &mut agent, 100, 1).await;
        // What is queued later was added before the last of these ended: from there on the trait may be suspended any moment.
        let (queued, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "", "FORGING");
        for number in 0..3 {
            let mut body = mission(&usual_envelope());
            body["goal"] = json!(format!("scan {number}"));
            let (_, order) = begun(&world, &mut agent, body).await;
            assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "", "FORGING");
            agent.report(order.attempt, succeed(json!({}))).await;
            agent.work(&world, |_, _| exit(1)).await;
        }
        agent.live.set_credit(0);
        agent.report(order.attempt, succeed(json!({}))).await;
        evolution::watch(&world.app).await.unwrap();
        let told = world.written(1, |action| action == "trait.suspended").await;
        assert_eq!(told[0].subject, "WORKER_SPAWN");
        agent.live.set_credit(4);
        assert_eq!(world.tick().await, 0);
        assert_eq!(task(&world, &queued, "eu").await.waiting.unwrap().reason, "trait_closed");
        let (_, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert!(add(&world, &agent, &order, 0, child("eu")).await.refused.contains("WORKER_SPAWN"));
    }

    async fn budgets_pauses_and_cancelling_cover_what_is_added(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        grant(&world).await;
        let mut body = mission(&usual_envelope());
        body["budget"] = json!({"tasks": 3});
        let (made, order) = begun(&world, &mut agent, body).await;
        missions::pause(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        assert!(add(&world, &agent, &order, 1, child("us")).await.refused.contains("budget"));
        agent.report(order.attempt, succeed(json!({}))).await;
        assert!(agent.work(&world, |_, _| succeed(json!({}))).await.is_empty(), "paused");
        missions::resume(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["eu", "sum"]);
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        missions::cancel(&world.app, &owner, made.summary.id).await.unwrap();
        assert!(!add(&world, &agent, &order, 1, child("us")).await.refused.is_empty());
        agent.report(order.attempt, nexusmon_shared::outcome::Ending::Cancelled).await;
        let done = world.mission(made.summary.id).await;
        assert_eq!((done.summary.status.as_str(), done.summary.tasks.open), ("cancelled", 0));
    }

    async fn only_who_can_check_it_is_given_it(world) {
        // Without a roster no machine but the one that signed knows the key.
        let mut agent = world.agent("a").await;
        let mut other = world.agent("b").await;
        grant(&world).await;
        other.live.set_credit(0);
        let (made, order) = begun(&world, &mut agent, mission(&usual_envelope())).await;
        assert_eq!(add(&world, &agent, &order, 0, child("eu")).await.refused, "");
        agent.live.set_credit(0);
        agent.report(order.attempt, succeed(json!({}))).await;
        agent.live.set_credit(0);
        other.live.set_credit(4);
        world.tick().await;
        assert!(other.orders().is_empty());
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await[0], "eu");
        assert_eq!(task(&world, &made, "eu").await.agent, Some(agent.id));
    }
}

//! From creation to completion, and every way off that road.

use std::time::Duration;

use nexusmon_coordinator::service::tasks::Resolution;
use nexusmon_coordinator::service::{dispatch, missions, tasks};
use nexusmon_shared::message::{CoordinatorMessage, HeldAttempt, Started};
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::time::Clock as _;
use serde_json::{Value, json};

use crate::harness::{Agent, World, both, exit, succeed};

fn task(id: &str, more: Value) -> Value {
    let mut task = json!({"id": id, "uses": "probe.run"});
    task.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    task
}

both! {
    async fn one_task_is_granted_reported_and_completes(world) {
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "one", "tasks": [task("only", json!({}))]})).await;
        assert_eq!(mission.summary.status.as_str(), "running");
        let done = agent.work(&world, |_, _| succeed(json!({"answer": 42}))).await;
        assert_eq!(done, ["only"]);
        let mission = world.mission(mission.summary.id).await;
        assert_eq!(mission.summary.status.as_str(), "succeeded");
        assert_eq!(mission.tasks[0].outputs, Some(json!({"answer": 42})));
        assert_eq!(mission.summary.tasks.succeeded, 1);
    }

    async fn a_chain_passes_outputs_and_conditions_decide(world) {
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "chain", "tasks": [
            task("first", json!({})),
            task("second", json!({"needs": ["first"], "with": {"n": "${{ tasks.first.outputs.n + 1 }}"}})),
            task("never", json!({"needs": ["first"], "if": "tasks.first.outputs.n > 100"})),
            task("after_never", json!({"needs": ["never"]})),
        ]})).await;
        let mut seen = None;
        let done = agent.work(&world, |spec, order| {
            if spec.id.as_str() == "second" {
                seen = order.evaluated_parameters().unwrap();
            }
            succeed(json!({"n": 1}))
        }).await;
        assert_eq!(done, ["first", "second", "after_never"]);
        assert_eq!(seen.map(Value::Object), Some(json!({"n": 2})));
        let statuses = world.statuses(mission.summary.id).await;
        assert_eq!(statuses[2].1, "skipped");
        assert_eq!(world.status(mission.summary.id).await, "succeeded");
    }

    async fn a_failed_need_skips_what_follows_and_fails_the_mission(world) {
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "fails", "tasks": [
            task("breaks", json!({"retry": {"max": 0}})),
            task("follows", json!({"needs": ["breaks"]})),
            task("cleans_up", json!({"needs": ["breaks"], "if": "tasks.breaks.state == 'failed'"})),
        ]})).await;
        let done = agent.work(&world, |spec, _| {
            if spec.id.as_str() == "breaks" { exit(3) } else { succeed(json!({})) }
        }).await;
        assert_eq!(done, ["breaks", "cleans_up"]);
        let view = world.mission(mission.summary.id).await;
        assert_eq!(view.summary.status.as_str(), "failed");
        assert_eq!(view.tasks[1].status.as_str(), "skipped");
        assert!(view.failure.is_some());
    }

    async fn a_list_spreads_and_comes_back_in_order(world) {
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "list", "tasks": [
            task("make", json!({})),
            task("each", json!({"needs": ["make"],
                "for_each": {"in": "tasks.make.outputs.items", "max": 10, "concurrency": 2},
                "with": {"item": "${{ item * 10 }}"}})),
            task("sum", json!({"needs": ["each"], "with": {"all": "${{ tasks.each.outputs.map(o, o.got) }}"}})),
        ]})).await;
        let mut sum = None;
        let mut live = 0;
        let mut most = 0;
        loop {
            agent.live.set_credit(4);
            world.tick().await;
            let orders = agent.orders();
            if orders.is_empty() {
                break;
            }
            live += orders.len();
            most = most.max(live);
            for order in orders {
                live -= 1;
                let spec: nexusmon_shared::plan::TaskSpec = serde_json::from_slice(&order.leaf).unwrap();
                let parameters = order.evaluated_parameters().unwrap();
                let outputs = match spec.id.as_str() {
                    "make" => json!({"items": [1, 2, 3, 4, 5]}),
                    "each" => json!({"got": parameters.unwrap()["item"]}),
                    _ => {
                        sum = parameters;
                        json!({})
                    }
                };
                agent.report(order.attempt, succeed(outputs)).await;
            }
        }
        assert!(most <= 2, "{most} children at once under a bound of 2");
        assert_eq!(sum.map(Value::Object), Some(json!({"all": [10, 20, 30, 40, 50]})));
        assert_eq!(world.status(mission.summary.id).await, "succeeded");
        assert_eq!(world.mission(mission.summary.id).await.summary.tasks.total, 8);
    }

    async fn failures_are_tried_again_after_their_backoff(world) {
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "retry", "tasks": [
            task("flaky", json!({"retry": {"max": 2, "backoff": "10s", "jitter": 0.0}})),
        ]})).await;
        let mut tries = 0;
        agent.work(&world, |_, _| { tries += 1; exit(1) }).await;
        assert_eq!(world.statuses(mission.summary.id).await[0].1, "backoff");
        agent.beat(4);
        world.pass(11).await;
        agent.beat(4);
        agent.work(&world, |_, _| { tries += 1; succeed(json!({})) }).await;
        assert_eq!(tries, 2);
        assert_eq!(world.status(mission.summary.id).await, "succeeded");
        let detail = tasks::get(&world.app, mission.tasks[0].task_id).await.unwrap();
        assert_eq!(detail.attempts.len(), 2);
    }

    async fn a_clock_set_back_by_an_hour_holds_no_retry(world) {
        let mut agent = world.agent("a").await;
        let plan = json!({"goal": "retry", "tasks": [
            task("flaky", json!({"retry": {"max": 2, "backoff": "10s", "jitter": 0.0}})),
        ]});
        let mission = world.create(plan).await.summary.id;
        agent.work(&world, |_, _| exit(1)).await;
        world.pass(1).await;
        assert_eq!(world.statuses(mission).await[0].1, "backoff", "its time has not come");
        world.clock.set_wall(world.clock.now() - Duration::from_hours(1));
        world.pass(1).await;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(world.status(mission).await, "succeeded");
    }

    async fn a_clock_set_back_while_nobody_looked_holds_no_retry(world) {
        let mut agent = world.agent("a").await;
        let plan = json!({"goal": "retry", "tasks": [
            task("flaky", json!({"retry": {"max": 2, "backoff": "10s", "jitter": 0.0}})),
        ]});
        let mission = world.create(plan).await.summary.id;
        agent.work(&world, |_, _| exit(1)).await;
        world.clock.set_wall(world.clock.now() - Duration::from_hours(1));
        drop(agent);
        let world = world.restart().await;
        world.pass(1).await;
        assert_eq!(world.statuses(mission).await[0].1, "ready");
    }

    async fn a_doubled_report_counts_once(world) {
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "twice", "tasks": [task("only", json!({}))]})).await;
        world.tick().await;
        let order = agent.orders().remove(0);
        assert_eq!(agent.report(order.attempt, succeed(json!({"n": 1}))).await, [order.attempt]);
        assert_eq!(agent.report(order.attempt, exit(9)).await, [order.attempt]);
        let view = world.mission(mission.summary.id).await;
        assert_eq!(view.summary.status.as_str(), "succeeded");
        assert_eq!((view.summary.tasks.succeeded, view.summary.tasks.failed), (1, 0));
    }

    async fn cancelling_works_in_every_state(world) {
        let owner = world.owner().await;
        let mut agent = world.agent("a").await;
        // Nothing is granted for now.
        agent.live.set_credit(0);
        let manual = world.create(json!({"goal": "manual", "start": "manual", "tasks": [task("t", json!({}))]})).await;
        assert_eq!(manual.summary.status.as_str(), "ready");
        let plan_less = world.create(json!({"goal": "no plan"})).await;
        assert_eq!(plan_less.summary.status.as_str(), "needs_plan");
        let grave = world.create(json!({"goal": "grave", "tasks": [{"id": "t", "uses": "probe.grave"}]})).await;
        assert_eq!(grave.summary.status.as_str(), "awaiting_approval");
        let paused = world.create(json!({"goal": "paused", "tasks": [task("t", json!({}))]})).await;
        missions::pause(&world.app, &owner, paused.summary.id).await.unwrap();
        for mission in [&manual, &plan_less, &grave, &paused] {
            missions::cancel(&world.app, &owner, mission.summary.id).await.unwrap();
            assert_eq!(world.status(mission.summary.id).await, "cancelled", "{}", mission.summary.goal);
        }
        agent.live.set_credit(4);
        let running = world.create(json!({"goal": "running", "tasks": [
            task("t", json!({})), task("later", json!({"needs": ["t"]})),
        ]})).await;
        world.tick().await;
        let order = agent.orders().remove(0);
        let stopped = missions::cancel(&world.app, &owner, running.summary.id).await.unwrap();
        assert_eq!((stopped.cancelled_attempts, stopped.tasks_cancelled), (1, 1));
        let told = loop {
            if let CoordinatorMessage::Cancel(cancel) = agent.next().await {
                break cancel;
            }
        };
        assert_eq!(told.attempts, [order.attempt]);
        assert_eq!(world.status(running.summary.id).await, "cancelling");
        agent.report(order.attempt, Ending::Cancelled).await;
        assert_eq!(world.status(running.summary.id).await, "cancelled");
        let again = missions::cancel(&world.app, &owner, running.summary.id).await.unwrap_err();
        assert_eq!(again.code(), "already_terminal");
    }

    async fn pausing_holds_and_resuming_goes_on(world) {
        let owner = world.owner().await;
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "pause", "tasks": [
            task("one", json!({})), task("two", json!({"needs": ["one"]})),
        ]})).await;
        let id = mission.summary.id;
        world.tick().await;
        let order = agent.orders().remove(0);
        missions::pause(&world.app, &owner, id).await.unwrap();
        agent.report(order.attempt, succeed(json!({}))).await;
        assert!(agent.work(&world, |_, _| succeed(json!({}))).await.is_empty());
        assert_eq!(world.status(id).await, "paused");
        missions::resume(&world.app, &owner, id).await.unwrap();
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["two"]);
        assert_eq!(world.status(id).await, "succeeded");
    }

    async fn a_lost_agent_makes_work_with_effects_uncertain_and_a_person_decides(world) {
        let owner = world.owner().await;
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "uncertain", "tasks": [
            {"id": "safe", "uses": "probe.run"},
            {"id": "effect", "uses": "probe.effect", "offline": "0s"},
        ]})).await;
        world.tick().await;
        let orders = agent.orders();
        assert_eq!(orders.len(), 2);
        agent.vanish().await;
        // No clock alone ends a lease: the observer has to have watched for the full length, and nobody who slept has.
        for asleep in [60, 600] {
            world.pass(asleep).await;
            assert_eq!(world.statuses(mission.summary.id).await[1].1, "leased");
        }
        for _ in 0..11 {
            world.pass(3).await;
        }
        let statuses = world.statuses(mission.summary.id).await;
        assert!(matches!(statuses[0].1, "ready" | "backoff"), "{statuses:?}");
        assert_eq!(statuses[1].1, "uncertain");
        let task = mission.tasks[1].task_id;
        let resolved = tasks::resolve(&world.app, &owner, task, Resolution::Succeeded, Some("seen".into())).await;
        assert_eq!(resolved.unwrap().task.status.as_str(), "succeeded");
        let again = tasks::resolve(&world.app, &owner, task, Resolution::Failed, None).await.unwrap_err();
        assert_eq!(again.code(), "not_uncertain");
    }

    async fn a_hello_reconciles_by_journal(world) {
        let mut agent = world.agent("a").await;
        let id = agent.id;
        let mission = world.create(json!({"goal": "reconcile", "tasks": [
            {"id": "kept", "uses": "probe.effect"},
            {"id": "dropped", "uses": "probe.effect"},
        ]})).await;
        world.tick().await;
        let orders = agent.orders();
        let (kept, dropped) = (orders[0].attempt, orders[1].attempt);
        agent.vanish().await;
        // The same journal lacks one: that one never started, and is granted again.
        let held = vec![HeldAttempt { attempt: kept, started: true, finished: false }];
        let mut agent = Agent::connect(&world, id, 1, held).await;
        assert!(agent.welcome.stale.is_empty());
        let statuses = world.statuses(mission.summary.id).await;
        assert_eq!((statuses[0].1, statuses[1].1), ("running", "ready"));
        world.tick().await;
        let again = agent.orders().remove(0).attempt;
        assert_eq!(again.task, dropped.task);
        assert!(again.fence > dropped.fence);
        // A late report under the old fence changes nothing.
        agent.report(dropped, exit(1)).await;
        assert_eq!(world.statuses(mission.summary.id).await[1].1, "leased");
        agent.vanish().await;
        // A new journal knows nothing: work with effects is uncertain.
        let mut agent = Agent::connect(&world, id, 2, Vec::new()).await;
        let statuses = world.statuses(mission.summary.id).await;
        assert_eq!((statuses[0].1, statuses[1].1), ("uncertain", "uncertain"));
        // The report with the current fence is still the truth.
        agent.report(kept, succeed(json!({}))).await;
        assert_eq!(world.statuses(mission.summary.id).await[0].1, "succeeded");
        assert!(agent.orders().is_empty());
    }

    async fn what_waits_behind_other_work_goes_to_who_is_free(world) {
        let mut full = world.agent("a").await;
        // Its tasks were short so far, so it was sent more than its slots.
        full.live.worked(1, Duration::from_millis(1));
        full.beat(14);
        let tasks: Vec<_> = (0..14).map(|n| json!({"id": format!("t{n}"), "uses": "probe.run"})).collect();
        world.create(json!({"goal": "long after all", "tasks": tasks})).await;
        world.tick().await;
        let orders = full.orders();
        assert_eq!(orders.len(), 14);
        let running = orders[..4].iter().map(|order| Started { attempt: order.attempt, at: world.clock.now() });
        tasks::started(&world.app, full.id, &running.collect::<Vec<_>>());
        let mut free = world.agent("b").await;
        assert_eq!(dispatch::balance(&world.app).await.unwrap(), 0, "they may be about to start");
        world.pass(2).await;
        assert_eq!(dispatch::balance(&world.app).await.unwrap(), 4, "as many as there are free slots");
        let CoordinatorMessage::Recall(called) = full.next().await else { panic!("a recall comes first") };
        assert!(called.iter().all(|attempt| orders[4..].iter().any(|order| order.attempt == *attempt)));
        for attempt in &called {
            full.report(*attempt, Ending::Returned).await;
        }
        world.tick().await;
        assert_eq!(free.orders().len(), 4);
        world.pass(2).await;
        assert_eq!(dispatch::balance(&world.app).await.unwrap(), 0, "nobody is free any more");
    }

    async fn a_limit_holds_across_missions(world) {
        let mut agent = world.agent("a").await;
        for number in 0..3 {
            world.create(json!({"goal": format!("m{number}"), "tasks": [
                task("t", json!({"limits": {"printer": 1}})),
            ]})).await;
        }
        for _ in 0..3 {
            agent.live.set_credit(4);
            world.tick().await;
            let orders = agent.orders();
            assert_eq!(orders.len(), 1);
            agent.report(orders[0].attempt, succeed(json!({}))).await;
        }
    }

    async fn a_restart_resumes_everything(world) {
        let mut agent = world.agent("a").await;
        let id = agent.id;
        let mission = world.create(json!({"goal": "restart", "tasks": [
            task("one", json!({})), task("two", json!({"needs": ["one"]})),
        ]})).await;
        world.tick().await;
        let order = agent.orders().remove(0);
        drop(agent);
        let world = world.restart().await;
        let held = vec![HeldAttempt { attempt: order.attempt, started: true, finished: true }];
        let mut agent = Agent::connect(&world, id, 1, held).await;
        agent.report(order.attempt, succeed(json!({}))).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["two"]);
        assert_eq!(world.status(mission.summary.id).await, "succeeded");
    }

    async fn a_rerun_from_failed_reuses_what_succeeded(world) {
        let owner = world.owner().await;
        let mut agent = world.agent("a").await;
        let mission = world.create(json!({"goal": "rerun", "tasks": [
            task("good", json!({})),
            task("bad", json!({"needs": ["good"], "with": {"n": "${{ tasks.good.outputs.n }}"}})),
        ]})).await;
        agent.work(&world, |spec, _| {
            if spec.id.as_str() == "bad" { exit(1) } else { succeed(json!({"n": 5})) }
        }).await;
        // Whatever the default retries are, they end.
        for _ in 0..10 {
            agent.beat(4);
            world.pass(3600).await;
            agent.beat(4);
            agent.work(&world, |_, _| exit(1)).await;
        }
        assert_eq!(world.status(mission.summary.id).await, "failed");
        let again = missions::rerun(&world.app, &owner, mission.summary.id, true).await.unwrap();
        assert_eq!(again.summary.rerun_of, Some(mission.summary.id));
        let mut seen = None;
        let done = agent.work(&world, |_, order| {
            seen = order.evaluated_parameters().unwrap();
            succeed(json!({}))
        }).await;
        assert_eq!(done, ["bad"]);
        assert_eq!(seen.map(Value::Object), Some(json!({"n": 5})));
        assert_eq!(world.status(again.summary.id).await, "succeeded");
    }

    async fn mistakes_are_named_and_nothing_is_half_created(world) {
        let _agent = world.agent("a").await;
        let cases = [
            (json!({"goal": "x", "tasks": [task("a", json!({"needs": ["b"]})), task("b", json!({"needs": ["a"]}))]}), "cycle"),
            (json!({"goal": "x", "tasks": [task("a", json!({"needs": ["nobody"]}))]}), "unknown_need"),
            (json!({"goal": "x", "tasks": [{"id": "a", "uses": "no.such"}]}), "unknown_capability"),
        ];
        for (body, code) in cases {
            let error = world.try_create(body).await.unwrap_err();
            let codes: Vec<_> = error.fields().iter().map(|field| field.code).collect();
            assert!(codes.contains(&code), "{codes:?} lacks {code}");
        }
        let page = missions::list(&world.app, missions::MissionFilter::default(), nexusmon_coordinator::service::PageRequest::default()).await.unwrap();
        assert!(page.items.is_empty());
    }
}

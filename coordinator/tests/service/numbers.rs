//! One history, and every number of `GET /v1/cognition/status` beside what it comes to by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_coordinator::service::approvals::{self, NewDecision, Verdict};
use nexusmon_coordinator::service::missions::MissionView;
use nexusmon_coordinator::service::{cognition, memory, playbooks, tasks};
use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::Clock as _;
use serde_json::json;

use crate::harness::*;

fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

/// A mission whose one attempt takes so long.
async fn ran(world: &World, agent: &mut Agent, number: u32, seconds: u64, ending: Ending) {
    let task = json!({"id": "t", "uses": "probe.run", "retry": {"max": 0}, "with": {"n": number}});
    agent.beat(4);
    world.create(json!({"goal": "weigh the parcels", "tasks": [task]})).await;
    world.tick().await;
    let order = agent.orders().remove(0);
    agent.live.set_credit(0);
    let began = world.clock.now();
    world.clock.advance(Duration::from_secs(seconds));
    let report = Report {
        attempt: order.attempt,
        ending,
        started_at: Some(began),
        finished_at: world.clock.now(),
        artifacts: Vec::new(),
        log_bytes: 0,
        sandbox_level: Some(Level::L3),
        provenance: None,
    };
    tasks::report(&world.app, agent.id, agent.live.session(), vec![report]).await.unwrap();
}

/// A goal that a playbook of rank C plans: it waits for an approval.
async fn held(world: &World) -> MissionView {
    let made = world.create(json!({"goal": "tidy the cache"})).await;
    assert_eq!(made.summary.status.as_str(), "awaiting_approval");
    made
}

async fn rejected(world: &World, mission: &MissionView, after: u64) {
    world.clock.advance(Duration::from_secs(after));
    let owner = world.logged_in().await;
    let digest = mission.plan.as_ref().unwrap().digest;
    let decision = NewDecision { verdict: Verdict::Reject, digest, comment: None, signature: None };
    approvals::decide(&world.app, &owner, mission.approval.unwrap(), decision).await.unwrap();
}

/// Memory has seen so many runs.
async fn remembered(world: &World, runs: u64) {
    let learned = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            memory::learn(&world.app).await.unwrap();
            let found = memory::search(&world.app, None, None, 50).await.unwrap();
            if found.iter().map(|one| one.runs).sum::<u64>() == runs {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), learned).await.expect("it is learned in time");
}

both! {
    async fn every_number_is_what_the_records_come_to(world) {
        let mut agent = world.agent("a").await;
        // They leave nothing, so that nothing verifies and memory stays closed to the system.
        let good = || succeed(json!({}));
        // Foreseen: 1/2 and 30 s by prior; then 2/3 and 10 s, 2/4 and 10 s, 3/5 and 25 s by the record of the capability;
        // and 2/3 and 10 s by the one earlier run of the same plan.
        ran(&world, &mut agent, 1, 10, good()).await;
        ran(&world, &mut agent, 2, 20, exit(3)).await;
        ran(&world, &mut agent, 3, 40, good()).await;
        ran(&world, &mut agent, 4, 50, good()).await;
        ran(&world, &mut agent, 1, 10, good()).await;
        let owner = world.owner().await;
        let body = json!({"name": "tidy-cache", "goal": "tidy the cache", "tasks": [{"id": "c", "uses": "probe.careful"}]});
        playbooks::create(&world.app, &owner, body).await.unwrap();
        let (first, second) = (held(&world).await, held(&world).await);
        rejected(&world, &first, 100).await;
        rejected(&world, &second, 200).await;
        held(&world).await;
        let careful = json!([{"id": "c", "uses": "probe.careful", "with": {"by": "hand"}}]);
        world.create(json!({"goal": "sort with care", "tasks": careful})).await;
        let unplanned = world.create(json!({"goal": "paint the house"})).await;
        assert_eq!(unplanned.summary.status.as_str(), "needs_plan");
        remembered(&world, 7).await;
        assert_eq!(memory::search(&world.app, Some("parcels"), None, 9).await.unwrap().len(), 4);
        assert!(memory::search(&world.app, Some("zebra"), None, 9).await.unwrap().is_empty());

        let status = cognition::status(&world.app).await.unwrap();
        assert_eq!((status.window_days, status.sources.len()), (90, 7));
        let found = &status.predictions;
        // Five ran; two were rejected, one waits for an approval, one for its turn.
        assert_eq!((found.made, found.scored), (9, 5));
        // (1/2)², (2/3)², (1/2)², (2/5)², (1/3)²
        near(found.brier.unwrap(), (0.25 + 4.0 / 9.0 + 0.25 + 0.16 + 1.0 / 9.0) / 5.0);
        // 20/10, 10/20, 30/40, 25/50, 0/10: the median.
        near(found.duration_error.unwrap(), 0.5);
        assert_eq!(found.calibration.len(), 10);
        for (place, bin) in (0_u32..).zip(&found.calibration) {
            near(bin.from, f64::from(place) / 10.0);
            near(bin.to, f64::from(place + 1) / 10.0);
            match place {
                5 => {
                    near(bin.mean_predicted.unwrap(), 0.5);
                    near(bin.observed.unwrap(), 1.0);
                    assert_eq!(bin.predictions, 2);
                }
                6 => {
                    near(bin.mean_predicted.unwrap(), (0.6 + 4.0 / 3.0) / 3.0);
                    near(bin.observed.unwrap(), 2.0 / 3.0);
                    assert_eq!(bin.predictions, 3);
                }
                _ => assert_eq!((bin.predictions, bin.mean_predicted, bin.observed), (0, None, None), "{place}"),
            }
        }
        assert_eq!(status.decisions.len(), 5, "newest first");
        for (one, (predicted, succeeded, expected, took)) in status.decisions.iter().zip([
            (2.0 / 3.0, true, 10.0, 10.0),
            (0.6, true, 25.0, 50.0),
            (0.5, true, 10.0, 40.0),
            (2.0 / 3.0, false, 10.0, 20.0),
            (0.5, true, 30.0, 10.0),
        ]) {
            assert_eq!((one.goal.as_str(), one.succeeded), ("weigh the parcels", succeeded));
            near(one.predicted_success, predicted);
            near(one.predicted_seconds, expected);
            near(one.actual_seconds, took);
        }

        assert_eq!(status.beliefs.len(), 1);
        let belief = &status.beliefs[0];
        let named = (belief.capability.as_str(), belief.plugin_version.as_str(), belief.agent.as_str());
        assert_eq!((named, belief.successes, belief.failures), (("probe.run", "1.0.0", "a"), 4, 1));
        near(belief.trust, 5.0 / 7.0);
        assert_eq!(status.errors, BTreeMap::from([("exit_status".to_owned(), 1)]));

        let attention = &status.attention;
        assert_eq!((attention.approvals_waiting, attention.reviews_waiting), (1, 1));
        assert_eq!((attention.uncertain_tasks, attention.needs_plan, attention.decided), (0, 1, 2));
        // Asked at the same moment, decided after 100 and 300 seconds.
        near(attention.mean_seconds_to_decide.unwrap(), 200.0);

        let memory = &status.memory;
        assert_eq!((memory.missions, memory.artifacts, memory.documents_indexed), (10, 0, 10));
        // Four plans that ran, one of them twice, and one that was rejected twice.
        assert_eq!(memory.remembered.get("mission"), Some(&5));
        assert_eq!((memory.remembered.values().sum::<u64>(), memory.forgotten), (5, 0));
        let asked: Vec<_> = memory.asked.iter().map(|one| (one.purpose.as_str(), one.asked, one.hits, one.used)).collect();
        assert_eq!(asked, [("search", 2, 1, 0)]);
        near(memory.asked[0].hit_rate.unwrap(), 0.5);

        let planners: Vec<_> = status.planner.iter().map(|one| (one.kind.as_str(), one.asked, one.planned, one.fell_through)).collect();
        assert_eq!(planners, [("playbook", 4, 3, 1), ("memory", 1, 0, 1), ("model", 1, 0, 1)]);
        assert_eq!(status.planner[1].outcomes, BTreeMap::from([("barred".to_owned(), 1)]));
        assert!(status.planner.iter().all(|one| one.calls == 0 && one.tokens_in == 0 && one.cached == 0));
    }
}

//! From DORMANT to APEX: real missions on simulated time, every rule of what counts, every trait opening at its stage, one
//! being suspended by what came of its uses and earned back.

use std::time::Duration;

use nexusmon_coordinator::service::evolution::{self, TraitView};
use nexusmon_coordinator::service::missions::{self, MissionView, NewMission};
use nexusmon_coordinator::service::reviews::{self, ReviewVerdict};
use nexusmon_coordinator::service::{Caller, playbooks};
use nexusmon_shared::outcome::{Cause, Ending};
use serde_json::{Value, json};

use crate::consent::sign_roster;
use crate::harness::{Agent, World, both, exit, succeed};
use crate::standing::{given, playbook};

const DAY: Duration = Duration::from_hours(24);

async fn trait_of(world: &World, name: &str) -> TraitView {
    let status = evolution::organism_status(&world.app).await.unwrap();
    status.traits.into_iter().find(|held| held.name == name).unwrap()
}

async fn state(world: &World, name: &str) -> String {
    trait_of(world, name).await.state
}

/// Stage, verified missions, XP.
async fn reached(world: &World) -> (String, u64, i64) {
    let status = evolution::organism_status(&world.app).await.unwrap();
    (status.stage, status.verified_missions, status.xp)
}

/// The traits that may be used.
async fn earned(world: &World) -> Vec<String> {
    let traits = evolution::organism_status(&world.app).await.unwrap().traits;
    traits.into_iter().filter(|held| held.state == "earned").map(|held| held.name).collect()
}

fn body(uses: &str, number: u32) -> Value {
    json!({"goal": "work", "tasks": [{"id": "t", "uses": uses, "with": {"number": number}}]})
}

/// One mission from its beginning to the ledger.
async fn done(world: &World, agent: &mut Agent, body: Value) -> MissionView {
    ended(world, agent, body, succeed(json!({"lines": 3}))).await
}

async fn ended(world: &World, agent: &mut Agent, body: Value, ending: Ending) -> MissionView {
    let made = world.create(body).await;
    agent.work(world, |_, _| ending.clone()).await;
    evolution::settle(&world.app).await.unwrap();
    world.mission(made.summary.id).await
}

/// So many missions nobody has seen before.
pub(crate) async fn many(world: &World, agent: &mut Agent, from: u32, count: u32) {
    let owner = world.owner().await;
    let bodies =
        (from..from + count).map(|n| NewMission::from_value(&body("probe.run", n)).unwrap()).collect();
    for made in missions::create(&world.app, &owner, bodies).await.unwrap() {
        made.unwrap();
    }
    agent.work(world, |_, _| succeed(json!({"lines": 3}))).await;
    evolution::settle(&world.app).await.unwrap();
}

fn days(world: &World, agent: &mut Agent, count: u32) {
    world.clock.advance(DAY * count);
    agent.beat(4);
}

async fn review(world: &World, mission: &MissionView, verdict: ReviewVerdict) {
    let owner = world.owner().await;
    reviews::decide(&world.app, &owner, mission.review.unwrap(), verdict, None).await.unwrap();
    evolution::settle(&world.app).await.unwrap();
}

/// A mission nobody asked for, made of a playbook that a standing approval covers.
async fn unasked(world: &World) -> MissionView {
    let body = json!({"playbook": "tidy-up", "inputs": {"what": "x"}});
    let system = Caller::system(&world.app);
    let mission = NewMission::from_value(&body).unwrap();
    missions::create(&world.app, &system, vec![mission]).await.unwrap().remove(0).unwrap()
}

async fn status(world: &World, mission: &MissionView) -> &'static str {
    world.status(mission.summary.id).await
}

/// What counts and what does not, up to FORGING and back.
async fn to_forging(world: &World, agent: &mut Agent) {
    assert_eq!(reached(world).await, ("DORMANT".to_owned(), 0, 0));
    assert!(earned(world).await.is_empty());
    let nothing = succeed(json!({}));
    ended(world, agent, body("probe.run", 1), nothing).await;
    ended(world, agent, body("probe.run", 2), exit(1)).await;
    assert_eq!(reached(world).await.1, 0, "what left nothing, and what failed");

    done(world, agent, body("probe.run", 3)).await;
    assert_eq!(reached(world).await, ("AWAKENING".to_owned(), 1, 10));
    assert_eq!(earned(world).await, ["RECALL", "COMPANION"]);
    let again = done(world, agent, body("probe.run", 3)).await;
    assert_eq!((reached(world).await.1, again.summary.xp_awarded), (1, Some(0)), "once a day");
    days(world, agent, 1);
    done(world, agent, body("probe.run", 3)).await;
    assert_eq!(reached(world).await.1, 2, "and the next day once more");

    let mut asked_for = body("probe.run", 4);
    asked_for["rank"] = json!("C");
    done(world, agent, asked_for).await;
    assert_eq!(
        reached(world).await,
        ("AWAKENING".to_owned(), 3, 30),
        "by what it was, not by what was asked for"
    );

    let careful = done(world, agent, body("probe.careful", 1)).await;
    assert_eq!(reached(world).await.1, 3, "C counts once it is reviewed");
    review(world, &careful, ReviewVerdict::Accept).await;
    assert_eq!(reached(world).await, ("AWAKENING".to_owned(), 4, 80));
    many(world, agent, 100, 5).await;
    assert_eq!(reached(world).await.1, 9);
    days(world, agent, 1);
    let covered = done(world, agent, body("probe.careful", 1)).await;
    assert_eq!(reached(world).await, ("FORGING".to_owned(), 10, 180), "covered by the run that was accepted");
    assert_eq!(earned(world).await, ["RECALL", "COMPANION", "WORKER_SPAWN", "BELIEF_TRACK"]);

    review(world, &covered, ReviewVerdict::Reject).await;
    assert_eq!(reached(world).await, ("AWAKENING".to_owned(), 9, 130), "taken back at once");
    assert_eq!(state(world, "BELIEF_TRACK").await, "locked");
    many(world, agent, 200, 1).await;
    assert_eq!(reached(world).await.0, "FORGING");
}

/// `OPERATOR_FUSION` fails three times of four and is taken away; what it had queued is asked about.
async fn suspended(world: &World, agent: &mut Agent) {
    sign_roster(world, None).await;
    playbooks::create(&world.app, &world.owner().await, playbook("probe.grave")).await.unwrap();
    given(world, 20, 1).await;
    let failures =
        [exit(1), Ending::Failed { cause: Cause::LostAgent }, succeed(json!({"ok": true})), exit(2)];
    for (place, ending) in failures.into_iter().enumerate() {
        if place == 3 {
            let before = reached(world).await;
            days(world, agent, 1);
            evolution::settle(&world.app).await.unwrap();
            let after = reached(world).await;
            assert_eq!((after.1 - before.1, after.2 - before.2), (1, 200), "A work that stood for a day");
            given(world, 20, 2).await;
        }
        assert_eq!(status(world, &unasked(world).await).await, "running", "nobody is asked");
        agent.work(world, |_, _| ending.clone()).await;
        evolution::settle(&world.app).await.unwrap();
        assert_eq!(state(world, "OPERATOR_FUSION").await, "earned", "a lost machine is not its fault");
    }
    unasked(world).await;
    world.tick().await;
    let order = agent.orders().remove(0);
    agent.live.set_credit(0);
    let queued = unasked(world).await;
    assert_eq!(world.statuses(queued.summary.id).await[0].1, "ready");
    agent.report(order.attempt, exit(3)).await;
    evolution::settle(&world.app).await.unwrap();

    let held = trait_of(world, "OPERATOR_FUSION").await;
    assert_eq!(held.state, "suspended");
    let because = held.evidence["because"].as_str().unwrap();
    assert!(
        because.starts_with("3 of its last 5 uses failed") && because.contains("exit_status"),
        "{because}"
    );
    agent.live.set_credit(4);
    assert_eq!(world.tick().await, 0);
    assert_eq!(world.statuses(queued.summary.id).await[0].1, "gated", "within one tick");
    assert_eq!(status(world, &unasked(world).await).await, "awaiting_approval");
    let told = world.written(1, |action| action == "trait.suspended").await;
    assert!(told[0].body.to_string().contains("3 of its last 5"), "{:?}", told[0].body);
    assert_eq!(world.written(5, |action| action == "trait.used").await.len(), 6);
}

/// A week and a hundred XP bring it back, neither alone.
async fn returned(world: &World, agent: &mut Agent) {
    days(world, agent, 1);
    many(world, agent, 1000, 9).await;
    days(world, agent, 7);
    let held = trait_of(world, "OPERATOR_FUSION").await;
    assert_eq!((held.state.as_str(), &held.evidence["xp_needed"]), ("suspended", &json!(10)));
    many(world, agent, 1100, 1).await;
    assert_eq!(state(world, "OPERATOR_FUSION").await, "earned");
    given(world, 20, 3).await;
    let made = unasked(world).await;
    agent.work(world, |_, _| exit(1)).await;
    evolution::settle(&world.app).await.unwrap();
    assert_eq!(
        (status(world, &made).await, state(world, "OPERATOR_FUSION").await.as_str()),
        ("failed", "earned")
    );
}

both! {
    async fn from_dormant_to_apex(world) {
        let mut agent = world.agent("a").await;
        to_forging(&world, &mut agent).await;
        many(&world, &mut agent, 300, 40).await;
        assert_eq!(reached(&world).await.0, "SOVEREIGN");
        assert_eq!(earned(&world).await.len(), 6);
        Box::pin(suspended(&world, &mut agent)).await;
        let before = reached(&world).await;
        Box::pin(returned(&world, &mut agent)).await;
        let after = reached(&world).await;
        assert_eq!((after.1 - before.1, after.2 - before.2), (10, 100));
        assert_eq!(state(&world, "SELF_EVOLVE").await, "locked");
        many(&world, &mut agent, 2000, u32::try_from(200 - after.1).unwrap()).await;
        assert_eq!(reached(&world).await.0, "APEX");
        assert_eq!(earned(&world).await.len(), 7);
        // Anyone can recompute it: the ledger says the same after a restart.
        let before = reached(&world).await;
        let _ = agent.vanish().await;
        let world = world.restart().await;
        assert_eq!(reached(&world).await, before);
    }
}

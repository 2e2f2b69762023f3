//! The paths of the traits: closed while they are locked, open once they are earned, closed again when what came of their
//! uses took them away, and back. `OPERATOR_FUSION` has its way through `ascent.rs`.

use std::time::Duration;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::companion::{self, Question};
use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::learned::{self, LearnedView};
use nexusmon_coordinator::service::missions::MissionView;
use nexusmon_coordinator::service::{PageRequest, beliefs, chains, memory, missions, playbooks, triggers};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{LearnedState, ProposalState};
use serde_json::{Value, json};

use crate::ascent::{days, many, state, trait_of};
use crate::harness::*;

/// Longest a test waits for what memory learns behind the audit log.
const PATIENCE: Duration = Duration::from_secs(30);

/// Uses of a trait that came to an end.
async fn uses(world: &World, name: &str) -> usize {
    let ever = Timestamp::from_micros(0);
    world.app.store.read().await.unwrap().decided_uses(name, ever, 50).await.unwrap().len()
}

/// A mission that runs fails, and is judged.
async fn fails(world: &World, agent: &mut Agent) {
    assert_eq!(agent.work(world, |_, _| exit(1)).await.len(), 1, "there is one to fail");
    evolution::settle(&world.app).await.unwrap();
}

/// A week and a hundred XP.
async fn time_and_work(world: &World, agent: &mut Agent, from: u32) {
    days(world, agent, 8);
    many(world, agent, from, 10).await;
}

/// `begin`, which `go-on` follows.
async fn chained(world: &World) {
    let owner = world.owner().await;
    let schema = json!({"properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let tasks = json!([{"id": "t", "uses": "probe.run", "with": {"n": "${{ inputs.n }}"}}]);
    for body in [
        json!({"name": "go-on", "goal": "go on ${{ inputs.n }}", "input_schema": schema, "tasks": tasks}),
        json!({"name": "begin", "goal": "begin ${{ inputs.n }}", "input_schema": schema, "tasks": tasks,
            "then": [{"on": "succeeded", "playbook": "go-on", "inputs": {"n": "${{ event.mission.inputs.n }}"}}]}),
    ] {
        playbooks::create(&world.app, &owner, body).await.unwrap();
    }
}

async fn began(world: &World, agent: &mut Agent, n: u32) {
    world.create(json!({"playbook": "begin", "inputs": {"n": n}})).await;
    // It leaves nothing, and counts for nothing.
    agent.work(world, |_, _| succeed(json!({}))).await;
}

/// How many follow-ups begin by themselves.
async fn follow(world: &World) -> usize {
    world.clock.advance(Duration::from_millis(2));
    triggers::look(&world.app).await.unwrap().fired
}

async fn newest(world: &World) -> chains::ProposalView {
    chains::list(&world.app, None, PageRequest::default()).await.unwrap().items.remove(0)
}

/// A goal like that of a mission that verified.
async fn state_goal(world: &World, place: &str) -> MissionView {
    world.create(json!({"goal": format!("count the boxes in the {place}")})).await
}

fn by_memory(view: &MissionView) -> String {
    let planning = view.planning.as_ref().unwrap();
    planning.steps.iter().find(|step| step.planner == "memory").unwrap().outcome.clone()
}

/// Memory learns, and drafts are made, until so many are there.
pub(crate) async fn offered(world: &World, count: usize) -> Vec<LearnedView> {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            memory::learn(&world.app).await.unwrap();
            learned::learn(&world.app).await.unwrap();
            let found = learned::list(&world.app).await.unwrap();
            if found.len() == count {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("a draft in time")
}

/// Three missions of one kind that verify.
async fn weigh(world: &World, agent: &mut Agent, what: &str) {
    for number in 0..3 {
        let with = json!({"what": format!("{what}{number}")});
        let tasks = json!([{"id": what, "uses": "probe.run", "with": with}]);
        world.create(json!({"goal": format!("weigh {what}{number}"), "tasks": tasks})).await;
        agent.work(world, |_, _| succeed(json!({"grams": 3}))).await;
    }
    evolution::settle(&world.app).await.unwrap();
}

fn one(offers: &[LearnedView], wanted: LearnedState) -> Name {
    let found: Vec<_> = offers.iter().filter(|one| one.state == wanted).collect();
    assert_eq!(found.len(), 1, "{offers:?}");
    found[0].name.clone()
}

fn of(name: &Name, number: u32) -> Value {
    json!({"playbook": name, "inputs": {"number": number}})
}

async fn change(world: &World, name: &str, change: TraitChange) {
    let owner = world.logged_in().await;
    evolution::change_trait(&world.app, &owner, name, change, "a test".to_owned()).await.unwrap();
}

async fn asked(world: &World) -> Result<(), Error> {
    let question = Question { text: "status".to_owned(), about: None };
    companion::ask(&world.app, &world.owner().await, question).await.map(drop)
}

both! {
    async fn follow_ups_begin_while_autonomous_chain_is_earned(world) {
        let mut agent = world.agent("a").await;
        chained(&world).await;
        many(&world, &mut agent, 1, 49).await;
        began(&world, &mut agent, 1).await;
        assert_eq!(follow(&world).await, 0, "locked");
        assert!(newest(&world).await.reason.unwrap().contains("AUTONOMOUS_CHAIN"));
        many(&world, &mut agent, 50, 1).await;
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "earned");

        for number in 2..4 {
            began(&world, &mut agent, number).await;
            assert_eq!(follow(&world).await, 1);
            fails(&world, &mut agent).await;
            assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "earned");
        }
        began(&world, &mut agent, 4).await;
        began(&world, &mut agent, 5).await;
        agent.live.set_credit(0);
        assert_eq!(follow(&world).await, 2);
        agent.live.set_credit(1);
        world.tick().await;
        let mut orders = agent.orders();
        assert_eq!(orders.len(), 1);
        agent.live.set_credit(0);
        agent.report(orders.remove(0).attempt, exit(1)).await;
        evolution::settle(&world.app).await.unwrap();
        let held = trait_of(&world, "AUTONOMOUS_CHAIN").await;
        assert_eq!(held.state, "suspended");
        assert!(held.evidence["because"].as_str().unwrap().starts_with("3 of its last 3 uses failed"));
        // What else it had begun waits for a person.
        let begun = chains::list(&world.app, None, PageRequest { limit: Some(2), cursor: None }).await.unwrap().items;
        let mut queued = None;
        for proposal in begun {
            let mission = proposal.mission.unwrap();
            match world.status(mission).await {
                "paused" => queued = Some(mission),
                other => assert_eq!(other, "failed"),
            }
        }
        let queued = queued.unwrap();

        began(&world, &mut agent, 6).await;
        assert_eq!(follow(&world).await, 0, "suspended");
        assert_eq!(newest(&world).await.state, ProposalState::Proposed);
        missions::resume(&world.app, &world.owner().await, queued).await.unwrap();
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"], "a person's decision");
        assert_eq!(world.status(queued).await, "succeeded");
        time_and_work(&world, &mut agent, 100).await;
        assert_eq!(state(&world, "AUTONOMOUS_CHAIN").await, "earned");
        began(&world, &mut agent, 7).await;
        assert_eq!(follow(&world).await, 1, "and back");
    }

    async fn memory_plans_while_recall_is_earned(world) {
        let mut agent = world.agent("a").await;
        assert_eq!(by_memory(&state_goal(&world, "cellar").await), "barred", "locked");
        let plan = json!([{"id": "look", "uses": "probe.run", "with": {"what": "attic"}}]);
        world.create(json!({"goal": "count boxes in attic", "tasks": plan})).await;
        agent.work(&world, |_, _| succeed(json!({"n": 1}))).await;
        evolution::settle(&world.app).await.unwrap();
        let learns = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                memory::learn(&world.app).await.unwrap();
                let found = memory::search(&world.app, None, None, 50).await.unwrap();
                if found.iter().any(|one| one.outcome == "verified") {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, learns).await.expect("it is learned in time");
        for (place, then) in [("cellar", "earned"), ("garage", "earned"), ("barn", "suspended")] {
            let made = state_goal(&world, place).await;
            assert_eq!((by_memory(&made).as_str(), made.summary.status.as_str()), ("planned", "running"));
            fails(&world, &mut agent).await;
            assert_eq!(state(&world, "RECALL").await, then, "{place}");
        }
        assert_eq!(uses(&world, "RECALL").await, 3);
        let barred = state_goal(&world, "shed").await;
        assert_eq!((by_memory(&barred).as_str(), barred.summary.status.as_str()), ("barred", "needs_plan"));
        time_and_work(&world, &mut agent, 100).await;
        assert_eq!(state(&world, "RECALL").await, "earned");
        // The goal that was left without a plan gets one, when somebody asks again.
        let owner = world.owner().await;
        let again = missions::run(&world.app, &owner, barred.summary.id).await.unwrap();
        assert_eq!(again.summary.status.as_str(), "running");
        assert_eq!(again.planning.unwrap().planner.as_deref(), Some("memory"));
    }

    async fn playbooks_are_promoted_unasked_while_self_evolve_is_earned(world) {
        let mut agent = world.agent("a").await;
        many(&world, &mut agent, 1, 199).await;
        let first = one(&offered(&world, 1).await, LearnedState::Offered);
        assert!(playbooks::get(&world.app, &first, None).await.is_err(), "locked");
        many(&world, &mut agent, 200, 1).await;
        learned::learn(&world.app).await.unwrap();
        let kept = playbooks::get(&world.app, &first, None).await.unwrap();
        assert_eq!((kept.version, kept.created_by), (1, world.app.system));

        for (number, then) in [(5001, "earned"), (5002, "earned"), (5003, "suspended")] {
            world.create(of(&first, number)).await;
            fails(&world, &mut agent).await;
            assert_eq!(state(&world, "SELF_EVOLVE").await, then);
        }
        let because = trait_of(&world, "SELF_EVOLVE").await.evidence["because"].clone();
        assert!(because.as_str().unwrap().starts_with("3 of its last 3 uses failed"), "{because}");
        weigh(&world, &mut agent, "crate").await;
        let second = one(&offered(&world, 2).await, LearnedState::Offered);
        learned::learn(&world.app).await.unwrap();
        assert!(playbooks::get(&world.app, &second, None).await.is_err(), "suspended");
        // Its playbooks are of use as before; what comes of them is nobody's evidence now.
        world.create(of(&first, 5004)).await;
        fails(&world, &mut agent).await;
        assert_eq!(uses(&world, "SELF_EVOLVE").await, 3);

        time_and_work(&world, &mut agent, 6000).await;
        assert_eq!(state(&world, "SELF_EVOLVE").await, "earned");
        learned::learn(&world.app).await.unwrap();
        assert_eq!(playbooks::get(&world.app, &second, None).await.unwrap().created_by, world.app.system);
        // What a person wrote is theirs, though it goes by the name of what the system wrote.
        let mut body = kept.body.clone();
        body["description"] = json!("mine now");
        playbooks::change(&world.app, &world.owner().await, &first, body, None).await.unwrap();
        world.create(of(&first, 5005)).await;
        fails(&world, &mut agent).await;
        assert_eq!(uses(&world, "SELF_EVOLVE").await, 3);
        world.create(json!({"playbook": format!("{first}@1"), "inputs": {"number": 5006}})).await;
        fails(&world, &mut agent).await;
        assert_eq!(uses(&world, "SELF_EVOLVE").await, 4);
    }

    async fn what_only_reads_or_says_leaves_no_uses_and_is_switched_off_alone(world) {
        let mut agent = world.agent("a").await;
        assert_eq!(asked(&world).await.unwrap_err().code(), "trait_locked");
        many(&world, &mut agent, 1, 1).await;
        asked(&world).await.unwrap();
        assert_eq!(state(&world, "BELIEF_TRACK").await, "locked");
        many(&world, &mut agent, 2, 9).await;
        let belief = offered(&world, 1).await.remove(0).belief;
        let held = beliefs::get(&world.app, belief.unwrap()).await.unwrap();
        assert_eq!(held.belief.created_by.as_str(), "nexusmon");
        for number in 50..55 {
            let with = json!({"number": number});
            world.create(json!({"goal": "work", "tasks": [{"id": "t", "uses": "probe.run", "with": with}]})).await;
            fails(&world, &mut agent).await;
        }
        for name in ["COMPANION", "BELIEF_TRACK"] {
            assert_eq!(state(&world, name).await, "earned", "{name}: failures of work are not its own");
            change(&world, name, TraitChange::Disable).await;
        }
        let written = world.written(2, |action| ["trait.used", "trait.disabled"].contains(&action)).await;
        assert!(written.iter().all(|entry| entry.action == "trait.disabled"), "{written:?}");
        assert_eq!(asked(&world).await.unwrap_err().code(), "trait_locked");
        weigh(&world, &mut agent, "crate").await;
        let offers = offered(&world, 2).await;
        assert_eq!(offers.iter().filter(|one| one.belief.is_none()).count(), 1, "nothing is asserted unasked");
        for name in ["COMPANION", "BELIEF_TRACK"] {
            change(&world, name, TraitChange::Reinstate).await;
        }
        asked(&world).await.unwrap();
        weigh(&world, &mut agent, "sack").await;
        let offers = offered(&world, 3).await;
        assert_eq!(offers.iter().filter(|one| one.belief.is_some()).count(), 2);
    }
}

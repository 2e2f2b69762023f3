//! Event triggers at work: each event once, over restarts and several looks; how far they go, and where they stop.

use std::time::Duration;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::triggers::events::{self, EventTriggerView};
use nexusmon_coordinator::service::triggers::{self, FiringView};
use nexusmon_coordinator::service::{PageRequest, agents, chains, missions, playbooks, retention};
use nexusmon_shared::id::{MissionId, TriggerId};
use nexusmon_shared::time::Clock as _;
use nexusmon_store::{FiringResult, TriggerState};
use serde_json::{Value, json};

use crate::harness::{World, both, exit, succeed};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn keep(world: &World, body: Value) -> EventTriggerView {
    let person = world.logged_in().await;
    events::create(&world.app, &person, &body).await.unwrap()
}

async fn look(world: &World) -> usize {
    // What is made at the same moment has no order.
    world.clock.advance(Duration::from_millis(2));
    let mut fired = 0;
    loop {
        let looked = triggers::look(&world.app).await.unwrap();
        fired += looked.fired;
        if !looked.more {
            return fired;
        }
    }
}

/// Looks until so many missions were made: PostgreSQL numbers what happened after its commit.
pub(crate) async fn fires(world: &World, count: usize) {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut fired = 0;
        while fired < count {
            pace.tick().await;
            fired += look(world).await;
        }
        assert_eq!(fired, count);
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("firings in time");
}

async fn firings(world: &World, id: TriggerId) -> Vec<FiringView> {
    let page = PageRequest { limit: Some(200), cursor: None };
    events::firings(&world.app, id, page).await.unwrap().items
}

/// Looks until there are so many firings, whatever came of them; the newest first.
async fn decides(world: &World, id: TriggerId, count: usize) -> Vec<FiringView> {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            look(world).await;
            let found = firings(world, id).await;
            if found.len() >= count {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("firings in time")
}

async fn last(world: &World, id: TriggerId) -> MissionId {
    events::get(&world.app, id).await.unwrap().last_mission.unwrap()
}

fn about(text: &str) -> Value {
    json!({"name": "about", "goal": text,
        "input_schema": {"properties": {"goal": {"type": "string"}, "cause": {"type": "string", "default": "none"}},
            "required": ["goal"]},
        "tasks": [{"id": "a", "uses": "probe.run"}]})
}

async fn failing(world: &World, goal: &str) -> MissionId {
    world
        .create(json!({"goal": goal, "labels": {"team": goal}, "tasks": [{"id": "t", "uses": "probe.run"}]}))
        .await
        .summary
        .id
}

both! {
    async fn an_outcome_starts_a_mission_once_over_restarts_and_many_looks(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        playbooks::create(&world.app, &owner, about("look at ${{ inputs.goal }}")).await.unwrap();
        let before = failing(&world, "too-early").await;
        agent.work(&world, |_, _| exit(1)).await;
        assert_eq!(world.status(before).await, "failed");
        world.written(1, |action| action == "mission.completed").await;
        let made = keep(&world, json!({"name": "look", "on": ["mission.failed"],
            "if": "event.mission.labels.team != 'other'", "playbook": "about",
            "inputs": {"goal": "${{ event.mission.goal }}", "cause": "${{ event.failure.task }} of ${{ event.kind }}"}})).await;
        let (ours, other) = (failing(&world, "ours").await, failing(&world, "other").await);
        agent.work(&world, |_, _| exit(1)).await;
        world.written(3, |action| action == "mission.completed").await;
        fires(&world, 1).await;
        let looks = (0..4).map(|_| triggers::look(&world.app));
        let more: usize = futures::future::join_all(looks).await.into_iter().map(|one| one.unwrap().fired).sum();
        assert_eq!(more, 0);
        let (id, _) = agent.vanish().await;
        let mut world = world.restart().await;
        assert_eq!(look(&world).await, 0, "a restart makes nothing happen again");
        let mission = world.mission(last(&world, made.id).await).await;
        assert_eq!((mission.summary.goal.as_str(), mission.summary.origin.as_str()), ("look at ours", "event"));
        assert_eq!(mission.inputs["cause"], "t of mission.failed");
        let author = serde_json::to_value(mission.plan.unwrap().author).unwrap().to_string();
        assert!(author.contains(&owner.principal.to_string()), "in the name of whoever set it up: {author}");
        let found = firings(&world, made.id).await;
        assert_eq!(found.len(), 1, "the condition left the other out, and what was before it does not concern it");
        assert!(found[0].occasion.starts_with("mission.failed#"), "{}", found[0].occasion);
        let story = chains::story(&world.app, mission.summary.id).await.unwrap();
        assert_eq!((story.root, story.items.len(), story.items[1].depth), (ours, 2, 1));
        assert_eq!(story.items[1].started_by, chains::StartedBy::Trigger(made.id.to_string(), Some("look".to_owned())));
        assert_eq!(chains::story(&world.app, other).await.unwrap().items.len(), 1);
        // Paused, nothing concerns it; resumed, only what comes.
        let person = world.logged_in().await;
        events::pause(&world.app, &person, made.id).await.unwrap();
        let mut agent = crate::harness::Agent::connect(&world, id, 2, Vec::new()).await;
        failing(&world, "meanwhile").await;
        agent.work(&world, |_, _| exit(1)).await;
        // What is under way from before is worked off with it.
        world.written(5, |action| action == "mission.completed").await;
        events::resume(&world.app, &person, made.id).await.unwrap();
        failing(&world, "again").await;
        agent.work(&world, |_, _| exit(1)).await;
        fires(&world, 1).await;
        assert_eq!(world.mission(last(&world, made.id).await).await.summary.goal, "look at again");
        agent.vanish().await;
        world = world.restart().await;
        assert_eq!(look(&world).await, 0);
    }

    async fn agents_are_events_too(world) {
        let agent_at_work = world.agent("a").await;
        let owner = world.logged_in().await;
        playbooks::create(&world.app, &owner, about("about ${{ inputs.goal }}")).await.unwrap();
        let made = keep(&world, json!({"name": "gone", "on": ["agent.quarantined", "agent.revoked"], "playbook": "about",
            "inputs": {"goal": "${{ event.agent.name + ', ' + event.kind }}"}})).await;
        let quarantined = world.enroll("box").await;
        agents::command(&world.app, &owner, quarantined, agents::AgentCommand::Quarantine).await.unwrap();
        fires(&world, 1).await;
        let mission = last(&world, made.id).await;
        assert_eq!(world.mission(mission).await.summary.goal, "about box, agent.quarantined");
        assert_eq!(chains::story(&world.app, mission).await.unwrap().items.len(), 1, "no mission led to it");
        drop(agent_at_work);
    }

    async fn a_chain_of_triggers_ends_at_its_depth(world) {
        let mut agent = world.agent("a").await;
        // It listens to what it makes itself.
        let made = keep(&world, json!({"name": "again", "on": ["mission.succeeded"], "max_depth": 2,
            "mission": {"goal": "again", "tasks": [{"id": "t", "uses": "probe.run"}]}})).await;
        let root = failing(&world, "first").await;
        for count in 1..=3 {
            agent.work(&world, |_, _| succeed(json!({}))).await;
            decides(&world, made.id, count).await;
        }
        let found = firings(&world, made.id).await;
        let results: Vec<_> = found.iter().rev().map(|one| one.result).collect();
        assert_eq!(results, [FiringResult::Fired, FiringResult::Fired, FiringResult::Skipped]);
        assert!(found[0].reason.as_ref().unwrap().contains("`max_depth` is 2"), "{:?}", found[0].reason);
        let story = chains::story(&world.app, root).await.unwrap();
        let depths: Vec<_> = story.items.iter().map(|item| item.depth).collect();
        assert_eq!((story.root, depths), (root, vec![0, 1, 2]));
        assert_eq!(events::get(&world.app, made.id).await.unwrap().state, TriggerState::Active);
    }

    async fn a_loop_pauses_its_trigger_and_raises_an_alert(world) {
        let mut agent = world.agent("a").await;
        let made = keep(&world, json!({"name": "same", "on": ["mission.failed"], "if": "event.mission.origin != 'event'",
            "max_repeats": 2, "mission": {"goal": "same", "tasks": [{"id": "same", "uses": "probe.run"}]}})).await;
        for count in 1..=4 {
            failing(&world, "x").await;
            // What the trigger made ends each time in the same way, and what it answers fails.
            agent.work(&world, |_, _| exit(1)).await;
            decides(&world, made.id, count).await;
            agent.work(&world, |_, _| exit(1)).await;
            world.clock.advance(Duration::from_mins(1));
            agent.beat(4);
        }
        let paused = events::get(&world.app, made.id).await.unwrap();
        assert_eq!(paused.state, TriggerState::Paused);
        assert!(paused.reason.as_ref().unwrap().contains("3 missions of the same shape"), "{:?}", paused.reason);
        let alerts = world.written(1, |action| action == "alert.raised").await;
        assert!(alerts[0].body.to_string().contains("`same` is paused"), "{:?}", alerts[0].body);
        let fired = firings(&world, made.id).await.iter().filter(|one| one.result == FiringResult::Fired).count();
        assert_eq!(fired, 3);
        // Whoever resumes it lets it begin anew.
        events::resume(&world.app, &world.logged_in().await, made.id).await.unwrap();
        failing(&world, "x").await;
        agent.work(&world, |_, _| exit(1)).await;
        fires(&world, 1).await;
    }

    async fn a_days_budget_pauses_and_doubts_are_said(world) {
        let mut agent = world.agent("a").await;
        let made = keep(&world, json!({"name": "few", "on": ["mission.failed"], "per_day": 2,
            "mission": {"goal": "x", "tasks": [{"id": "t", "uses": "core.noop"}]}})).await;
        let doubtful = keep(&world, json!({"name": "doubtful", "on": ["mission.failed"], "if": "event.mission.labels.none == 'x'",
            "mission": {"goal": "x", "tasks": [{"id": "t", "uses": "core.noop"}]}})).await;
        for count in 1..=3 {
            failing(&world, "y").await;
            agent.work(&world, |_, _| exit(1)).await;
            decides(&world, made.id, count).await;
        }
        let paused = events::get(&world.app, made.id).await.unwrap();
        assert_eq!(paused.state, TriggerState::Paused);
        assert!(paused.reason.unwrap().contains("budget of a day"));
        let told = decides(&world, doubtful.id, 3).await;
        assert!(told.iter().all(|one| one.result == FiringResult::Failed && one.mission.is_none()));
        assert!(told[0].reason.as_ref().unwrap().starts_with("`if`: "), "{:?}", told[0].reason);
        assert_eq!(events::get(&world.app, doubtful.id).await.unwrap().state, TriggerState::Active);
    }

    async fn what_is_wrong_with_an_event_trigger_is_said_by_place(world) {
        let person = world.logged_in().await;
        let refused = async |body: Value| match events::create(&world.app, &person, &body).await.unwrap_err() {
            Error::Invalid(fields) => (fields[0].pointer.clone(), fields[0].code.to_owned()),
            other => (String::new(), other.code().to_owned()),
        };
        let place = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        playbooks::create(&world.app, &person, about("x ${{ inputs.goal }}")).await.unwrap();
        let body = |inputs: Value| json!({"name": "a", "on": ["mission.failed"], "playbook": "about", "inputs": inputs});
        assert_eq!(refused(body(json!({}))).await, place("/inputs", "missing_input"));
        assert_eq!(refused(body(json!({"goal": "x", "more": 1}))).await, place("/inputs/more", "unknown_input"));
        assert_eq!(refused(body(json!({"goal": "${{ inputs.x }}"}))).await, place("/inputs/goal", "unknown_value"));
        assert_eq!(refused(json!({"name": "a", "on": ["mission.failed"], "playbook": "none"})).await, place("/playbook", "unknown_playbook"));
        keep(&world, body(json!({"goal": "x"}))).await;
        assert_eq!(refused(body(json!({"goal": "x"}))).await, place("", "exists"));
        let found = missions::list(&world.app, missions::MissionFilter::default(), PageRequest::default()).await.unwrap();
        assert_eq!(found.items.len(), 0);
    }

    async fn what_a_webhook_made_is_remembered_while_its_key_is_in_force(world) {
        use nexusmon_coordinator::service::triggers::webhooks::{self, Received};
        let owner = world.logged_in().await;
        let hook = json!({"name": "push", "format": "gitlab",
            "mission": {"goal": "built", "tasks": [{"id": "a", "uses": "core.noop"}]}});
        let gitlab = webhooks::create(&world.app, &owner, &hook).await.unwrap();
        let call = async |secret: &str, key: &str| {
            let values = [("x-gitlab-token", secret.to_owned()), ("idempotency-key", key.to_owned())];
            let look_up = |name: &str| values.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str());
            webhooks::receive(&world.app, gitlab.webhook.id, &look_up, b"{}", || true).await
        };
        let secret = gitlab.secret.to_string();
        assert_eq!(call(&secret, "one").await.unwrap(), Received::Fired);
        world.clock.advance(Duration::from_hours(24 * 800));
        retention::sweep(&world.app).await.unwrap();
        let left = missions::list(&world.app, missions::MissionFilter::default(), PageRequest::default()).await.unwrap();
        assert_eq!(call(&secret, "one").await.unwrap(), Received::Already, "{} missions are left", left.items.len());
        // Under another key nobody can send it again, and it is forgotten in time.
        let fresh = webhooks::rotate(&world.app, &owner, gitlab.webhook.id).await.unwrap();
        assert_eq!(call(&secret, "one").await.unwrap_err().code(), "signature_refused");
        world.clock.advance(Duration::from_hours(24 * 800));
        retention::sweep(&world.app).await.unwrap();
        let page = PageRequest { limit: Some(10), cursor: None };
        assert_eq!(webhooks::firings(&world.app, fresh.webhook.id, page).await.unwrap().items.len(), 0);
        assert!(world.clock.now() > fresh.webhook.changed_at);
    }
}

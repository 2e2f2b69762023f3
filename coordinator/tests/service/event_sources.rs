//! What events come from: artifacts of tasks and of people, agents, outcomes; and a whole day of them on which clocks are set.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use nexusmon_coordinator::service::agents::{self, AgentCommand};
use nexusmon_coordinator::service::triggers::{events, schedules};
use nexusmon_coordinator::service::{PageRequest, chains, notifications, playbooks, tasks, triggers, vault};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, TriggerId};
use nexusmon_shared::outcome::{Ending, ProducedArtifact, Report};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::{Clock as _, Timestamp};
use nexusmon_store::FiringResult;
use serde_json::json;

use crate::event_triggers::{fires, keep};
use crate::harness::{Agent, World, both, exit, succeed};

/// Says what it is told, in its goal.
async fn note(world: &World) {
    let body = json!({"name": "note", "goal": "note ${{ inputs.what }}",
        "input_schema": {"properties": {"what": {"type": "string"}}, "required": ["what"]},
        "tasks": [{"id": "n", "uses": "core.noop"}]});
    playbooks::create(&world.app, &world.owner().await, body).await.unwrap();
}

async fn report(world: &World, agent: &Agent, attempt: AttemptRef, ending: Ending, left: &[(&str, bool)]) {
    let content = |name: &str| format!("in {name} of {attempt:?}");
    let blobs: Vec<_> = left
        .iter()
        .map(|(name, _)| (Digest::of(content(name).as_bytes()), i64::try_from(content(name).len()).unwrap()))
        .collect();
    world
        .app
        .store
        .write_with("test.blobs", blobs, |tx, blobs| {
            Box::pin(async move {
                let now = tx.now();
                tx.put_blobs(blobs, now).await
            })
        })
        .await
        .unwrap();
    let artifact = |(name, withheld): &(&str, bool)| ProducedArtifact {
        name: (*name).to_owned(),
        digest: Digest::of(content(name).as_bytes()),
        size: content(name).len() as u64,
        media_type: "text/plain".to_owned(),
        withheld: *withheld,
    };
    let now = world.clock.now();
    let report = Report {
        attempt,
        ending,
        started_at: Some(now),
        finished_at: now,
        artifacts: left.iter().map(artifact).collect(),
        log_bytes: 0,
        sandbox_level: Some(Level::L3),
        provenance: None,
    };
    tasks::report(&world.app, agent.id, agent.live.session(), vec![report]).await.unwrap();
}

async fn upload(world: &World, name: &str, text: &'static str) {
    let new = vault::NewUpload {
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        mission: None,
        digest: None,
    };
    let bytes = futures::stream::once(async move { Ok(Bytes::from_static(text.as_bytes())) }).boxed();
    vault::upload(&world.app, &world.owner().await, new, bytes).await.unwrap();
}

/// What the missions of an event trigger were made for, in no order.
async fn noted(world: &World, id: TriggerId) -> Vec<String> {
    let page = PageRequest { limit: Some(200), cursor: None };
    let mut goals = Vec::new();
    for firing in events::firings(&world.app, id, page).await.unwrap().items {
        assert_eq!(firing.result, FiringResult::Fired, "{:?}", firing.reason);
        goals.push(world.mission(firing.mission.unwrap()).await.summary.goal);
    }
    goals.sort();
    goals
}

async fn parent_of(world: &World, id: TriggerId) -> Vec<Option<MissionId>> {
    let page = PageRequest { limit: Some(200), cursor: None };
    let mut parents = Vec::new();
    for firing in events::firings(&world.app, id, page).await.unwrap().items {
        let mission = firing.mission.unwrap();
        let story = chains::story(&world.app, mission).await.unwrap();
        parents.push(story.items.iter().find(|item| item.mission == mission).unwrap().parent);
    }
    parents
}

/// Answers every order; the dump leaves a file, and what runs hourly fails at three.
async fn work(world: &World, agent: &mut Agent) {
    agent.beat(4);
    loop {
        agent.live.set_credit(4);
        world.tick().await;
        let orders = agent.orders();
        if orders.is_empty() {
            return;
        }
        for order in orders {
            let spec: TaskSpec = serde_json::from_slice(&order.leaf).unwrap();
            let at_three = world.clock.now().to_string()[11..13].eq("03");
            let (ending, left) = match spec.id.as_str() {
                "dump" => (succeed(json!({})), &[("dump.csv", false)][..]),
                "hourly" if at_three => (exit(3), &[][..]),
                _ => (succeed(json!({})), &[][..]),
            };
            report(world, agent, order.attempt, ending, left).await;
        }
    }
}

async fn look(world: &World) {
    notifications::look_for_lost(&world.app).await.unwrap();
    while triggers::look(&world.app).await.unwrap().more {}
}

both! {
    async fn every_version_of_an_artifact_is_an_event_of_its_own(world) {
        let mut agent = world.agent("a").await;
        note(&world).await;
        upload(&world, "early.zip", "before anybody listened").await;
        let made = keep(&world, json!({"name": "unpack", "on": ["artifact.version"],
            "if": "event.artifact.name.endsWith('.zip')", "playbook": "note",
            "inputs": {"what": "${{ event.artifact.name + ' ' + string(event.artifact.version) + ' of ' + \
                (event.artifact.task == null ? 'a person' : event.artifact.task) }}"}})).await;
        let body = json!({"goal": "make", "tasks": [{"id": "make", "uses": "probe.run"}]});
        let mission = world.create(body).await.summary.id;
        agent.live.set_credit(4);
        world.tick().await;
        let order = agent.orders().remove(0);
        // One of them holds a secret and is withheld, one is no archive.
        let left = [("one.zip", false), ("notes.txt", false), ("held.zip", true), ("two.zip", false)];
        report(&world, &agent, order.attempt, succeed(json!({})), &left).await;
        fires(&world, 2).await;
        assert_eq!(noted(&world, made.id).await, ["note one.zip 1 of make", "note two.zip 1 of make"]);
        assert_eq!(parent_of(&world, made.id).await, [Some(mission); 2], "its mission led to them");
        let page = PageRequest { limit: Some(200), cursor: None };
        let firings = events::firings(&world.app, made.id, page).await.unwrap().items;
        let mut occasions: Vec<_> = firings.iter().map(|one| one.occasion.split('#').nth(1).unwrap()).collect();
        occasions.sort_unstable();
        assert_eq!(occasions[0].split('.').next(), occasions[1].split('.').next(), "one entry tells of both");
        // By hand, and once more under the same name.
        upload(&world, "three.zip", "first").await;
        upload(&world, "three.zip", "second").await;
        upload(&world, "three.txt", "other").await;
        fires(&world, 2).await;
        let (id, _) = agent.vanish().await;
        let world = world.restart().await;
        let agent = Agent::connect(&world, id, 2, Vec::new()).await;
        upload(&world, "four.zip", "after a restart").await;
        fires(&world, 1).await;
        assert_eq!(noted(&world, made.id).await, ["note four.zip 1 of a person", "note one.zip 1 of make",
            "note three.zip 1 of a person", "note three.zip 2 of a person", "note two.zip 1 of make"]);
        drop(agent);
    }

    async fn a_day_on_which_clocks_are_set_makes_exactly_what_it_should(world) {
        let mut world = world;
        // In Berlin the 30th has 23 hours: at 01:00Z two o'clock becomes three.
        world.clock.set_wall("2031-03-29T23:00:00Z".parse().unwrap());
        let mut agent = world.agent("a").await;
        let mut away = Some(world.agent("away").await);
        away.as_mut().unwrap().live.set_credit(0);
        let suspect = world.enroll("suspect").await;
        note(&world).await;
        let person = world.logged_in().await;
        let mut planned = BTreeMap::new();
        for (name, cron) in [("dump", "30 2 * * *"), ("hourly", "0 * * * *")] {
            let body = json!({"name": name, "cron": cron, "time_zone": "Europe/Berlin", "overlap": "allow", "catch_up": "all",
                "mission": {"goal": name, "labels": {"by": name}, "tasks": [
                    {"id": name, "uses": "probe.run", "on": {"agent": "a"}}]}});
            planned.insert(name, schedules::create(&world.app, &person, &body).await.unwrap().id);
        }
        let what = |text: &str| json!({"what": text});
        let mut listening = BTreeMap::new();
        for (name, on, condition, inputs) in [
            ("count", "artifact.version", "event.artifact.name.endsWith('.csv')", what("${{ event.artifact.name + ' ' + event.at }}")),
            ("mend", "mission.failed", "event.mission.labels.by == 'hourly'", what("${{ event.mission.goal + ' ' + event.at }}")),
            ("after", "mission.succeeded", "has(event.mission.labels.by) && event.mission.labels.by == 'dump'", what("${{ event.mission.goal + ' ' + event.at }}")),
            ("lost", "agent.lost", "true", what("${{ event.agent.name + ' ' + event.at }}")),
            ("out", "agent.quarantined", "event.agent.name == 'suspect'", what("${{ event.agent.name + ' ' + event.at }}")),
        ] {
            let body = json!({"name": name, "on": [on], "if": condition, "playbook": "note", "inputs": inputs});
            listening.insert(name, keep(&world, body).await.id);
        }
        for _ in 0..137 {
            world.clock.advance(Duration::from_mins(10));
            let now = world.clock.now();
            match &now.to_string()[11..16] {
                "08:00" => {
                    let mut gone = away.take().unwrap();
                    gone.beat(0);
                    gone.vanish().await;
                }
                "10:00" => {
                    agents::command(&world.app, &person, suspect, AgentCommand::Quarantine).await.unwrap();
                }
                "13:00" => upload(&world, "by-hand.csv", "1,2,3").await,
                // Set back for one look, and forward for another.
                "05:30" | "12:10" => {
                    world.clock.set_wall(now - Duration::from_mins(40));
                    look(&world).await;
                    world.clock.set_wall(now);
                }
                "16:00" => {
                    let (id, _) = agent.vanish().await;
                    world = world.restart().await;
                    agent = Agent::connect(&world, id, 2, Vec::new()).await;
                }
                _ => {}
            }
            look(&world).await;
            work(&world, &mut agent).await;
        }
        // PostgreSQL numbers what happened after its commit.
        let looking = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                look(&world).await;
                let mut made = 0;
                for id in listening.values() {
                    made += noted(&world, *id).await.len();
                }
                if made >= 6 {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("every event in time");
        let due = |found: Vec<triggers::FiringView>| {
            assert!(found.iter().all(|one| one.result == FiringResult::Fired), "{found:?}");
            let mut due: Vec<Timestamp> = found.iter().map(|one| one.due.unwrap()).collect();
            due.sort();
            due.into_iter().map(|at| at.to_string()[8..16].replace('T', " ")).collect::<Vec<_>>()
        };
        let fired = async |name: &str| {
            let page = PageRequest { limit: Some(200), cursor: None };
            due(schedules::firings(&world.app, planned[name], page).await.unwrap().items)
        };
        assert_eq!(fired("dump").await, ["30 01:00"], "half past two is not on this day: the first moment after");
        let hourly: Vec<String> = (0..=22).map(|hour| format!("30 {hour:02}:00")).collect();
        assert_eq!(fired("hourly").await, hourly[..22], "24 hours on the clock but one, the first before it was kept");
        let noted = async |name: &str| noted(&world, listening[name]).await;
        assert_eq!(noted("count").await, ["note by-hand.csv 2031-03-30T13:00:00.000000Z", "note dump.csv 2031-03-30T01:00:00.000000Z"]);
        assert_eq!(noted("mend").await, ["note hourly 2031-03-30T03:00:00.000000Z"]);
        assert_eq!(noted("after").await, ["note dump 2031-03-30T01:00:00.000000Z"]);
        assert_eq!(noted("lost").await, ["note away 2031-03-30T08:10:00.000000Z"]);
        assert_eq!(noted("out").await, ["note suspect 2031-03-30T10:00:00.000000Z"]);
        drop(agent);
    }
}

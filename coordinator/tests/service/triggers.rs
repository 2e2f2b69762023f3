//! Schedules at work: days on which clocks are set, restarts, jumps, several looks at once, and in whose name it all is.

use std::collections::BTreeSet;
use std::time::Duration;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::triggers::schedules::{self, ScheduleView};
use nexusmon_coordinator::service::triggers::{self, Backfill, FiringView};
use nexusmon_coordinator::service::{Caller, PageRequest, missions, playbooks};
use nexusmon_shared::id::TriggerId;
use nexusmon_shared::time::{Clock as _, Timestamp};
use nexusmon_store::{FiringResult, TriggerState};
use serde_json::{Value, json};

use crate::consent::{decide, sign_roster, signature};
use crate::harness::{Agent, World, both, succeed};
use crate::standing;

/// From where the clock of a world begins to a full hour.
pub(crate) const TO_THE_HOUR: Duration = Duration::from_secs(800);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noop(name: &str, cron: &str, more: Value) -> Value {
    let mut body = json!({"name": name, "cron": cron,
        "mission": {"goal": name, "tasks": [{"id": "a", "uses": "core.noop"}]}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn schedule(world: &World, body: Value) -> ScheduleView {
    let person = world.logged_in().await;
    schedules::create(&world.app, &person, &body).await.unwrap()
}

async fn look(world: &World) -> usize {
    let mut fired = 0;
    loop {
        let looked = triggers::look(&world.app).await.unwrap();
        fired += looked.fired;
        if !looked.more {
            return fired;
        }
    }
}

/// An hour passes, and the machine was there all the while.
async fn hour(world: &World, agent: &mut Agent) -> usize {
    world.clock.advance(Duration::from_hours(1));
    agent.beat(4);
    look(world).await
}

async fn firings(world: &World, id: TriggerId) -> Vec<FiringView> {
    let page = PageRequest { limit: Some(200), cursor: None };
    schedules::firings(&world.app, id, page).await.unwrap().items
}

/// Due times that made a mission, oldest first, as `day hour:minute`.
async fn due(world: &World, id: TriggerId) -> Vec<String> {
    let found = firings(world, id).await;
    let missions: BTreeSet<_> = found.iter().map(|one| one.mission.unwrap()).collect();
    assert_eq!(missions.len(), found.len(), "a mission for each");
    let mut found: Vec<String> =
        found.iter().map(|one| one.due.unwrap().to_string()[8..16].replace('T', " ")).collect();
    found.sort();
    found
}

async fn refused(world: &World, body: Value) -> (String, String) {
    let person = world.logged_in().await;
    match schedules::create(&world.app, &person, &body).await.unwrap_err() {
        Error::Invalid(fields) => (fields[0].pointer.clone(), fields[0].code.to_owned()),
        other => (String::new(), other.code().to_owned()),
    }
}

/// From the first moment on, thirty hours of looks every few minutes, with a restart and a clock that jumps.
async fn live_through(mut world: World, from: &str, lines: &[(&str, &str, &[&str])]) -> World {
    world.clock.set_wall(at(from));
    let mut made = Vec::new();
    for (place, (cron, zone, _)) in lines.iter().enumerate() {
        let more = json!({"time_zone": zone, "overlap": "allow", "catch_up": "all"});
        made.push(schedule(&world, noop(&format!("s{place}"), cron, more)).await.id);
    }
    for step in 0..200 {
        world.clock.advance(Duration::from_mins(9));
        let now = world.clock.now();
        match step {
            // Back by 40 minutes for one look, and forward by 25 for another.
            37 | 101 => {
                world.clock.set_wall(now - Duration::from_mins(40));
                look(&world).await;
                world.clock.set_wall(now);
            }
            60 | 61 => world.clock.set_wall(now + Duration::from_mins(25)),
            90 => world = world.restart().await,
            _ => {}
        }
        look(&world).await;
    }
    for (id, (cron, zone, wanted)) in made.iter().zip(lines) {
        assert_eq!(due(&world, *id).await, *wanted, "{cron} in {zone} from {from}");
        schedules::remove(&world.app, &world.owner().await, *id).await.unwrap();
    }
    world
}

both! {
    async fn days_on_which_clocks_are_set_run_exactly_what_they_should(world) {
        let hourly: Vec<String> = (0..31_u32).map(|hour| format!("{:02} {:02}:00", 26 + hour / 24, hour % 24)).collect();
        let hourly: Vec<&str> = hourly.iter().map(String::as_str).collect();
        // Europe springs forward on the 30th, at 01:00Z; elsewhere it is a day like any other.
        let world = Box::pin(live_through(world, "2031-03-29T20:00:00Z", &[
            ("30 2 * * *", "Europe/Berlin", &["30 01:00", "31 00:30"]),
            ("30 1 * * *", "Europe/London", &["30 01:00", "31 00:30"]),
            ("30 2 * * *", "Asia/Kolkata", &["29 21:00", "30 21:00"]),
            ("30 2 * * *", "America/New_York", &["30 06:30"]),
        ])).await;
        // And falls back on the 26th, at 01:00Z.
        let world = Box::pin(live_through(world, "2031-10-25T23:55:00Z", &[
            ("30 2 * * *", "Europe/Berlin", &["26 00:30", "27 01:30"]),
            ("0 * * * *", "Europe/Berlin", &hourly),
            ("30 3 * * *", "Australia/Lord_Howe", &["26 16:30"]),
        ])).await;
        let world = Box::pin(live_through(world, "2032-03-14T00:00:00Z", &[
            ("30 2 * * *", "America/New_York", &["14 07:00", "15 06:30"]),
            ("30 1 * * *", "America/New_York", &["14 06:30", "15 05:30"]),
        ])).await;
        Box::pin(live_through(world, "2032-11-07T00:00:00Z", &[
            ("30 1 * * *", "America/New_York", &["07 05:30", "08 06:30"]),
        ])).await;
    }

    async fn a_due_time_fires_once_however_many_look(world) {
        world.clock.advance(TO_THE_HOUR);
        let made = schedule(&world, noop("often", "*/5 * * * *", json!({"overlap": "allow"}))).await;
        assert_eq!((made.next.len(), made.described.is_empty()), (10, false));
        for _ in 0..4 {
            world.clock.advance(Duration::from_mins(5));
            let looks = (0..4).map(|_| triggers::look(&world.app));
            let fired: usize = futures::future::join_all(looks).await.into_iter().map(|one| one.unwrap().fired).sum();
            assert_eq!(fired, 1);
        }
        assert_eq!(due(&world, made.id).await.len(), 4);
        let last = schedules::get(&world.app, made.id).await.unwrap().last_mission.unwrap();
        let mission = world.mission(last).await;
        assert_eq!(mission.summary.origin, "schedule");
        assert_eq!(mission.metadata["trigger"]["name"], "often");
        let author = serde_json::to_value(mission.plan.unwrap().author).unwrap();
        assert!(author.to_string().contains(&world.owner().await.principal.to_string()), "{author}");
        assert_eq!(world.written(4, |action| action == "trigger.fired").await.len(), 4);
    }

    async fn what_still_runs_is_not_overlapped_and_what_fails_says_why(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        world.clock.advance(TO_THE_HOUR);
        playbooks::create(&world.app, &owner, standing::playbook("probe.run")).await.unwrap();
        let body = json!({"name": "tidy", "cron": "0 * * * *", "playbook": "tidy-up", "inputs": {"what": "x"}});
        let made = schedule(&world, body).await;
        assert_eq!(hour(&world, &mut agent).await, 1);
        let first = schedules::get(&world.app, made.id).await.unwrap().last_mission.unwrap();
        assert_eq!(hour(&world, &mut agent).await, 0);
        let skipped = firings(&world, made.id).await.remove(0);
        assert_eq!(skipped.result, FiringResult::Skipped);
        assert!(skipped.reason.unwrap().contains(&first.to_string()));
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        assert_eq!(hour(&world, &mut agent).await, 1);
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        playbooks::retire(&world.app, &owner, &"tidy-up".parse().unwrap()).await.unwrap();
        assert_eq!(hour(&world, &mut agent).await, 0);
        let failed = firings(&world, made.id).await.remove(0);
        assert_eq!(failed.result, FiringResult::Failed);
        assert!(failed.reason.unwrap().contains("tidy-up"));
        assert_eq!(schedules::get(&world.app, made.id).await.unwrap().state, TriggerState::Active);
    }

    async fn a_range_is_run_afterwards_once(world) {
        world.clock.set_wall(at("2031-05-01T00:30:00Z"));
        playbooks::create(&world.app, &world.owner().await, json!({"name": "day", "goal": "the ${{ inputs.day }}",
            "input_schema": {"properties": {"day": {"type": "string"}}, "required": ["day"]},
            "tasks": [{"id": "a", "uses": "core.noop"}]})).await.unwrap();
        let body = json!({"name": "days", "cron": "0 12 * * *", "playbook": "day", "time_zone": "Asia/Tokyo",
            "inputs": {"day": "${{ trigger.date }}"}});
        let made = schedule(&world, body).await;
        let person = world.logged_in().await;
        schedules::pause(&world.app, &person, made.id).await.unwrap();
        assert_eq!(schedules::pause(&world.app, &person, made.id).await.unwrap_err().code(), "paused");
        world.clock.advance(Duration::from_hours(72));
        assert_eq!(look(&world).await, 0);
        let range = Backfill { from: at("2031-05-01T03:00:00Z"), to: at("2031-05-03T03:00:00Z"), dry_run: true };
        let ask = async |range| triggers::backfill(&world.app, &person, made.id, range).await;
        let results = |found: &[triggers::Backfilled]| found.iter().map(|one| one.result).collect::<Vec<_>>();
        assert_eq!(results(&ask(range).await.unwrap()), ["would_fire", "would_fire"]);
        let range = Backfill { dry_run: false, ..range };
        let done = ask(range).await.unwrap();
        assert_eq!(results(&done), ["fired", "fired"]);
        assert_eq!(world.mission(done[1].mission.unwrap()).await.summary.goal, "the 2031-05-02");
        let wider = Backfill { to: at("2031-05-03T04:00:00Z"), ..range };
        assert_eq!(results(&ask(wider).await.unwrap()), ["already", "already", "fired"]);
        for wrong in [Backfill { to: range.from, ..range }, Backfill { to: at("2032-01-01T00:00:00Z"), ..range }] {
            assert_eq!(ask(wrong).await.unwrap_err().fields()[0].pointer, "/to");
        }
        let token = Caller { rank_ceiling: Some(nexusmon_shared::rank::Rank::D),
            principal: nexusmon_shared::id::PrincipalId::from_bits(9), ..person.clone() };
        let other = triggers::backfill(&world.app, &token, made.id, range).await.unwrap_err();
        assert_eq!(other.code(), "not_the_owner");
        // Resumed, it goes on from now and makes up for nothing.
        let resumed = schedules::resume(&world.app, &person, made.id).await.unwrap();
        assert_eq!(resumed.next[0].due, at("2031-05-04T03:00:00Z"));
        assert_eq!(resumed.next[0].local, "2031-05-04T12:00:00+09:00[Asia/Tokyo]");
        assert_eq!(look(&world).await, 0);
    }

    async fn grave_work_is_made_ahead_approved_now_and_runs_when_it_is_due(world) {
        let mut agent = world.agent("a").await;
        sign_roster(&world, None).await;
        world.clock.set_wall(at("2031-05-01T00:30:00Z"));
        agent.beat(4);
        let body = json!({"name": "grave", "cron": "0 12 * * *", "ahead": "30m",
            "mission": {"goal": "grave", "tasks": [{"id": "t", "uses": "probe.grave"}]}});
        let made = schedule(&world, body).await;
        world.clock.set_wall(at("2031-05-01T11:30:01Z"));
        agent.beat(4);
        assert_eq!(look(&world).await, 1);
        let mission = schedules::get(&world.app, made.id).await.unwrap().last_mission.unwrap();
        let seen = world.mission(mission).await;
        assert_eq!((seen.summary.status.as_str(), seen.start_at), ("awaiting_approval", Some(at("2031-05-01T12:00:00Z"))));
        let asked = nexusmon_coordinator::service::approvals::get(&world.app, seen.approval.unwrap()).await.unwrap();
        decide(&world, &world.owner().await, &asked, Some(signature(&world, &asked, 1, 1))).await.unwrap();
        assert_eq!(world.status(mission).await, "ready");
        assert_eq!(world.tick().await, 0, "approved, and not yet due");
        world.clock.set_wall(at("2031-05-01T12:00:01Z"));
        agent.beat(4);
        world.pass(0).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        assert_eq!(world.status(mission).await, "succeeded");
    }

    async fn a_persons_schedule_spends_a_standing_approval_without_a_trait(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        world.clock.advance(TO_THE_HOUR);
        sign_roster(&world, None).await;
        playbooks::create(&world.app, &owner, standing::playbook("probe.grave")).await.unwrap();
        standing::given(&world, 2, 1).await;
        let body = json!({"name": "tidy", "cron": "30 * * * *", "playbook": "tidy-up", "inputs": {"what": "x"}});
        let made = schedule(&world, body).await;
        world.clock.advance(Duration::from_mins(30));
        agent.beat(4);
        assert_eq!(look(&world).await, 1);
        let mission = schedules::get(&world.app, made.id).await.unwrap().last_mission.unwrap();
        assert_eq!(world.status(mission).await, "running");
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        assert_eq!(world.status(mission).await, "succeeded");
    }

    async fn who_may_not_act_any_more_starts_nothing_any_more(world) {
        world.clock.advance(TO_THE_HOUR);
        let person = crate::consent::second(&world).await;
        let body = noop("theirs", "0 * * * *", json!({}));
        // An approver may not create missions: nor may their schedule.
        let made = schedules::create(&world.app, &person, &body).await.unwrap();
        world.clock.advance(Duration::from_hours(1));
        assert_eq!(look(&world).await, 0);
        let paused = schedules::get(&world.app, made.id).await.unwrap();
        assert_eq!((paused.state, paused.next.len()), (TriggerState::Paused, 0));
        assert!(paused.reason.unwrap().contains("may not create missions"));
        assert_eq!(world.written(1, |action| action == "trigger.paused").await.len(), 1);
        // Somebody else takes it over.
        let owner = world.logged_in().await;
        let version = Some(paused.version + 7);
        let stale = schedules::change(&world.app, &owner, made.id, &body, version).await.unwrap_err();
        assert!(matches!(stale, Error::PreconditionFailed { .. }));
        let taken = schedules::change(&world.app, &owner, made.id, &body, Some(paused.version)).await.unwrap();
        assert_eq!((taken.state, taken.owner), (TriggerState::Active, owner.principal));
        world.clock.advance(Duration::from_hours(1));
        assert_eq!(look(&world).await, 1);
        assert_eq!(missions::list(&world.app, missions::MissionFilter::default(), PageRequest::default()).await.unwrap().items.len(), 1);
    }

    async fn what_is_wrong_with_a_schedule_is_said_by_place(world) {
        let body = |more: Value| noop("a", "0 * * * *", more);
        let place = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(refused(&world, body(json!({"cron": "often"}))).await, place("/cron", "bad_cron"));
        assert_eq!(refused(&world, body(json!({"time_zone": "Nowhere"}))).await, place("/time_zone", "unknown_zone"));
        let playbook = json!({"name": "a", "cron": "@daily", "playbook": "none", "inputs": {}});
        assert_eq!(refused(&world, playbook).await, place("/playbook", "unknown_playbook"));
        schedule(&world, body(json!({}))).await;
        assert_eq!(refused(&world, body(json!({}))).await, place("", "exists"));
    }
}

//! Playbooks under their writers: who may put a version in place of another's, under what ceiling it runs, who
//! approves it, and which secrets it is handed.

use std::collections::BTreeSet;
use std::time::Duration;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::missions::{self, MissionView, NewMission};
use nexusmon_coordinator::service::secrets::{self, NewBinding, NewSecret, SecretView};
use nexusmon_coordinator::service::triggers::{self, schedules};
use nexusmon_coordinator::service::{Caller, Origin, Role, playbooks, principals};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::roster::Need;
use serde_json::{Value, json};

use crate::consent::{decide, pending, second, sign_roster, sign_roster_of, signature, third};
use crate::harness::{World, both};

fn playbook(uses: &str) -> Value {
    json!({"name": "clear", "goal": "clear it", "tasks": [{"id": "t", "uses": uses}]})
}

async fn token(world: &World, rank_ceiling: Rank) -> Caller {
    let (owner, name) = (world.logged_in().await, "robot".parse().unwrap());
    let new =
        principals::NewToken { name, role: Role::Operator, rank_ceiling, ttl: Duration::from_hours(24) };
    let made = principals::create_token(&world.app, &owner, new).await.unwrap().principal;
    Caller {
        principal: made.id,
        name: made.name,
        role: Role::Operator,
        session: None,
        rank_ceiling: Some(rank_ceiling),
        origin: Origin::Api,
    }
}

/// A person, or whoever is given, runs it.
async fn run(world: &World, caller: &Caller) -> MissionView {
    let wanted = vec![NewMission::from_value(&json!({"playbook": "clear"})).unwrap()];
    missions::create(&world.app, caller, wanted).await.unwrap().remove(0).unwrap()
}

/// What the owner's schedule makes of it within the hour.
async fn scheduled(world: &World) -> MissionId {
    let owner = world.logged_in().await;
    let body = json!({"name": "hourly", "cron": "0 * * * *", "playbook": "clear", "inputs": {}});
    world.clock.advance(crate::triggers::TO_THE_HOUR);
    let made = schedules::create(&world.app, &owner, &body).await.unwrap();
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(triggers::look(&world.app).await.unwrap().fired, 1);
    schedules::get(&world.app, made.id).await.unwrap().last_mission.unwrap()
}

async fn bind(world: &World, playbook: &str) -> Result<SecretView, Error> {
    let binding = NewBinding { playbooks: [playbook.to_owned()].into(), ..NewBinding::default() };
    let new = NewSecret { value: b"correct horse battery".to_vec().into(), binding: Some(binding) };
    secrets::set(&world.app, &world.owner().await, &"key".parse().unwrap(), new).await
}

both! {
    async fn a_token_puts_nothing_in_place_of_what_others_wrote(world) {
        let (owner, robot) = (world.owner().await, token(&world, Rank::D).await);
        let name = playbooks::create(&world.app, &owner, playbook("probe.run")).await.unwrap().name;
        let error = playbooks::change(&world.app, &robot, &name, playbook("probe.careful"), None).await.unwrap_err();
        assert_eq!(error.code(), "not_the_writer");
        let error = playbooks::retire(&world.app, &robot, &name).await.unwrap_err();
        assert_eq!(error.code(), "not_the_writer");
        assert_eq!(playbooks::versions(&world.app, &name).await.unwrap().len(), 1);

        let own = json!({"name": "own", "goal": "its own", "tasks": [{"id": "t", "uses": "probe.run"}]});
        let name = playbooks::create(&world.app, &robot, own.clone()).await.unwrap().name;
        let mut next = own.clone();
        next["goal"] = "more of its own".into();
        assert_eq!(playbooks::change(&world.app, &robot, &name, next, None).await.unwrap().version, 2);
        // A person has read it, and made it theirs.
        assert_eq!(playbooks::change(&world.app, &owner, &name, own.clone(), None).await.unwrap().version, 3);
        let mut again = own;
        again["goal"] = "once more".into();
        let error = playbooks::change(&world.app, &robot, &name, again, None).await.unwrap_err();
        assert_eq!(error.code(), "not_the_writer");
    }

    async fn what_a_token_wrote_is_held_at_its_ceiling_whoever_runs_it(world) {
        let _agent = world.agent("a").await;
        let (owner, robot) = (world.owner().await, token(&world, Rank::D).await);
        let name = playbooks::create(&world.app, &robot, playbook("probe.careful")).await.unwrap().name;
        let held = run(&world, &owner).await;
        assert_eq!((held.summary.rank, held.summary.status.as_str()), (Rank::C, "awaiting_approval"));
        assert_eq!(world.status(scheduled(&world).await).await, "awaiting_approval");
        // The same, as a person's text.
        let mut body = playbook("probe.careful");
        body["goal"] = "clear it all".into();
        playbooks::change(&world.app, &owner, &name, body, None).await.unwrap();
        assert_eq!(run(&world, &owner).await.summary.status.as_str(), "running");
    }

    async fn who_wrote_what_a_schedule_runs_does_not_approve_it(world) {
        let _agent = world.agent("a").await;
        let (owner, second) = (world.owner().await, second(&world).await);
        sign_roster(&world, Some(&second)).await;
        playbooks::create(&world.app, &second, playbook("probe.grave")).await.unwrap();
        let mission = scheduled(&world).await;
        let author = world.mission(mission).await.plan.unwrap().author;
        assert_eq!(author, Author::Person(second.principal));
        let waiting = pending(&world, mission).await.remove(0);
        let own = signature(&world, &waiting, 2, 1);
        let error = decide(&world, &second, &waiting, Some(own)).await.unwrap_err();
        assert_eq!(error.code(), "author_may_not_approve");
        let good = signature(&world, &waiting, 1, 2);
        decide(&world, &owner, &waiting, Some(good)).await.unwrap();
        assert_eq!(world.status(mission).await, "running");
    }

    async fn neither_who_wrote_it_nor_who_runs_it_approves_while_others_can(world) {
        let _agent = world.agent("a").await;
        let (owner, second, third) = (world.owner().await, second(&world).await, third(&world).await);
        sign_roster_of(&world, &[&second, &third], Need::default()).await;
        playbooks::create(&world.app, &second, playbook("probe.grave")).await.unwrap();
        let mission = run(&world, &owner).await.summary.id;
        let waiting = pending(&world, mission).await.remove(0);
        for (caller, seed) in [(&owner, 1), (&second, 2)] {
            let own = signature(&world, &waiting, seed, seed);
            let error = decide(&world, caller, &waiting, Some(own)).await.unwrap_err();
            assert_eq!(error.code(), "author_may_not_approve");
        }
        let good = signature(&world, &waiting, 3, 3);
        decide(&world, &third, &waiting, Some(good)).await.unwrap();
        assert_eq!(world.status(mission).await, "running");
    }

    async fn a_secret_belongs_to_the_version_it_was_bound_to(world) {
        let _agent = world.agent("a").await;
        let owner = world.owner().await;
        let error = bind(&world, "clear").await.unwrap_err();
        assert_eq!(error.fields()[0].code, "unknown_playbook");
        let mut body = json!({"name": "clear", "goal": "clear it", "tasks": [
            {"id": "t", "uses": "shell.run", "with": {"script": "true"}, "secrets": ["key"]}]});
        let name = playbooks::create(&world.app, &owner, body.clone()).await.unwrap().name;
        let bound = bind(&world, "clear").await.unwrap();
        assert_eq!(bound.binding.playbooks, BTreeSet::from(["clear@1".to_owned()]));
        assert_eq!(run(&world, &owner).await.summary.rank, Rank::C);

        body["tasks"][0]["with"]["script"] = "cat $NEXUSMON_SECRETS/key".into();
        playbooks::change(&world.app, &owner, &name, body, None).await.unwrap();
        let outside = run(&world, &owner).await.summary;
        assert_eq!((outside.rank, outside.status.as_str()), (Rank::A, "awaiting_approval"));
        let error = bind(&world, "clear@3").await.unwrap_err();
        assert_eq!(error.fields()[0].code, "unknown_playbook", "nothing is bound ahead of time");
        let bound = bind(&world, "clear").await.unwrap();
        assert_eq!(bound.binding.playbooks, BTreeSet::from(["clear@2".to_owned()]));
        assert_eq!(run(&world, &owner).await.summary.rank, Rank::C);
    }
}

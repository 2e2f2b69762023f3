//! Playbooks the system drafts, and who may make them real.

use std::time::Duration;

use nexusmon_coordinator::service::evolution::{self, TraitChange, change_trait};
use nexusmon_coordinator::service::{PageRequest, beliefs, learned, memory, playbooks, reviews, vault};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::rank::Rank;
use nexusmon_store::{Json, LearnedRow, LearnedState, StoreError};
use serde_json::{Value, json};

use crate::harness::*;
use crate::paths::offered;

/// Missions of one kind that verify, and others, until so many are verified; then memory has seen them all.
async fn verified(world: &World, agent: &mut Agent, same: usize, others: usize) {
    for number in 0..same + others {
        let (goal, with) = if number < same {
            (format!("weigh box{number}"), json!({"what": format!("box{number}")}))
        } else {
            (format!("other {number}"), json!({"script": number}))
        };
        let id = if number < same { "weigh" } else { "other" };
        world.create(json!({"goal": goal, "tasks": [{"id": id, "uses": "probe.run", "with": with}]})).await;
        agent.work(world, |_, _| succeed(json!({"grams": 3}))).await;
    }
    evolution::settle(&world.app).await.unwrap();
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            memory::learn(&world.app).await.unwrap();
            let found = memory::search(&world.app, None, None, 100).await.unwrap();
            if found.iter().map(|one| one.verified).sum::<u64>() == (same + others) as u64 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.expect("all of them are remembered in time");
}

/// Three missions of one kind, each looked at and accepted by a person where that is asked for.
async fn accepted(world: &World, agent: &mut Agent, task: &Value, rank: Rank) {
    let owner = world.owner().await;
    let goal = task["id"].as_str().unwrap();
    for number in 0..3 {
        let mut task = task.clone();
        task["with"] = json!({"what": format!("box{number}")});
        let made = world.create(json!({"goal": format!("{goal} box{number}"), "tasks": [task]})).await;
        assert_eq!(made.summary.rank, rank);
        agent.work(world, |_, _| succeed(json!({"grams": 3}))).await;
        evolution::settle(&world.app).await.unwrap();
        let done = world.mission(made.summary.id).await;
        if done.summary.xp_awarded.is_none() {
            let accept = reviews::ReviewVerdict::Accept;
            reviews::decide(&world.app, &owner, done.review.unwrap(), accept, None).await.unwrap();
            evolution::settle(&world.app).await.unwrap();
        }
    }
}

async fn files(world: &World, name: &str) -> Vec<vault::ArtifactView> {
    let wanted = vault::ArtifactFilter { name: Some(name.to_owned()), ..vault::ArtifactFilter::default() };
    vault::list(&world.app, wanted, PageRequest::default()).await.unwrap().items
}

both! {
    async fn what_is_graver_than_rank_c_is_left_to_people(world) {
        let mut agent = world.agent("a").await;
        verified_more(&world, &mut agent).await;
        let careful = json!({"id": "sort", "uses": "probe.careful"});
        accepted(&world, &mut agent, &careful, Rank::C).await;
        let graver = json!({"id": "move", "uses": "probe.run", "sandbox": {"profile": "user"}});
        accepted(&world, &mut agent, &graver, Rank::B).await;
        let offers = offered(&world, 2).await;
        let of = |rank: Rank| offers.iter().find(|one| one.rank == rank).unwrap().name.clone();
        let owner = world.logged_in().await;
        let until = TraitChange::Grant { until: world.app.clock.now() + Duration::from_hours(1) };
        change_trait(&world.app, &owner, "SELF_EVOLVE", until, "for a test".to_owned()).await.unwrap();
        learned::learn(&world.app).await.unwrap();
        let (c, b) = (of(Rank::C), of(Rank::B));
        assert_eq!(playbooks::get(&world.app, &c, None).await.unwrap().created_by, world.app.system);
        assert!(playbooks::get(&world.app, &b, None).await.is_err(), "rank B is not the system's to promote");
        assert_eq!(learned::get(&world.app, &b).await.unwrap().0.state, LearnedState::Offered);
        let made = learned::promote(&world.app, &owner, &b, None).await.unwrap();
        assert_eq!(made.created_by, owner.principal);
    }

    async fn an_offer_is_shown_beside_the_playbook_most_like_it(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let what = json!({"properties": {"what": {"type": "string"}}, "required": ["what"]});
        for body in [
            json!({"name": "sing", "goal": "sing a song", "tasks": [{"id": "song", "uses": "probe.effect"}]}),
            json!({"name": "weigh-things", "goal": "weigh ${{ inputs.what }}", "input_schema": what,
                "tasks": [{"id": "weigh", "uses": "probe.run", "with": {"what": "${{ inputs.what }}", "on": "the old scales"}}]}),
        ] {
            playbooks::create(&world.app, &owner, body).await.unwrap();
        }
        verified(&world, &mut agent, 3, 0).await;
        verified_more(&world, &mut agent).await;
        let offer = offered(&world, 1).await.remove(0);
        assert_eq!(offer.nearest.as_deref(), Some("weigh-things"));
        assert!(offer.likeness.is_some_and(|likeness| likeness > 0.0 && likeness < 1.0), "{offer:?}");
        let diff = learned::get(&world.app, &offer.name).await.unwrap().1.unwrap();
        let holds = |sign: char, part: &str| diff.lines().any(|line| line.starts_with(sign) && line.contains(part));
        assert!(holds('-', "weigh-things@1") && holds('+', "(learned)"), "{diff}");
        assert!(holds('-', "the old scales") && !holds('+', "the old scales"), "{diff}");
        assert!(holds('+', "Learned from 3 verified missions"), "{diff}");
        playbooks::retire(&world.app, &owner, &"weigh-things".parse().unwrap()).await.unwrap();
        assert_eq!(learned::get(&world.app, &offer.name).await.unwrap().1, None, "that one is gone");
    }

    async fn an_offer_whose_file_never_came_gets_it_with_the_next_look(world) {
        let body = json!({"name": "learned-x", "goal": "x", "tasks": [{"id": "x", "uses": "probe.run"}]}).to_string();
        // As a crash leaves it, between the offer and its file.
        let row = LearnedRow {
            name: "learned-x".parse().unwrap(),
            shape: Digest::of(b"x"),
            body: body.clone(),
            rank: Rank::E,
            missions: Json(Vec::new()),
            belief: None,
            nearest: None,
            likeness: None,
            state: LearnedState::Offered,
            decided_by: None,
            decided_at: None,
            comment: None,
            version: None,
            created_at: world.app.clock.now(),
        };
        world
            .app
            .store
            .write_with("testing", row, |tx, row| Box::pin(async move { tx.insert_learned(row).await.map(drop) }))
            .await
            .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        for _ in 0..2 {
            learned::learn(&world.app).await.unwrap();
            let found = files(&world, "learned/learned-x.json").await;
            assert_eq!((found.len(), found[0].versions), (1, 1), "once");
            assert_eq!(found[0].latest.digest, Digest::of(body.as_bytes()));
        }
    }

    async fn three_of_a_kind_are_offered_once_the_organism_is_forging(world) {
        let mut agent = world.agent("a").await;
        verified(&world, &mut agent, 3, 0).await;
        assert_eq!(learned::learn(&world.app).await.unwrap(), 0, "AWAKENING drafts nothing");
        verified_more(&world, &mut agent).await;
        assert_eq!(learned::learn(&world.app).await.unwrap(), 1);
        assert_eq!(learned::learn(&world.app).await.unwrap(), 0, "once");
        let files = vault::ArtifactFilter { q: Some("learned".to_owned()), ..vault::ArtifactFilter::default() };
        let page = PageRequest { limit: Some(10), cursor: None };
        assert_eq!(vault::list(&world.app, files, page).await.unwrap().items.len(), 1, "uploaded once");
        let offers = learned::list(&world.app).await.unwrap();
        let offer = &offers[0];
        assert_eq!((offers.len(), offer.missions.len(), offer.state), (1, 3, LearnedState::Offered));
        assert_eq!(offer.body["goal"], "weigh ${{ inputs.what }}");
        assert_eq!(offer.body["tasks"][0]["with"]["what"], "${{ inputs.what }}");
        // BELIEF_TRACK comes with the stage: the system says what it thinks of it.
        let believed = beliefs::get(&world.app, offer.belief.unwrap()).await.unwrap();
        assert_eq!((believed.belief.created_by.as_str(), believed.history[0].evidence.len()), ("nexusmon", 3));

        // It is no playbook before a person says so.
        assert!(playbooks::get(&world.app, &offer.name, None).await.is_err());
        let owner = world.owner().await;
        let made = learned::promote(&world.app, &owner, &offer.name, Some("yes".to_owned())).await.unwrap();
        assert_eq!(made.version, 1);
        assert!(learned::promote(&world.app, &owner, &offer.name, None).await.is_err());
        let name = offer.name.to_string();
        let run = world.create(json!({"playbook": name, "inputs": {"what": "crate"}})).await;
        assert_eq!(run.summary.goal, "weigh crate");
        let (_, diff) = learned::get(&world.app, &offer.name).await.unwrap();
        assert_eq!(diff, None, "there was no playbook to compare with");
    }

    async fn the_system_promotes_its_own_only_with_the_trait(world) {
        let mut agent = world.agent("a").await;
        verified(&world, &mut agent, 3, 7).await;
        learned::learn(&world.app).await.unwrap();
        let offer = learned::list(&world.app).await.unwrap().remove(0);
        assert!(playbooks::get(&world.app, &offer.name, None).await.is_err(), "SELF_EVOLVE is locked");

        let owner = world.logged_in().await;
        let until = TraitChange::Grant { until: world.app.clock.now() + Duration::from_hours(1) };
        change_trait(&world.app, &owner, "SELF_EVOLVE", until, "for a test".to_owned()).await.unwrap();
        change_trait(&world.app, &owner, "SELF_EVOLVE", TraitChange::Disable, String::new()).await.unwrap();
        learned::learn(&world.app).await.unwrap();
        assert!(playbooks::get(&world.app, &offer.name, None).await.is_err(), "disabled");

        change_trait(&world.app, &owner, "SELF_EVOLVE", TraitChange::Reinstate, String::new()).await.unwrap();
        learned::learn(&world.app).await.unwrap();
        assert_eq!(playbooks::get(&world.app, &offer.name, None).await.unwrap().version, 1);
        let promoted = learned::list(&world.app).await.unwrap().remove(0);
        assert_eq!((promoted.state, promoted.decided_by.as_deref()), (LearnedState::Promoted, Some("nexusmon")));
        let written = world.written(1, |action| action == "playbook.promoted").await;
        assert_eq!(written[0].body["trait"], "SELF_EVOLVE");
    }
}

/// Seven more, so that the stage is FORGING.
async fn verified_more(world: &World, agent: &mut Agent) {
    for number in 0..7 {
        let tasks = json!([{"id": "other", "uses": "probe.run", "with": {"script": number}}]);
        world.create(json!({"goal": format!("other {number}"), "tasks": tasks})).await;
        agent.work(world, |_, _| succeed(json!({"done": true}))).await;
    }
    evolution::settle(&world.app).await.unwrap();
}

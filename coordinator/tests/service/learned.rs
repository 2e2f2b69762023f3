//! Playbooks the system drafts, and who may make them real.

use std::time::Duration;

use nexusmon_coordinator::service::evolution::{self, TraitChange, change_trait};
use nexusmon_coordinator::service::{PageRequest, beliefs, learned, memory, playbooks, vault};
use nexusmon_store::LearnedState;
use serde_json::json;

use crate::harness::*;

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

both! {
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

//! A set of policies tried over what was: everybody's plans are judged as they were judged then.

use nexusmon_coordinator::config::ModelKind;
use nexusmon_coordinator::service::missions::{self, NewMission};
use nexusmon_coordinator::service::policies::{self, Proposed};
use nexusmon_coordinator::service::triggers::webhooks::{self, Received};
use nexusmon_coordinator::service::{Caller, Origin, planning, playbooks};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::rank::Rank;
use nexusmon_store::testing::TestDatabase;
use serde_json::{Value, json};

use super::scripted::Does;
use super::{Scripted, shell, thinking};
use crate::harness::*;

/// What the policies said when the plan was judged: whose they took it for, and the verdict.
async fn judged(world: &World, id: MissionId) -> (String, String) {
    let entries = world.written(1, |action| ["mission.created", "mission.planned"].contains(&action)).await;
    let about = |entry: &&nexusmon_coordinator::service::audit::AuditView| {
        entry.mission == Some(id) && !entry.body["judged"].is_null()
    };
    let judged = &entries.iter().find(about).unwrap().body["judged"];
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    (word(&judged["question"]["author"]), word(&judged["answer"]["verdict"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_author_is_judged_as_the_author_it_was() {
    let model = Scripted::start().await;
    model.will([Does::Answers(shell("true"))]);
    let world = thinking(TestDatabase::sqlite().unwrap(), &model, ModelKind::Anthropic, |_| {}).await;
    let _agent = world.agent("a").await;
    let owner = world.logged_in().await;
    let careful = json!([{"id": "t", "uses": "probe.careful"}]);
    let tidy = json!({"name": "tidy-cache", "goal": "tidy the cache", "tasks": careful});
    playbooks::create(&world.app, &owner, tidy).await.unwrap();

    // A person, and the same person's playbook by name.
    let mut made = Vec::new();
    for body in [json!({"goal": "a", "tasks": careful}), json!({"playbook": "tidy-cache"})] {
        made.push(world.create(body).await.summary.id);
    }
    // A token, up to its ceiling and above it.
    let token = Caller { session: None, rank_ceiling: Some(Rank::D), origin: Origin::Api, ..owner.clone() };
    for uses in ["probe.run", "probe.careful"] {
        let body = json!({"goal": "b", "tasks": [{"id": "t", "uses": uses}]});
        let mission = NewMission::from_value(&body).unwrap();
        let view = missions::create(&world.app, &token, vec![mission]).await.unwrap().remove(0).unwrap();
        made.push(view.summary.id);
    }
    // Planners: a playbook found by the goal, and a model.
    for goal in ["tidy the cache", "paint the house"] {
        made.push(world.create(json!({"goal": goal})).await.summary.id);
        planning::work(&world.app).await.unwrap();
    }
    // A trigger.
    let hook = json!({"name": "push", "format": "gitlab", "mission": {"goal": "c", "tasks": careful}});
    let hook = webhooks::create(&world.app, &owner, &hook).await.unwrap();
    let secret = hook.secret.to_string();
    let values = [("x-gitlab-token", secret.as_str()), ("idempotency-key", "one")];
    let look_up = |name: &str| values.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
    let fired = webhooks::receive(&world.app, hook.webhook.id, &look_up, b"{}", || true).await.unwrap();
    assert_eq!(fired, Received::Fired);

    // Nothing is permitted, so every mission is listed, with what the set in force says of it now.
    let nothing = Proposed::Text("@id(\"no\") forbid (principal, action, resource);".to_owned());
    let found = policies::replay(&world.app, nothing, 100).await.unwrap();
    assert_eq!((found.missions, found.differing, found.skipped.len()), (7, 7, 0), "{found:#?}");
    let mut authors = std::collections::BTreeSet::new();
    for one in &found.differences {
        let (author, then) = judged(&world, one.mission).await;
        assert_eq!(one.now.verdict, then, "{author}: {one:?}");
        authors.insert((author, then));
    }
    let authors: Vec<_> =
        authors.iter().map(|(author, verdict)| (author.as_str(), verdict.as_str())).collect();
    let wanted = [
        ("person", "flag"),
        ("planner", "allow"),
        ("planner", "hold"),
        ("token", "allow"),
        ("token", "hold"),
    ];
    assert_eq!(authors, wanted);
    // What is in force over what was changes nothing.
    let text = policies::view(&world.app, None).await.unwrap().text;
    let same = policies::replay(&world.app, Proposed::Text(text), 100).await.unwrap();
    assert_eq!((same.missions, same.differing), (7, 0));
    // One that a person's plan would fall under and a planner's would not.
    let people = "@id(\"people-wait\") forbid (principal, action in [Action::\"run_unattended\", Action::\"run_flagged\"], \
             resource) when { context.author == \"person\" };";
    let text = format!("{}\n{people}", policies::view(&world.app, None).await.unwrap().text);
    let found = policies::replay(&world.app, Proposed::Text(text), 100).await.unwrap();
    let held: std::collections::BTreeSet<_> = found.differences.iter().map(|one| one.mission).collect();
    assert_eq!(held.len(), 3, "{found:#?}");
    assert!(held.contains(&made[0]) && held.contains(&made[1]) && !held.contains(&made[4]));
    model.stop().await;
}

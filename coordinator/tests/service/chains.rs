//! Follow-ups that playbooks name: proposed while the system may not, begun where it may, within bounds; told as one story.

use std::time::Duration;

use nexusmon_coordinator::config::Settings;
use nexusmon_coordinator::service::chains::{self, ProposalView, StartedBy};
use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::{PageRequest, playbooks, sub_missions, triggers};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Clock as _;
use nexusmon_store::ProposalState;
use nexusmon_store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::harness::{World, both, exit, succeed};

async fn grant(world: &World) {
    let change = TraitChange::Grant { until: world.clock.now() + Duration::from_hours(24 * 30) };
    let person = world.logged_in().await;
    evolution::change_trait(&world.app, &person, "AUTONOMOUS_CHAIN", change, "to try".to_owned())
        .await
        .unwrap();
}

async fn look(world: &World) -> usize {
    // What is made at the same moment has no order.
    world.clock.advance(Duration::from_millis(2));
    triggers::look(&world.app).await.unwrap().fired
}

async fn proposals(world: &World) -> Vec<ProposalView> {
    chains::list(&world.app, None, PageRequest::default()).await.unwrap().items
}

/// `fetch`, which says that `count` follows with what it fetched, and `mend` if it fails.
async fn keep(world: &World) {
    let owner = world.owner().await;
    let schema = |name: &str| json!({"properties": {name: {"type": "integer"}}, "required": [name]});
    let put = async |body: Value| playbooks::create(&world.app, &owner, body).await.unwrap();
    put(json!({"name": "count", "goal": "count ${{ inputs.lines }}", "input_schema": schema("lines"),
        "tasks": [{"id": "c", "uses": "probe.run", "with": {"n": "${{ inputs.lines }}"}}]}))
    .await;
    put(json!({"name": "mend", "goal": "mend ${{ inputs.code }}", "input_schema": schema("code"),
        "tasks": [{"id": "m", "uses": "probe.run"}],
        "then": [{"on": "succeeded", "playbook": "fetch", "inputs": {"what": "${{ event.mission.inputs.code }}"}}]})).await;
    put(json!({"name": "fetch", "goal": "fetch ${{ inputs.what }}", "input_schema": schema("what"),
    "tasks": [{"id": "f", "uses": "probe.run", "with": {"n": "${{ inputs.what }}"}}],
    "then": [
        {"on": "succeeded", "if": "event.tasks.f.outputs.lines > 0", "playbook": "count",
         "inputs": {"lines": "${{ event.tasks.f.outputs.lines }}"}, "why": "what was fetched is counted"},
        {"on": "failed", "playbook": "mend", "inputs": {"code": "${{ event.failure.cause.code }}"}},
    ]}))
    .await;
}

async fn fetch(world: &World, what: u32) -> MissionId {
    world.create(json!({"playbook": "fetch", "inputs": {"what": what}})).await.summary.id
}

both! {
    async fn locked_it_is_only_proposed_and_a_person_may_begin_it(world) {
        let mut agent = world.agent("a").await;
        keep(&world).await;
        let root = fetch(&world, 1).await;
        agent.work(&world, |_, _| succeed(json!({"lines": 3}))).await;
        assert_eq!(look(&world).await, 0);
        assert_eq!(look(&world).await, 0);
        let found = proposals(&world).await;
        assert_eq!(found.len(), 1, "an end is looked at once");
        assert_eq!((found[0].state, found[0].parent, found[0].playbook.as_str()), (ProposalState::Proposed, root, "count"));
        assert!(found[0].reason.as_ref().unwrap().contains("AUTONOMOUS_CHAIN"), "{:?}", found[0].reason);
        assert!(found[0].why.contains("what was fetched is counted"), "{}", found[0].why);
        let person = world.logged_in().await;
        let begun = chains::start(&world.app, &person, found[0].id).await.unwrap();
        let mission = world.mission(begun.mission.unwrap()).await;
        assert_eq!((mission.summary.goal.as_str(), begun.state), ("count 3", ProposalState::Started));
        assert_eq!(chains::start(&world.app, &person, found[0].id).await.unwrap_err().code(), "decided");
        assert_eq!(chains::dismiss(&world.app, &person, found[0].id).await.unwrap_err().code(), "decided");
        let story = chains::story(&world.app, root).await.unwrap();
        assert_eq!((story.items.len(), &story.items[1].started_by), (2, &StartedBy::Proposal(person.principal)));
        // Nothing was fetched: nothing follows.
        fetch(&world, 2).await;
        agent.work(&world, |_, _| succeed(json!({"lines": 0}))).await;
        look(&world).await;
        assert_eq!(proposals(&world).await.len(), 1);
        fetch(&world, 3).await;
        agent.work(&world, |_, _| succeed(json!({"lines": 9}))).await;
        look(&world).await;
        let dismissed = chains::dismiss(&world.app, &person, proposals(&world).await[0].id).await.unwrap();
        assert_eq!((dismissed.state, dismissed.mission), (ProposalState::Dismissed, None));
        let told = world.written(1, |action| action == "chain.dismissed").await;
        assert_eq!(told[0].actor, person.principal.to_string());
    }

    async fn earned_it_begins_within_its_bounds_and_is_told_as_one_story(world) {
        let mut agent = world.agent("a").await;
        keep(&world).await;
        grant(&world).await;
        let root = fetch(&world, 7).await;
        agent.work(&world, |_, _| exit(7)).await;
        assert_eq!(look(&world).await, 1);
        let (id, _) = agent.vanish().await;
        let world = world.restart().await;
        assert_eq!(look(&world).await, 0, "a restart begins nothing twice");
        let mut agent = crate::harness::Agent::connect(&world, id, 2, Vec::new()).await;
        // Mended, fetched again, counted: three links, of which each says why.
        for outputs in [json!({}), json!({"lines": 2})] {
            agent.work(&world, |_, _| succeed(outputs.clone())).await;
            assert_eq!(look(&world).await, 1);
        }
        agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(look(&world).await, 0);
        let story = chains::story(&world.app, root).await.unwrap();
        let goals: Vec<_> = story.items.iter().map(|item| (item.goal.as_str(), item.depth)).collect();
        assert_eq!(goals, [("fetch 7", 0), ("mend 7", 1), ("fetch 7", 2), ("count 2", 3)]);
        assert!(story.items[1..].iter().all(|item| item.started_by == StartedBy::Nexusmon && item.why.is_some()));
        let mission = world.mission(story.items[1].mission).await;
        assert_eq!((mission.summary.origin.as_str(), &mission.metadata["follows"]), ("system", &json!(root)));
        assert_eq!(world.written(3, |action| action == "trait.used").await.len(), 3);
        // Switched off, the path is closed again.
        let owner = world.logged_in().await;
        evolution::change_trait(&world.app, &owner, "AUTONOMOUS_CHAIN", TraitChange::Disable, String::new()).await.unwrap();
        fetch(&world, 8).await;
        agent.work(&world, |_, _| exit(8)).await;
        assert_eq!(look(&world).await, 0);
        assert_eq!(proposals(&world).await[0].state, ProposalState::Proposed);
    }

    async fn what_runs_in_a_circle_is_cut_by_its_depth_and_by_its_sameness(world) {
        let mut agent = world.agent("a").await;
        keep(&world).await;
        grant(&world).await;
        // Fetching fails, mending succeeds, and so on without end.
        let root = fetch(&world, 5).await;
        for _ in 0..6 {
            agent.work(&world, |task, _| if task.id.as_str() == "f" { exit(5) } else { succeed(json!({})) }).await;
            look(&world).await;
        }
        let story = chains::story(&world.app, root).await.unwrap();
        assert_eq!(story.items.len(), 1 + 3);
        let cut = story.proposals.last().unwrap();
        assert_eq!(cut.state, ProposalState::Proposed);
        assert!(cut.reason.as_ref().unwrap().contains("4. link"), "{:?}", cut.reason);
        // The same beginning again and again ends in the same way: that is evidence against the trait.
        let owner = world.owner().await;
        for body in [json!({"name": "tell", "goal": "tell", "tasks": [{"id": "t", "uses": "probe.run"}]}),
            json!({"name": "ask", "goal": "ask", "tasks": [{"id": "q", "uses": "probe.run"}], "then": [{"on": "failed", "playbook": "tell"}]})] {
            playbooks::create(&world.app, &owner, body).await.unwrap();
        }
        for round in 0..12 {
            world.create(json!({"playbook": "ask"})).await;
            agent.work(&world, |_, _| exit(1)).await;
            assert_eq!(look(&world).await, usize::from(round < 11), "round {round}");
            agent.work(&world, |_, _| succeed(json!({}))).await;
        }
        let alerts = world.written(1, |action| action == "alert.raised").await;
        assert!(alerts[0].body.to_string().contains("runs in a circle"), "{:?}", alerts[0].body);
        let told = world.written(1, |action| action == "trait.suspended").await;
        assert!(told[0].body.to_string().contains("ask@1"), "{:?}", told[0].body);
        assert!(proposals(&world).await[0].reason.as_ref().unwrap().contains("looks like a loop"));
    }

    async fn what_follows_a_part_is_in_the_story_of_the_whole(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        for body in [json!({"name": "tell", "goal": "tell", "tasks": [{"id": "t", "uses": "probe.run"}]}),
            json!({"name": "part", "goal": "part", "tasks": [{"id": "p", "uses": "probe.run"}], "then": [{"on": "succeeded", "playbook": "tell"}]})] {
            playbooks::create(&world.app, &owner, body).await.unwrap();
        }
        let tasks = json!([{"id": "m", "uses": "core.mission", "with": {"playbook": "part@1"}}]);
        let root = world.create(json!({"goal": "whole", "tasks": tasks})).await.summary.id;
        sub_missions::look(&world.app).await.unwrap();
        agent.work(&world, |_, _| succeed(json!({}))).await;
        sub_missions::look(&world.app).await.unwrap();
        look(&world).await;
        let story = chains::story(&world.app, root).await.unwrap();
        let goals: Vec<_> = story.items.iter().map(|item| (item.goal.as_str(), item.depth, item.parent)).collect();
        assert_eq!(goals, [("whole", 0, None), ("part", 0, Some(root))]);
        assert!(matches!(story.items[1].started_by, StartedBy::Task(_)), "{:?}", story.items[1].started_by);
        let part = story.items[1].mission;
        let proposed: Vec<_> = story.proposals.iter().map(|one| (one.state, one.parent)).collect();
        assert_eq!(proposed, [(ProposalState::Proposed, part)]);
        // Once it is begun, it is told from whichever of its missions is named.
        let person = world.logged_in().await;
        world.clock.advance(Duration::from_millis(2));
        let begun = chains::start(&world.app, &person, story.proposals[0].id).await.unwrap().mission.unwrap();
        for named in [root, part, begun] {
            let story = chains::story(&world.app, named).await.unwrap();
            let told: Vec<_> = story.items.iter().map(|item| (item.mission, item.depth, item.parent)).collect();
            assert_eq!((story.root, told), (root, vec![(root, 0, None), (part, 0, Some(root)), (begun, 1, Some(part))]));
        }
    }

    async fn what_is_graver_or_cannot_be_made_is_not_begun(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        grant(&world).await;
        playbooks::create(&world.app, &owner, json!({"name": "grave", "goal": "grave", "tasks": [{"id": "g", "uses": "probe.careful"}]})).await.unwrap();
        let then = json!([{"on": "succeeded", "playbook": "grave"}, {"on": "succeeded", "playbook": "nowhere"},
            {"on": "succeeded", "if": "event.tasks.x.outputs.y > 1", "playbook": "grave"}]);
        playbooks::create(&world.app, &owner, json!({"name": "light", "goal": "light", "tasks": [{"id": "l", "uses": "probe.run"}], "then": then})).await.unwrap();
        let root = world.create(json!({"playbook": "light"})).await.summary.id;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(look(&world).await, 0);
        let found = chains::story(&world.app, root).await.unwrap().proposals;
        let told: Vec<_> = found.iter().map(|one| (one.state, one.reason.clone().unwrap_or_default())).collect();
        assert_eq!(told.len(), 3);
        assert!(told[0].0 == ProposalState::Proposed && told[0].1.contains("rank C"), "{told:?}");
        assert!(told[1].0 == ProposalState::Failed && told[1].1.contains("nowhere"), "{told:?}");
        assert!(told[2].0 == ProposalState::Failed && told[2].1.starts_with("`if`"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_it_goes_is_a_setting() {
    let bounds = |settings: &mut Settings| {
        settings.chains.max_depth = Some(1);
        settings.chains.per_day = Some(3);
        settings.chains.max_rank = Some(Rank::E);
    };
    let world = World::with(TestDatabase::sqlite().unwrap(), bounds).await;
    let mut agent = world.agent("a").await;
    keep(&world).await;
    grant(&world).await;
    let owner = world.owner().await;
    let careful = |name: &str, then: Value| {
        json!({"name": name, "goal": name, "then": then,
        "tasks": [{"id": "g", "uses": "probe.careful"}]})
    };
    playbooks::create(&world.app, &owner, careful("last", json!([]))).await.unwrap();
    let then = json!([{"on": "succeeded", "playbook": "last"}]);
    playbooks::create(&world.app, &owner, careful("first", then)).await.unwrap();
    let newest = async |world: &World| proposals(world).await.remove(0);
    // As grave as what it follows, and graver than may begin by itself.
    world.create(json!({"playbook": "first"})).await;
    agent.work(&world, |_, _| succeed(json!({}))).await;
    assert_eq!(look(&world).await, 0);
    let reason = newest(&world).await.reason.unwrap();
    assert!(reason.contains("rank C; up to E"), "{reason}");
    // The first link begins, the second does not.
    for (what, begins) in [(5, 1), (6, 1), (7, 1), (8, 0)] {
        fetch(&world, what).await;
        agent.work(&world, |_, _| exit(5)).await;
        assert_eq!(look(&world).await, begins, "fetch {what}");
        if begins == 1 {
            agent.work(&world, |_, _| succeed(json!({}))).await;
            assert_eq!(look(&world).await, 0);
            let reason = newest(&world).await.reason.unwrap();
            assert!(reason.contains("2. link of a chain; 1 begin"), "{reason}");
        }
    }
    let reason = newest(&world).await.reason.unwrap();
    assert!(
        reason.contains("started 3 missions within 24 hours") && reason.contains("chains.per_day"),
        "{reason}"
    );
}

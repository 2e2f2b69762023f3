//! What a plan may: never more than whoever stated the goal, and less until it has proved itself.

use std::time::Duration;

use nexusmon_coordinator::config::ModelKind;
use nexusmon_coordinator::service::approvals::{self, NewDecision, Verdict};
use nexusmon_coordinator::service::missions::{self, NewMission};
use nexusmon_coordinator::service::{
    Caller, Origin, Role, evolution, memory, planning, playbooks, principals, reviews,
};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_store::testing::TestDatabase;
use serde_json::{Value, json};

use super::scripted::{Does, Scripted};
use super::{World, audited, furnish, planning_of, shell, state, steps, thinking};
use crate::consent;
use crate::harness::*;

async fn ran(world: &World, agent: &mut Agent, body: Value) -> MissionId {
    let made = world.create(body).await;
    agent.work(world, |_, _| succeed(json!({"n": 1}))).await;
    evolution::settle(&world.app).await.unwrap();
    made.summary.id
}

both! {
    async fn without_a_model_the_word_about_what_is_missing_is_whole(world) {
        let made = world.create(json!({"goal": "paint the house"})).await;
        assert_eq!(made.summary.status.as_str(), "needs_plan");
        let planning = planning_of(&made);
        let kinds: Vec<&str> = planning.help.iter().map(|help| help.kind.as_str()).collect();
        assert_eq!(kinds, ["playbook", "trait", "key", "plan"]);
        assert_eq!(steps(&made).len(), 3);
        let reason = made.reason.unwrap();
        for part in ["no playbook", "RECALL", "no model", "ANTHROPIC_API_KEY"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        let written = audited(&world, "mission.needs_plan", made.summary.id).await;
        assert_eq!(written["asked"], json!(["playbook", "memory", "model"]));
        // What would help comes, and the planners are asked again.
        let owner = world.owner().await;
        let _agent = world.agent("a").await;
        let body = json!({"name": "paint-house", "goal": "paint the house",
            "tasks": [{"id": "t", "uses": "probe.run"}]});
        playbooks::create(&world.app, &owner, body).await.unwrap();
        let again = missions::run(&world.app, &owner, made.summary.id).await.unwrap();
        assert_eq!(again.summary.status.as_str(), "running");
        assert_eq!(planning_of(&again).planner.as_deref(), Some("playbook"));
        assert_eq!(again.plan.unwrap().playbook.as_deref(), Some("paint-house@1"));
        let written = audited(&world, "mission.planned", made.summary.id).await;
        assert_eq!((&written["planner"], &written["asked_by"]), (&json!("playbook"), &json!(owner.principal)));
    }

    async fn whoever_stated_the_goal_may_approve_what_a_planner_wrote(world) {
        furnish(&world).await;
        let _agent = world.agent("a").await;
        let made = world.create(json!({"goal": "tidy the cache"})).await;
        assert_eq!((made.summary.status.as_str(), made.summary.rank), ("awaiting_approval", Rank::C));
        let owner = world.logged_in().await;
        let approval = made.approval.unwrap();
        let decision = NewDecision {
            verdict: Verdict::Approve,
            digest: made.plan.unwrap().digest,
            comment: None,
            signature: None,
        };
        approvals::decide(&world.app, &owner, approval, decision).await.unwrap();
        assert_eq!(world.status(made.summary.id).await, "running");
    }

    async fn whoever_stated_the_goal_does_not_approve_it_where_somebody_else_can(world) {
        furnish(&world).await;
        let _agent = world.agent("a").await;
        let second = consent::second(&world).await;
        consent::sign_roster(&world, Some(&second)).await;
        let made = world.create(json!({"goal": "wipe disk sdb"})).await;
        let id = made.summary.id;
        assert_eq!((made.summary.status.as_str(), made.summary.rank), ("awaiting_approval", Rank::A));
        assert_eq!(planning_of(&made).planner.as_deref(), Some("playbook"));
        let owner = world.owner().await;
        assert_eq!(made.plan.unwrap().author, Author::Person(owner.principal));
        let waiting = consent::pending(&world, id).await.remove(0);
        let own = consent::signature(&world, &waiting, 1, 1);
        let refused = consent::decide(&world, &owner, &waiting, Some(own)).await.unwrap_err();
        assert_eq!(refused.code(), "author_may_not_approve");
        let other = consent::signature(&world, &waiting, 2, 2);
        consent::decide(&world, &second, &waiting, Some(other)).await.unwrap();
        assert_eq!(world.status(id).await, "running");
    }

    async fn a_shape_that_was_verified_three_times_is_held_no_more(world) {
        furnish(&world).await;
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        // The same shape with other inputs is other work; the same work would count once a day.
        for shelf in 1..=3 {
            let held = world.create(json!({"goal": "tidy the cache"})).await;
            assert_eq!(held.summary.status.as_str(), "awaiting_approval", "{shelf}: two are not enough");
            missions::cancel(&world.app, &owner, held.summary.id).await.unwrap();
            let body = json!({"playbook": "tidy-cache", "inputs": {"shelf": shelf}});
            let id = ran(&world, &mut agent, body).await;
            if world.mission(id).await.summary.xp_awarded.is_none() {
                let review = world.mission(id).await.review.unwrap();
                let accept = reviews::ReviewVerdict::Accept;
                reviews::decide(&world.app, &owner, review, accept, None).await.unwrap();
                evolution::settle(&world.app).await.unwrap();
            }
            assert_eq!(world.mission(id).await.summary.xp_awarded, Some(50), "{shelf} is verified");
        }
        let made = world.create(json!({"goal": "tidy the cache"})).await;
        assert_eq!(made.summary.status.as_str(), "running");
    }

    async fn a_playbook_is_found_however_many_names_come_before_it(world) {
        let owner = world.owner().await;
        let tasks = json!([{"id": "t", "uses": "core.noop"}]);
        for number in 0..=200 {
            let body = json!({"name": format!("filler-{number:03}"), "goal": format!("fill bucket {number}"), "tasks": tasks});
            playbooks::create(&world.app, &owner, body).await.unwrap();
        }
        let body = json!({"name": "zoo", "goal": "feed the lions", "tasks": tasks});
        playbooks::create(&world.app, &owner, body).await.unwrap();
        let made = world.create(json!({"goal": "feed the lions"})).await;
        assert_eq!(planning_of(&made).source.as_deref(), Some("playbook zoo@1"));
        let made = world.create(json!({"goal": "something else entirely"})).await;
        assert_eq!(planning_of(&made).steps[0].said, "none of 202 playbooks says this");
    }

    async fn memory_offers_the_plan_of_a_verified_mission_and_says_what_differs(world) {
        let mut agent = world.agent("a").await;
        let plan = json!([{"id": "look", "uses": "probe.run", "with": {"what": "attic"}}]);
        let first = ran(&world, &mut agent, json!({"goal": "count boxes in attic", "tasks": plan})).await;
        let learned = async {
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
        tokio::time::timeout(Duration::from_secs(20), learned).await.expect("it is learned in time");
        let made = world.create(json!({"goal": "please count the boxes in the cellar"})).await;
        let planning = planning_of(&made);
        assert_eq!(planning.planner.as_deref(), Some("memory"), "{planning:?}");
        assert_eq!(planning.source.as_deref(), Some(first.to_string().as_str()));
        assert_eq!(planning.differs, ["cellar instead of attic in look.what"]);
        assert_eq!(made.summary.status.as_str(), "running");
        let done = agent.work(&world, |spec, _| succeed(json!({"counted": spec.with["what"]}))).await;
        assert_eq!(done, ["look"]);
        assert_eq!(world.mission(made.summary.id).await.tasks[0].outputs, Some(json!({"counted": "cellar"})));
        let other = world.create(json!({"goal": "count the boxes in the attic and burn them"})).await;
        assert_eq!(other.summary.status.as_str(), "needs_plan", "more is wanted");
        let owner = world.owner().await;
        evolution::change_trait(&world.app, &owner, "RECALL", evolution::TraitChange::Disable, String::new())
            .await
            .unwrap();
        let closed = world.create(json!({"goal": "count the boxes in the attic"})).await;
        assert_eq!(steps(&closed)[1], ("memory".to_owned(), "barred".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_gets_no_more_by_stating_a_goal() {
    let model = Scripted::start().await;
    let world = thinking(TestDatabase::sqlite().unwrap(), &model, ModelKind::Anthropic, |_| {}).await;
    world.agent("a").await.live.set_credit(0);
    let owner = world.logged_in().await;
    let token = principals::NewToken {
        name: "robot".parse().unwrap(),
        role: Role::Service,
        rank_ceiling: Rank::E,
        ttl: Duration::from_hours(24),
    };
    let token = principals::create_token(&world.app, &owner, token).await.unwrap().principal;
    let caller = Caller {
        principal: token.id,
        name: "robot".to_owned(),
        role: Role::Service,
        session: None,
        rank_ceiling: Some(Rank::E),
        origin: Origin::Api,
    };
    let goal = |goal: &str| vec![NewMission::from_value(&json!({"goal": goal})).unwrap()];
    // Rank D: a person's would start at once.
    let plan = json!({"answer": "plan", "summary": "x", "tasks": [{"id": "t", "uses": "shell.run",
        "with": {"script": "true"}, "sandbox": {"profile": "network", "network": ["example.org"]}}]});
    model.will([Does::Answers(plan)]);
    let made = missions::create(&world.app, &caller, goal("read the news")).await.unwrap().remove(0).unwrap();
    planning::work(&world.app).await.unwrap();
    let view = world.mission(made.summary.id).await;
    assert!(view.summary.rank > Rank::E, "{}", view.summary.rank);
    assert_eq!(view.summary.status.as_str(), "awaiting_approval");
    assert!(matches!(view.plan.unwrap().author, Author::Planner(_)));
    // Taken back before the planner came to it, it gets nothing at all.
    let late =
        missions::create(&world.app, &caller, goal("read more news")).await.unwrap().remove(0).unwrap();
    principals::revoke(&world.app, &owner, token.id, true).await.unwrap();
    planning::work(&world.app).await.unwrap();
    let view = world.mission(late.summary.id).await;
    assert_eq!(view.summary.status.as_str(), "needs_plan");
    assert!(view.planning.is_none(), "nobody was asked");
    assert!(view.reason.unwrap().contains("may not act here any more"));
    assert_eq!(model.asked().len(), 1);
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_with_a_plan_need_not_wait_for_the_model() {
    let model = Scripted::start().await;
    let world = thinking(TestDatabase::sqlite().unwrap(), &model, ModelKind::Anthropic, |_| {}).await;
    world.agent("a").await.live.set_credit(0);
    let owner = world.owner().await;
    let made = world.create(json!({"goal": "sort it out"})).await;
    assert_eq!(made.summary.status.as_str(), "planning");
    let tasks = json!({"tasks": [{"id": "mine", "uses": "probe.run"}]}).to_string();
    let tasks = missions::parse_plan(tasks.as_bytes()).unwrap();
    missions::replace_plan(&world.app, &owner, made.summary.id, tasks, None).await.unwrap();
    planning::work(&world.app).await.unwrap();
    let view = world.mission(made.summary.id).await;
    assert_eq!((view.tasks[0].id.as_str(), view.summary.status.as_str()), ("mine", "running"));
    assert_eq!(model.asked().len(), 0);
    // A goal that is cancelled while it waits is not planned either.
    let made = world.create(json!({"goal": "never mind"})).await;
    missions::cancel(&world.app, &owner, made.summary.id).await.unwrap();
    model.will([Does::Answers(shell("true"))]);
    planning::work(&world.app).await.unwrap();
    assert_eq!(world.status(made.summary.id).await, "cancelled");
    assert_eq!(state(&world, "another").await.summary.status.as_str(), "running");
    model.stop().await;
}

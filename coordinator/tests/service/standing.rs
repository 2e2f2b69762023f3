//! Playbooks, and standing approvals over their shape: what one covers, what each use costs, and what a near miss says.

use std::time::Duration;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::approvals::{self, ApprovalFilter, ApprovalView};
use nexusmon_coordinator::service::evolution::{self, TraitChange};
use nexusmon_coordinator::service::missions::{self, MissionView, NewMission};
use nexusmon_coordinator::service::standing::{self, NewStanding, StandingView};
use nexusmon_coordinator::service::{Caller, PageRequest, playbooks, reviews};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::message::{CoordinatorMessage, RevokedApproval};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::time::Clock as _;
use nexusmon_shared::trust::approval::{StandingApproval, is_closed};
use nexusmon_shared::trust::signable::Signable as _;
use serde_json::{Value, json};

use crate::consent::{decide, sign_roster, signature};
use crate::harness::{World, both, succeed};

pub(crate) fn playbook(uses: &str) -> Value {
    json!({
        "name": "tidy-up", "goal": "tidy ${{ inputs.what }}",
        "input_schema": {"properties": {"what": {"enum": ["x", "y"]}, "n": {"type": "integer", "default": 1}}, "required": ["what"]},
        "tasks": [{"id": "t", "uses": uses, "with": {"what": "${{ inputs.what }} ${{ inputs.n }}"}}]
    })
}

async fn make(world: &World, caller: &Caller, inputs: Value) -> Result<MissionView, Error> {
    let body = json!({"playbook": "tidy-up", "inputs": inputs});
    let mut made = missions::create(&world.app, caller, vec![NewMission::from_value(&body)?]).await?;
    made.remove(0)
}

fn bounds(world: &World, uses: u32) -> NewStanding {
    NewStanding {
        playbook: "tidy-up".parse().unwrap(),
        labels: std::collections::BTreeMap::new(),
        agent: None,
        max_rank: None,
        expires_at: world.clock.now() + Duration::from_hours(24),
        uses,
        input_schema: None,
    }
}

async fn waiting(world: &World, kind: &str) -> ApprovalView {
    let filter = ApprovalFilter { status: Some("pending".to_owned()), mission: None };
    let found = approvals::list(&world.app, filter, PageRequest::default()).await.unwrap().items;
    found.into_iter().find(|one| one.subject_kind == kind).unwrap_or_else(|| panic!("no {kind} waits"))
}

async fn signed(world: &World, kind: &str, nonce: u8) {
    let asked = waiting(world, kind).await;
    let owner = world.owner().await;
    decide(world, &owner, &asked, Some(signature(world, &asked, 1, nonce))).await.unwrap();
}

pub(crate) async fn given(world: &World, uses: u32, nonce: u8) -> StandingView {
    let asked = standing::ask(&world.app, &world.owner().await, bounds(world, uses)).await.unwrap();
    assert_eq!(asked.status, "pending");
    signed(world, "standing_approval", nonce).await;
    standing::get(&world.app, asked.id).await.unwrap()
}

async fn notes(world: &World, mission: MissionId) -> String {
    let filter = ApprovalFilter { status: Some("pending".to_owned()), mission: Some(mission) };
    let found = approvals::list(&world.app, filter, PageRequest::default()).await.unwrap().items;
    found[0].notes.join("; ")
}

both! {
    async fn a_playbook_makes_missions_and_keeps_its_versions(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let first = playbooks::create(&world.app, &owner, playbook("probe.run")).await.unwrap();
        assert_eq!(first.version, 1);
        let twice = playbooks::create(&world.app, &owner, playbook("probe.run")).await.unwrap_err();
        assert_eq!(twice.code(), "exists");
        let made = make(&world, &owner, json!({"what": "x"})).await.unwrap();
        assert_eq!((made.summary.goal.as_str(), made.plan.as_ref().unwrap().playbook.as_deref()), ("tidy x", Some("tidy-up@1")));
        assert_eq!(Value::Object(made.inputs.clone()), json!({"what": "x", "n": 1}));
        assert_eq!(missions::get(&world.app, made.summary.id).await.unwrap().inputs, made.inputs);
        world.tick().await;
        let order = agent.orders().remove(0);
        let leaf: TaskSpec = serde_json::from_slice(&order.leaf).unwrap();
        assert_eq!(leaf.with["what"], "x 1", "folded into the leaf");
        agent.report(order.attempt, succeed(json!({}))).await;
        let wrong = make(&world, &owner, json!({"what": "z"})).await.unwrap_err();
        assert!(wrong.to_string().contains("/inputs/what"), "{wrong}");

        let mut next = playbook("probe.run");
        next["goal"] = json!("again ${{ inputs.what }}");
        let same = playbooks::change(&world.app, &owner, &first.name, playbook("probe.run"), None).await;
        assert_eq!(same.unwrap_err().code(), "unchanged");
        let stale = playbooks::change(&world.app, &owner, &first.name, next.clone(), Some(7)).await.unwrap_err();
        assert!(matches!(stale, Error::PreconditionFailed { .. }));
        assert_eq!(playbooks::change(&world.app, &owner, &first.name, next, Some(1)).await.unwrap().version, 2);
        assert_eq!(make(&world, &owner, json!({"what": "y"})).await.unwrap().summary.goal, "again y");
        let old = NewMission::from_value(&json!({"playbook": "tidy-up@1", "inputs": {"what": "y"}})).unwrap();
        let old = missions::create(&world.app, &owner, vec![old]).await.unwrap().remove(0).unwrap();
        assert_eq!(old.summary.goal, "tidy y");
        playbooks::retire(&world.app, &owner, &first.name).await.unwrap();
        assert!(make(&world, &owner, json!({"what": "y"})).await.is_err());
        assert_eq!(playbooks::versions(&world.app, &first.name).await.unwrap().len(), 2);
    }

    async fn within_its_bounds_nobody_is_asked_again(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let person = world.logged_in().await;
        playbooks::create(&world.app, &owner, playbook("probe.grave")).await.unwrap();
        let without = standing::ask(&world.app, &owner, bounds(&world, 3)).await.unwrap_err();
        assert_eq!(without.code(), "no_roster");
        sign_roster(&world, None).await;
        let held = make(&world, &person, json!({"what": "x"})).await.unwrap();
        assert_eq!(held.summary.status.as_str(), "awaiting_approval");

        let asked = standing::ask(&world.app, &owner, bounds(&world, 3)).await.unwrap();
        let approval = waiting(&world, "standing_approval").await;
        let leaves: Vec<TaskSpec> = serde_json::from_value(approval.leaves.clone().unwrap()).unwrap();
        assert_eq!(leaves[0].with["what"], "${{ inputs.what }} ${{ inputs.n }}", "what is signed is shown");
        assert!(notes(&world, held.summary.id).await.contains("waits for those who sign"));
        assert!(decide(&world, &owner, &approval, None).await.is_err(), "unsigned");
        signed(&world, "standing_approval", 1).await;
        assert_eq!(standing::get(&world.app, asked.id).await.unwrap().status, "active");

        // Two runs with different inputs: nobody is asked, each start is a use.
        for (what, used) in [("x", 1), ("y", 2)] {
            let made = make(&world, &person, json!({"what": what})).await.unwrap();
            assert_eq!(made.summary.status.as_str(), "running", "{:?}", made.approval);
            assert!(made.review.is_some(), "seen afterwards all the same");
            world.tick().await;
            let order = agent.orders().remove(0);
            let shown = order.standing.as_ref().expect("what it rests on");
            let document = StandingApproval::read(&shown.standing).unwrap();
            assert!(document.selector.agents.as_ref().unwrap().contains(&agent.id));
            let open: TaskSpec = serde_json::from_slice(&shown.open_leaf).unwrap();
            let leaf: TaskSpec = serde_json::from_slice(&order.leaf).unwrap();
            let inputs = serde_json::from_slice(&shown.inputs).unwrap();
            assert_eq!(is_closed(&open, &inputs, &leaf), Ok(true));
            agent.report(order.attempt, succeed(json!({"done": true}))).await;
            assert_eq!(world.status(made.summary.id).await, "succeeded");
            let now = standing::get(&world.app, asked.id).await.unwrap();
            assert_eq!((now.used, now.newest_uses[0].mission), (used, made.summary.id));
        }
        // The system itself may not spend them, until it is allowed to.
        let unasked = make(&world, &owner, json!({"what": "x"})).await.unwrap();
        assert_eq!(unasked.summary.status.as_str(), "awaiting_approval");
        let until = world.clock.now() + Duration::from_hours(1);
        let grant = TraitChange::Grant { until };
        evolution::change_trait(&world.app, &owner, "OPERATOR_FUSION", grant, "nightly".to_owned()).await.unwrap();
        signed(&world, "trait_grant", 2).await;
        let unasked = make(&world, &owner, json!({"what": "x"})).await.unwrap();
        assert_eq!(unasked.summary.status.as_str(), "running");
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        // All are spent, and it says so.
        let late = make(&world, &person, json!({"what": "x"})).await.unwrap();
        assert_eq!(late.summary.status.as_str(), "awaiting_approval");
        assert!(notes(&world, late.summary.id).await.contains("all are spent"));
        assert_eq!(standing::get(&world.app, asked.id).await.unwrap().status, "spent");
        // Whoever has the log alone has the document that was signed.
        let activated = world.written(1, |action| action == "standing.activated").await;
        let told: StandingApproval = serde_json::from_value(serde_json::from_str::<Value>(&activated[0].body.to_string()).unwrap()["document"].clone()).unwrap();
        assert_eq!((told.digest(), u64::from(told.uses)), (asked.digest, 3));
        crate::rosters::verified(&world).await;
    }

    async fn what_is_revoked_or_narrower_covers_nothing(world) {
        let mut agent = world.agent("a").await;
        let (owner, person) = (world.owner().await, world.logged_in().await);
        sign_roster(&world, None).await;
        playbooks::create(&world.app, &owner, playbook("probe.grave")).await.unwrap();
        let first = given(&world, 1, 1).await;
        // One use, two missions at once: the second is asked about when its turn comes, and nothing runs twice.
        let one = make(&world, &person, json!({"what": "x"})).await.unwrap().summary;
        let two = make(&world, &person, json!({"what": "y"})).await.unwrap().summary;
        world.tick().await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        let states = [world.status(one.id).await, world.status(two.id).await];
        assert!(states.contains(&"succeeded"), "{states:?}");
        let spent = standing::get(&world.app, first.id).await.unwrap();
        assert_eq!((spent.used, spent.status.as_str()), (1, "spent"));

        let second = given(&world, 5, 2).await;
        agent.orders();
        standing::revoke(&world.app, &owner, second.id).await.unwrap();
        // Machines hear of it: those that are here, and those that come later.
        let mut late = world.agent("b").await;
        for machine in [&mut agent, &mut late] {
            let told = loop {
                if let CoordinatorMessage::RevokedStanding(told) = machine.next().await {
                    break told;
                }
            };
            assert_eq!(told, [RevokedApproval { digest: second.digest, expires_at: second.expires_at }]);
        }
        late.vanish().await;
        let held = make(&world, &person, json!({"what": "x"})).await.unwrap();
        assert_eq!(held.summary.status.as_str(), "awaiting_approval");
        assert!(notes(&world, held.summary.id).await.contains("revoked"));
        let narrow = NewStanding {
            input_schema: Some(json!({"type": "object", "properties": {"what": {"const": "y"}}})),
            ..bounds(&world, 5)
        };
        standing::ask(&world.app, &owner, narrow).await.unwrap();
        signed(&world, "standing_approval", 3).await;
        let held = make(&world, &person, json!({"what": "x"})).await.unwrap();
        assert!(notes(&world, held.summary.id).await.contains("/what"), "{}", notes(&world, held.summary.id).await);
        let covered = make(&world, &person, json!({"what": "y"})).await.unwrap();
        assert_eq!(covered.summary.status.as_str(), "running");
        let grave = NewStanding { max_rank: Some(nexusmon_shared::rank::Rank::S), ..bounds(&world, 5) };
        assert!(standing::ask(&world.app, &owner, grave).await.is_err(), "never S");
    }

    async fn one_decision_is_enough_for_identical_runs(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let body = json!({"goal": "nightly", "tasks": [{"id": "t", "uses": "probe.careful"}]});
        let run = async |agent: &mut crate::harness::Agent, ending: nexusmon_shared::outcome::Ending| {
            let made = world.create(body.clone()).await;
            assert_eq!(agent.work(&world, |_, _| ending.clone()).await, ["t"]);
            world.pass(1).await;
            made.review.unwrap()
        };
        let good = || succeed(json!({"lines": 3}));
        let status = async |id| reviews::get(&world.app, id).await.unwrap().status;
        let first = run(&mut agent, good()).await;
        let second = run(&mut agent, good()).await;
        let failed = run(&mut agent, crate::harness::exit(3)).await;
        let empty = run(&mut agent, succeed(json!({}))).await;
        let last = run(&mut agent, good()).await;
        let _ = agent.vanish().await;
        let mut other = world.agent("b").await;
        let elsewhere = run(&mut other, good()).await;

        let page = PageRequest::default();
        let all = reviews::list(&world.app, reviews::ReviewFilter::default(), page.clone()).await.unwrap();
        assert_eq!(all.items.len(), 6);
        let grouped = reviews::ReviewFilter { status: Some("open".to_owned()), grouped: true, ..Default::default() };
        let listed = reviews::list(&world.app, grouped.clone(), page.clone()).await.unwrap();
        assert_eq!(listed.items.iter().map(|one| (one.id, one.alike)).collect::<Vec<_>>(), [(elsewhere, 5)]);

        let done = reviews::decide(&world.app, &owner, last, reviews::ReviewVerdict::Accept, None).await.unwrap();
        assert_eq!((done.status.as_str(), done.alike), ("accepted", 3));
        for (id, wanted) in [(first, "covered"), (second, "covered"), (failed, "open"), (empty, "open"), (elsewhere, "open")] {
            assert_eq!(status(id).await, wanted);
        }
        let covered = world.written(2, |action| action == "review.covered").await;
        assert!(covered.iter().all(|entry| entry.body.to_string().contains(&last.to_string())));
        let listed = reviews::list(&world.app, grouped, page).await.unwrap();
        assert_eq!(listed.items.iter().map(|one| (one.id, one.alike)).collect::<Vec<_>>(), [(elsewhere, 2)]);
    }

    async fn a_long_row_of_identical_runs_is_closed_by_one_decision(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let body = json!({"goal": "nightly", "tasks": [{"id": "t", "uses": "probe.careful"}]});
        let mut opened = Vec::new();
        // More than one unit of work looks at.
        for _ in 0..45 {
            let made = world.create(body.clone()).await;
            assert_eq!(agent.work(&world, |_, _| succeed(json!({"lines": 3}))).await, ["t"]);
            opened.push(made.review.unwrap());
        }
        let last = opened.pop().unwrap();
        let done = reviews::decide(&world.app, &owner, last, reviews::ReviewVerdict::Accept, None).await.unwrap();
        assert_eq!((done.status.as_str(), done.alike), ("accepted", 0));
        for id in opened {
            assert_eq!(reviews::get(&world.app, id).await.unwrap().status, "covered");
        }
        world.written(44, |action| action == "review.covered").await;
    }

    async fn identical_runs_are_covered_until_something_changes(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let body = json!({"goal": "nightly", "tasks": [{"id": "t", "uses": "probe.careful"}]});
        let run = async |agent: &mut crate::harness::Agent, ending: nexusmon_shared::outcome::Ending| {
            let made = world.create(body.clone()).await;
            assert_eq!(agent.work(&world, |_, _| ending.clone()).await, ["t"]);
            evolution::settle(&world.app).await.unwrap();
            reviews::get(&world.app, made.review.unwrap()).await.unwrap()
        };
        let good = || succeed(json!({"lines": 3}));
        let first = run(&mut agent, good()).await;
        assert_eq!(first.status, "open");
        let verdict = reviews::ReviewVerdict::Accept;
        reviews::decide(&world.app, &owner, first.id, verdict, None).await.unwrap();
        world.pass(1).await;
        assert_eq!(run(&mut agent, good()).await.status, "covered");
        // A failure opens one again, and so does another machine.
        let failed = run(&mut agent, crate::harness::exit(3)).await;
        assert_eq!(failed.status, "open");
        let after = run(&mut agent, good()).await;
        assert_eq!(after.status, "open");
        world.pass(1).await;
        reviews::decide(&world.app, &owner, after.id, verdict, None).await.unwrap();
        assert_eq!(run(&mut agent, good()).await.status, "covered");
        let _ = agent.vanish().await;
        let mut other = world.agent("b").await;
        assert_eq!(run(&mut other, good()).await.status, "open");
    }
}

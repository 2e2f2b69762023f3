//! Approvals as signatures: who may sign, what a signature is good for, and what happens when it ends.

use std::time::Duration;

use ed25519_dalek::SigningKey;
use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::approvals::{
    self, ApprovalFilter, ApprovalView, GivenSignature, NewDecision,
};
use nexusmon_coordinator::service::{Caller, PageRequest, Role as CallerRole, policies, principals, roster};
use nexusmon_shared::id::{MissionId, PrincipalId};
use nexusmon_shared::outcome::{Ending, Refusal};
use nexusmon_shared::time::Clock as _;
use nexusmon_shared::trust::approval::{Nonce, SignedDecision, Statement, Verdict};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_store::{PrincipalKind, PrincipalRow};
use serde_json::{Value, json};

use crate::harness::{World, both, succeed};

const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn signing(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn cli(seed: u8) -> PersonKey {
    PersonKey::Cli { public_key: PublicKey::of(&signing(seed)) }
}

/// Somebody beside the owner.
pub(crate) async fn second(world: &World) -> Caller {
    let id = PrincipalId::from_bits(2);
    let row = PrincipalRow {
        id,
        kind: PrincipalKind::Person,
        name: "second".to_owned(),
        role: nexusmon_store::Role::Approver,
        secret_hash: None,
        rank_ceiling: None,
        created_by: None,
        created_at: world.clock.now(),
        expires_at: None,
        revoked_at: None,
        version: 1,
    };
    let write = world
        .app
        .store
        .write_with("test.person", row, |tx, row| Box::pin(async move { tx.insert_principal(row).await }));
    write.await.unwrap();
    Caller { principal: id, role: CallerRole::Approver, ..world.owner().await }
}

/// Somebody beside the owner and the second.
pub(crate) async fn third(world: &World) -> Caller {
    let (owner, name) = (world.logged_in().await, "third".parse().unwrap());
    let made = principals::create_person(&world.app, &owner, name, CallerRole::Approver).await.unwrap();
    Caller { principal: made.principal.id, role: CallerRole::Approver, ..world.owner().await }
}

/// The owner has key 1, the second person, if there is one, key 2.
pub(crate) async fn sign_roster(world: &World, second: Option<&Caller>) {
    let others: Vec<&Caller> = second.into_iter().collect();
    sign_roster_of(world, &others, Need::default()).await;
}

/// The owner has key 1, the others have those that follow.
pub(crate) async fn sign_roster_of(world: &World, others: &[&Caller], need: Need) {
    let owner = world.owner().await;
    let person = |name: &str, role, seed| Person { name: name.to_owned(), role, keys: [cli(seed)].into() };
    let mut persons = std::collections::BTreeMap::from([(owner.principal, person("owner", Role::Owner, 1))]);
    for (seed, other) in (2..).zip(others) {
        persons.insert(other.principal, person(&format!("person {seed}"), Role::Approver, seed));
    }
    let roster = Roster {
        organism: world.app.organism,
        number: 1,
        predecessor: None,
        persons,
        need,
        agents: std::collections::BTreeMap::new(),
        recovery: None,
    };
    let kept =
        roster::put(&world.app, &owner, SignedRoster::new(roster).signed_by(&signing(1))).await.unwrap();
    assert_eq!(kept.owner_key, cli(1).id());
}

pub(crate) async fn grave(world: &World) -> MissionId {
    let body = json!({"goal": "grave", "tasks": [{"id": "t", "uses": "probe.grave"}]});
    let mission = world.create(body).await;
    assert_eq!(mission.summary.status.as_str(), "awaiting_approval");
    mission.summary.id
}

pub(crate) async fn pending(world: &World, mission: MissionId) -> Vec<ApprovalView> {
    let filter = ApprovalFilter { status: Some("pending".to_owned()), mission: Some(mission) };
    approvals::list(&world.app, filter, PageRequest::default()).await.unwrap().items
}

pub(crate) fn signature(world: &World, approval: &ApprovalView, seed: u8, nonce: u8) -> GivenSignature {
    let read = |field: &str| approval.to_sign[field].clone();
    let statement = Statement {
        organism: serde_json::from_value(read("organism")).unwrap(),
        subject: serde_json::from_value(read("subject")).unwrap(),
        digest: serde_json::from_value(read("digest")).unwrap(),
        mission: serde_json::from_value(read("mission")).unwrap(),
        verdict: Verdict::Approve,
        valid_until: world.clock.now() + HOUR,
        nonce: Nonce::from_bytes([nonce; 16]),
    };
    let SignedDecision { statement, key, proof } = statement.sign(&signing(seed));
    GivenSignature { key, valid_until: statement.valid_until, nonce: statement.nonce, proof }
}

pub(crate) async fn decide(
    world: &World,
    caller: &Caller,
    approval: &ApprovalView,
    signature: Option<GivenSignature>,
) -> Result<ApprovalView, Error> {
    let decision = NewDecision {
        verdict: approvals::Verdict::Approve,
        digest: approval.digest,
        comment: Some("read it".to_owned()),
        signature,
    };
    approvals::decide(&world.app, caller, approval.id, decision).await
}

/// The owner approves what waits.
pub(crate) async fn approve(world: &World, mission: MissionId, nonce: u8) -> ApprovalView {
    let approval = pending(world, mission).await.remove(0);
    let given = signature(world, &approval, 1, nonce);
    decide(world, &world.owner().await, &approval, Some(given)).await.unwrap()
}

async fn status(world: &World, mission: MissionId) -> &'static str {
    world.statuses(mission).await[0].1
}

both! {
    async fn who_may_sign_is_the_rosters_to_say(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let mission = grave(&world).await;
        let waiting = pending(&world, mission).await.remove(0);
        assert!(waiting.signature_needed && waiting.notes[0].contains("nexusmon key make"), "{waiting:?}");
        let error = decide(&world, &owner, &waiting, None).await.unwrap_err();
        assert_eq!(error.code(), "no_roster");

        let second = second(&world).await;
        sign_roster(&world, Some(&second)).await;
        let code = async |caller: &Caller, given: Option<GivenSignature>| {
            decide(&world, caller, &waiting, given).await.unwrap_err().code()
        };
        assert_eq!(code(&second, None).await, "invalid");
        let own = signature(&world, &waiting, 1, 1);
        assert_eq!(code(&owner, Some(own)).await, "author_may_not_approve");
        let foreign = signature(&world, &waiting, 66, 1);
        assert_eq!(code(&second, Some(foreign)).await, "unknown_key");
        let good = signature(&world, &waiting, 2, 1);
        assert_eq!(code(&owner, Some(good.clone())).await, "not_your_key");
        let long = GivenSignature { valid_until: good.valid_until + HOUR, ..good.clone() };
        assert_eq!(code(&second, Some(long)).await, "invalid");
        assert_eq!(status(&world, mission).await, "pending");

        let decided = decide(&world, &second, &waiting, Some(good.clone())).await.unwrap();
        assert_eq!((decided.status.as_str(), decided.valid_until), ("approved", Some(good.valid_until)));
        assert_eq!(decided.decisions[0].method, "key");
        let done = agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(done, ["t"]);
        assert_eq!(world.status(mission).await, "succeeded");
    }

    async fn no_set_lets_an_author_approve(world) {
        // Who may sign is no part of what policies say.
        let open = "@id(\"all\") permit (principal, action, resource);".to_owned();
        policies::change(&world.app, &world.logged_in().await, open, "trust me".to_owned(), None).await.unwrap();
        let _agent = world.agent("a").await;
        let (owner, second) = (world.owner().await, second(&world).await);
        sign_roster(&world, Some(&second)).await;
        let mission = grave(&world).await;
        let waiting = pending(&world, mission).await.remove(0);
        let own = signature(&world, &waiting, 1, 1);
        let refused = decide(&world, &owner, &waiting, Some(own)).await.unwrap_err();
        assert_eq!(refused.code(), "author_may_not_approve");
        assert_eq!(world.status(mission).await, "awaiting_approval");
        let other = signature(&world, &waiting, 2, 2);
        assert_eq!(decide(&world, &second, &waiting, Some(other)).await.unwrap().status, "approved");
    }

    async fn what_has_not_begun_when_signatures_end_is_asked_about_again(world) {
        sign_roster(&world, None).await;
        let agent = world.agent("a").await;
        let mission = grave(&world).await;
        // Nobody takes it now.
        let (id, journal) = agent.vanish().await;
        approve(&world, mission, 1).await;
        assert_eq!((world.status(mission).await, status(&world, mission).await), ("running", "ready"));
        world.pass(3599).await;
        assert_eq!(status(&world, mission).await, "ready");
        world.pass(2).await;
        assert_eq!(status(&world, mission).await, "gated");
        let waiting = pending(&world, mission).await;
        assert_eq!((waiting.len(), waiting[0].subject_kind.as_str()), (1, "mission_plan"));
        // The old signature is no new one.
        let owner = world.owner().await;
        let used = GivenSignature { ..signature(&world, &waiting[0], 1, 1) };
        assert_eq!(decide(&world, &owner, &waiting[0], Some(used)).await.unwrap_err().code(), "nonce_used");
        approve(&world, mission, 2).await;
        assert_eq!(status(&world, mission).await, "ready");
        let mut agent = crate::harness::Agent::connect(&world, id, journal.to_bits(), Vec::new()).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
        assert_eq!(world.status(mission).await, "succeeded");
    }

    async fn whose_signature_has_ended_signs_again(world) {
        let _agent = world.agent("a").await;
        let (second, third) = (second(&world).await, third(&world).await);
        sign_roster_of(&world, &[&second, &third], Need { a: 2, s: 2 }).await;
        let mission = grave(&world).await;
        let waiting = pending(&world, mission).await.remove(0);
        let sign = async |caller: &Caller, seed: u8, nonce: u8| {
            decide(&world, caller, &waiting, Some(signature(&world, &waiting, seed, nonce))).await
        };
        sign(&second, 2, 1).await.unwrap();
        assert_eq!(sign(&second, 2, 2).await.unwrap_err().code(), "already_voted");
        world.clock.advance(HOUR + Duration::from_secs(1));
        // The first one has ended: alone, the other's is not enough.
        assert_eq!(sign(&third, 3, 3).await.unwrap().status, "pending");
        assert_eq!(sign(&second, 2, 4).await.unwrap().status, "approved");
        assert_eq!(world.status(mission).await, "running");
        world.written(3, |action| action == "approval.decided").await;
        assert_eq!(crate::rosters::verified(&world).await.signatures, 3);
    }

    async fn what_nobody_approves_again_fails(world) {
        sign_roster(&world, None).await;
        let (_, _) = world.agent("a").await.vanish().await;
        let mission = grave(&world).await;
        approve(&world, mission, 1).await;
        world.pass(3601).await;
        assert_eq!(status(&world, mission).await, "gated");
        world.pass(24 * 3600 + 1).await;
        assert_eq!((world.status(mission).await, status(&world, mission).await), ("failed", "failed"));
        let mission = world.mission(mission).await;
        assert_eq!(mission.tasks[0].cause.as_ref().map(nexusmon_shared::outcome::Cause::kind), Some("approval_expired"));
    }

    async fn what_an_agent_does_not_believe_goes_back_to_people(world) {
        sign_roster(&world, None).await;
        let mut agent = world.agent("a").await;
        let mission = grave(&world).await;
        approve(&world, mission, 1).await;
        world.tick().await;
        let order = agent.orders().remove(0);
        let refused = Ending::Refused { reason: Refusal::BadSignature, detail: "used up".to_owned() };
        agent.report(order.attempt, refused).await;
        assert_eq!(status(&world, mission).await, "gated");
        approve(&world, mission, 2).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({}))).await, ["t"]);
    }

    async fn values_of_run_time_are_approved_by_themselves(world) {
        sign_roster(&world, None).await;
        let mut agent = world.agent("a").await;
        let tasks: Value = json!([
            {"id": "ask", "uses": "probe.run"},
            {"id": "do", "uses": "probe.grave", "needs": ["ask"], "with": {"what": "${{ tasks.ask.outputs.x }}"}}
        ]);
        let mission = world.create(json!({"goal": "two", "tasks": tasks})).await.summary.id;
        approve(&world, mission, 1).await;
        assert_eq!(agent.work(&world, |_, _| succeed(json!({"x": 7}))).await, ["ask"]);
        let waiting = pending(&world, mission).await;
        assert_eq!(waiting[0].subject_kind, "task_instance");
        let instance = waiting[0].instance.as_ref().unwrap();
        assert_eq!((&instance["parameters"], &instance["leaf_index"]), (&json!({"what": 7}), &json!(1)));
        approve(&world, mission, 2).await;
        world.tick().await;
        let order = agent.orders().remove(0);
        assert_eq!(order.decisions.len(), 1, "over the instance, with the order");
        let shown = SignedDecision::read(&order.decisions[0]).unwrap();
        assert_eq!(shown.statement.digest, waiting[0].digest);
        agent.report(order.attempt, succeed(json!({}))).await;
        assert_eq!(world.status(mission).await, "succeeded");
        // What could not be approved exactly is not asked about.
        let mission = world.create(json!({"goal": "large", "tasks": tasks})).await.summary.id;
        approve(&world, mission, 3).await;
        agent.work(&world, |_, _| succeed(json!({"x": 9_007_199_254_740_993_u64}))).await;
        let mission = world.mission(mission).await;
        assert_eq!(mission.tasks[1].cause.as_ref().map(nexusmon_shared::outcome::Cause::kind), Some("bad_parameters"));
    }
}

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{MissionId, PrincipalId, TaskId};
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::OrderInput;
use nexusmon_shared::plan::{Author, Budget, Plan};
use nexusmon_shared::trust::ed25519::SigningKey;
use nexusmon_shared::trust::plan_digest::{Sealed, seal};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn task(change: impl FnOnce(&mut Value)) -> TaskSpec {
    let mut value = json!({
        "id": "t", "uses": "shell.run", "with": {"script": "true"}, "needs": [], "if": null, "for_each": null,
        "on": {}, "timeout": 60, "retry": {"max": 1, "backoff": 1, "jitter": 0.1, "on": []}, "idempotent": false,
        "offline": 900, "sandbox": "strict", "inputs": [], "artifacts": [], "verify": null,
        "effects": {}, "limits": {}
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn manifests() -> Vec<Manifest> {
    let manifest = |name: &str, capability: Value| {
        let value = json!({"name": name, "version": "1", "capabilities": [capability]});
        serde_json::from_value(value).unwrap()
    };
    vec![
        manifest(
            "shell",
            json!({"name": "shell.run",
                   "params": {"type": "object", "required": ["script"], "properties": {"script": {"type": "string"}}}}),
        ),
        manifest("core", json!({"name": "core.noop"})),
        manifest("pay", json!({"name": "pay.bill", "requires_approval": true})),
        manifest("box", json!({"name": "box.run", "sandbox": "strict"})),
    ]
}

fn standing() -> Standing {
    Standing {
        organism: OrganismId::from_bits(1),
        agent: AgentId::from_bits(5),
        identity: PublicKey::of(&SigningKey::from_bytes(&[5; 32])),
        name: "nas".parse().unwrap(),
        labels: Labels::from([("region".to_owned(), "home".to_owned())]),
        ceiling: Rank::S,
        policy: LocalPolicy { max_rank: Rank::S, capabilities: Vec::new(), unsigned_consent: false },
        allow_private: Vec::new(),
        levels: BTreeSet::from([Level::L0, Level::L1, Level::L3]),
        catalogue: Arc::new(Catalogue::new(&manifests()).0),
        disabled: BTreeSet::new(),
        signed_from: Rank::A,
        cli_keys_only: false,
        roster: None,
        revoked: Arc::default(),
    }
}

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn sealed(tasks: Vec<TaskSpec>) -> Sealed {
    let header = PlanHeader {
        mission: MissionId::from_bits(1),
        goal: "g".to_owned(),
        author: Author::Person(PrincipalId::from_bits(2)),
        input_digests: Vec::new(),
        playbook: None,
        policy_digest: Digest::of(b"policy"),
        plugins: [("shell".to_owned(), "1".to_owned())].into(),
        budget: Budget::default(),
    };
    seal(&Plan { header, tasks }).unwrap()
}

fn known(sealed: &Sealed) -> KnownPlan {
    let notice = PlanNotice {
        digest: sealed.digest,
        header: sealed.header.clone().into(),
        tasks_root: sealed.tasks_root,
        size: sealed.leaves.len() as u64,
        decisions: Vec::new(),
    };
    KnownPlan::open(&notice).unwrap()
}

fn order(sealed: &Sealed, index: usize) -> Order {
    Order {
        attempt: AttemptRef { task: TaskId::from_bits(9), fence: Fence { epoch: 1, number: 1 } },
        attempt_number: 1,
        plan_digest: sealed.digest,
        leaf: sealed.leaves[index].clone().into(),
        leaf_index: index as u64,
        proof: sealed.tree.proof(index).unwrap(),
        item_index: None,
        parameters: None,
        inputs: Vec::new(),
        rank: Rank::E,
        traceparent: String::new(),
        idempotency_key: "key".to_owned(),
        decisions: Vec::new(),
        standing: None,
        spawned: None,
    }
}

fn consider(standing: &Standing, task: TaskSpec) -> Result<Consented, Refusal> {
    let sealed = sealed(vec![task]);
    standing.consider(&order(&sealed, 0), &mut known(&sealed), NOW).map_err(|refused| refused.reason)
}

#[test]
fn an_honest_order_is_agreed_to() {
    let consented = consider(&standing(), task(|_| {})).unwrap();
    assert_eq!(consented.job.rank, Rank::E);
    assert_eq!(consented.job.offline, Duration::from_secs(900));
    assert_eq!(consented.job.parameters["script"], "true");
    assert_eq!(consented.instance, None);
    let idempotent = consider(&standing(), task(|t| t["idempotent"] = json!(true))).unwrap();
    assert_eq!(idempotent.job.offline, Duration::ZERO);
}

#[test]
fn the_floor_is_computed_here() {
    let rank = |change: fn(&mut Value)| {
        let mut agreeing = standing();
        agreeing.policy.unsigned_consent = true;
        consider(&agreeing, task(change)).unwrap().job.rank
    };
    assert_eq!(rank(|t| t["sandbox"] = json!("user")), Rank::B);
    assert_eq!(rank(|t| t["sandbox"] = json!("none")), Rank::A);
    assert_eq!(rank(|t| t["effects"] = json!({"network": true})), Rank::C);
    let many: fn(&mut Value) = |t| {
        t["sandbox"] = json!("none");
        t["for_each"] = json!({"in": "[1]", "max": 10});
        t["on"] = json!({"agents": (0..10).map(AgentId::from_bits).collect::<Vec<_>>()});
    };
    assert_eq!(rank(many), Rank::S);
    let mut lite = standing();
    lite.levels = BTreeSet::from([Level::L0, Level::L3Lite]);
    assert_eq!(consider(&lite, task(|_| {})).unwrap().job.rank, Rank::D);
}

#[test]
fn each_refusal_has_its_reason() {
    let refusal = |standing: &Standing, change: fn(&mut Value)| consider(standing, task(change)).unwrap_err();
    let here = standing();
    assert_eq!(refusal(&here, |t| t["uses"] = json!("nobody.has")), Refusal::UnknownCapability);
    assert_eq!(refusal(&here, |t| t["on"] = json!({"agent": "other"})), Refusal::SelectorDiffers);
    assert_eq!(refusal(&here, |t| t["on"] = json!({"labels": {"region": "moon"}})), Refusal::SelectorDiffers);
    assert_eq!(refusal(&here, |t| t["sandbox"] = json!("network")), Refusal::SandboxUnavailable);
    assert_eq!(refusal(&here, |t| t["sandbox"] = json!("none")), Refusal::SelectorDiffers);
    let grave = |t: &mut Value| {
        t["sandbox"] = json!("none");
        t["on"] = json!({"agents": [AgentId::from_bits(5)]});
    };
    assert_eq!(refusal(&here, grave), Refusal::MissingConsent);
    assert_eq!(refusal(&here, |t| t["with"] = json!({"script": 3})), Refusal::ParametersInvalid);
    assert_eq!(refusal(&here, |t| t["with"] = json!({"script": "${{ 1 }}"})), Refusal::ParametersInvalid);
    assert_eq!(
        refusal(&here, |t| t["with"] = json!({"script": "", "cwd": "${{ 1 }}"})),
        Refusal::ParametersDiffer
    );
    let pay = |t: &mut Value| {
        t["uses"] = json!("pay.bill");
        t["on"] = json!({"agents": [AgentId::from_bits(5)]});
    };
    assert_eq!(refusal(&here, pay), Refusal::MissingConsent);
    let loose = |t: &mut Value| {
        t["uses"] = json!("box.run");
        t["sandbox"] = json!("user");
    };
    assert_eq!(refusal(&here, loose), Refusal::SandboxUnavailable);

    let mut modest = standing();
    modest.policy.max_rank = Rank::C;
    assert_eq!(refusal(&modest, |t| t["sandbox"] = json!("user")), Refusal::LocalPolicy);
    let mut enrolled_low = standing();
    enrolled_low.ceiling = Rank::C;
    assert_eq!(refusal(&enrolled_low, |t| t["sandbox"] = json!("user")), Refusal::LocalPolicy);
    let mut picky = standing();
    picky.policy.capabilities = vec!["core.noop".parse().unwrap()];
    assert_eq!(refusal(&picky, |_| {}), Refusal::LocalPolicy);
    let mut flagged = standing();
    flagged.disabled.insert("shell.run".parse().unwrap());
    assert_eq!(refusal(&flagged, |_| {}), Refusal::LocalPolicy);
}

#[test]
fn labels_and_ids_select_this_agent() {
    let here = standing();
    let id = here.agent.to_string();
    for on in [json!({"agent": "nas"}), json!({"agent": id}), json!({"labels": {"region": "*"}})] {
        assert!(consider(&here, task(|t| t["on"] = on.clone())).is_ok(), "{on}");
    }
}

#[test]
fn signatures_are_waived_only_by_the_own_configuration() {
    let mut here = standing();
    here.policy.unsigned_consent = true;
    let consented = consider(&here, task(|t| t["sandbox"] = json!("none"))).unwrap();
    assert_eq!(consented.job.rank, Rank::A);
    assert!(consented.instance.is_some());
}

#[test]
fn a_plan_that_is_not_its_digest_is_not_believed() {
    let sealed = sealed(vec![task(|_| {})]);
    let mut header: Value = serde_json::from_slice(&sealed.header).unwrap();
    header["goal"] = json!("something else");
    let notice = PlanNotice {
        digest: sealed.digest,
        header: serde_json::to_vec(&header).unwrap().into(),
        tasks_root: sealed.tasks_root,
        size: 1,
        decisions: Vec::new(),
    };
    assert_eq!(KnownPlan::open(&notice).unwrap_err().source, ProofError::Digest);
}

#[test]
fn input_names_stay_in_their_folder() {
    let sealed = sealed(vec![task(|_| {})]);
    for name in ["", ".", "..", "a/b", "a\\b", "a\0b"] {
        let mut order = order(&sealed, 0);
        order.inputs = vec![OrderInput { name: name.to_owned(), digest: Digest::of(b""), size: 0 }];
        let refused = standing().consider(&order, &mut known(&sealed), NOW).unwrap_err();
        assert_eq!(refused.reason, Refusal::ParametersInvalid, "{name:?}");
    }
}

#[test]
fn another_version_than_the_pinned_one_is_refused() {
    let mut newer = manifests();
    newer[0].version = "2".to_owned();
    let mut here = standing();
    here.catalogue = Arc::new(Catalogue::new(&newer).0);
    assert_eq!(consider(&here, task(|_| {})).unwrap_err(), Refusal::UnknownCapability);
}

proptest! {
    /// Whatever is changed in an order's plan material, the answer is "bad proof", and nothing panics.
    #[test]
    fn no_task_passes_as_another(
        count in 1_usize..9, pick: prop::sample::Index, place: prop::sample::Index, bit in 0_u8..8, kind in 0_u8..4,
    ) {
        let tasks = (0..count).map(|number| task(|t| t["id"] = json!(format!("t{number}")))).collect();
        let sealed = sealed(tasks);
        let index = pick.index(count);
        let mut order = order(&sealed, index);
        match kind {
            0 => {
                let mut leaf = order.leaf.to_vec();
                let at = place.index(leaf.len());
                leaf[at] ^= 1 << bit;
                order.leaf = Bytes::from(leaf);
            }
            1 => order.leaf_index ^= 1 << (bit + 4),
            2 => order.proof.push(Digest::of(b"more")),
            _ => order.plan_digest = Digest::of(b"another plan"),
        }
        let refused = standing().consider(&order, &mut known(&sealed), NOW).unwrap_err();
        prop_assert_eq!(refused.reason, Refusal::BadProof);
    }

    /// Consent never lowers a rank, and never gives more than configuration and enrollment allow.
    #[test]
    fn ranks_only_rise(stated in 0_u8..6, ceiling in 0_u8..6, most in 0_u8..6, profile in 0_usize..4, unsigned: bool) {
        let mut here = standing();
        here.ceiling = Rank::from_level(ceiling).unwrap();
        here.policy.max_rank = Rank::from_level(most).unwrap();
        here.policy.unsigned_consent = unsigned;
        let profile = ["strict", "network", "user", "none"][profile];
        let sealed = sealed(vec![task(|t| t["sandbox"] = json!(profile))]);
        let mut order = order(&sealed, 0);
        order.rank = Rank::from_level(stated).unwrap();
        if let Ok(consented) = here.consider(&order, &mut known(&sealed), NOW) {
            let rank = consented.job.rank;
            prop_assert!(rank >= order.rank);
            prop_assert!(rank >= consented.job.spec.sandbox.rank_floor(false));
            prop_assert!(rank <= here.ceiling && rank <= here.policy.max_rank);
            prop_assert!(!rank.needs_approval() || unsigned);
        }
    }
}

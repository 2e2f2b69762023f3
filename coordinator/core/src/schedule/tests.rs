use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::selector::Selector;
use proptest::prelude::*;

use super::*;
use crate::sim::strategies::snapshot;

fn agent(id: u128, slots: u32) -> AgentView {
    AgentView {
        id: AgentId::from_bits(id),
        offer: Arc::new(Offer {
            name: format!("agent-{id}"),
            capabilities: BTreeMap::from([("shell.run".parse().unwrap(), "1".to_owned())]),
            labels: BTreeMap::new(),
            slots,
            levels: BTreeSet::from([Level::L0, Level::L3]),
            max_rank: Rank::C,
            allowed: None,
            consents: false,
            spawns: true,
        }),
        session: 1,
        availability: Availability::Live,
        free_slots: slots,
        prefetch: 0,
        barred: BTreeSet::new(),
        disabled: BTreeSet::new(),
        rate: None,
    }
}

fn class() -> DemandClass {
    DemandClass {
        capability: "shell.run".parse().unwrap(),
        plugin: None,
        selector: Selector::default(),
        profile: Profile::Strict,
        rank: Rank::E,
        requires_approval: false,
        prefetch: false,
        limits: BTreeMap::new(),
        dynamic: Dynamic::None,
    }
}

fn of(tasks: u128, class: DemandClass, agents: Vec<AgentView>) -> Snapshot {
    let candidate = |n| Candidate {
        task: TaskId::from_bits(n),
        mission: MissionId::from_bits(1),
        class: ClassId(1),
        approved: Rank::S,
        budget_left: 100_000,
    };
    Snapshot {
        candidates: (0..tasks).map(candidate).collect(),
        classes: BTreeMap::from([(ClassId(1), class)]),
        agents,
        ..Snapshot::default()
    }
}

#[test]
fn a_better_record_comes_before_more_room_and_never_before_a_free_slot() {
    let mut snapshot = of(4, class(), vec![agent(1, 3), agent(2, 1), agent(3, 1)]);
    snapshot.bands = BTreeMap::from([(ClassId(1), BTreeMap::from([(AgentId::from_bits(1), 1)]))]);
    let got: Vec<u128> = plan(&snapshot).grants.iter().map(|grant| grant.agent.to_bits()).collect();
    assert_eq!(got, [2, 3, 1, 1], "the others first, then whoever has room");
    snapshot.bands.clear();
    let got: Vec<u128> = plan(&snapshot).grants.iter().map(|grant| grant.agent.to_bits()).collect();
    assert_eq!(got, [1, 1, 1, 2], "without beliefs the least loaded");
}

fn reason(class: DemandClass, agents: Vec<AgentView>) -> Reason {
    let answer = plan(&of(1, class, agents));
    assert!(answer.grants.is_empty());
    answer.waiting[0].1.clone()
}

#[test]
fn work_spreads_over_the_least_loaded() {
    let answer = plan(&of(4, class(), vec![agent(1, 1), agent(2, 3), agent(3, 2)]));
    let got: Vec<u128> = answer.grants.iter().map(|grant| grant.agent.to_bits()).collect();
    assert_eq!(got, [2, 2, 3, 1], "most free slots first, ties by id");
}

#[test]
fn every_reason_is_told_apart() {
    let labelled = Selector {
        labels: BTreeMap::from([("region".to_owned(), "home".to_owned())]),
        agent: None,
        agents: None,
    };
    let changed = |change: fn(&mut AgentView)| {
        let mut agent = agent(1, 1);
        change(&mut agent);
        vec![agent]
    };
    let c = class;
    for (class, agents, code) in [
        (
            DemandClass { capability: "demo.x".parse().unwrap(), ..c() },
            vec![agent(1, 1)],
            "no_agent_with_capability",
        ),
        (c(), vec![], "no_agent_with_capability"),
        (DemandClass { plugin: Some("2".to_owned()), ..c() }, vec![agent(1, 1)], "plugin_version"),
        (DemandClass { selector: labelled, ..c() }, vec![agent(1, 1)], "no_agent_matches_selector"),
        (DemandClass { profile: Profile::User, ..c() }, vec![agent(1, 1)], "sandbox_unavailable"),
        (DemandClass { rank: Rank::B, ..c() }, vec![agent(1, 1)], "rank_above_agent_ceiling"),
        (DemandClass { requires_approval: true, ..c() }, vec![agent(1, 1)], "consent_required"),
        (
            DemandClass { dynamic: Dynamic::Adds, ..c() },
            changed(|agent| Arc::make_mut(&mut agent.offer).spawns = false),
            "agent_too_old",
        ),
        (c(), changed(|a| Arc::make_mut(&mut a.offer).allowed = Some(BTreeSet::new())), "refused_by"),
        (c(), changed(|a| a.barred = BTreeSet::from([ClassId(1)])), "refused_by"),
        (
            c(),
            changed(|a| a.disabled = BTreeSet::from(["shell.run".parse().unwrap()])),
            "capability_disabled",
        ),
        (c(), changed(|a| a.availability = Availability::Offline), "agents_offline"),
        (c(), changed(|a| a.availability = Availability::Paused), "agents_paused"),
        (c(), changed(|a| a.availability = Availability::Draining), "agents_draining"),
        (c(), changed(|a| a.availability = Availability::Quarantined), "agents_quarantined"),
        (c(), changed(|a| a.availability = Availability::Pending), "agents_pending"),
        (c(), vec![agent(1, 0)], "agents_busy"),
    ] {
        let found = reason(class, agents);
        assert_eq!(found.code(), code);
        assert!(!found.message().is_empty());
        assert_eq!(found.view()["reason"], code);
    }
}

#[test]
fn limits_budgets_and_ceilings_hold() {
    let limited = DemandClass { limits: BTreeMap::from([("db".to_owned(), 2)]), ..class() };
    let mut snapshot = of(5, limited.clone(), vec![agent(1, 9)]);
    assert_eq!(plan(&snapshot).grants.len(), 2);
    assert_eq!(plan(&snapshot).waiting[0].1, Reason::LimitReached { key: "db".to_owned(), max: 2 });
    snapshot.limits.insert("db".to_owned(), LimitUse { live: 1, least: Some(1) });
    assert_eq!(plan(&snapshot).grants.len(), 0, "the smallest maximum among live leases holds");
    let mut snapshot = of(3, class(), vec![agent(1, 9)]);
    snapshot.candidates.iter_mut().for_each(|candidate| candidate.budget_left = 1);
    let answer = plan(&snapshot);
    assert_eq!((answer.grants.len(), answer.waiting[0].1.clone()), (1, Reason::BudgetSpent));
    snapshot.candidates.iter_mut().for_each(|candidate| candidate.approved = Rank::E);
    snapshot.classes.insert(ClassId(1), DemandClass { rank: Rank::C, ..class() });
    assert!(matches!(plan(&snapshot).waiting[0].1, Reason::AboveApprovedRank { .. }));
    snapshot.halted = true;
    assert_eq!(plan(&snapshot).waiting[0].1, Reason::Halted);
}

#[test]
fn rates_hold_for_capability_key_and_agent() {
    let of_two = LimitUse { live: 1, least: Some(3) };
    let keyed = DemandClass { limits: BTreeMap::from([("db".to_owned(), 9)]), ..class() };
    for key in ["capability:shell.run", "key:db"] {
        let mut snapshot = of(5, keyed.clone(), vec![agent(1, 9)]);
        snapshot.rates.insert(key.to_owned(), of_two);
        let answer = plan(&snapshot);
        assert_eq!(answer.grants.len(), 2, "{key}");
        assert_eq!(answer.waiting[0].1, Reason::LimitReached { key: key.to_owned(), max: 3 });
    }
    let slow = AgentView { rate: Some(of_two), ..agent(1, 9) };
    assert_eq!(plan(&of(5, class(), vec![slow.clone(), agent(2, 1)])).grants.len(), 3);
    let spent = AgentView { rate: Some(LimitUse { live: 3, least: Some(3) }), ..slow };
    let name = format!("agent:{}", spent.offer.name);
    assert_eq!(reason(class(), vec![spent]), Reason::LimitReached { key: name, max: 3 });
}

#[test]
fn only_what_may_be_prefetched_is() {
    let mut ahead = agent(1, 1);
    ahead.prefetch = 2;
    assert_eq!(plan(&of(5, class(), vec![ahead.clone()])).grants.len(), 1);
    assert_eq!(plan(&of(5, DemandClass { prefetch: true, ..class() }, vec![ahead])).grants.len(), 3);
}

#[test]
fn grave_work_runs_only_where_consent_is_given() {
    let mut willing = agent(2, 1);
    let offer = Arc::make_mut(&mut willing.offer);
    offer.consents = true;
    offer.max_rank = Rank::S;
    let grave = DemandClass { rank: Rank::A, ..class() };
    let answer = plan(&of(1, grave, vec![agent(1, 9), willing]));
    assert_eq!(answer.grants[0].agent, AgentId::from_bits(2));
}

#[test]
fn thousands_of_tasks_and_agents_are_planned_at_once() {
    let agents = (0..5_000).map(|n| agent(n, 2)).collect();
    let answer = plan(&of(20_000, class(), agents));
    assert_eq!((answer.grants.len(), answer.waiting.len()), (10_000, 10_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_grant_is_lawful_and_every_task_answered(snapshot in snapshot()) {
        let answer = plan(&snapshot);
        prop_assert_eq!(&answer, &plan(&snapshot), "the same snapshot gives the same plan");
        prop_assert_eq!(answer.grants.len() + answer.waiting.len(), snapshot.candidates.len());
        let candidates: HashMap<_, _> = snapshot.candidates.iter().map(|c| (c.task, c)).collect();
        let mut used: HashMap<AgentId, (u32, u32)> = HashMap::new();
        let mut live: HashMap<&str, (u32, u32)> = HashMap::new();
        let mut granted = HashSet::new();
        let mut budgets: HashMap<MissionId, u32> = HashMap::new();
        for grant in &answer.grants {
            prop_assert!(granted.insert(grant.task), "one lease per task");
            let candidate = candidates[&grant.task];
            let class = &snapshot.classes[&candidate.class];
            let agent = snapshot.agents.iter().find(|a| a.id == grant.agent).unwrap();
            prop_assert_eq!(fits(candidate.class, class, agent), Fit::Fits);
            prop_assert!(class.rank <= candidate.approved && class.rank <= agent.offer.max_rank);
            prop_assert!(!snapshot.halted && !snapshot.disabled.contains(&class.capability));
            prop_assert_eq!(grant.session, agent.session);
            let (slots, ahead) = used.entry(grant.agent).or_default();
            if *slots < agent.free_slots { *slots += 1 } else { prop_assert!(class.prefetch); *ahead += 1 }
            prop_assert!(*slots <= agent.free_slots && *ahead <= agent.prefetch);
            *budgets.entry(candidate.mission).or_default() += 1;
            prop_assert!(budgets[&candidate.mission] <= candidate.budget_left);
            for (key, max) in &class.limits {
                let held = snapshot.limits.get(key).copied().unwrap_or_default();
                let (count, least) = live.entry(key).or_insert((held.live, held.least.unwrap_or(u32::MAX)));
                *count += 1;
                *least = (*least).min(*max);
                prop_assert!(*count <= *least, "{key}");
            }
        }
    }

    #[test]
    fn planning_again_after_applying_gives_nothing(snapshot in snapshot()) {
        let answer = plan(&snapshot);
        let after = crate::sim::strategies::apply_grants(&snapshot, &answer);
        prop_assert!(plan(&after).grants.is_empty());
    }
}

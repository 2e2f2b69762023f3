//! Arbitrary tasks, endings, rules and snapshots.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use nexusmon_shared::attempt::{Fence, Lease};
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::outcome::{Cause, Ending, Refusal};
use nexusmon_shared::plan::Retry;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::selector::Selector;
use nexusmon_shared::task::{Outputs, SkipReason, Task, TaskState};
use nexusmon_shared::time::{Span, Timestamp};
use proptest::prelude::*;

use crate::schedule::{
    AgentView, Availability, Candidate, ClassId, DemandClass, Dynamic, LimitUse, Offer, SchedulePlan,
    Snapshot,
};
use crate::task::TaskRules;

/// Any failure cause.
pub fn cause() -> impl Strategy<Value = Cause> {
    let detail = || "x".to_owned();
    prop::sample::select(vec![
        Cause::ExitStatus { code: 1 },
        Cause::Timeout,
        Cause::Signal { signal: 9 },
        Cause::LostAgent,
        Cause::PluginError { detail: detail() },
        Cause::VerifyFailed { detail: detail() },
        Cause::OutputTooLarge { bytes: 2, limit: 1 },
        Cause::ArtifactFailed { detail: detail() },
        Cause::BadParameters { detail: detail() },
    ])
}

/// Any way an attempt ends.
pub fn ending() -> impl Strategy<Value = Ending> {
    let refusals = [
        Refusal::LocalPolicy,
        Refusal::MissingConsent,
        Refusal::BadSignature,
        Refusal::BadProof,
        Refusal::ParametersDiffer,
        Refusal::SelectorDiffers,
        Refusal::UnknownCapability,
        Refusal::SandboxUnavailable,
        Refusal::Draining,
        Refusal::ParametersInvalid,
    ];
    prop_oneof![
        Just(Ending::Succeeded { outputs: Outputs::new() }),
        cause().prop_map(|cause| Ending::Failed { cause }),
        Just(Ending::Cancelled),
        Just(Ending::Returned),
        Just(Ending::Unknown),
        prop::sample::select(refusals.to_vec())
            .prop_map(|reason| Ending::Refused { reason, detail: "x".to_owned() }),
    ]
}

/// Any rules.
pub fn rules() -> impl Strategy<Value = TaskRules> {
    (any::<bool>(), 0_u32..4, 0_u8..6, any::<bool>()).prop_map(|(idempotent, max, rank, named)| TaskRules {
        idempotent,
        retry: Retry {
            max,
            backoff: Span::from_secs(5),
            jitter: 0.2,
            on: if named { vec!["exit_status".to_owned()] } else { vec![] },
        },
        rank: Rank::from_level(rank).unwrap_or_default(),
    })
}

/// A task in any state it can be in, after at least one grant where its state implies one.
pub fn task_in() -> impl Strategy<Value = Task> {
    (0_usize..11, 1_u64..5, 0_u32..4, cause()).prop_map(|(which, number, retries, cause)| {
        let fence = Fence { epoch: 1, number };
        let attempts = u32::try_from(number).unwrap_or(u32::MAX);
        let at = Timestamp::from_micros(5);
        let lease =
            Lease { attempt: attempts, agent: AgentId::from_bits(1), session: 1, fence, offline_until: None };
        let state = match which {
            0 => TaskState::Pending,
            1 => TaskState::Gated,
            2 => TaskState::Ready,
            3 => TaskState::Leased { lease },
            4 => TaskState::Running { lease, since: at },
            5 => TaskState::Backoff { until: at, cause },
            6 => TaskState::Uncertain { lease, since: at },
            7 => TaskState::Succeeded { outputs: Outputs::new() },
            8 => TaskState::Failed { cause },
            9 => TaskState::Skipped { reason: SkipReason::NeedFailed },
            _ => TaskState::Cancelled { effect_unknown: false },
        };
        Task { state, fence, attempts, retries }
    })
}

fn agent(id: u128) -> impl Strategy<Value = AgentView> {
    let availability = prop::sample::select(vec![
        Availability::Live,
        Availability::Live,
        Availability::Live,
        Availability::Offline,
        Availability::Paused,
        Availability::Draining,
    ]);
    (availability, 0_u32..4, 0_u32..3, 0_u8..6, any::<bool>(), 0_u8..4, prop::option::of(0_i64..3)).prop_map(
        move |(availability, free_slots, prefetch, rank, consents, features, barred)| {
            let mut capabilities = BTreeMap::new();
            for name in ["shell.run", "demo.x"].into_iter().take(1 + usize::from(features & 1)) {
                if let Ok(name) = name.parse() {
                    capabilities.insert(name, "1".to_owned());
                }
            }
            let home = if features & 2 == 0 { "home" } else { "away" };
            AgentView {
                id: AgentId::from_bits(id),
                offer: Arc::new(Offer {
                    name: format!("agent-{id}"),
                    capabilities,
                    labels: BTreeMap::from([("region".to_owned(), home.to_owned())]),
                    slots: free_slots,
                    levels: BTreeSet::from([Level::L3, Level::L0]),
                    max_rank: Rank::from_level(rank).unwrap_or_default(),
                    allowed: None,
                    consents,
                    spawns: false,
                }),
                session: 3,
                availability,
                free_slots,
                prefetch,
                barred: barred.map(ClassId).into_iter().collect(),
                disabled: BTreeSet::new(),
                rate: None,
            }
        },
    )
}

fn class() -> impl Strategy<Value = DemandClass> {
    (any::<bool>(), 0_u8..6, any::<bool>(), any::<bool>(), prop::option::of(1_u32..4), 0_u8..3).prop_map(
        |(demo, rank, requires_approval, prefetch, limit, place)| {
            let labels = match place {
                0 => BTreeMap::new(),
                1 => BTreeMap::from([("region".to_owned(), "home".to_owned())]),
                _ => BTreeMap::from([("region".to_owned(), "*".to_owned())]),
            };
            let limits: BTreeMap<String, u32> = limit.map(|max| ("db".to_owned(), max)).into_iter().collect();
            DemandClass {
                capability: if demo { "demo.x" } else { "shell.run" }.parse().expect("a capability"),
                plugin: None,
                selector: Selector { labels, agent: None, agents: None },
                profile: if rank >= 4 { Profile::None } else { Profile::Strict },
                rank: Rank::from_level(rank).unwrap_or_default(),
                requires_approval: requires_approval && rank > 2,
                prefetch: prefetch && limits.is_empty(),
                limits,
                dynamic: Dynamic::None,
            }
        },
    )
}

/// Any snapshot of a few classes, agents and missions.
pub fn snapshot() -> impl Strategy<Value = Snapshot> {
    let agents = (0_u128..6).prop_flat_map(|count| (0..count).map(agent).collect::<Vec<_>>());
    let classes = prop::collection::vec(class(), 1..4);
    let candidates = prop::collection::vec((0_usize..4, 0_u128..3, 0_u8..6), 0..24);
    let held = prop::option::of((0_u32..3, 1_u32..4));
    // What is believed of agents changes who is preferred, and nothing else.
    let bands =
        prop::collection::btree_map(0_i64..4, prop::collection::btree_map(0_u128..6, 0_u8..4, 0..6), 0..4);
    let halted = prop::bool::weighted(0.05);
    (agents, classes, candidates, held, halted, 0_u32..12, bands).prop_map(
        |(agents, classes, candidates, held, halted, budget_left, bands)| Snapshot {
            halted,
            candidates: (0_u128..)
                .zip(candidates)
                .map(|(at, (class, mission, approved))| Candidate {
                    task: TaskId::from_bits(at),
                    mission: MissionId::from_bits(mission),
                    class: ClassId(i64::try_from(class % classes.len()).unwrap_or(0)),
                    approved: Rank::from_level(approved).unwrap_or_default(),
                    budget_left,
                })
                .collect(),
            classes: (0..).map(ClassId).zip(classes).collect(),
            agents,
            limits: held
                .map(|(live, least)| ("db".to_owned(), LimitUse { live, least: (live > 0).then_some(least) }))
                .into_iter()
                .collect(),
            rates: BTreeMap::new(),
            disabled: HashSet::new(),
            bands: bands
                .into_iter()
                .map(|(class, of)| {
                    let of = of.into_iter().map(|(agent, band)| (AgentId::from_bits(agent), band)).collect();
                    (ClassId(class), of)
                })
                .collect(),
        },
    )
}

/// The snapshot as it is after the plan's grants were made.
pub fn apply_grants(before: &Snapshot, plan: &SchedulePlan) -> Snapshot {
    let mut after = before.clone();
    for grant in &plan.grants {
        let Some(at) = after.candidates.iter().position(|candidate| candidate.task == grant.task) else {
            continue;
        };
        let candidate = after.candidates.remove(at);
        if let Some(agent) = after.agents.iter_mut().find(|agent| agent.id == grant.agent) {
            if agent.free_slots > 0 {
                agent.free_slots -= 1;
            } else {
                agent.prefetch = agent.prefetch.saturating_sub(1);
            }
        }
        for left in after.candidates.iter_mut().filter(|left| left.mission == grant.mission) {
            left.budget_left = left.budget_left.saturating_sub(1);
        }
        if let Some(class) = after.classes.get(&candidate.class) {
            for (key, max) in &class.limits {
                let held = after.limits.entry(key.clone()).or_default();
                held.live += 1;
                held.least = Some(held.least.map_or(*max, |least| least.min(*max)));
            }
        }
    }
    after
}

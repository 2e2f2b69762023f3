//! The rank of each task and of the whole.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::binding::{Bindings, Using};
use nexusmon_shared::effects::Effects;
use nexusmon_shared::manifest::CapabilitySpec;
use nexusmon_shared::name::Name;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Profile, Sandbox};
use nexusmon_shared::selector::Selector;

use crate::sub_mission;

use super::{Assessment, BlastRadius, RankReason, TaskRisk};

/// A task to rank: its leaf, what its capability declares, and where its needs and inputs lie in the plan.
#[derive(Debug, Clone, Copy)]
pub struct Ranked<'a> {
    pub spec: &'a TaskSpec,
    pub declared: &'a CapabilitySpec,
    /// Places of the tasks it depends on: needs and inputs.
    pub depends_on: &'a [u32],
    pub selector: &'a Selector,
    pub bound: Bound<'a>,
}

/// What a plan's secrets are held against.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    pub bindings: &'a Bindings,
    pub playbook: Option<&'a str>,
}

/// Work that carries data of the host out over the network ranks as one task doing both.
const EGRESS_OF_HOST_DATA: Rank = Rank::B;
/// A secret used where it belongs, and elsewhere.
const SECRET_INSIDE: Rank = Rank::C;
const SECRET_OUTSIDE: Rank = Rank::A;

/// The secrets each task may have seen: its own, and those of what it depends on. Empty where no task names any.
type Handed<'a> = Vec<BTreeSet<&'a Name>>;

/// Ranks a plan. `order` is topological: each task after what it depends on. `requested` can only raise.
pub fn assess(tasks: &[Ranked<'_>], order: &[u32], requested: Rank) -> Assessment {
    // Whether a task, or something it depends on, sees the host's files.
    let mut carries = vec![false; tasks.len()];
    let mut risks: Vec<Option<TaskRisk>> = vec![None; tasks.len()];
    let handed = handed(tasks, order);
    for at in order.iter().map(|at| *at as usize) {
        let Some(task) = tasks.get(at) else { continue };
        let upstream = task.depends_on.iter().any(|before| carries.get(*before as usize) == Some(&true));
        carries[at] = upstream || sees_host(&task.spec.sandbox) || reaches_out(task.spec);
        risks[at] = Some(rank_one(task, upstream, handed.get(at)));
    }
    let risks: Vec<TaskRisk> = risks
        .into_iter()
        .zip(tasks)
        .map(|(risk, task)| risk.unwrap_or_else(|| rank_one(task, false, None)))
        .collect();
    summarize(tasks, risks, requested)
}

fn handed<'a>(tasks: &[Ranked<'a>], order: &[u32]) -> Handed<'a> {
    if tasks.iter().all(|task| task.spec.secrets.is_empty()) {
        return Vec::new();
    }
    let mut handed: Handed<'a> = vec![BTreeSet::new(); tasks.len()];
    for at in order.iter().map(|at| *at as usize) {
        let Some(task) = tasks.get(at) else { continue };
        let mut own: BTreeSet<&Name> = task.spec.secrets.iter().map(|one| &one.name).collect();
        for before in task.depends_on {
            own.extend(handed.get(*before as usize).into_iter().flatten());
        }
        handed[at] = own;
    }
    handed
}

/// What secrets make of a task: (rank, code, message) for each.
fn secret_reasons(
    task: &Ranked<'_>,
    network: bool,
    handed: Option<&BTreeSet<&Name>>,
) -> Vec<(Rank, &'static str, String)> {
    let Ranked { spec, bound, selector, declared, .. } = task;
    // A plugin's own process runs in its profile, whatever the task asks for.
    let own = declared.sandbox.map(|profile| Sandbox { profile, ..Sandbox::default() });
    let sandbox = own.as_ref().unwrap_or(&spec.sandbox);
    let network = network || implied(sandbox).network;
    let using = Using { playbook: bound.playbook, agent: selector.agent, sandbox, network };
    let mut reasons = Vec::new();
    for name in handed.into_iter().flatten().copied() {
        let own = spec.secrets.iter().any(|one| one.name == *name);
        let Some(binding) = bound.bindings.get(name) else { continue };
        if !own {
            // What a task before it saw may be in what it was given: it ranks as if it held the secret itself.
            if network && !binding.reaches_only_hosts(sandbox, network) {
                let message = format!("it can send data out, and a task before it is handed `{name}`");
                reasons.push((SECRET_OUTSIDE, "effect_flow", message));
            } else if network {
                let message = format!("it can send data out, and a task before it is handed `{name}`");
                reasons.push((SECRET_INSIDE, "effect_flow", message));
            }
            continue;
        }
        reasons.push(match binding.outside(&using) {
            Some(why) => {
                (SECRET_OUTSIDE, "secret", format!("it is handed `{name}` outside its binding: {why}"))
            }
            None => (SECRET_INSIDE, "secret", format!("it is handed `{name}`")),
        });
    }
    reasons
}

/// Whether a mission this task starts may, without people being asked, speak to the network or see a host: what it is
/// handed counts as sent, and what it hands back as seen.
fn reaches_out(spec: &TaskSpec) -> bool {
    sub_mission::is_sub_mission(&spec.uses) && sub_mission::ceiling(&spec.with) >= Rank::C
}

fn rank_one(task: &Ranked<'_>, upstream: bool, handed: Option<&BTreeSet<&Name>>) -> TaskRisk {
    let Ranked { spec, declared, .. } = task;
    let mut effects = spec.effects.union(declared.effects).union(implied(&spec.sandbox));
    effects.network |= reaches_out(spec);
    let mut reasons = Vec::new();
    let mut raise = |rank: Rank, code: &'static str, message: String| {
        if rank > Rank::E {
            reasons.push(RankReason { rank, code, message });
        }
    };
    raise(declared.risk_level, "manifest", format!("`{}` declares rank {}", spec.uses, declared.risk_level));
    if sub_mission::is_sub_mission(&spec.uses) {
        let rank = sub_mission::ceiling(&spec.with);
        raise(rank, "sub_mission", format!("it may start a mission of rank {rank}"));
    }
    if let Some(envelope) = &spec.spawn {
        raise(
            envelope.rank,
            "spawn",
            format!("it may add up to {} tasks of rank {}", envelope.max, envelope.rank),
        );
    }
    let has_inputs = !spec.inputs.is_empty();
    let floor = spec.sandbox.rank_floor(has_inputs);
    raise(floor, "sandbox", sandbox_words(&spec.sandbox, has_inputs));
    if let Some(profile) = declared.sandbox {
        // The plugin's own process runs in this, whatever the task asks for.
        let own = Sandbox { profile, ..Sandbox::default() };
        raise(own.rank_floor(has_inputs), "sandbox", format!("its plugin runs in `{}`", profile.as_str()));
    }
    raise(effects.rank_floor(), "effects", effect_words(effects));
    let own = sees_host(&spec.sandbox);
    if effects.network && (upstream || own) {
        let message = if own {
            "it sees host paths and can send data out"
        } else {
            "it can send data out, and a task before it sees host paths"
        };
        raise(EGRESS_OF_HOST_DATA, "effect_flow", message.to_owned());
    }
    for (rank, code, message) in secret_reasons(task, effects.network, handed) {
        raise(rank, code, message);
    }
    reasons.sort_by(|left, right| right.rank.cmp(&left.rank).then(left.code.cmp(right.code)));
    TaskRisk {
        task: spec.id.clone(),
        capability: spec.uses.clone(),
        rank: reasons.first().map_or(Rank::E, |reason| reason.rank),
        requires_approval: declared.requires_approval,
        effects,
        reasons,
    }
}

fn summarize(tasks: &[Ranked<'_>], risks: Vec<TaskRisk>, requested: Rank) -> Assessment {
    let highest = risks.iter().map(|risk| risk.rank).max().unwrap_or(Rank::E);
    let rank = highest.max(requested);
    let mut reasons = Vec::new();
    if requested > highest {
        let message = format!("rank {requested} was requested; its tasks rank {highest}");
        reasons.push(RankReason { rank: requested, code: "requested", message });
    } else if let Some(risk) = risks.iter().find(|risk| risk.rank == highest) {
        let others = risks.iter().filter(|other| other.rank == highest).count() - 1;
        let more = if others > 0 { format!(" (and {others} more)") } else { String::new() };
        reasons.extend(risk.reasons.first().map(|reason| RankReason {
            message: format!("task `{}`{more}: {}", risk.task, reason.message),
            ..reason.clone()
        }));
    }
    let mut capabilities = BTreeMap::new();
    for risk in &risks {
        *capabilities.entry(risk.capability.clone()).or_insert(0_u32) += 1;
    }
    Assessment {
        rank,
        requested,
        requires_approval: risks.iter().any(|risk| risk.requires_approval),
        effects: risks.iter().fold(Effects::default(), |all, risk| all.union(risk.effects)),
        blast_radius: BlastRadius::of(tasks, &risks),
        tasks: risks,
        reasons,
        capabilities,
    }
}

fn sees_host(sandbox: &Sandbox) -> bool {
    !sandbox.paths.is_empty() || sandbox.profile == Profile::None
}

/// What a sandbox lets a process do, whatever it declares.
fn implied(sandbox: &Sandbox) -> Effects {
    let unconfined = sandbox.profile == Profile::None;
    Effects {
        reads: unconfined || !sandbox.paths.is_empty(),
        writes: unconfined || sandbox.paths.iter().any(|path| path.write),
        network: !matches!(sandbox.profile, Profile::Strict),
        spends: false,
        irreversible: false,
    }
}

fn sandbox_words(sandbox: &Sandbox, has_inputs: bool) -> String {
    let profile = sandbox.profile.as_str();
    match sandbox.profile {
        Profile::None => "sandbox `none`: no confinement".to_owned(),
        _ if !sandbox.paths.is_empty() => {
            format!("sandbox `{profile}` with {} host paths", sandbox.paths.len())
        }
        Profile::User => "sandbox `user`: open egress".to_owned(),
        Profile::Network => format!("sandbox `network`: can speak to {}", sandbox.network.join(", ")),
        Profile::Strict if has_inputs => "sandbox `strict` with fetched inputs".to_owned(),
        Profile::Strict => format!("sandbox `{profile}`"),
    }
}

fn effect_words(effects: Effects) -> String {
    let all = [
        (effects.reads, "reads beyond its workspace"),
        (effects.writes, "writes beyond its workspace"),
        (effects.network, "uses the network"),
        (effects.spends, "spends"),
        (effects.irreversible, "cannot be undone"),
    ];
    all.into_iter().filter(|(held, _)| *held).map(|(_, words)| words).collect::<Vec<_>>().join(", ")
}

//! The rank the agent computes itself, from its own manifest and what it has measured.

use std::collections::BTreeSet;

use nexusmon_shared::egress::{self, Neighbour};
use nexusmon_shared::manifest::CapabilitySpec;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile, Sandbox};

/// The least rank this work has on this machine.
pub fn rank_floor(
    task: &TaskSpec,
    capability: &CapabilitySpec,
    levels: &BTreeSet<Level>,
    allow_private: &[Neighbour],
) -> Rank {
    let declared = capability.risk_level.max(capability.effects.rank_floor()).max(task.effects.rank_floor());
    let has_inputs = !task.inputs.is_empty();
    let asked = task.sandbox.rank_floor(has_inputs);
    // A plugin's own process runs in its declared profile, whatever the task asks for.
    let own = capability
        .sandbox
        .map_or(Rank::E, |profile| Sandbox { profile, ..Sandbox::default() }.rank_floor(has_inputs));
    // `core.*` starts no process, so nothing has to hold it.
    let is_process = task.uses.plugin() != "core";
    let lite = is_process && task.sandbox.profile == Profile::Strict && !levels.contains(&Level::L3);
    // What a name means here, only this machine knows.
    let near = task.sandbox.profile == Profile::Network
        && task.sandbox.hosts().is_ok_and(|hosts| egress::reaches_neighbours(&hosts, allow_private));
    let asked = asked.max(if near { Rank::B } else { Rank::E });
    // What a secret is bound to only the coordinator knows; that one is handed over, everybody sees.
    let secret = if task.secrets.is_empty() { Rank::E } else { Rank::C };
    let rank = declared.max(asked).max(own).max(secret).max(if lite { Rank::D } else { Rank::E });
    if rank == Rank::A && task.fans_out() { Rank::S } else { rank }
}

//! The rank the agent computes itself, from its own manifest and what it has measured.

use std::collections::BTreeSet;

use nexusmon_shared::manifest::CapabilitySpec;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};

/// The least rank this work has on this machine.
pub fn rank_floor(task: &TaskSpec, capability: &CapabilitySpec, levels: &BTreeSet<Level>) -> Rank {
    let declared = capability.risk_level.max(capability.effects.rank_floor()).max(task.effects.rank_floor());
    let surroundings = match capability.sandbox {
        // Nothing of the task's runs as a process.
        None => Rank::E,
        Some(_) => {
            let floor = task.sandbox.rank_floor(!task.inputs.is_empty());
            let lite = task.sandbox.profile == Profile::Strict && !levels.contains(&Level::L3);
            if lite { floor.max(Rank::D) } else { floor }
        }
    };
    declared.max(surroundings)
}

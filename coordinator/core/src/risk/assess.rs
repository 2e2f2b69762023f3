//! The rank of each task and of the whole.

use nexusmon_shared::manifest::CapabilitySpec;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Selector;

use super::Assessment;

/// A task to rank: its leaf, what its capability declares, and where its needs and inputs lie in the plan.
#[derive(Debug, Clone, Copy)]
pub struct Ranked<'a> {
    pub spec: &'a TaskSpec,
    pub declared: &'a CapabilitySpec,
    /// Places of the tasks it depends on: needs and inputs.
    pub depends_on: &'a [u32],
    pub selector: &'a Selector,
}

/// Ranks a plan whose graph has no cycles. `requested` can only raise.
pub fn assess(tasks: &[Ranked<'_>], requested: Rank) -> Assessment {
    let _ = (tasks, requested);
    todo!()
}

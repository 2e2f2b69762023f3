//! Whether an agent can take work of a class.

use super::{AgentView, ClassId, DemandClass};

/// How far an agent gets with a class; the first thing that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    Capability,
    Version,
    Selector,
    Sandbox,
    Rank,
    Consent,
    Refused,
    Availability,
    Fits,
}

/// The first thing that keeps `agent` from taking work of `class`.
pub fn fits(id: ClassId, class: &DemandClass, agent: &AgentView) -> Fit {
    let _ = (id, class, agent);
    todo!()
}

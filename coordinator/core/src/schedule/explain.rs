//! The reason of one waiting task, asked for when somebody looks.

use nexusmon_shared::mission::MissionState;
use nexusmon_shared::task::TaskState;

use super::{AgentView, ClassId, DemandClass, LimitUse, Reason};
use crate::mission::Start;

/// What is known about the task somebody asks about.
#[derive(Debug, Clone, Copy)]
pub struct Explaining<'a> {
    pub task: &'a TaskState,
    pub mission: &'a MissionState,
    pub start: Start,
    /// Ids in the plan of needs that are not terminal.
    pub open_needs: &'a [String],
    pub class: Option<(ClassId, &'a DemandClass)>,
    pub agents: &'a [AgentView],
    pub limits: &'a std::collections::BTreeMap<String, LimitUse>,
    pub halted: bool,
}

/// Why the task waits; `None` for one that is being executed or is over.
pub fn explain(about: &Explaining<'_>) -> Option<Reason> {
    let _ = about;
    todo!()
}

/// Why tasks of a class wait, by the agents there are.
pub fn explain_class(
    id: ClassId,
    class: &DemandClass,
    agents: &[AgentView],
    limits: &std::collections::BTreeMap<String, LimitUse>,
) -> Reason {
    let _ = (id, class, agents, limits);
    todo!()
}

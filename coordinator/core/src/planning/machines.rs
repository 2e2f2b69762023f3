//! The machines A and S work is for, by their ids: what people approve, and what each agent looks for itself in.
//!
//! A label can be given to any machine later; an id never is.

use std::collections::{BTreeSet, HashMap};

use nexusmon_shared::id::AgentId;
use nexusmon_shared::plan::{FAN_OUT, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Selector;

use crate::risk::{Assessment, RankReason};
use crate::schedule::AgentView;

/// Names them in the leaves and selectors, and raises to S what reaches many.
pub(super) fn name<'a>(
    specs: &mut [TaskSpec],
    selectors: impl Iterator<Item = &'a mut Selector>,
    assessment: &mut Assessment,
    fleet: &HashMap<AgentId, AgentView>,
) {
    let mut reached = BTreeSet::new();
    let mut executions = 0_usize;
    for ((spec, selector), risk) in specs.iter_mut().zip(selectors).zip(&assessment.tasks) {
        if !(risk.rank.needs_approval() || risk.requires_approval) {
            continue;
        }
        let fits = |view: &&AgentView| {
            view.offer.capabilities.contains_key(&spec.uses) && selector.matches(view.id, &view.offer.labels)
        };
        let named: BTreeSet<AgentId> = fleet.values().filter(fits).map(|view| view.id).collect();
        spec.on.agents.clone_from(&named);
        if risk.rank == Rank::A {
            reached.extend(named.iter().copied());
            executions = executions.saturating_add(spec.executions());
        }
        selector.agents = Some(named);
    }
    let machines = reached.len().min(executions);
    if machines < FAN_OUT {
        return;
    }
    let message = format!("it is carried out on up to {machines} machines");
    for risk in assessment.tasks.iter_mut().filter(|risk| risk.rank == Rank::A) {
        risk.rank = Rank::S;
        risk.reasons.insert(0, RankReason { rank: Rank::S, code: "fan_out", message: message.clone() });
    }
    assessment.rank = Rank::S;
    assessment.reasons.insert(0, RankReason { rank: Rank::S, code: "fan_out", message });
}

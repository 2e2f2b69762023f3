//! A task that a running task adds: checked like any other, ranked with everything that led up to it, and held against
//! the envelope of the one that adds it.

use std::collections::BTreeMap;

use nexusmon_shared::effects::Effects;
use nexusmon_shared::manifest::CapabilitySpec;
use nexusmon_shared::plan::{Budget, TaskDraft, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Selector;
use serde_json::json;

use super::{BoundTask, Invalid, PlanFacts, PlanRequest, bind};
use crate::risk::{Assessment, Bound, Ranked, TaskRisk, assess};

/// Binds `leaf`, which the last of `above` would add as its `number`th; the others are all that this one comes after.
/// What is bound is the leaf as it was signed: one that is not what binding makes of it is refused. The assessment is of
/// this leaf alone.
pub fn bind_spawned(
    above: &[TaskSpec],
    leaf: &TaskSpec,
    number: u32,
    facts: &PlanFacts<'_>,
) -> Result<(BoundTask, Assessment), Vec<Invalid>> {
    let one = |code, message: String| vec![Invalid::new("", code, message)];
    let Some(parent) = above.last() else {
        return Err(one("unknown_parent", "the task that adds it is in no plan".to_owned()));
    };
    parent.may_spawn(leaf, number).map_err(|error| one("outside_envelope", error.to_string()))?;
    // What was checked of the parent when it was planned is not checked again: what it uses may be gone by now.
    let stub = json!({"id": parent.id, "uses": "core.noop"});
    let stub: TaskDraft = serde_json::from_value(stub).expect("a name and a capability");
    let drafts = [stub, leaf.clone().into()];
    let request = PlanRequest { drafts: &drafts, requested: Rank::E, budget: &Budget::default() };
    let mut bound =
        bind(&request, facts).map_err(|errors| errors.into_iter().map(of_leaf).collect::<Vec<_>>())?;
    let mut task = bound.tasks.pop().ok_or_else(|| one("no_tasks", "nothing was bound".to_owned()))?;
    let risk = rank(above, leaf, &task.selector, facts);
    parent.may_spawn_rank(risk.rank).map_err(|error| one("rank_above_envelope", error.to_string()))?;
    if risk.requires_approval {
        let message = format!("`{}` demands an approval, which an added task never has", leaf.uses);
        return Err(one("requires_approval", message));
    }
    let plain = |spec: &TaskSpec| TaskSpec { effects: Effects::default(), ..spec.clone() };
    if plain(&task.spec) != plain(leaf) {
        return Err(one("not_resolved", "the leaf is not written with every default resolved".to_owned()));
    }
    task.rank = risk.rank;
    task.spec = leaf.clone();
    let assessment = Assessment {
        rank: risk.rank,
        requested: Rank::E,
        requires_approval: false,
        effects: risk.effects,
        reasons: risk.reasons.clone(),
        capabilities: BTreeMap::from([(leaf.uses.clone(), 1)]),
        blast_radius: bound.assessment.blast_radius,
        tasks: vec![risk],
    };
    Ok((task, assessment))
}

/// What the leaf ranks, as it would had it stood in the plan: what anything above it saw may be in what it is given.
fn rank(above: &[TaskSpec], leaf: &TaskSpec, selector: &Selector, facts: &PlanFacts<'_>) -> TaskRisk {
    let unknown = json!({"name": leaf.uses});
    let unknown: CapabilitySpec = serde_json::from_value(unknown).expect("a capability's name");
    let declared = |spec: &TaskSpec| facts.catalog.get(&spec.uses).map_or(&unknown, |known| &known.spec);
    let anywhere = Selector::default();
    let bound = Bound { bindings: facts.secrets, playbook: facts.playbook };
    let order: Vec<u32> = (0..).take(above.len() + 1).collect();
    let all = &order[..above.len()];
    let mut ranked: Vec<Ranked<'_>> = above
        .iter()
        .map(|spec| Ranked { spec, declared: declared(spec), depends_on: &[], selector: &anywhere, bound })
        .collect();
    ranked.push(Ranked { spec: leaf, declared: declared(leaf), depends_on: all, selector, bound });
    let mut tasks = assess(&ranked, &order, Rank::E).tasks;
    tasks.pop().expect("one for each task that is ranked")
}

/// Places in the two drafts that were bound become places in the leaf.
fn of_leaf(error: Invalid) -> Invalid {
    let pointer = error.pointer.strip_prefix("/tasks/1").unwrap_or(&error.pointer).to_owned();
    Invalid { pointer, ..error }
}

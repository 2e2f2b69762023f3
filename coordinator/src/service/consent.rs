//! Whether A and S work is approved, asked in the unit that grants it: the same question, by the same function, that the
//! agent asks again. What is not approved any more is gated, and people are asked anew.
//!
//! Work of lower ranks never comes here.

mod again;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use nexusmon_core::schedule::DemandClass;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, TaskId};
use nexusmon_shared::message::OrderInput;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::trust::approval::{
    Claim, Evidence, Inexact, Instance, SignedDecision, SubjectKind, enough,
};
use nexusmon_shared::trust::merkle::leaf_hash;
use nexusmon_shared::trust::roster::{Roster, SignedRoster};
use nexusmon_store::{ApprovalSubject, Connection, MissionRow, RosterRow, SignedRow, TaskRow};
use serde_json::{Map, Value};

use super::standing;
use super::unit::Unit;
use crate::error::{Error, Result};

pub(super) use again::{ask_again, ended, lapse, release, unknown};

/// Whether an agent wants signatures for work of this class.
pub(super) const fn is_grave(class: &DemandClass) -> bool {
    class.rank.needs_approval() || class.requires_approval
}

/// Signed decisions an order rests on, as the agent is shown them.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Over the plan, or over the instance.
    pub of_plan: bool,
    pub decisions: Vec<Bytes>,
    pub evidence: Evidence,
    /// What it rests on instead, where that is a standing approval.
    pub standing: Option<standing::Shown>,
    /// The roster they were counted by: an agent that has not heard of it would refuse.
    pub roster: Option<(Digest, Bytes)>,
}

/// The roster that decides now.
pub(super) async fn roster(
    read: &mut Connection,
    now: nexusmon_shared::time::Timestamp,
) -> Result<Option<Roster>> {
    read.roster(now).await?.as_ref().map(read_roster).transpose()
}

fn read_roster(row: &RosterRow) -> Result<Roster> {
    Ok(SignedRoster::read(row.signed.as_bytes()).map_err(Error::internal)?.roster)
}

/// The run-time values of a task, as its row has them.
#[derive(Debug)]
pub(super) struct Values {
    plan: Digest,
    leaf_index: u32,
    leaf: Digest,
    item_index: Option<u32>,
    parameters: Map<String, Value>,
    inputs: Vec<Digest>,
}

impl Values {
    pub(super) fn of(row: &TaskRow, spec: &TaskSpec, leaf: &str, plan: Digest) -> Self {
        let read = |text: &str| -> Map<String, Value> { serde_json::from_str(text).unwrap_or_default() };
        let inputs: Vec<OrderInput> =
            row.inputs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Self {
            plan,
            leaf_index: row.leaf_index,
            leaf: leaf_hash(leaf.as_bytes()),
            item_index: row.item_index,
            parameters: row.params.as_deref().map_or_else(|| spec.with.clone(), read),
            inputs: inputs.iter().map(|input| input.digest).collect(),
        }
    }

    pub(super) fn instance(&self) -> Instance<'_> {
        Instance {
            plan_digest: self.plan,
            leaf_index: self.leaf_index,
            leaf: self.leaf,
            item_index: self.item_index,
            parameters: &self.parameters,
            inputs: &self.inputs,
        }
    }
}

/// What a task with run-time values is approved over.
pub(super) fn instance(row: &TaskRow, spec: &TaskSpec, leaf: &str, plan: Digest) -> Result<Digest, Inexact> {
    Values::of(row, spec, leaf, plan).instance().subject()
}

/// Whether the leaf admits the task's values of run time, so that they were approved with the plan.
pub(super) fn is_admitted(row: &TaskRow, spec: &TaskSpec) -> bool {
    let inputs: Vec<OrderInput> =
        row.inputs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    match row.params.as_deref().map(serde_json::from_str) {
        None => spec.admits(&spec.with, &inputs).is_ok(),
        Some(Ok(parameters)) => spec.admits(&parameters, &inputs).is_ok(),
        Some(Err(_)) => false,
    }
}

/// What is approved and what is not.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub shown: HashMap<TaskId, Shown>,
    pub refused: BTreeSet<TaskId>,
}

/// Holds these ready tasks against the signatures there are.
pub(super) async fn check(unit: &mut Unit<'_>, tasks: &[TaskId]) -> Result<Checked> {
    let mut checked = Checked::default();
    if tasks.is_empty() {
        return Ok(checked);
    }
    let rows = unit.tx.tasks(tasks).await?;
    let specs = leaves(unit, &rows).await?;
    let missions: BTreeSet<MissionId> = rows.iter().map(|row| row.mission).collect();
    let missions: Vec<_> = missions.into_iter().collect();
    let signed = unit.tx.signed_decisions(&missions).await?;
    let missions: HashMap<MissionId, MissionRow> =
        unit.tx.missions(&missions).await?.into_iter().map(|row| (row.id, row)).collect();
    let kept = unit.tx.roster(unit.now).await?;
    let roster = kept.as_ref().map(read_roster).transpose()?;
    let told = kept.map(|row| (row.digest, Bytes::from(row.signed)));
    let mut standing = standing::Spending::of(unit, &missions, roster.as_ref()).await?;
    for row in &rows {
        let found = missions.get(&row.mission).zip(specs.get(&row.id));
        let shown = found.zip(roster.as_ref()).and_then(|((mission, leaf), roster)| {
            shown(unit, row, mission, leaf, roster, &signed).or_else(|| standing.shown(row, leaf))
        });
        match shown {
            Some(shown) => drop(checked.shown.insert(row.id, Shown { roster: told.clone(), ..shown })),
            None => drop(checked.refused.insert(row.id)),
        }
    }
    Ok(checked)
}

/// Leaves by task; those of a list's elements lie with their parent.
pub(super) async fn leaves(unit: &mut Unit<'_>, rows: &[TaskRow]) -> Result<BTreeMap<TaskId, String>> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    Ok(unit.tx.specs_of(&ids).await?.into_iter().map(|row| (row.id, row.spec)).collect())
}

fn shown(
    unit: &Unit<'_>,
    row: &TaskRow,
    mission: &MissionRow,
    leaf: &str,
    roster: &Roster,
    signed: &[SignedRow],
) -> Option<Shown> {
    let spec: TaskSpec = serde_json::from_str(leaf).ok()?;
    let plan = mission.plan_digest?;
    let (subject, digest) = if is_admitted(row, &spec) {
        (SubjectKind::MissionPlan, plan)
    } else {
        (SubjectKind::TaskInstance, instance(row, &spec, leaf, plan).ok()?)
    };
    let kind = match subject {
        SubjectKind::TaskInstance => ApprovalSubject::TaskInstance,
        _ => ApprovalSubject::MissionPlan,
    };
    let texts: Vec<&str> = signed
        .iter()
        .filter(|one| one.mission == Some(row.mission) && one.subject_kind == kind && one.digest == digest)
        .map(|one| one.signature.as_str())
        .take(nexusmon_shared::trust::approval::MAX_DECISIONS)
        .collect();
    let decisions: Vec<SignedDecision> =
        texts.iter().filter_map(|text| SignedDecision::read(text.as_bytes()).ok()).collect();
    let claim = Claim {
        organism: unit.app.organism,
        subject,
        digest,
        mission: Some(row.mission),
        rank: row.rank,
        author: &mission.author.0,
    };
    let evidence = enough(roster, &decisions, &claim, unit.now).ok()?;
    let decisions = texts.into_iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    let of_plan = subject == SubjectKind::MissionPlan;
    Some(Shown { of_plan, decisions, evidence, standing: None, roster: None })
}

//! Spending standing approvals: which ready tasks one covers, and the use that is counted with the grant.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use nexusmon_shared::id::{MissionId, StandingId, TaskId};
use nexusmon_shared::message::StandingUse;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::merkle::{Tree, leaf_hash};
use nexusmon_shared::trust::roster::Roster;
use nexusmon_store::{GrantedTask, MissionInputsRow, MissionRow, StandingRow, StandingUseRow, TaskRow};
use serde_json::{Map, Value};

use super::super::consent;
use super::super::unit::Unit;
use super::super::{Origin, unit::SYSTEM};
use super::cover::{Fits, Wish, fits, may};
use crate::error::{Error, Result};

/// What an order under a standing approval rests on.
#[derive(Debug, Clone)]
pub(in crate::service) struct Shown {
    pub id: StandingId,
    /// Uses before this unit.
    pub used: i64,
    pub order: Box<StandingUse>,
}

/// The standing approvals of some missions, locked, with what is left of each.
pub(in crate::service) struct Spending {
    missions: HashMap<MissionId, Prepared>,
    left: BTreeMap<StandingId, i64>,
}

struct Prepared {
    row: StandingRow,
    fits: Fits,
    leaves: Vec<String>,
    tree: Tree,
    inputs: String,
}

impl Spending {
    /// Those that let these missions begin, as far as they cover them still.
    pub(in crate::service) async fn of(
        unit: &mut Unit<'_>,
        missions: &HashMap<MissionId, MissionRow>,
        roster: Option<&Roster>,
    ) -> Result<Self> {
        let mut spending = Self { missions: HashMap::new(), left: BTreeMap::new() };
        let Some(roster) = roster else { return Ok(spending) };
        let ids: Vec<_> = missions.keys().copied().collect();
        let made = unit.tx.mission_inputs(&ids).await?;
        let mut wanted: Vec<StandingId> = made.iter().filter_map(|made| made.standing).collect();
        if wanted.is_empty() {
            return Ok(spending);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let rows: BTreeMap<_, _> =
            unit.tx.lock_standing(&wanted).await?.into_iter().map(|row| (row.id, row)).collect();
        for made in made {
            let Some(row) = made.standing.and_then(|id| rows.get(&id)) else { continue };
            let Some(mission) = missions.get(&made.mission) else { continue };
            if let Some(prepared) = prepare(unit, row, mission, &made, roster).await? {
                spending.left.insert(row.id, row.uses - row.used);
                spending.missions.insert(made.mission, prepared);
            }
        }
        Ok(spending)
    }

    /// What the order of a task is shown with, if a use is left for it.
    pub(in crate::service) fn shown(&mut self, task: &TaskRow, leaf: &str) -> Option<consent::Shown> {
        let prepared = self.missions.get(&task.mission)?;
        let spec: TaskSpec = serde_json::from_str(leaf).ok()?;
        if !consent::is_admitted(task, &spec) || task.rank > prepared.fits.standing.max_rank {
            return None;
        }
        let place = task.leaf_index as usize;
        let (open_leaf, proof) = prepared.leaves.get(place).zip(prepared.tree.proof(place))?;
        let left = self.left.get_mut(&prepared.row.id).filter(|left| **left > 0)?;
        *left -= 1;
        let bytes = |text: &String| Bytes::copy_from_slice(text.as_bytes());
        let order = StandingUse {
            standing: bytes(&prepared.row.body),
            decisions: prepared.fits.decisions.iter().map(bytes).collect(),
            open_leaf: bytes(open_leaf),
            size: prepared.leaves.len() as u64,
            proof,
            inputs: bytes(&prepared.inputs),
        };
        let standing = Shown { id: prepared.row.id, used: prepared.row.used, order: Box::new(order) };
        let evidence = prepared.fits.evidence.clone();
        let standing = Some(standing);
        Some(consent::Shown { of_plan: false, decisions: Vec::new(), evidence, standing, roster: None })
    }
}

async fn prepare(
    unit: &mut Unit<'_>,
    row: &StandingRow,
    mission: &MissionRow,
    made: &MissionInputsRow,
    roster: &Roster,
) -> Result<Option<Prepared>> {
    let unasked = mission.created_by == unit.app.system || Origin::names_unasked(&mission.origin);
    if !may(unit.app, unit.tx, unasked, unit.now).await? {
        return Ok(None);
    }
    let inputs: Map<String, Value> = serde_json::from_str(&made.inputs).map_err(Error::internal)?;
    let wish = Wish {
        organism: unit.app.organism,
        shape: made.shape,
        inputs: &inputs,
        rank: mission.rank,
        at: unit.now,
    };
    let Ok(fits) = fits(unit.app, unit.tx, row, &wish, roster).await? else { return Ok(None) };
    let leaves: Vec<Value> = serde_json::from_str(&made.leaves).map_err(Error::internal)?;
    let leaves =
        leaves.iter().map(|leaf| canonical::of(leaf).map_err(Error::internal)).collect::<Result<Vec<_>>>()?;
    let tree = Tree::new(leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect());
    if tree.root() != row.shape {
        return Ok(None);
    }
    Ok(Some(Prepared { row: row.clone(), fits, leaves, tree, inputs: made.inputs.clone() }))
}

/// Counts the uses of what was granted, in the unit that granted it; gives each task's.
pub(in crate::service) async fn spend(
    unit: &mut Unit<'_>,
    granted: &[GrantedTask],
    shown: &HashMap<TaskId, consent::Shown>,
) -> Result<HashMap<TaskId, (StandingId, i64)>> {
    let mut uses = HashMap::new();
    let mut by_id = BTreeMap::<StandingId, (i64, Vec<StandingUseRow>)>::new();
    for one in granted {
        let task = &one.task;
        let Some(standing) = shown.get(&task.id).and_then(|shown| shown.standing.as_ref()) else { continue };
        let Some(agent) = task.agent else { continue };
        let (used, rows) = by_id.entry(standing.id).or_insert_with(|| (standing.used, Vec::new()));
        let number = *used + i64::try_from(rows.len()).unwrap_or(i64::MAX) + 1;
        uses.insert(task.id, (standing.id, number));
        rows.push(StandingUseRow {
            standing: standing.id,
            number,
            mission: task.mission,
            task: task.id,
            agent,
            attempt: task.attempt,
            at: unit.now,
        });
    }
    for (id, (used, rows)) in by_id {
        if !unit.tx.spend_standing(id, used, &rows).await? {
            return Err(Error::internal(format!("{id} was spent by somebody else in the same unit")));
        }
        for row in &rows {
            let body = serde_json::json!({"number": row.number, "task": row.task, "agent": row.agent});
            unit.audit(
                SYSTEM,
                "standing.used",
                ("standing_approval", id.to_string()),
                Some(row.mission),
                body,
            );
        }
    }
    Ok(uses)
}

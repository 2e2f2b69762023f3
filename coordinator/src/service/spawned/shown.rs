//! What the orders of added tasks show: who signed them, and the leaf that let it.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::SpawnedUse;
use nexusmon_shared::trust::merkle::Tree;
use nexusmon_store::{GrantedTask, TaskRow};

use crate::error::{Error, Result};
use crate::service::unit::Unit;

/// Of one task; the proof comes from its plan, when the order is made.
#[derive(Debug, Clone)]
pub(in crate::service) struct Shown {
    signed: Bytes,
    parent_leaf: Bytes,
    parent_index: u32,
    /// Where its agent's key stands: whoever has not heard of it would refuse.
    pub roster: Option<(Digest, Bytes)>,
}

impl Shown {
    pub(in crate::service) fn order(&self, tree: &Tree) -> Result<Box<SpawnedUse>> {
        let proof = tree.proof(self.parent_index as usize);
        Ok(Box::new(SpawnedUse {
            signed: self.signed.clone(),
            parent_leaf: self.parent_leaf.clone(),
            parent_index: u64::from(self.parent_index),
            parent_proof: proof.ok_or_else(|| Error::internal("a parent that is not in its plan's tree"))?,
        }))
    }
}

/// By task, for those among `granted` that were added.
pub(in crate::service) async fn shown(
    unit: &mut Unit<'_>,
    granted: &[GrantedTask],
) -> Result<HashMap<TaskId, Shown>> {
    let added: Vec<TaskId> =
        granted.iter().filter(|one| one.task.spawned_by.is_some()).map(|one| one.task.id).collect();
    if added.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = unit.tx.spawned(&added).await?;
    let parents: BTreeSet<TaskId> = rows.iter().map(|row| row.parent).collect();
    let parents = unit.tx.tasks(&parents.into_iter().collect::<Vec<_>>()).await?;
    let parents: HashMap<TaskId, TaskRow> = parents.into_iter().map(|row| (row.id, row)).collect();
    let roster = unit.tx.roster(unit.now).await?.map(|row| (row.digest, Bytes::from(row.signed)));
    let one = |row: nexusmon_store::SpawnedRow| {
        let parent = parents.get(&row.parent)?;
        let shown = Shown {
            signed: Bytes::from(row.signed),
            parent_leaf: Bytes::from(parent.spec.clone()?),
            parent_index: parent.leaf_index,
            roster: roster.clone(),
        };
        Some((row.task, shown))
    };
    Ok(rows.into_iter().filter_map(one).collect())
}

//! Tasks of rank A and S (and those whose manifest demands it) whose values are known only at run time want an approval
//! over the instance: leaf, index, evaluated parameters, inputs.

use nexusmon_core::policy::decide_within;
use nexusmon_core::schedule::DemandClass;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::ApprovalId;
use nexusmon_shared::plan::{Input, TaskSpec};
use nexusmon_shared::trust::{canonical, merkle};
use nexusmon_store::{ApprovalRow, ApprovalState, ApprovalSubject, MissionRow, TaskRow};
use serde_json::{Value, json};

use super::super::unit::{SYSTEM, Unit};
use crate::error::{Error, Result};

/// Whether the task may run only after an approval of its own.
pub(super) fn wants_approval(row: &TaskRow, spec: &TaskSpec, class: &DemandClass) -> bool {
    let grave = row.rank.needs_approval() || class.requires_approval;
    let fetched = spec.inputs.iter().any(|input| matches!(input, Input::FromTask(_)));
    grave && (row.params.is_some() || row.item_index.is_some() || fetched)
}

/// What is approved.
pub(super) fn digest(row: &TaskRow, spec: &TaskSpec) -> Result<Digest> {
    let leaf = canonical::to_bytes(spec).map_err(Error::internal)?;
    let read = |text: &Option<String>| -> Value {
        text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let instance = json!({
        "kind": "nexusmon/task-instance/v1",
        "leaf": merkle::leaf_hash(&leaf).to_string(),
        "leaf_index": row.leaf_index,
        "item_index": row.item_index,
        "parameters": read(&row.params),
        "inputs": read(&row.inputs),
    });
    canonical::digest(&instance).map_err(Error::internal)
}

pub(super) async fn open_approval(
    unit: &mut Unit<'_>,
    mission: &MissionRow,
    row: &TaskRow,
    spec: &TaskSpec,
) -> Result<()> {
    let digest = digest(row, spec)?;
    let now = unit.now;
    let id = unit.app.rng.with(|rng| ApprovalId::new(now, rng));
    let approval = ApprovalRow {
        id,
        subject_kind: ApprovalSubject::TaskInstance,
        subject: row.id.to_string(),
        mission: Some(mission.id),
        digest,
        rank: row.rank,
        needed: 1,
        author: mission.author.clone(),
        state: ApprovalState::Pending,
        policies: nexusmon_store::Json(Vec::new()),
        created_at: now,
        decide_by: now + decide_within(row.rank),
        decided_at: None,
        version: 1,
    };
    unit.tx.insert_approvals(&[approval]).await?;
    unit.timer();
    unit.audit(
        SYSTEM,
        "approval.requested",
        ("approval", id.to_string()),
        Some(mission.id),
        json!({"subject_kind": "task_instance", "subject": row.id, "digest": digest, "rank": row.rank, "needed": 1}),
    );
    Ok(())
}

//! Tasks of rank A and S (and those whose manifest demands it) whose values are known only at run time want an approval
//! over the instance: leaf, index, evaluated parameters, inputs.

use nexusmon_core::policy::decide_within;
use nexusmon_core::schedule::DemandClass;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::ApprovalId;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::trust::approval::Instance;
use nexusmon_shared::trust::canonical;
use nexusmon_store::{ApprovalRow, ApprovalState, ApprovalSubject, MissionRow, TaskRow};
use serde_json::json;

use super::super::unit::{SYSTEM, Unit};
use super::super::{approvals, consent};
use crate::error::{Error, Result};

/// Whether the task may run only after an approval of its own, whatever its values.
fn may_want(spec: &TaskSpec, class: &DemandClass) -> bool {
    consent::is_grave(class) && spec.is_open()
}

/// Whether the task may run only after an approval of its own: values that its leaf admits were approved with the plan.
pub(super) fn wants_approval(row: &TaskRow, spec: &TaskSpec, class: &DemandClass) -> bool {
    may_want(spec, class) && !consent::is_admitted(row, spec)
}

/// Why values cannot be approved exactly, where they would have to be.
pub(super) fn inexact(
    spec: &TaskSpec,
    class: Option<&DemandClass>,
    parameters: Option<&str>,
) -> Option<Cause> {
    if !class.is_some_and(|class| may_want(spec, class)) {
        return None;
    }
    let parameters = match parameters {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => spec.with.clone(),
    };
    let nothing = Digest::from_bytes([0; 32]);
    let instance = Instance {
        plan_digest: nothing,
        leaf_index: 0,
        leaf: nothing,
        item_index: None,
        parameters: &parameters,
        inputs: &[],
    };
    let inexact = instance.subject().err()?;
    Some(Cause::BadParameters { detail: inexact.to_string() })
}

pub(super) async fn open_approval(
    unit: &mut Unit<'_>,
    mission: &MissionRow,
    row: &TaskRow,
    spec: &TaskSpec,
) -> Result<()> {
    let leaf = canonical::of(spec).map_err(Error::internal)?;
    let plan = mission.plan_digest.ok_or_else(|| Error::internal("a mission without a plan has tasks"))?;
    // Whatever cannot be approved exactly was failed before.
    let digest = consent::instance(row, spec, &leaf, plan).map_err(Error::internal)?;
    let now = unit.now;
    let id = unit.app.rng.with(|rng| ApprovalId::new(now, rng));
    let approval = ApprovalRow {
        id,
        subject_kind: ApprovalSubject::TaskInstance,
        subject: row.id.to_string(),
        mission: Some(mission.id),
        digest,
        rank: row.rank,
        needed: approvals::needed(unit.app, row.rank, &mission.author.0),
        author: mission.author.clone(),
        state: ApprovalState::Pending,
        policies: nexusmon_store::Json(Vec::new()),
        created_at: now,
        decide_by: now + decide_within(row.rank),
        decided_at: None,
        version: 1,
        valid_until: None,
        body: None,
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

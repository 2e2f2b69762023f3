//! Asking people once more: signatures have ended, are used up, or an agent did not believe them.

use std::collections::BTreeSet;

use nexusmon_core::policy::decide_within;
use nexusmon_core::schedule::ClassId;
use nexusmon_core::task;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{ApprovalRow, ApprovalState, ApprovalSubject, Json, MissionRow, TaskRow, TaskUpdate};
use serde_json::json;

use super::{instance, leaves};
use crate::error::{Error, Result};
use crate::service::finish;
use crate::service::settled::audit_ended;
use crate::service::unit::{SYSTEM, Unit, task_subject};
use crate::service::unlock::{self, Missions, Over};

/// Gates tasks that are ready, and sees to it that an approval is asked for every gated one.
pub(in crate::service) async fn ask_again(
    unit: &mut Unit<'_>,
    tasks: &[TaskId],
    why: &'static str,
) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let mut rows = unit.tx.lock_tasks(tasks).await?;
    let leaves = leaves(unit, &rows).await?;
    let missions: BTreeSet<MissionId> = rows.iter().map(|row| row.mission).collect();
    let missions: Vec<_> = missions.into_iter().collect();
    let pending = unit.tx.pending_approvals_of(&missions).await?;
    let missions: std::collections::HashMap<MissionId, MissionRow> =
        unit.tx.missions(&missions).await?.into_iter().map(|row| (row.id, row)).collect();
    let mut asked: BTreeSet<(MissionId, String)> =
        pending.iter().filter_map(|row| Some((row.mission?, row.subject.clone()))).collect();
    let mut updates = Vec::new();
    for row in &mut rows {
        if row.state == TaskStatus::Ready {
            let next = task::gate(&row.task()?)?;
            let from = row.state;
            row.put(&next, unit.now);
            unit.moved(row.mission, from, row.state);
            updates.push(TaskUpdate::from(&*row));
            let body = json!({"task": row.key, "item_index": row.item_index, "why": why});
            unit.audit(SYSTEM, "task.gated", task_subject(row.id), Some(row.mission), body);
        }
        if row.state != TaskStatus::Gated {
            continue;
        }
        let (Some(mission), Some(leaf)) = (missions.get(&row.mission), leaves.get(&row.id)) else { continue };
        let Some(wanted) = Wanted::of(row, mission, leaf) else { continue };
        if asked.insert((mission.id, wanted.subject.clone())) {
            open(unit, mission, wanted).await?;
        }
    }
    unit.tx.update_tasks(&updates).await?;
    Ok(())
}

/// What is to be approved.
struct Wanted {
    kind: ApprovalSubject,
    subject: String,
    digest: Digest,
    rank: Rank,
}

impl Wanted {
    fn of(row: &TaskRow, mission: &MissionRow, leaf: &str) -> Option<Self> {
        let spec: TaskSpec = serde_json::from_str(leaf).ok()?;
        let plan = mission.plan_digest?;
        if !super::is_admitted(row, &spec) {
            let digest = instance(row, &spec, leaf, plan).ok()?;
            let subject = row.id.to_string();
            return Some(Self { kind: ApprovalSubject::TaskInstance, subject, digest, rank: row.rank });
        }
        let subject = mission.id.to_string();
        Some(Self { kind: ApprovalSubject::MissionPlan, subject, digest: plan, rank: mission.rank })
    }
}

async fn open(unit: &mut Unit<'_>, mission: &MissionRow, wanted: Wanted) -> Result<()> {
    let now = unit.now;
    let id = unit.app.rng.with(|rng| ApprovalId::new(now, rng));
    let Wanted { kind, subject, digest, rank } = wanted;
    let body = json!({"subject_kind": kind.as_str(), "subject": subject, "digest": digest, "rank": rank,
        "author": mission.author.0, "again": true});
    let approval = ApprovalRow {
        id,
        subject_kind: kind,
        subject,
        mission: Some(mission.id),
        digest,
        rank,
        needed: crate::service::approvals::needed(unit.app, rank, &mission.author.0),
        author: mission.author.clone(),
        state: ApprovalState::Pending,
        policies: Json(Vec::new()),
        created_at: now,
        decide_by: now + decide_within(rank),
        decided_at: None,
        version: 1,
        valid_until: None,
        body: None,
    };
    unit.tx.insert_approvals(&[approval]).await?;
    unit.timer();
    unit.audit(SYSTEM, "approval.requested", ("approval", id.to_string()), Some(mission.id), body);
    Ok(())
}

/// The plan of a running mission was approved anew: what was gated for want of that goes on.
pub(in crate::service) async fn release(unit: &mut Unit<'_>, mission: MissionId) -> Result<()> {
    let ids = unit.tx.gated_by_plan(mission).await?;
    let mut updates = Vec::new();
    for mut row in unit.tx.lock_tasks(&ids).await? {
        let Ok(next) = task::approve_instance(&row.task()?) else { continue };
        let from = row.state;
        row.put(&next, unit.now);
        unit.moved(row.mission, from, row.state);
        if !row.held {
            unit.after.ready.extend(row.class.map(|class| ClassId(class.0)));
        }
        updates.push(TaskUpdate::from(&row));
    }
    unit.tx.update_tasks(&updates).await?;
    Ok(())
}

/// Nobody approved the plan of a running mission anew: what waited for that fails, as it would have at the start.
pub(in crate::service) async fn lapse(unit: &mut Unit<'_>, mission: MissionId, cause: &Cause) -> Result<()> {
    let ids = unit.tx.gated_by_plan(mission).await?;
    let mut over = Vec::new();
    let mut updates = Vec::new();
    for mut row in unit.tx.lock_tasks(&ids).await? {
        let Ok(settlement) = task::deny_instance(&row.task()?, cause.clone()) else { continue };
        let from = row.state;
        row.put(&settlement.task, unit.now);
        unit.moved(row.mission, from, row.state);
        audit_ended(unit, &row);
        updates.push(TaskUpdate::from(&row));
        over.push(Over::of(&row));
    }
    unit.tx.update_tasks(&updates).await?;
    let mut missions: Missions =
        unit.flush_counters().await?.into_iter().map(|mission| (mission.id, mission)).collect();
    unlock::follow(unit, &mut missions, over, Vec::new()).await?;
    finish::settle_missions(unit, &mut missions, &BTreeSet::from([mission])).await
}

/// Signatures of a given approval have ended: what was not granted meanwhile is gated again.
pub(in crate::service) async fn ended(unit: &mut Unit<'_>, approval: ApprovalId) -> Result<()> {
    let Some(row) = unit.tx.lock_approval(approval).await? else { return Ok(()) };
    if row.valid_until.is_none_or(|until| until > unit.now) {
        return Ok(());
    }
    unit.tx.set_valid_until(approval, None).await?;
    let Some(mission) = row.mission else { return Ok(()) };
    let alive = unit
        .tx
        .mission(mission)
        .await?
        .is_some_and(|mission| matches!(mission.status, MissionStatus::Running | MissionStatus::Paused));
    if !alive {
        return Ok(());
    }
    let ready = unit.tx.ready_in(mission).await?;
    let mut grave = Vec::new();
    for row in unit.tx.tasks(&ready).await? {
        let Some(class) = row.class else { continue };
        let (_, class) = crate::service::classes::by_id(unit, ClassId(class.0)).await?;
        if super::is_grave(&class) {
            grave.push(row.id);
        }
    }
    let refused = super::check(unit, &grave).await?.refused;
    let refused: Vec<_> = refused.into_iter().collect();
    ask_again(unit, &refused, "the signatures have ended").await
}

/// The error of a subject this version does not know.
pub(in crate::service) fn unknown(row: &ApprovalRow) -> Error {
    let detail = format!("a {} is not decided in this version", row.subject_kind.as_str());
    Error::conflict("not_supported", detail)
}

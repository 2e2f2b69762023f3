//! A task of a bound plan as the row it begins as.

use nexusmon_core::planning::BoundTask;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{MissionRow, TaskRow};

pub(in crate::service) fn task_row(
    mission: &MissionRow,
    task: &BoundTask,
    index: usize,
    id: TaskId,
    leaf: &str,
    now: Timestamp,
) -> TaskRow {
    TaskRow {
        id,
        mission: mission.id,
        leaf_index: u32::try_from(index).unwrap_or(u32::MAX),
        item_index: None,
        parent: None,
        spawned_by: None,
        key: task.spec.id.clone(),
        uses: task.spec.uses.clone(),
        rank: task.rank,
        priority: mission.priority,
        idempotent: task.spec.idempotent,
        spec: Some(leaf.to_owned()),
        item: None,
        dependents: 0,
        created_at: now,
        state: TaskStatus::Pending,
        held: false,
        class: None,
        tag: 0,
        needs_open: u32::try_from(task.needs.len()).unwrap_or(u32::MAX),
        children_open: 0,
        attempt: 0,
        retries: 0,
        fence_epoch: 0,
        fence_number: 0,
        agent: None,
        session: None,
        offline_until: None,
        not_before: None,
        since: None,
        ready_at: None,
        granted_at: None,
        started_at: None,
        finished_at: None,
        cause: None,
        outputs: None,
        skip_reason: None,
        effect_unknown: false,
        params: None,
        inputs: None,
        limits: None,
        log_bytes: 0,
    }
}

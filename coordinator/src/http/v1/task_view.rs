//! A task of a mission as read.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use nexusmon_shared::outcome::Cause;
use nexusmon_shared::rank::Rank;
use serde_json::{Map, Value};

use super::shape::{self, json, maybe};
use crate::service::missions as service;

/// A task of a mission.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Task {
    task_id: String,
    mission_id: String,
    /// In the plan.
    id: String,
    /// Place in its `for_each`.
    index: Option<u32>,
    uses: String,
    needs: Vec<String>,
    #[schema(value_type = shape::TaskStatus)]
    status: &'static str,
    #[schema(value_type = shape::Rank)]
    rank: Rank,
    /// Executions granted so far.
    attempt: u32,
    agent: Option<TaskAgent>,
    #[schema(value_type = Option<Object>)]
    outputs: Option<Value>,
    #[schema(value_type = Option<shape::Cause>)]
    cause: Option<Cause>,
    /// The task (`tsk_…`) that added it while the mission ran.
    spawned_by: Option<String>,
    /// Why it was skipped: `need_failed`, `condition`, or `superseded` (added by an attempt that was not the last).
    #[schema(value_type = Option<String>)]
    skip_reason: Option<Value>,
    /// Cancelled while nobody knows whether it happened.
    effect_unknown: bool,
    /// The mission it began and waits for.
    sub_mission: Option<String>,
    waiting: Option<Waiting>,
    progress: Option<Progress>,
    started_at: Option<String>,
    finished_at: Option<String>,
}

/// Where a task runs or ran.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TaskAgent {
    pub(super) id: String,
    pub(super) name: Option<String>,
}

/// Why a task waits; more fields by reason.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Waiting {
    /// `no_agent_has`, `labels_unmatched`, `sandbox_unavailable`, `refused_by`, `all_slots_busy`, `limit`, `backoff`,
    /// `gated`, `needs`, `paused`, `halted`, `away`, `agent_too_old`, `trait_closed`.
    reason: String,
    /// In one sentence.
    detail: String,
    #[serde(flatten)]
    #[schema(ignore)]
    particulars: Map<String, Value>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Progress {
    /// 0 to 1.
    fraction: Option<f64>,
    text: String,
}

impl From<service::Waiting> for Waiting {
    fn from(waiting: service::Waiting) -> Self {
        let service::Waiting { reason, detail, text } = waiting;
        let mut particulars = match detail {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        particulars.retain(|key, _| key != "reason" && key != "detail");
        Self { reason, detail: text, particulars }
    }
}

impl From<service::TaskView> for Task {
    fn from(task: service::TaskView) -> Self {
        let service::TaskView {
            task_id,
            mission,
            id,
            item_index,
            spawned_by,
            uses,
            needs,
            status,
            rank,
            attempt,
            agent,
            agent_name,
            outputs,
            cause,
            skip_reason,
            effect_unknown,
            sub_mission,
            waiting,
            progress,
            started_at,
            finished_at,
        } = task;
        Self {
            task_id: task_id.to_string(),
            mission_id: mission.to_string(),
            id,
            index: item_index,
            uses,
            needs,
            status: status.as_str(),
            rank,
            attempt,
            agent: agent.map(|id| TaskAgent { id: id.to_string(), name: agent_name }),
            outputs,
            cause,
            spawned_by: spawned_by.map(|id| id.to_string()),
            skip_reason: skip_reason.as_ref().map(json),
            effect_unknown,
            sub_mission: sub_mission.map(|id| id.to_string()),
            waiting: waiting.map(Into::into),
            progress: progress.map(|service::Progress { fraction, text }| Progress { fraction, text }),
            started_at: maybe(started_at),
            finished_at: maybe(finished_at),
        }
    }
}

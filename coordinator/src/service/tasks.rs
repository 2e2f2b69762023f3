//! Tasks: what agents report of them, what people decide about them.

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{Progress, Started};
use nexusmon_shared::outcome::{Cause, Report};
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::Caller;
use super::missions::TaskView;
use crate::app::App;
use crate::error::Result;

/// One execution, live or past.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// From 1.
    pub number: u32,
    pub fence: Fence,
    pub agent: AgentId,
    pub agent_name: Option<String>,
    pub status: String,
    pub cause: Option<Cause>,
    pub sandbox_level: Option<String>,
    pub log_bytes: u64,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// A task in full.
#[derive(Debug, Clone)]
pub struct TaskDetail {
    pub task: TaskView,
    /// The leaf of the plan.
    pub spec: Value,
    /// `with`, evaluated.
    pub parameters: Option<Value>,
    pub attempts: Vec<AttemptView>,
}

/// What a person says about an uncertain task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Succeeded,
    Failed,
    Retry,
}

pub async fn get(app: &App, id: TaskId) -> Result<TaskDetail> {
    let _ = (app, id);
    todo!()
}

/// Decides an `uncertain` task; raises its fence, so that a later report changes nothing.
pub async fn resolve(
    app: &App,
    caller: &Caller,
    id: TaskId,
    resolution: Resolution,
    comment: Option<String>,
) -> Result<TaskDetail> {
    let _ = (app, caller, id, resolution, comment);
    todo!()
}

/// Settles reports of one agent. Batched over the streams of all agents; returns, once durable, which may be forgotten
/// (stale ones too): the listener sends the `Ack`.
pub async fn report(
    app: &App,
    agent: AgentId,
    session: u64,
    reports: Vec<Report>,
) -> Result<Vec<AttemptRef>> {
    let _ = (app, agent, session, reports);
    todo!()
}

/// Attempts have started: kept in memory and told to watchers.
pub fn started(app: &App, agent: AgentId, started: &[Started]) {
    let _ = (app, agent, started);
    todo!()
}

/// News of running attempts: kept in memory and told to watchers.
pub fn progress(app: &App, agent: AgentId, progress: Vec<Progress>) {
    let _ = (app, agent, progress);
    todo!()
}

/// Filter words for a task's status.
pub fn parse_status(text: &str) -> Option<TaskStatus> {
    TaskStatus::parse(text)
}

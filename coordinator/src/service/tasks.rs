//! Tasks: what agents report of them, what people decide about them.

use nexusmon_core::task;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{Progress, Started};
use nexusmon_shared::outcome::{Cause, Report};
use nexusmon_shared::task::{Outputs, TaskStatus};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{AttemptRow, TaskRow, TaskUpdate};
use serde_json::{Value, json};

use super::missions::{TaskView, no_nul, task_views};
use super::settled;
use super::unit::{Actor, Unit, attempt_of, task_subject};
use super::unlock::{Missions, Over};
use super::{Caller, finish, provenance, unlock};
use crate::app::App;
use crate::app::events::Event;
use crate::error::{Error, Result};

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
    let mut read = app.store.read().await?;
    let row = read.task(id).await?.ok_or_else(|| Error::not_found("task", id))?;
    let mission = read.mission(row.mission).await?.ok_or_else(|| Error::not_found("mission", row.mission))?;
    let spec = match &row.spec {
        Some(spec) => spec.clone(),
        None => read.specs_of(&[id]).await?.pop().map(|row| row.spec).unwrap_or_default(),
    };
    let past = read.attempts(id).await?;
    let mut views = task_views(app, &mut read, &mission, vec![row.clone()]).await?;
    let task = views.pop().ok_or_else(|| Error::not_found("task", id))?;
    let mut attempts: Vec<_> = past
        .into_iter()
        .filter(|past| (past.fence_epoch, past.fence_number) != (row.fence_epoch, row.fence_number))
        .map(|past| past_view(app, past))
        .collect();
    attempts.extend(current_view(app, &row, task.started_at));
    Ok(TaskDetail {
        task,
        spec: serde_json::from_str(&spec).unwrap_or_default(),
        parameters: row.params.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        attempts,
    })
}

fn past_view(app: &App, past: AttemptRow) -> AttemptView {
    AttemptView {
        number: past.attempt,
        fence: Fence { epoch: past.fence_epoch, number: past.fence_number },
        agent: past.agent,
        agent_name: app.fleet.get().names.get(&past.agent).cloned(),
        status: past.ending,
        cause: past.cause.map(|cause| cause.0),
        sandbox_level: None,
        log_bytes: u64::try_from(past.log_bytes).unwrap_or(0),
        started_at: past.started_at,
        finished_at: Some(past.finished_at),
    }
}

/// The attempt on the task's own row: the one that lives, or the last.
fn current_view(app: &App, row: &TaskRow, started_at: Option<Timestamp>) -> Option<AttemptView> {
    let agent = row.agent.filter(|_| row.attempt > 0)?;
    let over = matches!(row.state, TaskStatus::Ready | TaskStatus::Backoff);
    (!over).then(|| AttemptView {
        number: row.attempt,
        fence: row.fence(),
        agent,
        agent_name: app.fleet.get().names.get(&agent).cloned(),
        status: row.state.as_str().to_owned(),
        cause: row.cause.as_ref().map(|cause| cause.0.clone()),
        sandbox_level: None,
        log_bytes: u64::try_from(row.log_bytes).unwrap_or(0),
        started_at,
        finished_at: row.finished_at,
    })
}

/// Decides an `uncertain` task; raises its fence, so that a later report changes nothing.
pub async fn resolve(
    app: &App,
    caller: &Caller,
    id: TaskId,
    resolution: Resolution,
    comment: Option<String>,
) -> Result<TaskDetail> {
    if let Some(comment) = &comment {
        no_nul(comment, "/comment")?;
    }
    let unit_app = app.clone();
    let actor = Actor::from(caller);
    let after = app
        .store
        .write("tasks.resolve", move |tx| {
            let (app, actor, comment) = (unit_app.clone(), actor.clone(), comment.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let row = unit.tx.lock_tasks(&[id]).await?.pop();
                let mut row = row.ok_or_else(|| Error::not_found("task", id))?;
                let resolution = match resolution {
                    Resolution::Succeeded => task::Resolution::Succeeded { outputs: Outputs::new() },
                    Resolution::Failed => {
                        task::Resolution::Failed { comment: comment.clone().unwrap_or_default() }
                    }
                    Resolution::Retry => task::Resolution::Retry,
                };
                let settlement = task::resolve(&row.task()?, resolution, app.epoch)?;
                let attempt = attempt_of(&row);
                let past = AttemptRow::of(&row, "uncertain", None, unit.now);
                let from = row.state;
                row.put(&settlement.task, unit.now);
                unit.moved(row.mission, from, row.state);
                if !settlement.finished {
                    unit.tx.insert_attempts(&past.into_iter().collect::<Vec<_>>()).await?;
                }
                if row.limits.is_some() {
                    unit.tx.release_limits(&[row.id]).await?;
                }
                let body = json!({"as": row.state.as_str(), "comment": comment, "fence": row.fence().to_string(),
                    "attempt": attempt.fence.to_string()});
                unit.audit(actor.0.clone(), "task.resolved", task_subject(id), Some(row.mission), body);
                unit.tx.update_tasks(&[TaskUpdate::from(&row)]).await?;
                if row.state == TaskStatus::Ready && !row.held {
                    let class = row.class.map(|class| nexusmon_core::schedule::ClassId(class.0));
                    unit.after.ready.extend(class);
                }
                let mut missions: Missions =
                    unit.flush_counters().await?.into_iter().map(|row| (row.id, row)).collect();
                let over = if settlement.finished { vec![Over::of(&row)] } else { Vec::new() };
                let touched = std::collections::BTreeSet::from([row.mission]);
                unlock::follow(&mut unit, &mut missions, over, Vec::new()).await?;
                finish::settle_missions(&mut unit, &mut missions, &touched).await?;
                unit.after.ended.push((row.agent, attempt));
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    get(app, id).await
}

/// Settles reports of one agent. Batched over the streams of all agents; returns, once durable, which may be forgotten
/// (stale ones too): the listener sends the `Ack`.
pub async fn report(
    app: &App,
    agent: AgentId,
    session: u64,
    reports: Vec<Report>,
) -> Result<Vec<AttemptRef>> {
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    tracing::trace!(%agent, session, reports = reports.len(), "reports");
    let mut reports = reports;
    let doubtful = provenance::check(app, agent, &mut reports).await?;
    app.batchers().report.submit(settled::Arrived { agent, reports, doubtful }).await
}

/// Attempts have started: kept in memory and told to watchers.
pub fn started(app: &App, agent: AgentId, started: &[Started]) {
    for one in started {
        app.running.update(one.attempt, |news| news.started_at = Some(one.at));
        tell(app, agent, "task.started", &one.attempt, json!({"at": one.at}));
    }
}

/// News of running attempts: kept in memory and told to watchers.
pub fn progress(app: &App, agent: AgentId, progress: Vec<Progress>) {
    for one in progress {
        let body = json!({"fraction": one.fraction, "text": one.text});
        app.running.update(one.attempt, |news| {
            news.fraction = one.fraction;
            news.text = one.text;
        });
        tell(app, agent, "task.progress", &one.attempt, body);
    }
}

fn tell(app: &App, agent: AgentId, kind: &str, attempt: &AttemptRef, mut body: Value) {
    if app.events.listeners() == 0 && app.store.nodes() < 2 {
        return;
    }
    if let Some(fields) = body.as_object_mut() {
        fields.insert("fence".to_owned(), attempt.fence.to_string().into());
    }
    let event = Event {
        seq: None,
        kind: kind.to_owned(),
        actor: agent.to_string(),
        subject_kind: "task".to_owned(),
        subject: attempt.task.to_string(),
        mission: app.running.mission(attempt.task),
        at: app.clock.now(),
        body,
        erased: Vec::new(),
    };
    super::news::publish(app, event);
}

/// Filter words for a task's status.
pub fn parse_status(text: &str) -> Option<TaskStatus> {
    TaskStatus::parse(text)
}

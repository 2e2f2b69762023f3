//! Reports, settled in batches over all agents: one set-based unit of work, and only then the acknowledgement.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nexusmon_core::expression::Expression;
use nexusmon_core::schedule::ClassId;
use nexusmon_core::task::{self, MissionMood, Settled, TaskRules};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::{Cause, Ending, Report};
use nexusmon_shared::plan::{MAX_OUTPUT_BYTES, Retry};
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::trust::canonical::{CanonicalError, Object};
use nexusmon_store::{BarRow, Body, SettleRow, TaskRow, Tx};
use serde_json::{Value, json};

use super::beliefs::Attempted;
use super::provenance::Doubtful;
use super::unit::{Actor, After, Unit, attempt_of, task_subject};
use super::unlock::{Missions, Over};
use super::{consent, dispatch, finish, unlock, vault};
use crate::app::App;
use crate::error::{Error, Result};

/// Reports of one agent that arrived together.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub agent: AgentId,
    pub reports: Vec<Report>,
    pub doubtful: Vec<Doubtful>,
}

/// Settles everything that queued; each caller gets its own attempts back.
pub(crate) async fn settle_batch(app: &App, batch: Vec<Arrived>) -> Vec<Result<Vec<AttemptRef>>> {
    let batch = Arc::new(batch);
    match settle_together(app, Arc::clone(&batch)).await {
        Ok(()) => batch.iter().map(|arrived| Ok(attempts(arrived))).collect(),
        Err(error) if batch.len() > 1 => {
            tracing::warn!(%error, "a batch of reports failed; settling each agent's alone");
            let mut answers = Vec::new();
            for arrived in batch.iter() {
                let alone = settle_together(app, Arc::new(vec![arrived.clone()])).await;
                answers.push(alone.map(|()| attempts(arrived)));
            }
            answers
        }
        Err(error) => vec![Err(error)],
    }
}

fn attempts(arrived: &Arrived) -> Vec<AttemptRef> {
    arrived.reports.iter().map(|report| report.attempt).collect()
}

async fn settle_together(app: &App, batch: Arc<Vec<Arrived>>) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("tasks.report", move |tx| {
            let (app, batch) = (unit_app.clone(), Arc::clone(&batch));
            Box::pin(async move { settle(&app, tx, &batch).await })
        })
        .await?;
    after.run_and_send(app).await;
    Ok(())
}

/// What of a leaf settling needs; read from it without the rest.
#[derive(serde::Deserialize)]
struct LeafRules {
    retry: Retry,
    verify: Option<String>,
}

async fn settle(app: &App, tx: &mut Tx, batch: &[Arrived]) -> Result<After> {
    let mut unit = Unit::new(app, tx);
    let ids: Vec<TaskId> =
        batch.iter().flat_map(|arrived| arrived.reports.iter().map(|report| report.attempt.task)).collect();
    let rows = unit.tx.load_for_report(&ids).await?;
    let mut missions = load_missions(&mut unit, &rows).await?;
    let parents: BTreeSet<TaskId> =
        rows.iter().filter(|row| row.spec.is_none()).filter_map(|row| row.parent).collect();
    let parents: Vec<_> = parents.into_iter().collect();
    let leaves: BTreeMap<TaskId, String> = if parents.is_empty() {
        BTreeMap::new()
    } else {
        unit.tx.specs_of(&parents).await?.into_iter().map(|row| (row.id, row.spec)).collect()
    };
    let mut rows: HashMap<TaskId, TaskRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut work = Work::default();
    for arrived in batch {
        for Doubtful { attempt, why } in &arrived.doubtful {
            let mission = rows.get(&attempt.task).map(|row| row.mission);
            let body = json!({"alert": format!("a provenance that does not hold: {why}"), "fence": attempt.fence.to_string()});
            unit.audit(arrived.agent.to_string(), "alert.raised", task_subject(attempt.task), mission, body);
        }
        for report in &arrived.reports {
            let Some(row) = rows.get_mut(&report.attempt.task) else {
                stale(&mut unit, arrived.agent, report, None);
                continue;
            };
            let leaf = row.spec.as_ref().or_else(|| row.parent.and_then(|parent| leaves.get(&parent)));
            let leaf = leaf.ok_or_else(|| Error::internal(format!("{} has no leaf", row.id)))?;
            let rules: LeafRules = serde_json::from_str(leaf).map_err(Error::internal)?;
            one(&mut unit, &missions, row, arrived.agent, report, rules, &mut work);
        }
    }
    work.write(&mut unit, &rows).await?;
    if !work.gated.is_empty() {
        consent::ask_again(&mut unit, &work.gated, "an agent did not believe it was approved").await?;
    }
    for mission in unit.flush_counters().await? {
        missions.insert(mission.id, mission);
    }
    let touched: BTreeSet<_> = work.over.iter().map(|over| over.mission).collect();
    unlock::follow(&mut unit, &mut missions, work.over, Vec::new()).await?;
    finish::settle_missions(&mut unit, &mut missions, &touched).await?;
    // Their slots are free for what is granted in the same commit. Should it fail, a slot is taken twice: the agent
    // queues what is too much.
    for arrived in batch {
        if let Some(live) = app.sessions.get(arrived.agent) {
            live.release(arrived.reports.iter().map(|report| &report.attempt));
        }
    }
    dispatch::grant_along(&mut unit).await?;
    unit.finish().await
}

async fn load_missions(unit: &mut Unit<'_>, rows: &[TaskRow]) -> Result<Missions> {
    let ids: BTreeSet<_> = rows.iter().map(|row| row.mission).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    Ok(unit.tx.missions(&ids).await?.into_iter().map(|row| (row.id, row)).collect())
}

/// What a batch of reports writes.
#[derive(Default)]
struct Work {
    touched: BTreeSet<TaskId>,
    released: BTreeSet<TaskId>,
    over: Vec<Over>,
    bars: Vec<BarRow>,
    /// Back to people: an agent did not believe what they are said to have approved.
    gated: Vec<TaskId>,
    past: Vec<nexusmon_store::AttemptRow>,
    produced: Vec<vault::ProducedBy>,
    trust: Vec<Attempted>,
}

fn one(
    unit: &mut Unit<'_>,
    missions: &Missions,
    row: &mut TaskRow,
    agent: AgentId,
    report: &Report,
    rules: LeafRules,
    work: &mut Work,
) {
    let Ok(before) = row.task() else {
        tracing::error!(task = %row.id, "a task in the database cannot be read");
        return;
    };
    // Only whoever was granted the attempt may speak of it.
    if row.agent != Some(agent) {
        stale(unit, agent, report, Some(row));
        return;
    }
    let cancelling =
        missions.get(&row.mission).is_some_and(|mission| mission.status == MissionStatus::Cancelling);
    let mood = if cancelling { MissionMood::Cancelling } else { MissionMood::Alive };
    let report = checked(report, &rules);
    let task_rules = TaskRules { idempotent: row.idempotent, retry: rules.retry, rank: row.rank };
    let now = unit.now;
    let settlement = match task::settle(&before, &task_rules, &report, mood, now, &mut unit.rng) {
        Settled::Applied(settlement) => settlement,
        Settled::Stale => {
            stale(unit, agent, &report, Some(row));
            return;
        }
    };
    let (from, attempt) = (row.state, report.attempt);
    let past = if settlement.finished { None } else { past_attempt(row, &report, now) };
    row.put(&settlement.task, now);
    row.started_at = report.started_at.or(row.started_at);
    let log_bytes = i64::try_from(report.log_bytes).unwrap_or(i64::MAX);
    row.log_bytes = log_bytes;
    unit.moved(row.mission, from, row.state);
    unit.delta(row.mission).log_bytes += log_bytes;
    work.past.extend(past);
    if row.limits.is_some() {
        work.released.insert(row.id);
    }
    work.touched.insert(row.id);
    audit_settled(unit, row, &Actor::agent(agent), Some(&report));
    after_settling(unit, row, &settlement, &report, agent, work);
    unit.after.ended.push((Some(agent), attempt));
}

fn after_settling(
    unit: &mut Unit<'_>,
    row: &TaskRow,
    settlement: &task::Settlement,
    report: &Report,
    agent: AgentId,
    work: &mut Work,
) {
    let class = row.class.map(|class| ClassId(class.0));
    if settlement.finished {
        work.over.push(Over::of(row));
    }
    match row.state {
        TaskStatus::Ready if !row.held => unit.after.ready.extend(class),
        TaskStatus::Backoff => unit.timer(),
        TaskStatus::Gated => work.gated.push(row.id),
        _ => {}
    }
    if let (Some(bar), Some(class)) = (settlement.bar, row.class) {
        let reason = serde_json::to_value(bar.reason).ok().and_then(|v| v.as_str().map(str::to_owned));
        work.bars.push(BarRow { agent: bar.agent, class, reason: reason.unwrap_or_default(), at: unit.now });
    }
    if let Some(alert) = &settlement.alert {
        tracing::error!(task = %row.id, %agent, "{alert}");
        unit.audit(
            agent.to_string(),
            "alert.raised",
            task_subject(row.id),
            Some(row.mission),
            json!({"alert": alert}),
        );
    }
    if !report.artifacts.is_empty() {
        let bytes: u64 = report.artifacts.iter().map(|artifact| artifact.size).sum();
        unit.delta(row.mission).artifact_bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
        work.produced.push(vault::ProducedBy::new(row, agent, report));
    }
    let duration = report.started_at.map(|start| report.finished_at.since(start));
    if let Some(duration) = duration {
        let worked = unit.after.worked.entry(agent).or_default();
        *worked = (worked.0 + 1, worked.1 + duration);
    }
    match &report.ending {
        Ending::Succeeded { .. } => {
            work.trust.push(Attempted { class, agent, succeeded: true, duration });
            unit.after.outcomes.push((row.uses.clone(), true, duration));
        }
        Ending::Failed { cause } => {
            work.trust.push(Attempted { class, agent, succeeded: false, duration: None });
            unit.causes.push((cause.clone(), row.uses.clone()));
            unit.after.outcomes.push((row.uses.clone(), false, duration));
        }
        Ending::Unknown => unit.causes.push((Cause::LostAgent, row.uses.clone())),
        _ => {}
    }
}

/// The report with what the coordinator itself checks: size of outputs, post-condition.
fn checked(report: &Report, rules: &LeafRules) -> Report {
    let mut report = report.clone();
    if let Ending::Succeeded { outputs } = &report.ending {
        let bytes = serde_json::to_vec(outputs).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > MAX_OUTPUT_BYTES {
            let cause = Cause::OutputTooLarge { bytes: bytes as u64, limit: MAX_OUTPUT_BYTES as u64 };
            report.ending = Ending::Failed { cause };
        }
    }
    if let Some(source) = &rules.verify {
        report.ending = match Expression::parse(source) {
            Ok(verify) => task::verified(Some(&verify), report.ending),
            Err(error) => Ending::Failed { cause: Cause::VerifyFailed { detail: error.to_string() } },
        };
    }
    report
}

/// A report that changes nothing is written down all the same.
fn stale(unit: &mut Unit<'_>, agent: AgentId, report: &Report, row: Option<&TaskRow>) {
    unit.audit(
        agent.to_string(),
        "task.stale_report",
        task_subject(report.attempt.task),
        row.map(|row| row.mission),
        json!({
            "fence": report.attempt.fence.to_string(),
            "current_fence": row.map(|row| row.fence().to_string()),
            "ending": ending_word(&report.ending),
        }),
    );
    unit.after.ended.push((Some(agent), report.attempt));
}

fn ending_word(ending: &Ending) -> &'static str {
    match ending {
        Ending::Succeeded { .. } => "succeeded",
        Ending::Failed { .. } => "failed",
        Ending::Cancelled => "cancelled",
        Ending::Returned => "returned",
        Ending::Refused { .. } => "refused",
        Ending::Unknown => "unknown",
    }
}

fn past_attempt(
    row: &TaskRow,
    report: &Report,
    now: nexusmon_shared::time::Timestamp,
) -> Option<nexusmon_store::AttemptRow> {
    let cause = match &report.ending {
        Ending::Failed { cause } => Some(cause.clone()),
        Ending::Refused { reason, detail } => {
            Some(Cause::RefusedByAgent { reason: *reason, detail: detail.clone() })
        }
        _ => None,
    };
    let mut past = nexusmon_store::AttemptRow::of(row, ending_word(&report.ending), cause, now)?;
    past.started_at = report.started_at.or(row.started_at);
    past.log_bytes = i64::try_from(report.log_bytes).unwrap_or(i64::MAX);
    Some(past)
}

/// The second of the two entries of an attempt's life: how it ended and what the task is now.
pub(super) fn audit_settled(unit: &mut Unit<'_>, row: &TaskRow, actor: &Actor, report: Option<&Report>) {
    let words = row.cause.is_some() || report.is_some_and(|report| !report.artifacts.is_empty());
    let body = match settled_body(row, report) {
        // Names of artifacts and what failed programs said go beside the entry; most tasks have neither.
        Ok(body) if words => {
            let text = body.finish();
            serde_json::from_str::<Value>(&text).map_or(Body::Canonical(text), Body::Tree)
        }
        Ok(body) => Body::from(body),
        Err(error) => {
            // Nothing in a row or a report has no canonical form; should it, the entry still says what it can.
            tracing::error!(task = %row.id, %error, "the end of an attempt is written down without its details");
            Body::from(json!({"task": row.key, "status": row.state.as_str()}))
        }
    };
    if nexusmon_shared::planted::planted("settlement-unaudited") && row.attempt % 2 == 1 {
        return;
    }
    unit.audit(actor.0.clone(), "task.settled", task_subject(row.id), Some(row.mission), body);
}

/// A task that ended without an agent's word: written down, and a failure counted as agents' are.
pub(super) fn audit_ended(unit: &mut Unit<'_>, row: &TaskRow) {
    audit_settled(unit, row, &Actor::system(), None);
    if row.state == TaskStatus::Failed {
        let cause = row.cause.as_ref().map_or(Cause::LostAgent, |cause| cause.0.clone());
        unit.causes.push((cause, row.uses.clone()));
    }
}

/// Two are written for every task, so they are put together in their canonical order.
fn settled_body(row: &TaskRow, report: Option<&Report>) -> Result<Object, CanonicalError> {
    let fence = report.map_or(attempt_of(row).fence, |report| report.attempt.fence);
    let tree = |value: serde_json::Result<Value>| value.unwrap_or_default();
    let mut body = Object::new();
    if let Some(agent) = row.agent {
        body = body.plain("agent", agent);
    }
    if let Some(report) = report.filter(|report| !report.artifacts.is_empty()) {
        body = body.value("artifacts", &tree(serde_json::to_value(&report.artifacts)))?;
    }
    body = body.number("attempt", row.attempt.into());
    if let Some(cause) = &row.cause {
        body = body.value("cause", &tree(serde_json::to_value(&cause.0)))?;
    }
    if row.effect_unknown {
        body = body.bool("effect_unknown", true);
    }
    if let Some(report) = report {
        body = body.plain("ending", ending_word(&report.ending));
    }
    body = body.plain("fence", fence);
    if let Some(report) = report {
        body = body.plain("finished_at", report.finished_at);
    }
    if let Some(index) = row.item_index {
        body = body.number("item_index", index.into());
    }
    if let Some(report) = report {
        body = body.number("log_bytes", report.log_bytes);
    }
    if let Some(outputs) = &row.outputs {
        body = body.plain("outputs_digest", nexusmon_shared::digest::Digest::of(outputs.as_bytes()));
    }
    if let Some(level) = report.and_then(|report| report.sandbox_level) {
        body = body.plain("sandbox_level", level.as_str());
    }
    if let Some(reason) = row.skip_reason {
        body = body.value("skip_reason", &tree(serde_json::to_value(reason)))?;
    }
    if let Some(started) = report.and_then(|report| report.started_at) {
        body = body.plain("started_at", started);
    }
    Ok(body.plain("status", row.state.as_str()).text("task", row.key.as_str()))
}

impl Work {
    async fn write(&mut self, unit: &mut Unit<'_>, rows: &HashMap<TaskId, TaskRow>) -> Result<()> {
        let settled: Vec<_> =
            self.touched.iter().filter_map(|id| rows.get(id)).map(SettleRow::from).collect();
        if !settled.is_empty() {
            unit.tx.settle(&settled).await?;
        }
        if !self.released.is_empty() {
            let released: Vec<_> = self.released.iter().copied().collect();
            unit.tx.release_limits(&released).await?;
        }
        if !self.past.is_empty() {
            unit.tx.insert_attempts(&self.past).await?;
        }
        if !self.bars.is_empty() {
            unit.tx.insert_bars(&self.bars).await?;
            let app = unit.app;
            app.barred.extend(self.bars.iter().map(|bar| (bar.agent, ClassId(bar.class.0))));
        }
        if !self.produced.is_empty() {
            vault::record_outputs(unit, &self.produced).await?;
        }
        super::beliefs::record(unit, &self.trust).await
    }
}

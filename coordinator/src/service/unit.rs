//! What one unit of work gathers: audit entries, moved counters, and what is to happen once it is committed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nexusmon_core::fairness;
use nexusmon_core::schedule::ClassId;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::message::{Cancel, CoordinatorMessage, MAX_BATCH_ITEMS};
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{
    AuditEntry, Body, ClassRow, MissionDelta, MissionRow, NoticeKind, Score, ShapeRecord, TaskRow, Topic, Tx,
};
use rand::rngs::StdRng;
use serde_json::Value;

use super::Caller;
use crate::app::App;
use crate::error::Result;

/// How long an attempt that is told to end has before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// The system's own name in the audit trail.
pub(super) const SYSTEM: &str = "nexusmon";

/// A unit of work under way.
pub(super) struct Unit<'a> {
    pub app: &'a App,
    pub tx: &'a mut Tx,
    pub now: Timestamp,
    pub rng: StdRng,
    pub after: After,
    audit: Vec<AuditEntry>,
    deltas: BTreeMap<MissionId, MissionDelta>,
    timers: bool,
    /// Sub-missions that followed their missions here.
    pub followed: u32,
    /// Missions that ended: how their predictions came out, and their shapes.
    pub scores: Vec<Score>,
    pub shape_records: Vec<ShapeRecord>,
    /// Failures, to be counted.
    pub causes: Vec<(Cause, Capability)>,
}

/// What happens once the unit is committed; lost if it is not, and recovered by the next look at the database.
#[derive(Debug, Default)]
pub(super) struct After {
    /// Classes with new ready tasks.
    pub ready: BTreeSet<ClassId>,
    pub learned: Vec<ClassRow>,
    pub cancel: Vec<(AgentId, AttemptRef)>,
    /// What is cancelled here gets no grace.
    pub at_once: bool,
    pub recall: Vec<(AgentId, AttemptRef)>,
    /// Attempts that are over.
    pub ended: Vec<(Option<AgentId>, AttemptRef)>,
    /// Outcomes by capability, for predictions.
    pub outcomes: Vec<(Capability, bool, Option<Duration>)>,
    pub shapes: Vec<(nexusmon_shared::digest::Digest, bool, Duration)>,
    /// Missions ended that may count for the ledger.
    pub judge: bool,
    /// Leases made along with this unit.
    pub granted: Option<super::dispatch::Granted>,
    /// Tasks wait for missions of their own to begin, or such missions may be over.
    pub sub_missions: bool,
    /// Ready tasks and free slots were looked at in this very unit.
    pub attended: bool,
    /// How many attempts of an agent ended, and how long they ran together.
    pub worked: BTreeMap<AgentId, (u32, Duration)>,
}

impl<'a> Unit<'a> {
    pub(super) fn new(app: &'a App, tx: &'a mut Tx) -> Self {
        let now = tx.now();
        let rng = app.rng.fork();
        Self {
            app,
            tx,
            now,
            rng,
            after: After::default(),
            audit: Vec::new(),
            deltas: BTreeMap::new(),
            timers: false,
            followed: 0,
            scores: Vec::new(),
            shape_records: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Writes down what is done here; the words in it stand beside the entry, where they can be erased.
    pub(super) fn audit(
        &mut self,
        actor: impl Into<Cow<'static, str>>,
        action: &'static str,
        subject: (&'static str, String),
        mission: Option<MissionId>,
        body: impl Into<Body>,
    ) {
        let actor = actor.into();
        let body = super::audit::part(&actor, (subject.0, &subject.1), body.into(), &mut self.rng);
        self.audit.push(AuditEntry {
            at: self.now,
            actor,
            action: action.into(),
            subject_kind: subject.0.into(),
            subject: subject.1,
            mission,
            body,
        });
    }

    pub(super) fn audit_mission(&mut self, actor: &Actor, action: &'static str, id: MissionId, body: Value) {
        self.audit(actor.0.clone(), action, ("mission", id.to_string()), Some(id), body);
    }

    pub(super) fn delta(&mut self, mission: MissionId) -> &mut MissionDelta {
        self.deltas.entry(mission).or_insert_with(|| MissionDelta::of(mission))
    }

    /// Moves the counters for one task's step.
    pub(super) fn moved(&mut self, mission: MissionId, from: TaskStatus, to: TaskStatus) {
        let leased = |status| i64::from(matches!(status, TaskStatus::Leased | TaskStatus::Running));
        let delta = self.delta(mission);
        delta.leased += leased(to) - leased(from);
        if to.is_terminal() && !from.is_terminal() {
            delta.open -= 1;
        }
        match to {
            _ if from == to => {}
            TaskStatus::Succeeded => delta.succeeded += 1,
            TaskStatus::Failed => delta.failed += 1,
            TaskStatus::Skipped => delta.skipped += 1,
            TaskStatus::Cancelled => delta.cancelled += 1,
            _ => {}
        }
    }

    /// Applies the moved counters; gives the missions as they are then, locked.
    pub(super) async fn flush_counters(&mut self) -> Result<Vec<MissionRow>> {
        let deltas: Vec<_> = std::mem::take(&mut self.deltas).into_values().collect();
        if deltas.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.tx.finish_counters(&deltas).await?)
    }

    /// Something is to happen at a certain time.
    pub(super) fn timer(&mut self) {
        self.timers = true;
    }

    /// The next tags of a mission's tasks that became ready now.
    pub(super) fn tags(&self, mission: &mut MissionRow, count: usize) -> Vec<i64> {
        let last = u64::try_from(mission.last_tag).ok().filter(|tag| *tag > 0);
        let tags: Vec<i64> = fairness::tags(self.app.virtual_time(), last, 1, count)
            .map(|tag| i64::try_from(tag).unwrap_or(i64::MAX))
            .collect();
        if let Some(newest) = tags.last() {
            mission.last_tag = *newest;
        }
        tags
    }

    /// Ends the unit: what is left is written, the store's topics are woken.
    pub(super) async fn finish(mut self) -> Result<After> {
        self.flush_counters().await?;
        if !self.scores.is_empty() {
            self.tx.score_predictions(&self.scores).await?;
        }
        if !self.shape_records.is_empty() {
            self.tx.add_shape_records(&self.shape_records).await?;
        }
        super::beliefs::count_causes(self.tx, self.now, &self.causes).await?;
        if !self.after.ready.is_empty() {
            self.tx.wake(Topic::Ready);
        }
        if self.after.judge {
            self.tx.wake(Topic::Missions);
        }
        let kind = if self.after.at_once { NoticeKind::Kill } else { NoticeKind::Cancel };
        super::nodes::leave(self.app, self.tx, (kind, self.after.cancel.as_slice()), &self.after.recall)
            .await?;
        if self.timers {
            self.tx.wake(Topic::Timers);
        }
        if !self.audit.is_empty() {
            self.tx.audit(std::mem::take(&mut self.audit))?;
        }
        Ok(self.after)
    }
}

impl After {
    /// As [`Self::run`], for a unit that may have granted: then orders leave.
    pub(super) async fn run_and_send(mut self, app: &App) {
        let granted = self.granted.take();
        if let Some(granted) = &granted {
            for class in granted.drained() {
                self.ready.remove(&class);
            }
        }
        self.run(app);
        if let Some(granted) = granted {
            granted.send(app).await;
        }
    }

    /// Sends and remembers what the commit allows.
    pub(super) fn run(mut self, app: &App) {
        for class in &self.learned {
            app.classes.learn(ClassId(class.id.0), &class.key);
        }
        if !self.ready.is_empty() {
            app.classes.activate(std::mem::take(&mut self.ready));
            if !self.attended {
                super::dispatch::wake(app);
            }
        }
        app.running.forget(self.ended.iter().map(|(_, attempt)| attempt));
        let mut ended = BTreeMap::<AgentId, Vec<AttemptRef>>::new();
        for (agent, attempt) in &self.ended {
            if let Some(agent) = agent {
                ended.entry(*agent).or_default().push(*attempt);
            }
        }
        for (agent, attempts) in &ended {
            if let Some(live) = app.sessions.get(*agent) {
                live.release(attempts);
            }
        }
        for (agent, (count, together)) in self.worked {
            if let Some(live) = app.sessions.get(agent) {
                live.worked(count, together);
            }
        }
        if !ended.is_empty() && !self.attended {
            // Slots are free.
            super::dispatch::wake(app);
        }
        let grace = if self.at_once { Duration::ZERO } else { GRACE };
        for (agent, attempts) in by_agent(self.cancel) {
            for part in attempts.chunks(MAX_BATCH_ITEMS) {
                let cancel = Cancel { attempts: part.to_vec(), grace };
                app.sessions.offer(agent, CoordinatorMessage::Cancel(cancel));
            }
        }
        for (agent, attempts) in by_agent(self.recall) {
            for part in attempts.chunks(MAX_BATCH_ITEMS) {
                app.sessions.offer(agent, CoordinatorMessage::Recall(part.to_vec()));
            }
        }
        app.history.observe(&self.outcomes);
        for (shape, succeeded, duration) in self.shapes {
            app.history.observe_shape(shape, succeeded, duration);
        }
        if self.judge {
            super::evolution::judge_soon(app);
        }
        if self.sub_missions {
            super::sub_missions::look_soon(app);
        }
    }
}

fn by_agent(attempts: Vec<(AgentId, AttemptRef)>) -> BTreeMap<AgentId, Vec<AttemptRef>> {
    let mut grouped = BTreeMap::<_, Vec<_>>::new();
    for (agent, attempt) in attempts {
        grouped.entry(agent).or_default().push(attempt);
    }
    grouped
}

/// Who did it, as the audit trail names them.
#[derive(Debug, Clone)]
pub(crate) struct Actor(pub Cow<'static, str>);

impl Actor {
    pub(super) const fn system() -> Self {
        Self(Cow::Borrowed(SYSTEM))
    }

    pub(super) fn agent(agent: AgentId) -> Self {
        Self(Cow::Owned(agent.to_string()))
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self(Cow::Owned(caller.principal.to_string()))
    }
}

/// A task's newest attempt by name.
pub(super) const fn attempt_of(row: &TaskRow) -> AttemptRef {
    AttemptRef { task: row.id, fence: row.fence() }
}

/// A task's subject in the audit trail.
pub(super) fn task_subject(id: TaskId) -> (&'static str, String) {
    ("task", id.to_string())
}

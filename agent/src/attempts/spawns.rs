//! Tasks that running attempts add: held against the attempt's own order, signed, written down before they are sent, sent
//! again in each session until they are answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::{Spawn, SpawnAnswer};
use nexusmon_shared::plan::{TaskDraft, TaskSpec, Usual};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::time::Span;
use nexusmon_shared::trust::spawned::{MAX_SPAWNED_BYTES, Spawned};
use serde_json::Value;
use tokio::sync::oneshot;

use super::supervisor::{Happening, Supervisor};
use crate::consent::rank_floor;
use crate::journal::JournalError;

/// Work that is not idempotent may be finished for so long by an agent that is cut off, where nothing is said.
const OFFLINE: Span = Span(Duration::from_mins(15));

/// Whether the task was added.
pub(super) type Answer = Result<TaskId, String>;

/// What an attempt asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) attempt: AttemptRef,
    /// As the process wrote it.
    pub(super) task: Value,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Of a running attempt that may add tasks.
#[derive(Debug)]
pub(super) struct Adding {
    pub(super) plan: Digest,
    pub(super) leaf: Arc<TaskSpec>,
    pub(super) added: Vec<(TaskSpec, TaskId)>,
}

/// One that the coordinator has not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    task: TaskId,
    attempt: AttemptRef,
    signed: Bytes,
    /// It is on the disk, and may be sent.
    durable: bool,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Supervisor {
    /// Those an earlier life wrote down.
    pub(super) fn recover_spawns(&mut self) {
        for (task, attempt, signed) in self.journal.spawns() {
            self.spawns.push(Unanswered { task, attempt, signed, durable: true, waiting: Vec::new() });
        }
    }

    pub(super) fn asked_to_add(&mut self, asked: Asked) {
        let Asked { attempt, task, answer } = asked;
        match self.add(attempt, task) {
            Ok(Known::Answered(task)) => drop(answer.send(Ok(task))),
            Ok(Known::Waits(task)) => {
                if let Some(unanswered) = self.spawns.iter_mut().find(|one| one.task == task) {
                    unanswered.waiting.push(answer);
                }
            }
            Err(refused) => drop(answer.send(Err(refused))),
        }
    }

    fn add(&mut self, attempt: AttemptRef, task: Value) -> Result<Known, String> {
        let draft: TaskDraft = serde_json::from_value(task).map_err(|error| format!("the task: {error}"))?;
        let usual = self.usual(&draft);
        let adding = self.live.get_mut(&attempt).and_then(|live| live.adding.as_mut());
        let adding = adding.ok_or("the leaf of this task has no `spawn`: it may add no tasks")?;
        let leaf = draft.added_by(&adding.leaf.id, usual);
        if let Some((same, task)) = adding.added.iter().find(|(other, _)| other.id == leaf.id) {
            if *same != leaf {
                return Err(format!("`id`: this attempt has added another task `{}`", leaf.id));
            }
            let waits = self.spawns.iter().any(|one| one.task == *task);
            return Ok(if waits { Known::Waits(*task) } else { Known::Answered(*task) });
        }
        let number = u32::try_from(adding.added.len()).unwrap_or(u32::MAX);
        adding.leaf.may_spawn(&leaf, number).map_err(|error| error.to_string())?;
        if let Some(offered) = self.standing.catalogue.get(&leaf.uses) {
            let levels = [Level::L3].into();
            let rank = rank_floor(&leaf, &offered.spec, &levels, &self.standing.allow_private);
            adding.leaf.may_spawn_rank(rank).map_err(|error| error.to_string())?;
        }
        let document = Spawned {
            organism: self.standing.organism,
            agent: self.standing.agent,
            plan_digest: adding.plan,
            parent: attempt,
            number,
            leaf: leaf.clone(),
        };
        let signed = self.parts.keys.sign_spawned(document);
        let signed = signed.ok_or("the task holds a number that JSON cannot carry exactly")?;
        let (task, bytes) = (signed.document.task(), Bytes::from(signed.to_bytes()));
        if bytes.len() > MAX_SPAWNED_BYTES {
            return Err(format!("the task is {} bytes, more than {MAX_SPAWNED_BYTES}", bytes.len()));
        }
        adding.added.push((leaf, task));
        let mark = self.journal.spawned(attempt, task, bytes.clone());
        self.spawns.push(Unanswered { task, attempt, signed: bytes, durable: false, waiting: Vec::new() });
        let (journal, happenings) = (self.journal.clone(), self.happenings.clone());
        self.lifecycle.spawn_quiet("spawn", async move {
            journal.synced(mark).await?;
            let _ = happenings.send(Happening::SpawnWritten(task));
            Ok::<(), JournalError>(())
        });
        Ok(Known::Waits(task))
    }

    /// What hangs on the capability, as far as this machine knows it.
    fn usual(&self, draft: &TaskDraft) -> Usual {
        let known = self.standing.catalogue.get(&draft.uses);
        let profile = known.and_then(|offered| offered.spec.sandbox).unwrap_or(Profile::Strict);
        let usual = Usual { idempotent: false, profile, offline: OFFLINE };
        let Some(offered) = known else { return usual };
        let leaf = draft.clone().added_by(&draft.id, usual);
        let rank = rank_floor(&leaf, &offered.spec, &[Level::L3].into(), &self.standing.allow_private);
        Usual { idempotent: offered.spec.idempotent.unwrap_or(rank <= Rank::D), ..usual }
    }

    /// It is on the disk, and with it all that was written before: they may leave, in the order they were asked for.
    pub(super) fn spawn_written(&mut self, task: TaskId) {
        let Some(last) = self.spawns.iter().position(|one| one.task == task) else { return };
        for one in self.spawns[..=last].iter_mut().filter(|one| !one.durable) {
            one.durable = true;
            self.round.spawns.push(Spawn { task: one.task, signed: one.signed.clone() });
        }
    }

    /// A new session: whether the coordinator has what was sent in the one before nobody here knows.
    pub(super) fn spawn_again(&mut self) {
        let durable = self.spawns.iter().filter(|one| one.durable);
        self.round.spawns = durable.map(|one| Spawn { task: one.task, signed: one.signed.clone() }).collect();
    }

    pub(super) fn spawn_answered(&mut self, answer: SpawnAnswer) {
        let SpawnAnswer { task, refused } = answer;
        let Some(place) = self.spawns.iter().position(|one| one.task == task) else { return };
        let unanswered = self.spawns.remove(place);
        self.journal.spawn_answered(task);
        let answer = if refused.is_empty() { Ok(task) } else { Err(refused) };
        if let Err(reason) = &answer {
            tracing::warn!(%task, %reason, "the coordinator did not add a task");
            if let Some(adding) = self.live.get_mut(&unanswered.attempt).and_then(|live| live.adding.as_mut())
            {
                adding.added.retain(|(_, other)| *other != task);
            }
        }
        for waiting in unanswered.waiting {
            let _ = waiting.send(answer.clone());
        }
    }

    /// Their attempts are settled, or stale: nothing is to be added for them any more.
    pub(super) fn forget_spawns(&mut self, attempts: &[AttemptRef]) {
        if !self.spawns.is_empty() {
            self.spawns.retain(|one| !attempts.contains(&one.attempt));
        }
    }
}

enum Known {
    Answered(TaskId),
    Waits(TaskId),
}

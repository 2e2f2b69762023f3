//! What is to be sent to the coordinator, filled by the supervisor and emptied by the link.
//!
//! There is no timer: a batch is whatever gathered while the previous one was being sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::message::{Events, HaltAck, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Progress, Spawn, Started};
use tokio::sync::Notify;

use crate::journal::Kept;

/// Encoded bytes of an item without text.
const ITEM_BYTES: usize = 96;

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    content: Mutex<Content>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Content {
    accepted: VecDeque<AttemptRef>,
    started: VecDeque<Started>,
    progress: VecDeque<Progress>,
    finished: VecDeque<(Arc<Kept>, usize)>,
    secrets: VecDeque<AttemptRef>,
    spawns: VecDeque<Spawn>,
    credit: u32,
    /// The coordinator knows less credit than there is.
    credit_grew: bool,
    reopen: bool,
    drain: Option<&'static str>,
    halt: Option<HaltAck>,
    closed: bool,
}

/// What the link is to do next.
#[derive(Debug)]
pub enum Outgoing {
    Events(Events),
    /// Ask to be drained, for this reason.
    DrainRequested(&'static str),
    /// The kill switch holds here.
    HaltAck(HaltAck),
    /// Ask for what this attempt's leaf names.
    SecretRequest(AttemptRef),
    /// Add a task; in front of the report of its attempt.
    Spawn(Spawn),
    /// Begin the session anew: something must be said that only a Hello can say.
    Reopen,
    /// The supervisor has ended; nothing more will come.
    Closed,
}

/// New items of one round of the supervisor.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) accepted: Vec<AttemptRef>,
    pub(super) started: Vec<Started>,
    pub(super) progress: Vec<Progress>,
    pub(super) finished: Vec<(Arc<Kept>, usize)>,
    /// Attempts that wait for their secrets before they start.
    pub(super) secrets: Vec<AttemptRef>,
    /// What attempts add, written down by now.
    pub(super) spawns: Vec<Spawn>,
    pub(super) reopen: bool,
    pub(super) drain: Option<&'static str>,
    pub(super) halt: Option<HaltAck>,
}

impl Outbox {
    /// Waits until there is something to send, and takes at most one batch of it.
    pub async fn next(&self) -> Outgoing {
        loop {
            let filled = self.filled.notified();
            if let Some(outgoing) = self.take() {
                return outgoing;
            }
            filled.await;
        }
    }

    /// Orders this agent can take beyond what it holds.
    pub fn credit(&self) -> u32 {
        self.lock().credit
    }

    /// One batch, if there is anything.
    pub fn take(&self) -> Option<Outgoing> {
        let mut content = self.lock();
        if std::mem::take(&mut content.reopen) {
            return Some(Outgoing::Reopen);
        }
        if let Some(reason) = content.drain.take() {
            return Some(Outgoing::DrainRequested(reason));
        }
        if let Some(ack) = content.halt.take() {
            return Some(Outgoing::HaltAck(ack));
        }
        if let Some(attempt) = content.secrets.pop_front() {
            if !(content.is_empty() && content.secrets.is_empty() && content.spawns.is_empty()) {
                self.filled.notify_one();
            }
            return Some(Outgoing::SecretRequest(attempt));
        }
        if let Some(spawn) = content.spawns.pop_front() {
            if !(content.is_empty() && content.spawns.is_empty()) {
                self.filled.notify_one();
            }
            return Some(Outgoing::Spawn(spawn));
        }
        if content.is_empty() {
            return content.closed.then_some(Outgoing::Closed);
        }
        let events = content.batch();
        if !content.is_empty() {
            self.filled.notify_one();
        }
        Some(Outgoing::Events(events))
    }

    /// Drops all events: they are either told again after the welcome or were told by the Hello.
    pub(super) fn clear(&self) {
        let mut content = self.lock();
        let Content { credit, reopen, drain, closed, .. } = *content;
        *content = Content { credit, reopen, drain, closed, ..Content::default() };
    }

    pub(super) fn add(&self, round: &mut Round, credit: u32) {
        let mut content = self.lock();
        content.accepted.extend(round.accepted.drain(..));
        content.started.extend(round.started.drain(..));
        for progress in round.progress.drain(..) {
            // Only the newest progress of an attempt is worth sending.
            match content.progress.iter_mut().find(|waiting| waiting.attempt == progress.attempt) {
                Some(waiting) => *waiting = progress,
                None => content.progress.push_back(progress),
            }
        }
        content.finished.extend(round.finished.drain(..));
        content.secrets.extend(round.secrets.drain(..));
        content.spawns.extend(round.spawns.drain(..));
        content.credit_grew |= credit > content.credit;
        content.credit = credit;
        content.reopen |= std::mem::take(&mut round.reopen);
        content.drain = round.drain.take().or(content.drain);
        content.halt = round.halt.take().or(content.halt);
        let asks = !content.secrets.is_empty() || !content.spawns.is_empty();
        if !content.is_empty() || asks || content.reopen || content.drain.is_some() || content.halt.is_some()
        {
            drop(content);
            self.filled.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no holder of this lock panics")
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        self.accepted.is_empty()
            && self.started.is_empty()
            && self.progress.is_empty()
            && self.finished.is_empty()
            && !self.credit_grew
    }

    fn batch(&mut self) -> Events {
        let mut events = Events { credit: self.credit, ..Events::default() };
        self.credit_grew = false;
        let mut room = MAX_BATCH_ITEMS;
        events.accepted.extend(self.accepted.drain(..room.min(self.accepted.len())));
        room -= events.accepted.len();
        events.started.extend(self.started.drain(..room.min(self.started.len())));
        room -= events.started.len();
        events.progress.extend(self.progress.drain(..room.min(self.progress.len())));
        room -= events.progress.len();
        if nexusmon_shared::planted::planted("agent-insists") {
            room /= 2;
        }
        let mut bytes = 2 * ITEM_BYTES * MAX_BATCH_ITEMS;
        while let Some((_, size)) = self.finished.front() {
            let larger = bytes + size + ITEM_BYTES;
            if room == 0 || (larger > MAX_BATCH_BYTES && !events.finished.is_empty()) {
                break;
            }
            (room, bytes) = (room - 1, larger);
            let (kept, _) = self.finished.pop_front().expect("looked at it above");
            events.finished.push(kept.report.clone());
            if nexusmon_shared::planted::planted("agent-insists") {
                events.finished.push(kept.report.clone());
            }
        }
        events
    }
}

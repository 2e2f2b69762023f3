//! The task that owns every attempt. Each round: handle what was told, start what may start, end what must end, publish.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::message::{
    HaltLevel, HeldAttempt, MAX_PROGRESS_TEXT_BYTES, OrderInput, Progress, Started, Welcome,
};
use nexusmon_shared::outcome::{Cause, Ending, ProducedArtifact, Report};
use nexusmon_shared::time::Timestamp;
use tokio::sync::mpsc;

use super::intake::Plans;
use super::outbox::Round;
use super::reports::Reports;
use super::{Command, Held, Outbox, Parts, Summary};
use crate::consent::{Catalogue, Standing};
use crate::journal::{Journal, JournalError, Kept, Stage};
use crate::run::{Answer, Exit, Job, JobInput, MARGIN, Phase, Reason};
use crate::worker::{Canceller, Hooks, Leftover, cancellation};

/// From SIGTERM to SIGKILL where the coordinator gave no other grace.
const GRACE: Duration = Duration::from_secs(5);
/// The same for work whose lease is about to end: the margin must suffice.
const LEASE_GRACE: Duration = Duration::from_secs(2);
/// With this many reports unacknowledged nothing more is asked for.
const MOST_UNACKNOWLEDGED: usize = 4_096;
/// How often leases are looked at. The worker holds the exact deadlines, on the boot clock.
const TICK: Duration = Duration::from_secs(1);

/// Something that happened to an attempt.
pub(super) enum Happening {
    Fetched(AttemptRef, Result<Vec<JobInput>, String>),
    Started(AttemptRef, Timestamp),
    Progress(Progress),
    Exited(AttemptRef, Box<Exit>),
    Delivered(AttemptRef, Result<Vec<ProducedArtifact>, String>),
}

/// An attempt that has not ended.
pub(super) struct Live {
    pub(super) phase: Phase,
    /// Until it starts.
    pub(super) job: Option<Box<Job>>,
    pub(super) idempotent: bool,
    pub(super) offline: Duration,
    pub(super) instance: Option<Digest>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) canceller: Option<Canceller>,
    /// The courier keeps files for it.
    pub(super) has_inputs: bool,
}

pub(super) struct Supervisor {
    pub(super) parts: Parts,
    pub(super) journal: Journal,
    pub(super) standing: Standing,
    pub(super) live: BTreeMap<AttemptRef, Live>,
    pub(super) queue: VecDeque<AttemptRef>,
    pub(super) plans: Plans,
    pub(super) round: Round,
    pub(super) session: u64,
    pub(super) lease_until: Duration,
    pub(super) halt: HaltLevel,
    pub(super) draining: bool,
    pub(super) paused: bool,
    /// Asked to stop; attempts may go on until then.
    pub(super) stopping: Option<Duration>,
    /// When there last was an attempt, or the stop began.
    idle_since: Duration,
    pub(super) reports: Reports,
    running: u32,
    prefetch: u32,
    uploading: HashMap<AttemptRef, Arc<Kept>>,
    outbox: Arc<Outbox>,
    lifecycle: Lifecycle,
    happenings: mpsc::UnboundedSender<Happening>,
    happened: Option<mpsc::UnboundedReceiver<Happening>>,
}

impl Supervisor {
    /// Ends every tree an earlier life left, and takes up its reports.
    pub(super) async fn recover(
        parts: Parts,
        journal: Journal,
        outbox: Arc<Outbox>,
        lifecycle: Lifecycle,
    ) -> Self {
        let held = journal.held();
        let leftovers = held.iter().map(|(attempt, stage)| Leftover {
            attempt: *attempt,
            finished: matches!(stage, Stage::Exited(_)),
        });
        parts.worker.recover(leftovers.collect()).await;
        let (happenings, happened) = mpsc::unbounded_channel();
        let mut supervisor = Self {
            standing: parts.standing.clone(),
            paused: parts.paused,
            parts,
            journal,
            live: BTreeMap::new(),
            queue: VecDeque::new(),
            plans: Plans::default(),
            round: Round::default(),
            session: 0,
            lease_until: Duration::ZERO,
            halt: HaltLevel::None,
            draining: false,
            stopping: None,
            idle_since: Duration::ZERO,
            reports: Reports::default(),
            running: 0,
            prefetch: 0,
            uploading: HashMap::new(),
            outbox,
            lifecycle,
            happenings,
            happened: Some(happened),
        };
        for (attempt, stage) in held {
            match stage {
                Stage::Received => supervisor.answer(attempt, Ending::Returned),
                Stage::Starting { idempotent } => supervisor.lost(attempt, idempotent),
                Stage::Exited(kept) => supervisor.settle(kept, true),
            }
        }
        supervisor
    }

    /// Runs until the process is to stop and nothing is left to do.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut happened = self.happened.take().expect("set in recover, taken only here");
        let mut manifests = self.parts.worker.manifests();
        manifests.mark_changed();
        let soft = self.lifecycle.soft();
        let (mut told, mut news) = (Vec::new(), Vec::new());
        while !self.is_done() {
            let tick = self.next_tick();
            tokio::select! {
                _ = commands.recv_many(&mut told, 64) => {
                    for command in told.drain(..) {
                        self.command(command);
                    }
                }
                _ = happened.recv_many(&mut news, 512) => {
                    for happening in news.drain(..) {
                        self.happening(happening);
                    }
                }
                Ok(()) = manifests.changed() => {
                    let offered = manifests.borrow_and_update().clone();
                    let (catalogue, problems) = Catalogue::new(&offered);
                    for problem in problems {
                        tracing::warn!(%problem, "a capability cannot be offered");
                    }
                    self.standing.catalogue = Arc::new(catalogue);
                }
                () = tokio::time::sleep(tick.unwrap_or_default()), if tick.is_some() => {}
                () = soft.cancelled(), if self.stopping.is_none() => self.stop(),
            }
            let now = self.parts.clock.boot();
            self.expire(now);
            self.start_queued(now);
            self.reports.write(&self.journal, Some(now));
            if !self.live.is_empty() {
                self.idle_since = now;
            }
            let credit = self.credit();
            self.outbox.add(&mut self.round, credit);
        }
        self.reports.write(&self.journal, None);
        self.outbox.close();
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Hello(answer) => {
                let _ = answer.send(self.hello());
            }
            Command::Welcome { welcome, lease_until, done } => {
                self.welcome(*welcome, lease_until);
                let credit = self.credit();
                self.outbox.add(&mut self.round, credit);
                let _ = done.send(());
            }
            Command::Plan(notice) => self.plans.add(&notice),
            Command::Orders { orders, lease_until } => {
                self.renewed(lease_until);
                self.orders(orders);
            }
            Command::Renewed { lease_until } => self.renewed(lease_until),
            Command::Acknowledged(attempts) => {
                for attempt in self.reports.acknowledge(&attempts) {
                    self.parts.worker.release(attempt);
                }
                self.journal.acknowledged(attempts);
            }
            Command::Cancel(cancel) => {
                for attempt in cancel.attempts {
                    self.end(attempt, Reason::Cancelled, cancel.grace);
                }
            }
            Command::Recall(attempts) if attempts.is_empty() => self.recall_all(),
            Command::Recall(attempts) => {
                for attempt in attempts {
                    self.end(attempt, Reason::Recalled, GRACE);
                }
            }
            Command::Drain(on) => {
                self.draining = on;
                if on {
                    self.recall_all();
                }
            }
            Command::Flags(disabled) => self.standing.disabled = disabled.into_iter().collect(),
            Command::Halt(level) => self.halt(level),
            Command::Pause(on) => self.pause(on),
            Command::Summary(answer) => {
                let _ = answer.send(self.summary());
            }
        }
    }

    fn happening(&mut self, happening: Happening) {
        match happening {
            Happening::Fetched(attempt, fetched) => self.fetched(attempt, fetched),
            Happening::Started(attempt, at) => {
                if let Some(live) = self.live.get_mut(&attempt) {
                    live.started_at = Some(at);
                    self.round.started.push(Started { attempt, at });
                }
            }
            Happening::Progress(progress) => {
                if self.live.contains_key(&progress.attempt) {
                    let text = bounded(progress.text, MAX_PROGRESS_TEXT_BYTES);
                    self.round.progress.push(Progress { text, ..progress });
                }
            }
            Happening::Exited(attempt, exit) => self.exited(attempt, *exit),
            Happening::Delivered(attempt, delivered) => self.delivered(attempt, delivered),
        }
    }

    fn hello(&mut self) -> Held {
        let live = self.live.iter().map(|(attempt, live)| HeldAttempt {
            attempt: *attempt,
            started: live.phase.has_started(),
            finished: false,
        });
        let finished = |kept: &Kept| HeldAttempt {
            attempt: kept.report.attempt,
            started: kept.report.started_at.is_some(),
            finished: true,
        };
        let waiting = self.reports.attempts().map(finished);
        let uploading = self.uploading.values().map(|kept| finished(kept));
        Held { attempts: live.chain(waiting).chain(uploading).collect(), paused: self.is_paused() }
    }

    fn welcome(&mut self, welcome: Welcome, lease_until: Duration) {
        self.session = welcome.session;
        self.standing.labels = welcome.labels;
        self.standing.ceiling = welcome.max_rank;
        self.prefetch = welcome.prefetch;
        self.draining = welcome.draining;
        self.plans = Plans::default();
        self.renewed(lease_until);
        self.outbox.clear();
        self.round = Round::default();
        for attempt in &welcome.stale {
            self.end(*attempt, Reason::Stale, Duration::ZERO);
        }
        for attempt in self.reports.acknowledge(&welcome.stale) {
            self.parts.worker.release(attempt);
        }
        self.journal.acknowledged(welcome.stale);
        if self.draining {
            self.recall_all();
        }
        // `end` above may have put reports into the round, and they are among these.
        self.round.finished = self.reports.all().collect();
        for (attempt, live) in &self.live {
            match live.started_at {
                Some(at) => self.round.started.push(Started { attempt: *attempt, at }),
                None => self.round.accepted.push(*attempt),
            }
        }
    }

    fn renewed(&mut self, lease_until: Duration) {
        if lease_until > self.lease_until {
            self.lease_until = lease_until;
            self.parts.worker.renew(self.live_until());
        }
    }

    /// Work that may be repeated ends then.
    pub(super) fn live_until(&self) -> Duration {
        self.lease_until.saturating_sub(MARGIN)
    }

    fn halt(&mut self, level: HaltLevel) {
        if level != self.halt {
            tracing::warn!(level = level.as_str(), "halt");
        }
        self.halt = level;
        if level >= HaltLevel::Halt {
            self.recall_all();
        }
        if level == HaltLevel::Stop {
            for attempt in self.live.keys().copied().collect::<Vec<_>>() {
                self.end(attempt, Reason::Cancelled, GRACE);
            }
        }
    }

    fn pause(&mut self, on: bool) {
        if on == self.paused {
            return;
        }
        self.paused = on;
        if on {
            self.recall_all();
            self.round.drain = Some("paused by the machine's admin");
        } else {
            self.round.reopen = true;
        }
    }

    fn stop(&mut self) {
        let now = self.parts.clock.boot();
        self.stopping = Some(now + self.parts.stop_grace);
        self.idle_since = now;
        self.recall_all();
        self.round.drain = Some("the agent is being stopped");
    }

    fn is_done(&self) -> bool {
        if self.stopping.is_none() {
            return false;
        }
        // Reports are given a moment more than the attempts; the journal keeps the rest.
        let late = self.parts.clock.boot() > self.idle_since + GRACE;
        self.live.is_empty() && (late || (self.reports.is_empty() && self.uploading.is_empty()))
    }

    fn is_paused(&self) -> bool {
        self.paused || self.stopping.is_some()
    }

    /// Whether something may start at all.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && !self.is_paused() && self.halt == HaltLevel::None
    }

    fn recall_all(&mut self) {
        for attempt in self.live.keys().copied().collect::<Vec<_>>() {
            self.end(attempt, Reason::Recalled, GRACE);
        }
    }

    pub(super) fn end(&mut self, attempt: AttemptRef, reason: Reason, grace: Duration) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        match live.phase.end(reason) {
            Answer::Report(ending) => {
                self.remove(attempt);
                self.answer(attempt, ending);
            }
            Answer::Forget => {
                self.remove(attempt);
                self.journal.acknowledged([attempt]);
            }
            Answer::Tell => {
                if let Some(canceller) = &live.canceller {
                    canceller.cancel(grace);
                }
            }
            Answer::Nothing => {}
        }
    }

    /// Ends what nobody has renewed, and everything once stopping has taken long enough.
    fn expire(&mut self, now: Duration) {
        let live_until = self.live_until();
        let stop = self.stopping.is_some_and(|deadline| now >= deadline);
        if now < live_until && !stop {
            return;
        }
        let ended: Vec<AttemptRef> = self
            .live
            .iter()
            .filter(|(_, live)| stop || !live.phase.has_started() || now >= live_until + live.offline)
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in ended {
            self.end(attempt, Reason::LeaseEnded, LEASE_GRACE);
        }
    }

    fn start_queued(&mut self, now: Duration) {
        if !self.takes_work() || now >= self.live_until() {
            return;
        }
        while self.running < self.parts.slots {
            let Some(attempt) = self.queue.pop_front() else { return };
            if !self.is_blocked(attempt) {
                self.start(attempt);
            }
        }
    }

    /// An older attempt of the same task is still being ended; its exit puts this one into the queue again.
    fn is_blocked(&self, attempt: AttemptRef) -> bool {
        self.older(attempt).any(|(_, live)| live.phase.has_started())
    }

    pub(super) fn older(&self, attempt: AttemptRef) -> impl Iterator<Item = (&AttemptRef, &Live)> {
        let first = AttemptRef { task: attempt.task, fence: Fence { epoch: 0, number: 0 } };
        self.live.range(first..attempt)
    }

    fn start(&mut self, attempt: AttemptRef) {
        let Some(live) = self.live.get_mut(&attempt).filter(|live| live.phase == Phase::Queued) else {
            return;
        };
        let Some(job) = live.job.take() else { return };
        let idempotent = live.idempotent;
        let (canceller, token) = cancellation();
        live.phase = Phase::Starting;
        live.canceller = Some(canceller);
        self.running += 1;
        let mark = self.journal.starting(attempt, idempotent, live.instance);
        let (journal, worker) = (self.journal.clone(), Arc::clone(&self.parts.worker));
        let (happenings, clock) = (self.happenings.clone(), Arc::clone(&self.parts.clock));
        let hooks = self.hooks(attempt);
        self.lifecycle.spawn_quiet("attempt", async move {
            if !idempotent {
                journal.synced(mark).await?;
            }
            let exit = if token.requested().is_some() {
                never_started(clock.now())
            } else {
                worker.execute(*job, token, hooks).await
            };
            let _ = happenings.send(Happening::Exited(attempt, Box::new(exit)));
            Ok::<(), JournalError>(())
        });
    }

    fn hooks(&self, attempt: AttemptRef) -> Hooks {
        let (started, progress) = (self.happenings.clone(), self.happenings.clone());
        Hooks {
            started: Box::new(move |at| {
                let _ = started.send(Happening::Started(attempt, at));
            }),
            progress: Arc::new(move |fraction, text| {
                let _ = progress.send(Happening::Progress(Progress { attempt, fraction, text }));
            }),
        }
    }

    pub(super) fn fetch(&mut self, attempt: AttemptRef, inputs: Vec<OrderInput>) {
        let happenings = self.happenings.clone();
        let fetching = self.parts.courier.fetch(attempt, inputs);
        let (canceller, mut token) = cancellation();
        if let Some(live) = self.live.get_mut(&attempt) {
            // Dropped with the attempt, which ends the fetching.
            live.canceller = Some(canceller);
        }
        self.lifecycle.spawn_quiet("fetch", async move {
            tokio::select! {
                fetched = fetching => {
                    let _ = happenings.send(Happening::Fetched(attempt, fetched));
                }
                () = token.abandoned() => {}
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }

    fn fetched(&mut self, attempt: AttemptRef, fetched: Result<Vec<JobInput>, String>) {
        let Some(live) = self.live.get_mut(&attempt).filter(|live| live.phase == Phase::Fetching) else {
            return;
        };
        match (fetched, &mut live.job) {
            (Ok(inputs), Some(job)) => {
                job.inputs = inputs;
                live.phase = Phase::Queued;
                live.canceller = None;
                self.queue.push_back(attempt);
            }
            (Err(detail), _) => {
                self.remove(attempt);
                self.answer(attempt, Ending::Failed { cause: Cause::ArtifactFailed { detail } });
            }
            (Ok(_), None) => {}
        }
    }

    fn exited(&mut self, attempt: AttemptRef, exit: Exit) {
        let Some(live) = self.remove(attempt) else { return };
        self.running -= 1;
        self.unblock(attempt.task);
        let Some(ending) = live.phase.exited(exit.ending) else {
            self.journal.acknowledged([attempt]);
            self.parts.worker.release(attempt);
            return;
        };
        let report = Report {
            attempt,
            ending,
            started_at: exit.started_at.or(live.started_at),
            finished_at: exit.finished_at,
            artifacts: Vec::new(),
            log_bytes: exit.log_bytes,
            sandbox_level: exit.sandbox_level,
        };
        let kept = Arc::new(Kept { report, collected: exit.artifacts, idempotent: live.idempotent });
        self.settle(kept, false);
    }

    fn remove(&mut self, attempt: AttemptRef) -> Option<Live> {
        let live = self.live.remove(&attempt)?;
        if live.has_inputs {
            self.parts.courier.done(attempt);
        }
        Some(live)
    }

    fn unblock(&mut self, task: TaskId) {
        let first = AttemptRef { task, fence: Fence { epoch: 0, number: 0 } };
        let last = AttemptRef { task, fence: Fence { epoch: u32::MAX, number: u64::MAX } };
        let waiting = self.live.range(first..=last).filter(|(_, live)| live.phase == Phase::Queued);
        for (attempt, _) in waiting {
            if !self.queue.contains(attempt) {
                self.queue.push_back(*attempt);
            }
        }
    }

    /// Keeps a report of executed work until it is acknowledged, its files uploaded first.
    fn settle(&mut self, kept: Arc<Kept>, written: bool) {
        let attempt = kept.report.attempt;
        // Work that may be repeated loses nothing but time in a crash, unless there are files to be uploaded.
        let write = !written && (!kept.idempotent || !kept.collected.is_empty());
        if write {
            self.journal.exited(Arc::clone(&kept));
        }
        if kept.collected.is_empty() {
            let unwritten = (!write && !written).then(|| self.parts.clock.boot());
            let size = self.reports.keep(Arc::clone(&kept), true, unwritten);
            self.round.finished.push((kept, size));
            return;
        }
        let delivering = self.parts.courier.deliver(attempt, kept.collected.clone());
        let happenings = self.happenings.clone();
        self.uploading.insert(attempt, kept);
        self.lifecycle.spawn_quiet("deliver", async move {
            let delivered = delivering.await;
            let _ = happenings.send(Happening::Delivered(attempt, delivered));
            Ok::<(), std::convert::Infallible>(())
        });
    }

    fn delivered(&mut self, attempt: AttemptRef, delivered: Result<Vec<ProducedArtifact>, String>) {
        let Some(kept) = self.uploading.remove(&attempt) else { return };
        let mut report = kept.report.clone();
        match delivered {
            Ok(artifacts) => report.artifacts = artifacts,
            Err(detail) => {
                tracing::warn!(task = %attempt.task, %detail, "artifacts could not be stored");
                if let Ending::Succeeded { .. } = report.ending {
                    report.ending = Ending::Failed { cause: Cause::ArtifactFailed { detail } };
                }
            }
        }
        let idempotent = kept.idempotent;
        self.settle(Arc::new(Kept { report, collected: Vec::new(), idempotent }), false);
    }

    /// An attempt of an earlier life that had started: whether its effects happened is not known.
    fn lost(&mut self, attempt: AttemptRef, idempotent: bool) {
        let report = bare(attempt, Ending::Unknown, self.parts.clock.now());
        let kept = Arc::new(Kept { report, collected: Vec::new(), idempotent });
        self.journal.exited(Arc::clone(&kept));
        self.settle(kept, true);
    }

    /// Reports an attempt that never started. A crash may forget it: the coordinator then finds it missing.
    pub(super) fn answer(&mut self, attempt: AttemptRef, ending: Ending) {
        let report = bare(attempt, ending, self.parts.clock.now());
        let kept = Arc::new(Kept { report, collected: Vec::new(), idempotent: true });
        let size = self.reports.keep(Arc::clone(&kept), false, None);
        self.round.finished.push((kept, size));
    }

    /// A report of work that was done at once.
    pub(super) fn done(&mut self, attempt: AttemptRef, exit: Exit, idempotent: bool) {
        let report = Report {
            attempt,
            ending: exit.ending,
            started_at: exit.started_at,
            finished_at: exit.finished_at,
            artifacts: Vec::new(),
            log_bytes: exit.log_bytes,
            sandbox_level: exit.sandbox_level,
        };
        let kept = Arc::new(Kept { report, collected: Vec::new(), idempotent });
        let now = self.parts.clock.boot();
        let size = self.reports.keep(Arc::clone(&kept), false, Some(now));
        self.round.finished.push((kept, size));
    }

    fn credit(&self) -> u32 {
        if !self.takes_work() || self.reports.len() > MOST_UNACKNOWLEDGED {
            return 0;
        }
        let held = u32::try_from(self.live.len()).unwrap_or(u32::MAX);
        (self.parts.slots + self.prefetch).saturating_sub(held)
    }

    fn next_tick(&self) -> Option<Duration> {
        if !self.live.is_empty() || self.stopping.is_some() {
            return Some(TICK);
        }
        self.reports.write_due().map(|due| due.saturating_sub(self.parts.clock.boot()).min(TICK))
    }

    fn summary(&self) -> Summary {
        let unacknowledged = self.reports.len() + self.uploading.len();
        Summary {
            slots: self.parts.slots,
            running: self.running,
            queued: u32::try_from(self.live.len()).unwrap_or(u32::MAX) - self.running,
            unacknowledged: u32::try_from(unacknowledged).unwrap_or(u32::MAX),
            paused: self.paused,
            draining: self.draining,
            halted: self.halt != HaltLevel::None,
        }
    }
}

/// The coordinator refuses longer texts.
pub(super) fn bounded(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

fn bare(attempt: AttemptRef, ending: Ending, now: Timestamp) -> Report {
    Report {
        attempt,
        ending,
        started_at: None,
        finished_at: now,
        artifacts: Vec::new(),
        log_bytes: 0,
        sandbox_level: None,
    }
}

fn never_started(now: Timestamp) -> Exit {
    Exit {
        ending: Ending::Returned,
        artifacts: Vec::new(),
        sandbox_level: None,
        log_bytes: 0,
        started_at: None,
        finished_at: now,
    }
}

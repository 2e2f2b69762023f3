//! The task that owns every attempt. Each round: handle what was told, start what may start, end what must end, publish.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::message::{HaltLevel, HaltNotice, MAX_PROGRESS_TEXT_BYTES, Progress, Started};
use nexusmon_shared::outcome::{Ending, ProducedArtifact};
use nexusmon_shared::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::intake::Plans;
use super::outbox::Round;
use super::reports::Reports;
use super::secrets::Handed;
use super::spawns::{Adding, Asked, Unanswered};
use super::{Command, Outbox, Parts, Summary};
use crate::consent::{Catalogue, Standing};
use crate::journal::{Journal, Kept, Stage};
use crate::run::{Answer, Exit, Job, JobInput, Phase, Reason};
use crate::worker::{Canceller, Leftover};

/// From SIGTERM to SIGKILL where the coordinator gave no other grace.
pub(super) const GRACE: Duration = Duration::from_secs(5);
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
    Adds(Asked),
    SpawnWritten(TaskId),
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
    /// It waits for these before it starts.
    pub(super) secrets: Option<oneshot::Sender<Handed>>,
    /// It may add tasks.
    pub(super) adding: Option<Adding>,
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
    /// What this session said of the kill switch, and how many attempts ran when that was last answered.
    pub(super) noticed: Option<(HaltNotice, Option<u32>)>,
    pub(super) draining: bool,
    pub(super) paused: bool,
    pub(super) distrusts: bool,
    /// Asked to stop; attempts may go on until then.
    pub(super) stopping: Option<Duration>,
    /// When there last was an attempt, or the stop began.
    idle_since: Duration,
    pub(super) reports: Reports,
    pub(super) running: u32,
    pub(super) prefetch: u32,
    pub(super) uploading: HashMap<AttemptRef, Arc<Kept>>,
    /// In the order they were asked for.
    pub(super) spawns: Vec<Unanswered>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) lifecycle: Lifecycle,
    pub(super) happenings: mpsc::UnboundedSender<Happening>,
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
            distrusts: false,
            parts,
            journal,
            live: BTreeMap::new(),
            queue: VecDeque::new(),
            plans: Plans::default(),
            round: Round::default(),
            session: 0,
            lease_until: Duration::ZERO,
            halt: HaltLevel::None,
            noticed: None,
            draining: false,
            stopping: None,
            idle_since: Duration::ZERO,
            reports: Reports::default(),
            running: 0,
            prefetch: 0,
            uploading: HashMap::new(),
            spawns: Vec::new(),
            outbox,
            lifecycle,
            happenings,
            happened: Some(happened),
        };
        supervisor.recover_spawns();
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
            self.answer_halt();
            let credit = self.credit(now);
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
                let credit = self.credit(self.parts.clock.boot());
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
                self.forget_spawns(&attempts);
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
            Command::Halt(notice) => self.halt(notice),
            Command::Roster(signed) => self.roster(&signed),
            Command::InForce(answer) => {
                let now = self.parts.clock.wall();
                let _ = answer.send(self.parts.believed.in_force(now));
            }
            Command::Revoked(approvals) => self.revoked(&approvals),
            Command::Secret(answer) => self.handed(*answer),
            Command::Spawned(answer) => self.spawn_answered(answer),
            Command::RosterReset(believed) => self.begin_anew(*believed),
            Command::Pause(on) => self.pause(on),
            Command::Distrust(on) => self.distrust(on),
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
            Happening::Adds(asked) => self.asked_to_add(asked),
            Happening::SpawnWritten(task) => self.spawn_written(task),
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

    fn credit(&self, now: Duration) -> u32 {
        // Orders that come while nothing is renewed would be handed back at once.
        if !self.takes_work() || now >= self.live_until() || self.reports.len() > MOST_UNACKNOWLEDGED {
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

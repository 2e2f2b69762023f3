//! What changes with the session and with what is allowed: welcome, renewal, halt, pause.

use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::message::{
    HaltAck, HaltLevel, HaltNotice, HeldAttempt, RevokedApproval, Started, Welcome,
};

use super::Held;
use super::intake::Plans;
use super::outbox::Round;
use super::supervisor::{GRACE, Supervisor};
use crate::journal::Kept;
use crate::roster::{Believed, TakeError, Taken};
use crate::run::{MARGIN, Phase, Reason};

impl Supervisor {
    pub(super) fn hello(&mut self) -> Held {
        let wanted = self.live.iter().filter(|(_, live)| live.phase != Phase::Ending(Reason::Stale));
        let live = wanted.map(|(attempt, live)| HeldAttempt {
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
        Held {
            attempts: live.chain(waiting).chain(uploading).collect(),
            paused: self.is_paused(),
            roster: self.parts.believed.number(),
        }
    }

    /// The coordinator brings a roster. What it has to do with one is learned from the next Hello.
    pub(super) fn roster(&mut self, signed: &[u8]) {
        // By this machine's own clock: a day is not over because the coordinator signs that it is.
        match self.parts.believed.take(signed, self.parts.clock.wall()) {
            Ok(Taken::Known) => {}
            Ok(Taken::InForce { number }) => {
                tracing::info!(number, "a roster is in force");
                self.round.reopen = true;
            }
            Ok(Taken::From { number, at }) => tracing::error!(
                number, from = %at,
                "ALERT: a roster was signed by the recovery key; if that was not you, sign another one before it is in force"
            ),
            Err(error @ TakeError::NoOwnerKey) => tracing::warn!(%error, "a roster was not taken"),
            Err(error) => {
                let reason = nexusmon_shared::lifecycle::chain(&error);
                tracing::error!(
                    reason,
                    "ALERT: a roster that does not follow from the owner key was refused"
                );
            }
        }
    }

    /// Written down first: a coordinator that is taken over later cannot make this machine forget it.
    pub(super) fn revoked(&mut self, approvals: &[RevokedApproval]) {
        match self.parts.believed.revoke(approvals, self.parts.clock.now()) {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "standing approvals were taken back");
                self.standing.revoked = self.parts.believed.revoked();
            }
            Err(error) => {
                tracing::error!(%error, "what was taken back could not be written down; it holds until a restart");
                let mut known = (*self.standing.revoked).clone();
                known.extend(approvals.iter().map(|one| one.digest));
                self.standing.revoked = Arc::new(known);
            }
        }
    }

    pub(super) fn begin_anew(&mut self, believed: Believed) {
        if believed.owner_key() == self.parts.believed.owner_key()
            && believed.number() == self.parts.believed.number()
        {
            return;
        }
        tracing::warn!("the machine's admin has reset the roster");
        self.parts.believed = believed;
        self.standing.revoked = self.parts.believed.revoked();
        self.round.reopen = true;
    }

    pub(super) fn welcome(&mut self, welcome: Welcome, lease_until: Duration) {
        self.session = welcome.session;
        self.standing.labels = welcome.labels;
        self.standing.ceiling = welcome.max_rank;
        self.prefetch = welcome.prefetch;
        self.draining = welcome.draining;
        // A coordinator that has halted its fleet says so after each welcome.
        self.halt = HaltLevel::None;
        self.noticed = None;
        // The same holds for flags.
        self.standing.disabled.clear();
        self.plans = Plans::default();
        self.renewed(lease_until);
        self.outbox.clear();
        self.round = Round::default();
        self.unanswered();
        for attempt in &welcome.stale {
            self.end(*attempt, Reason::Stale, Duration::ZERO);
        }
        let stale = if nexusmon_shared::planted::planted("agent-insists") {
            Vec::new()
        } else {
            welcome.stale.clone()
        };
        for attempt in self.reports.acknowledge(&stale) {
            self.parts.worker.release(attempt);
        }
        for attempt in &welcome.stale {
            if self.uploading.remove(attempt).is_some() {
                self.parts.worker.release(*attempt);
            }
        }
        self.forget_spawns(&welcome.stale);
        self.journal.acknowledged(welcome.stale);
        self.spawn_again();
        if self.draining {
            self.recall_all();
        }
        // `end` above may have put reports into the round, and they are among these.
        if !nexusmon_shared::planted::planted("reports-forgotten-when-cut") {
            self.round.finished = self.reports.all().collect();
        }
        for (attempt, live) in self.live.iter().filter(|(_, live)| live.phase != Phase::Ending(Reason::Stale))
        {
            match live.started_at {
                Some(at) => self.round.started.push(Started { attempt: *attempt, at }),
                None => self.round.accepted.push(*attempt),
            }
        }
    }

    pub(super) fn renewed(&mut self, lease_until: Duration) {
        if lease_until > self.lease_until {
            self.lease_until = lease_until;
            self.parts.worker.renew(self.live_until());
        }
    }

    /// Work that may be repeated ends then.
    pub(super) fn live_until(&self) -> Duration {
        self.lease_until.saturating_sub(MARGIN)
    }

    pub(super) fn halt(&mut self, notice: HaltNotice) {
        let level = notice.level;
        self.noticed = Some((notice, None));
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

    /// Tells that the level holds here: once it does, and again when the last attempt that still ran is over.
    pub(super) fn answer_halt(&mut self) {
        let Some((notice, told)) = &mut self.noticed else { return };
        let running = self.running;
        if told.is_none_or(|told| told > 0 && running == 0) {
            *told = Some(running);
            self.round.halt = Some(HaltAck { level: notice.level, number: notice.number, running });
        }
    }

    pub(super) fn pause(&mut self, on: bool) {
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

    /// The next Hello says that nothing is to be sent here, or that it may be again.
    pub(super) fn distrust(&mut self, on: bool) {
        if on == self.distrusts {
            return;
        }
        self.distrusts = on;
        if on {
            self.recall_all();
        }
        self.round.reopen = true;
    }

    /// Whether something may start at all.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && !self.is_paused() && self.halt == HaltLevel::None
    }

    pub(super) fn recall_all(&mut self) {
        for attempt in self.live.keys().copied().collect::<Vec<_>>() {
            self.end(attempt, Reason::Recalled, GRACE);
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused || self.distrusts || self.stopping.is_some()
    }
}

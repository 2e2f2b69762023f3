//! Taking orders: fences, consent, and the short way for work that is done at once.

use std::collections::HashMap;
use std::sync::Arc;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{Order, Orders, PlanNotice};
use nexusmon_shared::outcome::{Ending, Refusal};

use super::spawns::Adding;
use super::supervisor::{Live, Supervisor, bounded};
use crate::consent::{Consented, KnownPlan};
use crate::run::{Phase, Reason};

/// Plans are kept until this many newer ones were used, at least.
const PLANS: usize = 20_000;
/// Orders held beyond slots; more than the protocol lets a coordinator send.
const MOST_HELD: usize = 4_096;
/// A refusal's explanation is cut there.
const DETAIL_BYTES: usize = 4_096;

/// The plans of this session, in two generations: what is used stays, what is not falls out.
#[derive(Debug, Default)]
pub(super) struct Plans {
    young: HashMap<Digest, KnownPlan>,
    old: HashMap<Digest, KnownPlan>,
}

impl Plans {
    /// Keeps a plan that is what its digest says; orders of one that is not will find none. One that is announced again
    /// without decisions keeps those it had.
    pub(super) fn add(&mut self, notice: &PlanNotice) {
        if notice.decisions.is_empty()
            && let Some(known) = self.take(&notice.digest)
        {
            return self.insert(known);
        }
        match KnownPlan::open(notice) {
            Ok(plan) => self.insert(plan),
            Err(error) => tracing::error!(plan = %error.digest, reason = %error.source, "a forged plan"),
        }
    }

    /// A plan may be taken out while it is used, to keep the borrow short.
    pub(super) fn take(&mut self, digest: &Digest) -> Option<KnownPlan> {
        self.young.remove(digest).or_else(|| self.old.remove(digest))
    }

    pub(super) fn insert(&mut self, plan: KnownPlan) {
        if self.young.len() >= PLANS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(plan.digest(), plan);
    }
}

impl Supervisor {
    pub(super) fn orders(&mut self, orders: Orders) {
        if orders.session != self.session {
            tracing::warn!(theirs = orders.session, ours = self.session, "dropped orders of another session");
            return;
        }
        self.standing.roster = self.parts.believed.in_force(self.parts.clock.wall());
        let now = self.parts.clock.boot();
        let takes_work = self.takes_work() && now < self.live_until();
        let mut plan: Option<KnownPlan> = None;
        for order in orders.orders {
            if !self.is_news(&order) {
                continue;
            }
            if !takes_work || self.live.len() >= MOST_HELD {
                self.answer(order.attempt, Ending::Returned);
                continue;
            }
            if plan.as_ref().is_none_or(|known| known.digest() != order.plan_digest) {
                if let Some(known) = plan.take() {
                    self.plans.insert(known);
                }
                plan = self.plans.take(&order.plan_digest);
            }
            match &mut plan {
                Some(plan) => self.take_order(&order, plan),
                // Forgotten, or never announced in this session: a new session announces it again.
                None => {
                    tracing::warn!(plan = %order.plan_digest, "an order of a plan that was not announced");
                    self.answer(order.attempt, Ending::Returned);
                    self.round.reopen = true;
                }
            }
            self.journal.see([order.attempt]);
        }
        if let Some(known) = plan {
            self.plans.insert(known);
        }
    }

    /// Fences only grow: an older one is dropped, the same one is a repetition.
    fn is_news(&self, order: &Order) -> bool {
        let AttemptRef { task, fence } = order.attempt;
        match self.journal.fence(task) {
            Some(known) if known >= fence => {
                if known > fence {
                    tracing::warn!(%task, %fence, %known, "dropped an order under an old fence");
                }
                false
            }
            _ => true,
        }
    }

    /// Orders of the same work that were agreed to and have not started. One of the same task gives way to this one.
    fn to_start(&self, instance: &Digest, attempt: AttemptRef) -> u32 {
        let waiting = self.live.iter().filter(|(other, live)| {
            other.task != attempt.task
                && live.instance.as_ref() == Some(instance)
                && matches!(live.phase, Phase::Fetching | Phase::Queued)
        });
        u32::try_from(waiting.count()).unwrap_or(u32::MAX)
    }

    fn take_order(&mut self, order: &Order, plan: &mut KnownPlan) {
        let attempt = order.attempt;
        let now = self.parts.clock.now();
        let Consented { job, instance } = match self.standing.consider(order, plan, now) {
            Ok(consented) => consented,
            Err(refused) => {
                let (reason, detail) = (refused.reason, bounded(refused.detail, DETAIL_BYTES));
                if matches!(reason, Refusal::BadProof | Refusal::BadSignature) {
                    tracing::error!(task = %attempt.task, %detail, "an order that its plan or its signatures do not cover");
                } else {
                    tracing::info!(task = %attempt.task, ?reason, %detail, "refused an order");
                }
                return self.answer(attempt, Ending::Refused { reason, detail });
            }
        };
        if let Some((instance, covered)) = &instance {
            let starts = self.journal.starts(instance) + self.to_start(instance, attempt);
            if starts >= *covered {
                let detail = format!("it was started here {starts} times, which is all its approval covers");
                let reason = Refusal::BadSignature;
                return self.answer(attempt, Ending::Refused { reason, detail });
            }
        }
        let instance = instance.map(|(instance, _)| instance);
        let idempotent = job.spec.idempotent;
        let superseded: Vec<AttemptRef> = self.older(attempt).map(|(older, _)| *older).collect();
        if superseded.is_empty()
            && order.inputs.is_empty()
            && instance.is_none()
            && idempotent
            && let Some(exit) = self.parts.worker.immediate(&job, self.parts.clock.now())
        {
            return self.done(attempt, exit, idempotent);
        }
        for older in superseded {
            self.end(older, Reason::Stale, std::time::Duration::ZERO);
        }
        if !idempotent {
            self.journal.received(attempt);
        }
        self.round.accepted.push(attempt);
        let phase = if order.inputs.is_empty() { Phase::Queued } else { Phase::Fetching };
        let offline = job.offline;
        let adds = job.spec.spawn.is_some();
        let adding =
            adds.then(|| Adding { plan: order.plan_digest, leaf: Arc::clone(&job.spec), added: Vec::new() });
        let job = Some(Box::new(job));
        let has_inputs = phase == Phase::Fetching;
        let (started_at, canceller, secrets) = (None, None, None);
        let live = Live {
            phase,
            job,
            idempotent,
            offline,
            instance,
            started_at,
            canceller,
            has_inputs,
            secrets,
            adding,
        };
        self.live.insert(attempt, live);
        if phase == Phase::Fetching {
            self.fetch(attempt, order.inputs.clone());
        } else {
            self.queue.push_back(attempt);
        }
    }
}

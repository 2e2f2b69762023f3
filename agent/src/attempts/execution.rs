//! From the queue to the exit: fetching, starting, ending of single attempts.

use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::{OrderInput, Progress};
use nexusmon_shared::outcome::{Cause, Ending, Report};
use nexusmon_shared::telemetry;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::provenance::{Material, Provenance};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

use super::spawns::Asked;
use super::supervisor::{Happening, Live, Supervisor};
use super::{Keys, secrets};
use crate::journal::{JournalError, Kept};
use crate::run::{Collected, Exit, JobInput, Phase};
use crate::worker::{Hooks, Spawner, cancellation};

impl Supervisor {
    pub(super) fn start_queued(&mut self, now: Duration) {
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
    pub(super) fn is_blocked(&self, attempt: AttemptRef) -> bool {
        self.older(attempt).any(|(_, live)| live.phase.has_started())
    }

    pub(super) fn older(&self, attempt: AttemptRef) -> impl Iterator<Item = (&AttemptRef, &Live)> {
        let first = AttemptRef { task: attempt.task, fence: Fence { epoch: 0, number: 0 } };
        self.live.range(first..attempt)
    }

    pub(super) fn start(&mut self, attempt: AttemptRef) {
        let Some(live) = self.live.get_mut(&attempt).filter(|live| live.phase == Phase::Queued) else {
            return;
        };
        let Some(mut job) = live.job.take() else { return };
        let idempotent = live.idempotent;
        // What an approval covers is counted, whatever crashes.
        let waits = !idempotent || live.instance.is_some();
        let (canceller, token) = cancellation();
        live.phase = Phase::Starting;
        live.canceller = Some(canceller);
        self.running += 1;
        let mark = self.journal.starting(attempt, idempotent, live.instance);
        let (journal, worker) = (self.journal.clone(), Arc::clone(&self.parts.worker));
        let (happenings, clock) = (self.happenings.clone(), Arc::clone(&self.parts.clock));
        let hooks = self.hooks(attempt, job.spec.spawn.is_some());
        let (asked, keys) = (self.ask_for_secrets(attempt, &job), Arc::clone(&self.parts.keys));
        let span = trace(attempt, job.traceparent.as_deref());
        // The process continues the trace from here, not from the coordinator.
        job.traceparent = span.in_scope(telemetry::current_traceparent).or(job.traceparent);
        let mut token = token;
        let execution = async move {
            if waits {
                journal.synced(mark).await?;
            }
            let handed = match asked {
                Some(asked) => secrets::wait(asked, &mut token, &*keys, &mut job).await,
                None => Ok(()),
            };
            let exit = match handed {
                Err(ending) => never_started(ending, clock.now()),
                Ok(()) if token.requested().is_some() => never_started(Ending::Returned, clock.now()),
                Ok(()) => {
                    let provenance = job.provenance.take();
                    let exit = worker.execute(*job, token, hooks).await;
                    attested(exit, provenance, &*keys)
                }
            };
            let _ = happenings.send(Happening::Exited(attempt, Box::new(exit)));
            Ok::<(), JournalError>(())
        };
        self.lifecycle.spawn_quiet("attempt", execution.instrument(span));
    }

    pub(super) fn hooks(&self, attempt: AttemptRef, adds: bool) -> Hooks {
        let spawner = adds.then(|| self.spawner(attempt));
        let (started, progress) = (self.happenings.clone(), self.happenings.clone());
        Hooks {
            started: Box::new(move |at| {
                let _ = started.send(Happening::Started(attempt, at));
            }),
            progress: Arc::new(move |fraction, text| {
                let _ = progress.send(Happening::Progress(Progress { attempt, fraction, text }));
            }),
            spawn: spawner,
        }
    }

    fn spawner(&self, attempt: AttemptRef) -> Spawner {
        let happenings = self.happenings.clone();
        Arc::new(move |task| {
            let (answer, answered) = oneshot::channel();
            let _ = happenings.send(Happening::Adds(Asked { attempt, task, answer }));
            Box::pin(async move { answered.await.unwrap_or_else(|_| Err("the attempt is over".to_owned())) })
        })
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

    pub(super) fn fetched(&mut self, attempt: AttemptRef, fetched: Result<Vec<JobInput>, String>) {
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

    pub(super) fn exited(&mut self, attempt: AttemptRef, exit: Exit) {
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
            provenance: exit.provenance,
        };
        let kept = Arc::new(Kept { report, collected: exit.artifacts, idempotent: live.idempotent });
        self.settle(kept, false);
    }

    pub(super) fn remove(&mut self, attempt: AttemptRef) -> Option<Live> {
        let live = self.live.remove(&attempt)?;
        if live.has_inputs {
            self.parts.courier.done(attempt);
        }
        Some(live)
    }

    pub(super) fn unblock(&mut self, task: TaskId) {
        let first = AttemptRef { task, fence: Fence { epoch: 0, number: 0 } };
        let last = AttemptRef { task, fence: Fence { epoch: u32::MAX, number: u64::MAX } };
        let waiting = self.live.range(first..=last).filter(|(_, live)| live.phase == Phase::Queued);
        for (attempt, _) in waiting {
            if !self.queue.contains(attempt) {
                self.queue.push_back(*attempt);
            }
        }
    }
}

/// The span of one execution, beneath the mission's where that is traced.
fn trace(attempt: AttemptRef, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!("agent.attempt", task = %attempt.task, fence = %attempt.fence);
    if let Some(traceparent) = traceparent {
        telemetry::set_parent(&span, traceparent);
    }
    span
}

/// Signs what is known of the artifacts, now that there are some.
fn attested(mut exit: Exit, provenance: Option<Box<Provenance>>, keys: &dyn Keys) -> Exit {
    if let (Some(mut provenance), Some(level), false) =
        (provenance, exit.sandbox_level, exit.artifacts.is_empty())
    {
        let material = |one: &Collected| Material { name: one.name.clone(), digest: one.digest };
        provenance.artifacts = exit.artifacts.iter().map(material).collect();
        provenance.level = level;
        provenance.log = exit.log_digest;
        provenance.started_at = exit.started_at.unwrap_or(exit.finished_at);
        provenance.finished_at = exit.finished_at;
        exit.provenance = keys.attest(&provenance);
    }
    exit
}

fn never_started(ending: Ending, now: Timestamp) -> Exit {
    Exit {
        ending,
        artifacts: Vec::new(),
        sandbox_level: None,
        log_bytes: 0,
        log_digest: None,
        provenance: None,
        started_at: None,
        finished_at: now,
    }
}

//! From the exit to the report that waits for its acknowledgement.

use std::sync::Arc;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::outcome::{Cause, Ending, ProducedArtifact, Report};
use nexusmon_shared::time::Timestamp;

use super::supervisor::{Happening, Supervisor};
use crate::journal::Kept;
use crate::run::Exit;

impl Supervisor {
    /// Keeps a report of executed work until it is acknowledged, its files uploaded first.
    pub(super) fn settle(&mut self, kept: Arc<Kept>, written: bool) {
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

    pub(super) fn delivered(
        &mut self,
        attempt: AttemptRef,
        delivered: Result<Vec<ProducedArtifact>, String>,
    ) {
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
    pub(super) fn lost(&mut self, attempt: AttemptRef, idempotent: bool) {
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
            provenance: None,
        };
        let kept = Arc::new(Kept { report, collected: Vec::new(), idempotent });
        let now = self.parts.clock.boot();
        let size = self.reports.keep(Arc::clone(&kept), false, Some(now));
        self.round.finished.push((kept, size));
    }
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
        provenance: None,
    }
}

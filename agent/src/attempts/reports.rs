//! Reports until they are acknowledged, in the order they came about.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::outcome::{Ending, Report};

use crate::journal::{Journal, Kept};

/// A report that may be lost in a crash is written down once it has waited this long: most are acknowledged sooner and
/// never cost a byte.
pub(super) const WRITE_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<AttemptRef, u64>,
    next: u64,
    /// Not written down yet, oldest first.
    unwritten: VecDeque<(Duration, u64)>,
}

#[derive(Debug)]
struct Waiting {
    kept: Arc<Kept>,
    size: usize,
    /// The worker holds files of it.
    executed: bool,
}

impl Reports {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = &Kept> {
        self.waiting.values().map(|waiting| &*waiting.kept)
    }

    /// All, oldest first, with their sizes.
    pub(super) fn all(&self) -> impl Iterator<Item = (Arc<Kept>, usize)> + '_ {
        self.waiting.values().map(|waiting| (Arc::clone(&waiting.kept), waiting.size))
    }

    /// Keeps a report; `unwritten_since` if the journal does not have it. Returns its size.
    pub(super) fn keep(
        &mut self,
        kept: Arc<Kept>,
        executed: bool,
        unwritten_since: Option<Duration>,
    ) -> usize {
        let size = size(&kept.report);
        self.next += 1;
        if let Some(since) = unwritten_since {
            self.unwritten.push_back((since, self.next));
        }
        self.places.insert(kept.report.attempt, self.next);
        self.waiting.insert(self.next, Waiting { kept, size, executed });
        size
    }

    /// Forgets these; names the ones whose files the worker may drop.
    pub(super) fn acknowledge(&mut self, attempts: &[AttemptRef]) -> Vec<AttemptRef> {
        let mut executed = Vec::new();
        for attempt in attempts {
            let waiting = self.places.remove(attempt).and_then(|place| self.waiting.remove(&place));
            if waiting.is_some_and(|waiting| waiting.executed) {
                executed.push(*attempt);
            }
        }
        if self.waiting.is_empty() {
            self.unwritten.clear();
        }
        executed
    }

    /// When the next report is to be written down, if any waits for that.
    pub(super) fn write_due(&self) -> Option<Duration> {
        self.unwritten.front().map(|(since, _)| *since + WRITE_AFTER)
    }

    /// Writes down what has waited long enough, or everything.
    pub(super) fn write(&mut self, journal: &Journal, now: Option<Duration>) {
        while let Some((since, place)) = self.unwritten.front() {
            if now.is_some_and(|now| *since + WRITE_AFTER > now) {
                break;
            }
            if let Some(waiting) = self.waiting.get(place) {
                journal.exited(Arc::clone(&waiting.kept));
            }
            self.unwritten.pop_front();
        }
    }
}

/// Close to the encoded size, from above.
fn size(report: &Report) -> usize {
    let ending = match &report.ending {
        Ending::Succeeded { outputs } if outputs.is_empty() => 2,
        Ending::Succeeded { outputs } => json_size(outputs),
        Ending::Failed { cause } => json_size(cause),
        Ending::Refused { detail, .. } => detail.len() + 32,
        Ending::Cancelled | Ending::Returned | Ending::Unknown => 2,
    };
    let artifacts: usize =
        report.artifacts.iter().map(|produced| produced.name.len() + produced.media_type.len() + 64).sum();
    128 + ending + artifacts
}

fn json_size(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

//! What predictions rest on, in memory: outcomes by capability and by shape. Filled from the store at start, moved along
//! with every settlement here, and, where several coordinators share a store, filled again with what the others settled.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_core::beliefs::Beta;
use nexusmon_core::prediction::{History, Prediction};
use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_store::{ShapeRecord as ShapeRow, TrustCount};

/// Shapes remembered; beyond it the least used are forgotten all at once (they are in the store still).
const KEPT_SHAPES: usize = 50_000;

/// Runs of one shape.
#[derive(Debug, Clone, Copy, Default)]
struct ShapeRecord {
    outcomes: Beta,
    /// Of all runs, in milliseconds.
    duration_sum: u64,
}

/// Attempts that succeeded and whose duration is known.
#[derive(Debug, Clone, Copy, Default)]
struct Timed {
    attempts: u64,
    /// In milliseconds.
    duration_sum: u64,
}

impl Timed {
    const fn add(&mut self, attempts: u64, milliseconds: u64) {
        self.attempts = self.attempts.saturating_add(attempts);
        self.duration_sum = self.duration_sum.saturating_add(milliseconds);
    }

    fn mean(self) -> Option<Duration> {
        self.duration_sum.checked_div(self.attempts).map(Duration::from_millis)
    }
}

#[derive(Debug, Default)]
struct Known {
    capabilities: Arc<BTreeMap<Capability, History>>,
    timed: BTreeMap<Capability, Timed>,
    shapes: HashMap<Digest, ShapeRecord>,
}

impl Known {
    fn shape(&mut self, shape: Digest) -> &mut ShapeRecord {
        if self.shapes.len() >= KEPT_SHAPES && !self.shapes.contains_key(&shape) {
            self.shapes.clear();
        }
        self.shapes.entry(shape).or_default()
    }
}

/// A count of rows, which is never negative.
fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The memory.
#[derive(Debug, Default)]
pub struct Histories(Mutex<Known>);

impl Histories {
    pub fn of_capabilities(&self) -> Arc<BTreeMap<Capability, History>> {
        Arc::clone(&self.0.lock().expect("no holder panics").capabilities)
    }

    /// From runs of this very shape, if there were any.
    #[expect(clippy::cast_precision_loss, reason = "a mean of milliseconds")]
    pub fn of_shape(&self, shape: &Digest) -> Option<Prediction> {
        let record = *self.0.lock().expect("no holder panics").shapes.get(shape)?;
        let runs = record.outcomes.count();
        (runs > 0).then(|| Prediction {
            success: record.outcomes.mean(),
            duration_seconds: record.duration_sum as f64 / runs as f64 / 1000.0,
            basis: format!("{runs} earlier runs of the same plan"),
            records: runs,
        })
    }

    /// As the store has it: all counts there are, and of shapes those that are to be known beside what is known.
    pub fn learn(&self, counts: &[TrustCount], shapes: &[ShapeRow]) {
        let mut capabilities = BTreeMap::<Capability, History>::new();
        let mut timed = BTreeMap::<Capability, Timed>::new();
        for row in counts {
            let record = timed.entry(row.capability.clone()).or_default();
            record.add(whole(row.timed), whole(row.duration_ms_sum));
            let history = capabilities.entry(row.capability.clone()).or_default();
            history.outcomes = Beta {
                successes: history.outcomes.successes.saturating_add(whole(row.successes)),
                failures: history.outcomes.failures.saturating_add(whole(row.failures)),
            };
            history.mean_duration = record.mean();
        }
        let mut known = self.0.lock().expect("no holder panics");
        known.capabilities = Arc::new(capabilities);
        known.timed = timed;
        for row in shapes {
            let outcomes =
                Beta { successes: whole(row.successes), failures: whole(row.runs - row.successes) };
            *known.shape(row.shape) = ShapeRecord { outcomes, duration_sum: whole(row.duration_ms_sum) };
        }
    }

    /// Adds outcomes of attempts: `(capability, succeeded, duration)`.
    pub fn observe(&self, outcomes: &[(Capability, bool, Option<Duration>)]) {
        if outcomes.is_empty() {
            return;
        }
        let mut known = self.0.lock().expect("no holder panics");
        let Known { capabilities, timed, .. } = &mut *known;
        let capabilities = Arc::make_mut(capabilities);
        for (capability, succeeded, duration) in outcomes {
            let history = capabilities.entry(capability.clone()).or_default();
            history.outcomes = history.outcomes.observe(*succeeded);
            if let (true, Some(duration)) = (succeeded, duration) {
                let record = timed.entry(capability.clone()).or_default();
                record.add(1, millis(*duration));
                history.mean_duration = record.mean();
            }
        }
    }

    /// Adds a finished run of a shape.
    pub fn observe_shape(&self, shape: Digest, succeeded: bool, duration: Duration) {
        let mut known = self.0.lock().expect("no holder panics");
        let record = known.shape(shape);
        record.outcomes = record.outcomes.observe(succeeded);
        record.duration_sum = record.duration_sum.saturating_add(millis(duration));
    }
}

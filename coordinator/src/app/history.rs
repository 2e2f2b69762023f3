//! What predictions rest on, in memory: outcomes by capability and by shape. Filled from the store at start and moved
//! along with every settlement.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_core::beliefs::Beta;
use nexusmon_core::prediction::{History, Prediction};
use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;

/// Shapes remembered; beyond it the least used are forgotten all at once (they are in the store still).
const KEPT_SHAPES: usize = 50_000;

/// Runs of one shape.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShapeRecord {
    pub outcomes: Beta,
    /// Of all runs, in milliseconds.
    pub duration_sum: u64,
}

#[derive(Debug, Default)]
struct Known {
    capabilities: Arc<BTreeMap<Capability, History>>,
    shapes: HashMap<Digest, ShapeRecord>,
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

    pub fn load(
        &self,
        capabilities: impl IntoIterator<Item = (Capability, History)>,
        shapes: impl IntoIterator<Item = (Digest, ShapeRecord)>,
    ) {
        let mut known = self.0.lock().expect("no holder panics");
        known.capabilities = Arc::new(capabilities.into_iter().collect());
        known.shapes = shapes.into_iter().collect();
    }

    /// Adds outcomes of attempts: `(capability, succeeded, duration)`.
    pub fn observe(&self, outcomes: &[(Capability, bool, Option<Duration>)]) {
        if outcomes.is_empty() {
            return;
        }
        let mut known = self.0.lock().expect("no holder panics");
        let capabilities = Arc::make_mut(&mut known.capabilities);
        for (capability, succeeded, duration) in outcomes {
            let history = capabilities.entry(capability.clone()).or_default();
            history.outcomes = history.outcomes.observe(*succeeded);
            if let (true, Some(duration)) = (succeeded, duration) {
                // A mean that follows: recent runs say more about the next than old ones.
                history.mean_duration = Some(match history.mean_duration {
                    Some(mean) => mean.mul_f64(0.9) + duration.mul_f64(0.1),
                    None => *duration,
                });
            }
        }
    }

    /// Adds a finished run of a shape.
    pub fn observe_shape(&self, shape: Digest, succeeded: bool, duration: Duration) {
        let mut known = self.0.lock().expect("no holder panics");
        if known.shapes.len() >= KEPT_SHAPES {
            known.shapes.clear();
        }
        let record = known.shapes.entry(shape).or_default();
        record.outcomes = record.outcomes.observe(succeeded);
        record.duration_sum =
            record.duration_sum.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    }
}

//! What this process counts about itself, and the registry everything that is measured is rendered from.

use std::time::Duration;

use nexusmon_shared::metrics::{Counter, Histogram, Registry};

/// Registered once, at the start.
#[derive(Debug)]
pub struct Meters {
    pub registry: Registry,
    pub create: Batches,
    pub report: Batches,
}

/// One plural hot path: how long its commits take, and how much is in them.
#[derive(Debug)]
pub struct Batches {
    seconds: Histogram,
    items: Counter,
}

impl Batches {
    fn new(registry: &Registry, name: &str, what: &str) -> Self {
        Self {
            seconds: registry.histogram(
                &format!("{name}_commit_seconds"),
                &format!("From a batch of {what} to its commit"),
            ),
            items: registry.counter(&format!("{name}_items"), &format!("{what} committed or refused")),
        }
    }

    pub fn done(&self, items: usize, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        self.items.inc_by(items as u64);
    }
}

impl Default for Meters {
    fn default() -> Self {
        let registry = Registry::default();
        Self {
            create: Batches::new(&registry, "mission_create", "missions"),
            report: Batches::new(&registry, "task_report", "reports"),
            registry,
        }
    }
}

//! Metrics in the text format of Prometheus: a registry of counters, gauges and histograms with fixed labels.

use std::sync::{Arc, Mutex};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry as Inner;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;

/// Label names and values of one series.
pub type Labels = Vec<(&'static str, String)>;

/// The content type of [`Registry::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a process; cheap to clone. Names get the prefix `nexusmon_`.
#[derive(Clone)]
pub struct Registry(Arc<Mutex<Inner>>);

impl Default for Registry {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner::with_prefix("nexusmon"))))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.inner(|inner| inner.register(name, help, counter.clone()));
        counter
    }

    pub fn counters(&self, name: &str, help: &str) -> Family<Labels, Counter> {
        let family = Family::default();
        self.inner(|inner| inner.register(name, help, family.clone()));
        family
    }

    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.inner(|inner| inner.register(name, help, gauge.clone()));
        gauge
    }

    pub fn gauges(&self, name: &str, help: &str) -> Family<Labels, Gauge> {
        let family = Family::default();
        self.inner(|inner| inner.register(name, help, family.clone()));
        family
    }

    /// Seconds, from a millisecond to about a minute in steps of two.
    pub fn histogram(&self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::new(exponential_buckets(0.001, 2.0, 17));
        self.inner(|inner| inner.register(name, help, histogram.clone()));
        histogram
    }

    /// Everything, as `OpenMetrics` text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.inner(|inner| encode(&mut text, inner));
        text
    }

    fn inner<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        with(&mut self.0.lock().expect("no holder of this lock panics"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let registry = Registry::default();
        registry.counter("reports", "Reports settled").inc_by(3);
        registry
            .gauges("agents", "Agents by presence")
            .get_or_create(&vec![("presence", "online".to_owned())])
            .set(2);
        registry.histogram("commit_seconds", "Length of commits").observe(0.01);
        let text = registry.render();
        assert!(text.contains("nexusmon_reports_total 3"), "{text}");
        assert!(text.contains("nexusmon_agents{presence=\"online\"} 2"), "{text}");
        assert!(text.contains("nexusmon_commit_seconds_bucket"), "{text}");
    }
}

//! Workloads and the limits they are held against. Nothing here is a test: figures move with the machine.

mod append;
mod artifacts;
mod audit;
mod fleet;
mod history;
mod large;
mod limits;
mod measure;
mod nodes;
mod workloads;

use std::pin::Pin;

use anyhow::Result;

/// One line of the table.
#[derive(Debug, serde::Serialize)]
pub struct Row {
    pub workload: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// What the machine can do at best, measured in the same run.
    pub limit: Option<f64>,
    pub limit_is: &'static str,
    /// Of coordinator and agents together, without the load generator.
    pub cpu_seconds_per_thousand: Option<f64>,
    pub peak_memory_mib: Option<f64>,
}

/// A workload under way.
type Running = Pin<Box<dyn Future<Output = Result<Vec<Row>>>>>;

pub struct Workload {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn() -> Running,
}

macro_rules! workload {
    ($name:literal, $what:literal, $run:path) => {
        Workload { name: $name, what: $what, run: || Box::pin($run()) }
    };
}

pub const WORKLOADS: [Workload; 14] = [
    workload!("W1", "no-op tasks in bulk, two agents", workloads::bulk),
    workload!("W1b", "one mission per task, 16 in flight", workloads::single),
    workload!("W2", "a process per task, profile user", workloads::spawning),
    workload!("W3", "submit to completed, one after another", workloads::latency),
    workload!("W4", "one task prints 1,000,000 lines of 100 bytes", workloads::log),
    workload!("W5", "chains of three, 1,000 missions", workloads::chains),
    workload!("W6", "one mission of 100,000 tasks, a chain of 10,000, a fan of 10,000", large::run),
    workload!("W7", "idle memory and start", workloads::idle),
    workload!("W8", "fleet: simulated agents over real TLS", fleet::run),
    workload!("W9", "artifacts: 1 GiB and 10,000 small ones", artifacts::run),
    workload!("W10", "bulk, latency and lists with 1,000,000 stored missions", history::run),
    workload!("W11", "PostgreSQL: bulk and latency with 1, 2 and 3 coordinators", nodes::run),
    workload!("W13", "audit verify: an export of 1,000,000 entries", audit::run),
    workload!("W14", "what the audit log costs of W1's throughput", append::run),
];

pub use fleet::simulate;

impl Row {
    /// A bare figure.
    fn figure(workload: &'static str, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            workload,
            what: what.into(),
            value,
            unit,
            limit: None,
            limit_is: "",
            cpu_seconds_per_thousand: None,
            peak_memory_mib: None,
        }
    }

    /// Holds it against something.
    fn against(self, limit: f64, limit_is: &'static str) -> Self {
        Self { limit: Some(limit), limit_is, ..self }
    }
}

/// The table for people.
pub fn print(rows: &[Row]) {
    println!(
        "{:<5} {:<44} {:>12} {:<10} {:>12} {:>7} {:>14} {:>9}",
        "", "workload", "value", "unit", "limit", "ratio", "CPU-s per 1000", "peak MiB"
    );
    for row in rows {
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let ratio = row.limit.map(|limit| row.value / limit);
        println!(
            "{:<5} {:<44} {:>12.2} {:<10} {:>12} {:>7} {:>14} {:>9}",
            row.workload,
            row.what,
            row.value,
            row.unit,
            optional(row.limit, 2),
            optional(ratio, 2),
            optional(row.cpu_seconds_per_thousand, 3),
            optional(row.peak_memory_mib, 1)
        );
        if !row.limit_is.is_empty() {
            println!("      limit: {}", row.limit_is);
        }
    }
}

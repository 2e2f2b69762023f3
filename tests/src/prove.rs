//! `make prove`: the promises of the README held against crashes, cuts, failing disks, jumping clocks and planted bugs.
//!
//! A run is a list of cases, each with a seed of its own; cases can be shared out (`--shard`), taken up again
//! (`--resume`) and leave a line of evidence each. What a case measures is summed over the run and held against targets.

mod chaos;
mod clocks;
pub mod evidence;
mod faults;
mod fuzz;
mod kills;
mod leases;
mod ledger;
mod namespace;
mod nodes;
mod planted;
mod proxy;
mod requests;
pub mod runner;
mod simulation;
mod summary;
mod tampering;
mod world;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;
use nexusmon_shared::time::{Clock as _, SystemClock};
use serde_json::{Map, Value};

pub use runner::{Order, carry_out};

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Part of `make test`.
    Small,
    /// `make prove`.
    Full,
}

impl Tier {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Full => "full",
        }
    }
}

/// One piece of a run, independent of all others.
#[derive(Debug, Clone)]
pub struct Case {
    pub number: u32,
    pub seed: u64,
    pub tier: Tier,
    /// A bug that is planted in what is tested, to see it found.
    pub planted: Option<&'static str>,
}

impl Case {
    /// Every other case, and in every shard some.
    pub const fn is_on_postgres(&self) -> bool {
        (self.number + self.number / 10) % 2 == 1
    }
}

/// What a case found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Counts by name; those with a target of "none" are violations.
    pub measured: BTreeMap<String, u64>,
    /// What the case was made of.
    pub parameters: Map<String, Value>,
    /// Each violation in words.
    pub details: Vec<String>,
}

impl Findings {
    pub fn parameter(&mut self, name: &str, value: impl Into<Value>) {
        self.parameters.insert(name.to_owned(), value.into());
    }

    pub fn count(&mut self, name: &str, more: u64) {
        *self.measured.entry(name.to_owned()).or_default() += more;
    }

    /// Counts a violation and says what it was.
    pub fn violation(&mut self, name: &str, detail: impl Into<String>) {
        self.count(name, 1);
        self.details.push(format!("{name}: {}", detail.into()));
    }
}

/// What a sum has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Zero, in every single case.
    None,
    /// At least this many over the whole run: (small, full).
    AtLeast(u64, u64),
}

/// A measure and what it has to be.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub measure: &'static str,
    pub bound: Bound,
}

pub const fn none(measure: &'static str) -> Target {
    Target { measure, bound: Bound::None }
}

pub const fn at_least(measure: &'static str, small: u64, full: u64) -> Target {
    Target { measure, bound: Bound::AtLeast(small, full) }
}

/// What nothing done to a cluster may lead to.
pub const KEPT: &[Target] = &[
    none("lost"),
    none("double_completed"),
    none("effects_repeated"),
    none("effects_after_end"),
    none("missions_doubled"),
    none("miscounted"),
    none("unaudited"),
    none("audit_broken"),
    none("stuck"),
    none("uncertain_unexplained"),
];

/// A case under way.
pub type Running = Pin<Box<dyn Future<Output = Result<Findings>> + Send>>;

/// One row of the table of promises.
pub struct Run {
    pub name: &'static str,
    pub what: &'static str,
    /// Cases of the small and the full tier.
    pub cases: (u32, u32),
    /// Cases under way together: more than one where they mostly wait.
    pub at_once: usize,
    /// No case takes longer; one that does is stuck.
    pub patience_seconds: u64,
    pub case: fn(Case) -> Running,
    pub targets: &'static [&'static [Target]],
}

impl Run {
    /// Everything it is held against.
    pub fn targets(&self) -> impl Iterator<Item = &'static Target> {
        self.targets.iter().copied().flatten()
    }

    pub const fn cases_of(&self, tier: Tier) -> u32 {
        match tier {
            Tier::Small => self.cases.0,
            Tier::Full => self.cases.1,
        }
    }
}

/// Real time gone by since a reading of the boot clock.
fn since(begun: Duration) -> Duration {
    SystemClock.boot().saturating_sub(begun)
}

/// Every run, in the order in which they are carried out.
pub const RUNS: &[Run] = &[
    kills::RUN,
    chaos::RUN,
    simulation::RUN,
    faults::RUN,
    clocks::RUN,
    planted::RUN,
    fuzz::RUN,
    requests::RUN,
    nodes::RUN,
    tampering::RUN,
];

/// The run of this name.
pub fn run(name: &str) -> Option<&'static Run> {
    RUNS.iter().find(|run| run.name == name)
}

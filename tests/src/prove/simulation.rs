//! Deterministic simulation of the coordinator's decisions and of the agents' protocol: messages are lost, doubled and
//! reordered, both sides crash.

use nexusmon_core::sim::{World, WorldConfig};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{Case, Findings, Run, at_least, none};

/// Of one case.
const SEEDS: u64 = 100;
/// Every so many seeds the trace is made twice.
const TWICE: u64 = 10;

pub(super) const RUN: Run = Run {
    name: "simulation",
    what: "core and protocol under lost, doubled, reordered messages and crashes of both sides",
    cases: (3, 100),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(async move { Ok(tokio::task::spawn_blocking(move || carry_out(&case)).await?) }),
    targets: &[&[
        at_least("seeds", 300, 10_000),
        at_least("reports_applied", 3_000, 100_000),
        at_least("stale_reports", 300, 10_000),
        none("violations"),
        none("traces_differ"),
    ]],
};

fn carry_out(case: &Case) -> Findings {
    let mut findings = Findings::default();
    findings.parameter("seeds", SEEDS);
    for number in 0..SEEDS {
        let seed = case.seed.wrapping_mul(SEEDS).wrapping_add(number);
        let world = || World::new(WorldConfig::default(), StdRng::seed_from_u64(seed)).run();
        findings.count("seeds", 1);
        match world() {
            Ok(done) => {
                findings.count("reports_applied", u64::from(done.applied));
                findings.count("stale_reports", u64::from(done.stale));
                let same = || world().is_ok_and(|again| again.trace() == done.trace());
                if number % TWICE == 0 && !same() {
                    findings.violation("traces_differ", format!("seed {seed}"));
                }
            }
            Err(violation) => findings.violation("violations", format!("seed {seed}: {violation}")),
        }
    }
    findings
}

/// Whether a bug in the decisions is seen within so many seeds.
pub(super) fn catches(bug: &'static str, most: u64) -> Option<String> {
    (0..most).find_map(|seed| {
        let run = || World::new(WorldConfig::default(), StdRng::seed_from_u64(seed)).run();
        let violation = nexusmon_shared::planted::with(bug, run).err()?;
        Some(format!("simulation, seed {seed}: {violation}"))
    })
}

//! Bugs planted on purpose, each of which one of the runs has to find: the harness's own test.

use std::sync::Arc;

use anyhow::Result;
use nexusmon_shared::time::{Clock as _, ManualClock, SteadyClock, Timestamp};

use super::{Case, Findings, Run, at_least, chaos, faults, kills, leases, none, runner, simulation};

/// What finds a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finder {
    /// Seeds of the simulated world.
    Simulation,
    /// A journal torn and spoilt.
    Torn,
    /// Leases under moving clocks.
    Leases,
    /// What has expired, shown after its time and after the clock was set back.
    Expiry,
    /// A small crash loop with real processes.
    Kills,
    /// The same, with keys of requests used again.
    Cuts,
}

use Finder::{Cuts, Expiry, Kills, Leases, Simulation, Torn};

/// Name, finder, and what it would do to its users.
const BUGS: &[(&str, Finder, &str)] = &[
    ("fence-check-skipped", Simulation, "reports of older attempts settle tasks"),
    ("late-report-reopens", Simulation, "a report changes what is over"),
    ("fence-reused", Simulation, "two grants share a fence"),
    ("fence-kept-after-failure", Simulation, "one failure is counted twice"),
    ("uncertain-retried", Simulation, "work that must not be repeated is repeated after a crash"),
    ("started-work-retried", Simulation, "a failure repeats work that must not be repeated"),
    ("failed-need-unlocks", Simulation, "a task runs though what it needs failed"),
    ("approval-not-asked", Simulation, "a task runs above the approved rank"),
    ("backoff-forgotten", Simulation, "a retry never comes"),
    ("mission-ends-early", Simulation, "a mission is over while its tasks run"),
    ("cancelled-granted-again", Simulation, "a cancelled task runs again"),
    ("damaged-journal-believed", Torn, "lost entries are taken for never started"),
    ("acknowledged-not-written-down", Torn, "reports are sent for ever"),
    ("lease-counted-from-newest-beat", Leases, "a lease outlives its renewal"),
    ("expiry-unobserved", Leases, "a jump of the wall clock ends leases"),
    ("expired-token-accepted", Expiry, "a token is good for ever"),
    ("clock-set-back-believed", Expiry, "setting the clock back revives what has expired"),
    ("start-not-written-down", Kills, "a crash repeats work that must not be repeated"),
    ("exit-not-written-down", Torn, "finished work is uncertain after a crash"),
    ("trees-left-running", Kills, "what a dead agent started goes on"),
    ("acknowledged-before-commit", Kills, "a crash loses reports"),
    ("answered-without-commit", Kills, "accepted missions and reports are gone"),
    ("grant-unaudited", Kills, "grants are not written down"),
    ("settlement-unaudited", Kills, "ends are not written down"),
    ("dependents-forgotten", Kills, "tasks wait for ever for what is done"),
    ("hello-not-compared", Cuts, "a cut line repeats work that still runs"),
    ("reports-forgotten-when-cut", Cuts, "a cut line loses reports"),
];

pub(super) const RUN: Run = Run {
    name: "planted",
    what: "bugs planted on purpose, each found by one of the runs",
    cases: (27, 27),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(carry_out(case)),
    targets: &[&[at_least("caught", 27, 27), none("missed")]],
};

async fn carry_out(case: Case) -> Result<Findings> {
    let (bug, finder, _) = BUGS[case.number as usize % BUGS.len()];
    let mut findings = Findings::default();
    findings.parameter("bug", bug);
    let caught = match finder {
        Simulation => tokio::task::spawn_blocking(move || simulation::catches(bug, 400)).await?,
        Torn => tokio::task::spawn_blocking(move || faults::catches(bug)).await?,
        Leases => leases::catches(bug),
        Expiry => nexusmon_shared::planted::with(bug, revived).map(str::to_owned),
        Kills | Cuts => with_processes(&case, bug, finder).await?,
    };
    match caught {
        Some(how) => {
            findings.count("caught", 1);
            findings.parameter("how", how.chars().take(240).collect::<String>());
        }
        None => findings.violation("missed", format!("{bug} was planted and nothing noticed")),
    }
    Ok(findings)
}

/// A few tries with different seeds: crashes come at random moments.
async fn with_processes(case: &Case, bug: &'static str, finder: Finder) -> Result<Option<String>> {
    for attempt in 0..4 {
        let case = Case { seed: case.seed.wrapping_add(attempt * 7_919), planted: Some(bug), ..case.clone() };
        let (run, found) = match finder {
            Cuts => (&chaos::RUN, chaos::short(case).await?),
            _ => (&kills::RUN, kills::rounds(case, false, 5, 50).await?),
        };
        if runner::violated(run, &found) {
            return Ok(found.details.first().cloned());
        }
    }
    Ok(None)
}

/// What of expired things is taken.
fn revived() -> Option<&'static str> {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let wall = ManualClock::new(at(10_000));
    let steady = SteadyClock::new(Arc::new(wall.clone()), at(0));
    let shown = steady.now();
    wall.set_wall(at(10));
    if steady.now() < shown {
        return Some("what had expired is good again once the clock is set back");
    }
    nexusmon_coordinator::service::auth::fuzzing::takes_expired().then_some("a token is taken after its time")
}

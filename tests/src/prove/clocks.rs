//! Jumping clocks, suspended machines, a database that goes away: one coordinator and its agents in this process, each on
//! a clock that moves when told to. No lease is used twice, no expired credential is taken, no fleet is uncertain.

mod fleet;
mod gate;

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Case, Findings, Run, at_least, leases, none};
use fleet::Fleet;

/// Of one case.
const EVENTS: u32 = 5;
/// Lives of single leases in virtual time, of one case.
const LIVES: u64 = 2_000;
const HOUR: Duration = Duration::from_hours(1);

pub(super) const RUN: Run = Run {
    name: "clocks",
    what: "clocks that jump an hour, ten minutes of suspend, a database away for 30 s",
    cases: (4, 40),
    at_once: 4,
    patience_seconds: 1_200,
    case: |case| Box::pin(carry_out(case)),
    targets: &[&[
        at_least("events", 20, 200),
        at_least("leases_lived", 8_000, 80_000),
        at_least("leases_ended", 4_000, 40_000),
        at_least("expired_credentials_shown", 4, 40),
        none("leases_used_early"),
        none("expired_credentials_accepted"),
        none("uncertain"),
        none("lost"),
        none("stuck"),
    ]],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    WallForward,
    WallBackward,
    CoordinatorSuspended,
    AgentSuspended,
    DatabaseAway,
}

const ALL: [Event; EVENTS as usize] = [
    Event::WallForward,
    Event::WallBackward,
    Event::CoordinatorSuspended,
    Event::AgentSuspended,
    Event::DatabaseAway,
];

async fn carry_out(case: Case) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut rng = StdRng::seed_from_u64(case.seed);
    for number in 0..LIVES {
        let life = leases::live(case.seed.wrapping_mul(LIVES).wrapping_add(number));
        findings.count("leases_lived", 1);
        findings.count("leases_ended", life.ended);
        findings.count("jumps_in_virtual_time", life.jumps);
        if life.early > 0 {
            findings.violation("leases_used_early", format!("virtual lease {number} of seed {}", case.seed));
        }
    }
    let postgres = case.is_on_postgres();
    findings.parameter("database", if postgres { "postgres" } else { "sqlite" });
    let mut fleet = Fleet::start(postgres, case.seed).await?;
    fleet.occupy().await?;
    let mut events = ALL;
    // In another order each time.
    for place in (1..events.len()).rev() {
        events.swap(place, rng.random_range(0..=place));
    }
    findings.parameter("events", events.map(|event| format!("{event:?}")).to_vec());
    let mut latest = fleet.now();
    for event in events {
        latest = latest.max(fleet.now());
        match event {
            Event::WallForward => fleet.clock.set_wall(fleet.now() + HOUR),
            Event::WallBackward => {
                // A credential expires, then the clock is set back to when it was good.
                let token = fleet.log_in().await?;
                fleet.advance_all(Duration::from_mins(11));
                refused(&fleet, &token, "after its time", &mut findings).await?;
                fleet.clock.set_wall(fleet.now() - HOUR);
                refused(&fleet, &token, "after its time, with the clock set back", &mut findings).await?;
            }
            // Time goes by for everybody, whoever sleeps; nobody does anything meanwhile.
            Event::CoordinatorSuspended | Event::AgentSuspended => {
                fleet.advance_all(Duration::from_mins(10));
            }
            Event::DatabaseAway => fleet.without_database(Duration::from_secs(30)).await?,
        }
        findings.count("events", 1);
        fleet.renewed().await?;
        fleet.advance_all(Duration::from_secs(20));
        fleet.looked_at().await?;
        for detail in fleet.overlaps() {
            findings.violation("leases_used_early", format!("after {event:?}: {detail}"));
        }
        for task in fleet.uncertain().await? {
            findings.violation("uncertain", format!("after {event:?}: {task}"));
        }
    }
    // Somebody puts the clock right: retries wait by the wall clock.
    fleet.clock.set_wall(latest.max(fleet.now()));
    for detail in fleet.release().await? {
        findings.violation("lost", detail);
    }
    fleet.stop().await;
    Ok(findings)
}

async fn refused(fleet: &Fleet, token: &str, when: &str, findings: &mut Findings) -> Result<()> {
    findings.count("expired_credentials_shown", 1);
    if fleet.is_accepted(token).await? {
        findings.violation("expired_credentials_accepted", format!("an access token {when}"));
    }
    Ok(())
}

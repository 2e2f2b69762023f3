//! One lease in virtual time: an agent that counts from sending its heartbeats, a coordinator that observes renewals, and
//! between them delays, losses, jumping wall clocks and suspended machines. A lease that is given away while its holder
//! still believes in it has been used early.

use std::time::Duration;

use nexusmon_agent::run::LeaseClock;
use nexusmon_core::lease::{self, LENGTH, Observation};
use nexusmon_shared::message::SUSPECT_AFTER;
use nexusmon_shared::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// One step of true time.
const STEP: Duration = Duration::from_millis(500);
const BEAT: Duration = Duration::from_secs(5);

/// On its way to the coordinator, or back.
struct Message {
    arrives: Duration,
    number: u64,
    back: bool,
}

/// What one life of a lease came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) jumps: u64,
    pub(super) ended: u64,
    /// Given away while the agent still believed in it.
    pub(super) early: u64,
}

/// Lives one lease to its end, or for ten minutes of true time.
pub(super) fn live(seed: u64) -> Life {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut life = Life::default();
    let start = Duration::from_secs(10_000);
    let (mut now, mut wall_offset) = (start, 0_i64);
    // Suspended machines do nothing; their boot clocks go on.
    let (mut agent_sleeps, mut coordinator_sleeps) = (Duration::ZERO, Duration::ZERO);
    let wall = |now: Duration, offset: i64| {
        Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(0) + offset * 1_000_000)
    };
    let mut leases = LeaseClock::new(now, LENGTH);
    let (mut renewed_at, mut renewal) = (wall(now, 0), 0_u64);
    let mut seen: Option<Observation> = None;
    let (mut number, mut next_beat) = (0_u64, now);
    let mut network: Vec<Message> = Vec::new();
    // After some time the line is cut for good, so that every lease ends.
    let cut = now + Duration::from_secs(rng.random_range(0..120));
    while now < start + Duration::from_mins(10) {
        now += STEP;
        match rng.random_range(0..400) {
            0 => {
                wall_offset += rng.random_range(-3_600..=3_600);
                life.jumps += 1;
            }
            1 => {
                agent_sleeps = now + Duration::from_secs(rng.random_range(1..600));
                life.jumps += 1;
            }
            2 => {
                coordinator_sleeps = now + Duration::from_secs(rng.random_range(1..600));
                life.jumps += 1;
            }
            _ => {}
        }
        if now >= agent_sleeps && now >= next_beat {
            next_beat = now + BEAT;
            number += 1;
            leases.sending(number, now);
            // Lost, or late by anything.
            if now < cut && rng.random_ratio(4, 5) {
                let late = Duration::from_millis(rng.random_range(0..15_000));
                network.push(Message { arrives: now + late, number, back: false });
            }
        }
        let (arrived, rest) = network.drain(..).partition(|message: &Message| {
            let awake = if message.back { now >= agent_sleeps } else { now >= coordinator_sleeps };
            message.arrives <= now && awake
        });
        network = rest;
        for Message { number, back, .. } in arrived {
            if back {
                leases.renewed(number);
            } else if number > renewal {
                (renewal, renewed_at) = (number, wall(now, wall_offset));
                let late = Duration::from_millis(rng.random_range(0..15_000));
                network.push(Message { arrives: now + late, number, back: true });
            }
        }
        if now >= coordinator_sleeps {
            let database_now = wall(now, wall_offset);
            if renewed_at <= database_now - SUSPECT_AFTER {
                let observed = lease::observe(seen, renewal, now);
                seen = Some(observed);
                if lease::has_ended(renewed_at + LENGTH, database_now, observed) {
                    life.ended += 1;
                    life.early += u64::from(leases.until() > now);
                    return life;
                }
            } else {
                seen = None;
            }
        }
    }
    life
}

/// Whether a planted bug ends a lease early.
pub(super) fn catches(bug: &'static str) -> Option<String> {
    (0..2_000).find_map(|seed| {
        let life = nexusmon_shared::planted::with(bug, || live(seed));
        (life.early > 0).then(|| format!("lease {seed} was given away while its agent believed in it"))
    })
}

//! Slows down guessing, per name and per network, and bounds how many secrets are hashed at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::link::Links;
use crate::error::{Error, Result};

/// Failures before waiting begins.
const FREE: u32 = 5;
/// Longest wait.
const LONGEST: Duration = Duration::from_mins(15);
/// Names and networks remembered.
const KEPT: usize = 20_000;
/// Argon2 needs some 20 MiB each.
const AT_ONCE: usize = 2;
/// Log-ins that wait for that, of everybody and of one network.
const WAITING: usize = 64;
const WAITING_OF_ONE: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

/// What is remembered of failed log-ins; on the boot clock, in memory.
#[derive(Debug)]
pub(crate) struct Guard {
    failures: Mutex<HashMap<String, Failures>>,
    /// By network.
    waiting: Mutex<HashMap<String, usize>>,
    pub(super) hashing: Semaphore,
    pub(super) links: Links,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
            waiting: Mutex::default(),
            hashing: Semaphore::new(AT_ONCE),
            links: Links::default(),
        }
    }
}

/// A place among those that wait; left when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    guard: &'a Guard,
    network: String,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.guard.waiting.lock().expect("no holder panics");
        if let Some(count) = waiting.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.network);
            }
        }
    }
}

/// Addresses of one customer: the whole /64 of IPv6, one address of IPv4.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("net {v4}"),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("net {a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn wait(failures: Failures, boot: Duration) -> Duration {
    let over = failures.count.saturating_sub(FREE);
    if over == 0 {
        return Duration::ZERO;
    }
    let pause = Duration::from_secs(1_u64 << over.min(10)).min(LONGEST);
    (failures.last + pause).saturating_sub(boot)
}

impl Guard {
    fn keys(name: &str, address: IpAddr) -> [String; 2] {
        [format!("name {}", name.chars().take(80).collect::<String>()), network(address)]
    }

    /// A place to wait at, if one is left: whoever floods the door keeps others waiting for a moment, not for hours.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Place<'_>> {
        let network = network(address);
        let mut waiting = self.waiting.lock().expect("no holder panics");
        let all: usize = waiting.values().sum();
        let count = waiting.entry(network.clone()).or_default();
        if all >= WAITING || *count >= WAITING_OF_ONE {
            if *count == 0 {
                waiting.remove(&network);
            }
            return Err(Error::RateLimited { retry_after: Duration::from_secs(1) });
        }
        *count += 1;
        Ok(Place { guard: self, network })
    }

    pub(super) fn check(&self, name: &str, address: IpAddr, boot: Duration) -> Result<()> {
        let failures = self.failures.lock().expect("no holder panics");
        let longest = Self::keys(name, address)
            .iter()
            .filter_map(|key| failures.get(key))
            .map(|failures| wait(*failures, boot))
            .max()
            .unwrap_or_default();
        if longest.is_zero() { Ok(()) } else { Err(Error::RateLimited { retry_after: longest }) }
    }

    pub(super) fn failed(&self, name: &str, address: IpAddr, boot: Duration) {
        let mut failures = self.failures.lock().expect("no holder panics");
        if failures.len() >= KEPT {
            failures.retain(|_, known| boot.saturating_sub(known.last) < LONGEST);
        }
        for key in Self::keys(name, address) {
            let known = failures.entry(key).or_insert(Failures { count: 0, last: boot });
            if boot.saturating_sub(known.last) > LONGEST {
                known.count = 0;
            }
            known.count = known.count.saturating_add(1);
            known.last = boot;
        }
    }

    pub(super) fn succeeded(&self, name: &str, address: IpAddr) {
        let mut failures = self.failures.lock().expect("no holder panics");
        for key in Self::keys(name, address) {
            failures.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_network_leaves_places_for_others() {
        let guard = Guard::default();
        let of = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut places: Vec<Place<'_>> = (0..WAITING_OF_ONE).map(|_| guard.enter(of(1)).unwrap()).collect();
        assert!(matches!(guard.enter(of(1)), Err(Error::RateLimited { .. })));
        drop(guard.enter(of(2)).unwrap());
        places.pop();
        places.push(guard.enter(of(1)).unwrap());
        for last in 2.. {
            let Ok(place) = guard.enter(of(last)) else { break };
            places.push(place);
        }
        assert_eq!(places.len(), WAITING);
        places.clear();
        assert!(guard.waiting.lock().unwrap().is_empty(), "nothing is remembered of who is gone");
    }

    #[test]
    fn guessing_slows_down_and_recovers() {
        let guard = Guard::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut boot = Duration::from_secs(1000);
        for _ in 0..=FREE {
            assert!(guard.check("owner", address, boot).is_ok());
            guard.failed("owner", address, boot);
        }
        assert!(matches!(guard.check("owner", address, boot), Err(Error::RateLimited { .. })));
        // The network waits too, whatever the name.
        assert!(guard.check("someone", address, boot).is_err());
        boot += Duration::from_secs(3);
        assert!(guard.check("owner", address, boot).is_ok());
        guard.succeeded("owner", address);
        guard.failed("owner", address, boot);
        assert!(guard.check("owner", address, boot).is_ok());
    }
}

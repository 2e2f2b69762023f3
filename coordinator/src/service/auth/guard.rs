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

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

/// What is remembered of failed log-ins; on the boot clock, in memory.
#[derive(Debug)]
pub(crate) struct Guard {
    failures: Mutex<HashMap<String, Failures>>,
    pub(super) hashing: Semaphore,
    pub(super) links: Links,
}

impl Default for Guard {
    fn default() -> Self {
        Self { failures: Mutex::default(), hashing: Semaphore::new(AT_ONCE), links: Links::default() }
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

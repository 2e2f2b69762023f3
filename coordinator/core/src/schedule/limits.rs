//! What is counted by key. Concurrency: the smallest maximum among live leases and the newcomer holds. Rates: starts
//! that still count, against the most that may.

use std::collections::BTreeMap;

use super::{DemandClass, LimitUse, Reason, Snapshot};

#[derive(Debug)]
pub(super) struct Limits {
    live: BTreeMap<String, LimitUse>,
    rates: BTreeMap<String, LimitUse>,
}

impl Limits {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self { live: snapshot.limits.clone(), rates: snapshot.rates.clone() }
    }

    /// The first key that is full for work of this class.
    pub(super) fn check(&self, class: &DemandClass) -> Result<(), Reason> {
        let held = full(&self.live, &class.limits).map(|(key, max)| (key.to_owned(), max));
        match held.or_else(|| spent(&self.rates, class)) {
            Some((key, max)) => Err(Reason::LimitReached { key, max }),
            None => Ok(()),
        }
    }

    pub(super) fn take(&mut self, class: &DemandClass) {
        for (key, max) in &class.limits {
            let held = self.live.entry(key.clone()).or_default();
            held.live += 1;
            held.least = Some(held.least.map_or(*max, |least| least.min(*max)));
        }
        if self.rates.is_empty() {
            return;
        }
        for key in class.rate_keys() {
            if let Some(rate) = self.rates.get_mut(&key) {
                rate.live += 1;
            }
        }
    }
}

/// The first key of `wanted` that has no room, with the maximum that holds there.
pub(super) fn full<'w>(
    live: &BTreeMap<String, LimitUse>,
    wanted: &'w BTreeMap<String, u32>,
) -> Option<(&'w str, u32)> {
    wanted.iter().find_map(|(key, max)| {
        let held = live.get(key).copied().unwrap_or_default();
        let holds = held.least.map_or(*max, |least| least.min(*max));
        (held.live >= holds).then_some((key.as_str(), holds))
    })
}

/// The first rate of the class that is spent, with the most starts it allows.
pub(super) fn spent(rates: &BTreeMap<String, LimitUse>, class: &DemandClass) -> Option<(String, u32)> {
    if rates.is_empty() {
        return None;
    }
    class.rate_keys().find_map(|key| {
        let rate = rates.get(&key)?;
        (rate.left() == Some(0)).then_some((key, rate.least.unwrap_or(0)))
    })
}

//! Concurrency keys: the smallest maximum among live leases and the newcomer holds.

use std::collections::BTreeMap;

use super::{LimitUse, Reason};

#[derive(Debug)]
pub(super) struct Limits(BTreeMap<String, LimitUse>);

impl Limits {
    pub(super) fn new(live: &BTreeMap<String, LimitUse>) -> Self {
        Self(live.clone())
    }

    /// The first key that is full for work with these limits.
    pub(super) fn check(&self, wanted: &BTreeMap<String, u32>) -> Result<(), Reason> {
        match full(&self.0, wanted) {
            Some((key, max)) => Err(Reason::LimitReached { key: key.to_owned(), max }),
            None => Ok(()),
        }
    }

    pub(super) fn take(&mut self, wanted: &BTreeMap<String, u32>) {
        for (key, max) in wanted {
            let held = self.0.entry(key.clone()).or_default();
            held.live += 1;
            held.least = Some(held.least.map_or(*max, |least| least.min(*max)));
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

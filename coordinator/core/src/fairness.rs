//! Fair order of ready tasks across missions: start-time fair queueing (Goyal, Vin, Cheng 1996) inside strict
//! priority tiers. A mission with ten thousand tasks does not starve one with ten.

use std::cmp::Ordering;

/// Fixed-point unit of virtual time: one task at weight 1.
pub const UNIT: u64 = 1 << 20;

/// The place of a ready task: claimed by highest priority, then lowest tag, then age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// −100 to 100; higher goes first, strictly.
    pub priority: i32,
    /// Start tag in virtual time.
    pub tag: u64,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        other.priority.cmp(&self.priority).then(self.tag.cmp(&other.tag))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Tags for `count` tasks of one mission that became ready now, in order. `virtual_time` is the tag of the task
/// granted last (0 at first); `last` is the mission's newest tag so far. Each tag is
/// `max(virtual_time, last) + UNIT / weight`; a weight of 0 counts as 1.
pub fn tags(virtual_time: u64, last: Option<u64>, weight: u32, count: usize) -> impl Iterator<Item = u64> {
    let step = (UNIT / u64::from(weight.max(1))).max(1);
    let mut previous = virtual_time.max(last.unwrap_or(0));
    (0..count).map(move |_| {
        previous = previous.saturating_add(step);
        previous
    })
}

/// Virtual time after granting a task with `tag`: it never runs backwards.
pub fn advance(virtual_time: u64, granted_tag: u64) -> u64 {
    virtual_time.max(granted_tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn backlogged_missions_share_by_weight(weights in prop::collection::vec(1_u32..8, 2..5)) {
            let mut queue: Vec<(u64, usize)> = Vec::new();
            for (mission, weight) in weights.iter().enumerate() {
                queue.extend(tags(0, None, *weight, 1_000).map(|tag| (tag, mission)));
            }
            queue.sort_unstable();
            let first = 100 * weights.len();
            let total: u32 = weights.iter().sum();
            for (mission, weight) in weights.iter().enumerate() {
                let got = queue[..first].iter().filter(|(_, m)| m == &mission).count();
                // Exactly fair would be first × weight / total; one task per mission of slack either way.
                let (got, fair) = (got * total as usize, first * *weight as usize);
                prop_assert!(got.abs_diff(fair) <= (weights.len() + 1) * total as usize, "{got} of {fair}");
            }
        }

        #[test]
        fn a_newcomer_neither_waits_for_the_backlog_nor_reclaims_the_past(served in 1_u64..1_000) {
            let virtual_time = served * UNIT;
            let newcomer = tags(virtual_time, None, 1, 1).next().unwrap();
            prop_assert!(newcomer > virtual_time && newcomer <= virtual_time + UNIT);
        }

        #[test]
        fn priority_comes_before_any_tag(low in -100_i32..0, tag: u64, other: u64) {
            let higher = Place { priority: 0, tag };
            let lower = Place { priority: low, tag: other };
            prop_assert!(higher < lower);
        }
    }
}

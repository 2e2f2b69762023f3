//! Rates: at most so many starts in any stretch of time of a given length, counted exactly.

use std::time::Duration;

use nexusmon_shared::time::Timestamp;

/// The most starts a rate may allow.
pub const MOST: u32 = 100_000;
/// The longest stretch a rate may speak of.
pub const LONGEST: Duration = Duration::from_hours(24);
/// What is remembered lies in about this many places: starts close to each other share one.
const PLACES: i64 = 256;

/// At most `most` starts in any stretch of `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub most: u32,
    pub per: Duration,
}

/// Starts of the newest stretch: when (in microseconds), and how many.
pub type Spent = Vec<(i64, u32)>;

impl Rate {
    fn micros(self) -> i64 {
        i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX)
    }

    fn counts(self, at: i64, now: Timestamp) -> bool {
        // What seems to lie ahead was counted by a clock that has been set back since; it counts on.
        now.as_micros().saturating_sub(at) < self.micros()
    }

    /// Starts that still count.
    pub fn used(self, spent: &Spent, now: Timestamp) -> u32 {
        let live = spent.iter().filter(|(at, _)| self.counts(*at, now));
        live.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Counts starts that happen now, and forgets what counts no more.
    pub fn spend(self, spent: &mut Spent, now: Timestamp, count: u32) {
        spent.retain(|(at, _)| self.counts(*at, now));
        // A place is named by its end: what is in it counts a little longer than it must, never shorter.
        let width = (self.micros() / PLACES).max(1);
        let end = (now.as_micros().div_euclid(width) + 1).saturating_mul(width);
        match spent.last_mut() {
            Some((at, known)) if *at >= end => *known = known.saturating_add(count),
            _ => spent.push((end, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever starts only what there is room for never starts more than the rate in any stretch.
        #[test]
        fn no_stretch_holds_more(most in 1_u32..20, per in 1_u64..100, steps in prop::collection::vec((0_i64..5_000_000, 0_u32..10), 1..200)) {
            let rate = Rate { most, per: Duration::from_secs(per) };
            let (mut spent, mut now, mut starts) = (Spent::new(), 0_i64, Vec::new());
            for (pause, wanted) in steps {
                now += pause;
                let at = Timestamp::from_micros(now);
                let count = wanted.min(most - rate.used(&spent, at).min(most));
                if count > 0 {
                    rate.spend(&mut spent, at, count);
                    starts.push((now, count));
                }
                let begin = now - rate.micros();
                let within: u32 = starts.iter().filter(|(at, _)| *at > begin).map(|(_, count)| count).sum();
                prop_assert!(within <= most, "{within} > {most}");
            }
        }

        /// What is remembered stays small, and all of it is forgotten in time.
        #[test]
        fn memory_is_bounded(gaps in prop::collection::vec(0_i64..1_000_000, 1..2000)) {
            let rate = Rate { most: MOST, per: Duration::from_secs(60) };
            let (mut spent, mut now) = (Spent::new(), 0);
            for gap in gaps {
                now += gap;
                rate.spend(&mut spent, Timestamp::from_micros(now), 1);
                prop_assert!(spent.len() <= 259, "{}", spent.len());
            }
            let later = Timestamp::from_micros(now + 60_000_000 + 60_000_000 / PLACES);
            prop_assert_eq!(rate.used(&spent, later), 0);
        }
    }
}

//! What is believed from outcomes: Beta distributions over success, nothing that decides by itself.

pub mod graph;

/// Counts of an observed belief. The mean is that of Beta(successes + 1, failures + 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Beta {
    pub successes: u64,
    pub failures: u64,
}

impl Beta {
    /// With one more outcome.
    #[must_use]
    pub const fn observe(self, success: bool) -> Self {
        if success {
            Self { successes: self.successes.saturating_add(1), ..self }
        } else {
            Self { failures: self.failures.saturating_add(1), ..self }
        }
    }

    /// Expected probability of success, strictly between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    pub fn mean(self) -> f64 {
        (self.successes as f64 + 1.0) / (self.successes as f64 + self.failures as f64 + 2.0)
    }

    /// Standard deviation: how unsure the belief is.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    pub fn deviation(self) -> f64 {
        let (a, b) = (self.successes as f64 + 1.0, self.failures as f64 + 1.0);
        (a * b / ((a + b) * (a + b) * (a + b + 1.0))).sqrt()
    }

    /// What an agent without a bad record has.
    pub const BEST_BAND: u8 = 3;

    /// 0 (worst) to [`Self::BEST_BAND`]: quarters of what the rate of success may well be (two deviations above the mean).
    /// Whoever is unknown gets the benefit of the doubt, and agents that differ by chance are in one band, so that load
    /// still decides among them.
    pub fn band(self) -> u8 {
        let at_best = 2.0_f64.mul_add(self.deviation(), self.mean());
        [0.25, 0.5, 0.75].into_iter().map(|bound| u8::from(at_best >= bound)).sum()
    }

    pub const fn count(self) -> u64 {
        self.successes.saturating_add(self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn belief_moves_towards_what_is_seen(successes in 0_u64..1_000_000, failures in 0_u64..1_000_000) {
            let belief = Beta { successes, failures };
            prop_assert!(belief.mean() > 0.0 && belief.mean() < 1.0);
            prop_assert!(belief.observe(true).mean() > belief.mean());
            prop_assert!(belief.observe(false).mean() < belief.mean());
            prop_assert!(belief.deviation() <= 0.29);
            prop_assert!(belief.band() <= Beta::BEST_BAND);
        }

        #[test]
        fn nobody_falls_behind_by_chance(failures in 0_u64..3, successes in 0_u64..10_000) {
            let record = Beta { successes: successes + 3 * failures, failures };
            prop_assert_eq!(record.band(), Beta::BEST_BAND);
            let worse = Beta { successes: 1, failures: 40 + failures };
            prop_assert!(worse.band() < Beta::BEST_BAND);
        }
    }
}

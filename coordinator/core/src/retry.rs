//! When a failed task is tried again, and after how long. Knows causes and counters, not tasks or leases.

use std::time::Duration;

use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::Retry;
use nexusmon_shared::planted::planted;
use nexusmon_shared::time::Timestamp;
use rand::RngExt as _;

/// No backoff is longer than this.
pub const MAX_BACKOFF: Duration = Duration::from_hours(1);

/// How far the clocks of coordinators may lie apart. Whoever sees a backoff begin later than this from now has a clock
/// that was set back since.
pub const SKEW: Duration = Duration::from_mins(1);

/// Whether a backoff is over: its time has come, or, once the wall clock was set back, a time before it began has come
/// again, and nobody can say how much of it is left.
pub fn is_over(until: Timestamp, began: Option<Timestamp>, now: Timestamp) -> bool {
    until <= now || began.is_some_and(|began| began > now + SKEW)
}

/// Exponential backoff before retry number `retry` (0 is the first): the base doubles each time up to
/// [`MAX_BACKOFF`], and `jitter` of it (0 to 1) is random, so that failures of one cause do not return in step.
pub fn backoff(base: Duration, jitter: f64, retry: u32, rng: &mut impl rand::Rng) -> Duration {
    let factor = 1_u32.checked_shl(retry.min(31)).unwrap_or(u32::MAX);
    let full = base.saturating_mul(factor).min(MAX_BACKOFF);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let share: f64 = rng.random_range(0.0..=1.0);
    full.mul_f64(1.0 - jitter * share)
}

/// Whether a failure is tried again.
///
/// `started`: the attempt may have had effects. Non-idempotent work that started is retried only where `retry.on` names
/// the cause.
pub fn allows(retry: &Retry, idempotent: bool, cause: &Cause, retries: u32, started: bool) -> bool {
    let named = retry.on.iter().any(|name| name == cause.kind());
    let wanted = if idempotent || !started || planted("started-work-retried") {
        retry.on.is_empty() || named
    } else {
        named
    };
    retries < retry.max && cause.is_retryable() && wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexusmon_shared::time::Span;
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    fn policy(max: u32, on: &[&str]) -> Retry {
        Retry {
            max,
            backoff: Span::from_secs(5),
            jitter: 0.2,
            on: on.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    proptest! {
        #[test]
        fn backoff_doubles_within_its_bounds(seconds in 0_u64..10_000, jitter in -1.0_f64..2.0, retry in 0_u32..100, seed: u64) {
            let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
            let waited = backoff(Duration::from_secs(seconds), jitter, retry, &mut rng);
            let full = Duration::from_secs(seconds).saturating_mul(1 << retry.min(12)).min(MAX_BACKOFF);
            prop_assert!(waited <= full);
            let least = full.mul_f64(1.0 - jitter.clamp(0.0, 1.0));
            prop_assert!(waited + Duration::from_micros(1) >= least, "{waited:?} below {least:?}");
        }

        #[test]
        fn a_clock_set_back_holds_no_retry_longer_than_its_backoff(
            waits in 0_i64..3_600, passed in 0_i64..3_600, back in 0_i64..1_000_000,
        ) {
            let at = |seconds: i64| Timestamp::from_micros((10_000_000 + seconds) * 1_000_000);
            let skew = i64::try_from(SKEW.as_secs()).unwrap();
            let over = |now| is_over(at(waits), Some(at(0)), at(now));
            // An honest clock, or one that lies within the skew, changes nothing.
            prop_assert_eq!(over(passed), passed >= waits);
            prop_assert_eq!(over(-passed.min(skew)), waits == 0 && passed == 0);
            // Set back: over at once, or after the backoff counted anew.
            let now = passed - back;
            prop_assert!(over(now) || over(now + waits + skew));
            prop_assert!(!is_over(at(waits), None, at(now)) || now >= waits);
        }

        #[test]
        fn never_more_retries_than_allowed(max in 0_u32..5, retries in 0_u32..10, idempotent: bool, started: bool) {
            let allowed = allows(&policy(max, &[]), idempotent, &Cause::Timeout, retries, started);
            prop_assert!(!allowed || retries < max);
        }
    }

    #[test]
    fn what_cannot_help_is_not_retried() {
        let cause = Cause::BadParameters { detail: "x".into() };
        assert!(!allows(&policy(3, &["bad_parameters"]), true, &cause, 0, false));
    }

    #[test]
    fn started_work_with_effects_is_retried_only_by_name() {
        let exit = Cause::ExitStatus { code: 1 };
        assert!(!allows(&policy(3, &[]), false, &exit, 0, true));
        assert!(allows(&policy(3, &[]), false, &exit, 0, false));
        assert!(allows(&policy(3, &["exit_status"]), false, &exit, 0, true));
        assert!(!allows(&policy(3, &["timeout"]), true, &exit, 0, true));
    }
}

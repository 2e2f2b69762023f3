//! When a lease has ended. Knows two clocks and counters; what follows for the task is `task::lease_ended`.

use std::time::Duration;

use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::planted::planted;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

/// Length of a lease: the agent counts it from sending the heartbeat that renewed it.
pub const LENGTH: Duration = Duration::from_secs(30);
/// What the observer waits beyond the full length.
pub const MARGIN: Duration = Duration::from_secs(2);
/// Time between two looks that counts as watched. Whoever looks less often was suspended, or too busy to take renewals in.
pub const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// An agent ends an unrenewed idempotent attempt this long before the lease ends.
pub const EARLY_END: Duration = Duration::from_secs(5);
/// Default for how long a cut-off agent may finish non-idempotent work up to rank B.
pub const DEFAULT_OFFLINE: Duration = Duration::from_mins(15);

/// What one coordinator has seen of a session's renewals on its own boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The last renewal number seen.
    pub renewal: u64,
    /// This observer's boot clock when it last looked.
    pub last_look: Duration,
    /// How long it has watched that number.
    pub watched: Duration,
}

/// Takes in the renewal number read now; watching starts again when the number changes.
pub fn observe(previous: Option<Observation>, renewal: u64, boot: Duration) -> Observation {
    match previous {
        Some(seen) if seen.renewal == renewal => {
            let since = boot.saturating_sub(seen.last_look).min(LONGEST_LOOK);
            Observation { renewal, last_look: boot, watched: seen.watched + since }
        }
        _ => Observation { renewal, last_look: boot, watched: Duration::ZERO },
    }
}

/// Whether a session's leases have ended: database time is past `expires_at` *and* this observer has watched the same
/// renewal number for the full length plus the margin. Neither alone can end a lease, so a jumping wall clock or a
/// suspended coordinator, to which renewals are still on their way, cannot end one early.
pub fn has_ended(expires_at: Timestamp, database_now: Timestamp, seen: Observation) -> bool {
    let observed = planted("expiry-unobserved") || seen.watched >= LENGTH + MARGIN;
    database_now >= expires_at && observed
}

/// Until when an agent that is cut off from now on may go on with a task: `None` where it must stop with its lease.
/// The lease itself still covers [`LENGTH`] from its last renewal.
pub fn offline_until(idempotent: bool, offline: Duration, granted_at: Timestamp) -> Option<Timestamp> {
    (!idempotent && !offline.is_zero()).then(|| granted_at + LENGTH + offline)
}

/// [`offline_until`] of a leaf.
pub fn offline_until_of(spec: &TaskSpec, granted_at: Timestamp) -> Option<Timestamp> {
    offline_until(spec.idempotent, spec.offline.0, granted_at)
}

/// Whether an attempt whose session is gone may still be running somewhere within its allowance: the task stays
/// `running` with the reason `away` until then.
pub fn is_away(offline_until: Option<Timestamp>, now: Timestamp) -> bool {
    offline_until.is_some_and(|until| now < until)
}

/// The default of `offline` for a rank.
pub fn default_offline(rank: Rank) -> Duration {
    if rank.needs_approval() { Duration::ZERO } else { DEFAULT_OFFLINE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Looks at the same number so many times, a second apart.
    fn watched(seconds: u64) -> Observation {
        let looks = (1..=seconds).map(|second| Duration::from_secs(100 + second));
        let first = observe(None, 7, Duration::from_secs(100));
        looks.fold(first, |seen, boot| observe(Some(seen), 7, boot))
    }

    proptest! {
        #[test]
        fn a_wall_clock_jump_alone_ends_nothing(jump in 0_i64..i64::MAX / 2, seconds in 0_u64..40) {
            let ended = has_ended(Timestamp::from_micros(0), Timestamp::from_micros(jump), watched(seconds));
            prop_assert_eq!(ended, seconds >= 32);
        }

        #[test]
        fn a_renewal_starts_the_watch_again(first in 0_u64..100, rest in 0_u64..31) {
            let mut seen = observe(Some(watched(first)), 8, Duration::from_secs(100 + first));
            for second in 1..=rest {
                seen = observe(Some(seen), 8, Duration::from_secs(100 + first + second));
            }
            prop_assert!(!has_ended(Timestamp::from_micros(0), Timestamp::from_micros(1), seen));
        }

        /// The number it had before it slept is not taken for one that nobody renews.
        #[test]
        fn a_suspended_observer_has_not_watched(before in 0_u64..26, asleep in 5_u64..100_000) {
            let seen = observe(Some(watched(before)), 7, Duration::from_secs(100 + before + asleep));
            prop_assert!(!has_ended(Timestamp::from_micros(0), Timestamp::from_micros(1), seen));
        }

        #[test]
        fn it_takes_both(extra in 0_u64..40) {
            let seen = watched(32 + extra);
            prop_assert!(has_ended(Timestamp::from_micros(5), Timestamp::from_micros(5), seen));
            prop_assert!(!has_ended(Timestamp::from_micros(6), Timestamp::from_micros(5), seen));
        }
    }

    #[test]
    fn idempotent_and_grave_work_never_goes_on_offline() {
        let at = Timestamp::from_micros(0);
        assert_eq!(offline_until(true, DEFAULT_OFFLINE, at), None);
        assert_eq!(offline_until(false, default_offline(Rank::A), at), None);
        assert_eq!(offline_until(false, default_offline(Rank::B), at), Some(at + LENGTH + DEFAULT_OFFLINE));
    }
}

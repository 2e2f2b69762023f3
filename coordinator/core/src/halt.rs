//! The kill switch as seen from one agent: whether it has obeyed, and until when it might still run something.

use std::time::Duration;

use nexusmon_shared::message::HaltLevel;
use nexusmon_shared::time::Timestamp;

use crate::lease;

/// How far an agent is with what was pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Cut off, and holds work: it stops by itself then, whether anybody tells it or not.
    Unreachable { until: Timestamp },
    /// Connected; its answer is on the way.
    Waiting,
    /// It has said that the level holds there.
    Acknowledged,
    /// Cut off, and holds nothing that could run.
    Clear,
}

impl Standing {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Waiting => "waiting",
            Self::Acknowledged => "acknowledged",
            Self::Clear => "clear",
        }
    }
}

/// What is known of an agent.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// It has answered this very pull.
    pub acknowledged: bool,
    /// Its session lives.
    pub reachable: bool,
    /// Live leases.
    pub leases: u64,
    /// When its session was renewed last.
    pub renewed_at: Option<Timestamp>,
    /// The longest one of its attempts may go on behind that renewal, offline allowance included.
    pub allowance: Duration,
}

/// How far the agent is. An answer counts while the agent is cut off, too: nothing is granted meanwhile.
pub fn standing(seen: &Seen, now: Timestamp) -> Standing {
    if seen.acknowledged {
        return Standing::Acknowledged;
    }
    if seen.reachable {
        return Standing::Waiting;
    }
    match may_run_until(seen) {
        Some(until) if now < until => Standing::Unreachable { until },
        _ => Standing::Clear,
    }
}

/// Until when an agent that nobody reaches may still run something: its lease from the newest renewal, or what the
/// leaves it holds allow beyond.
fn may_run_until(seen: &Seen) -> Option<Timestamp> {
    let renewed_at = seen.renewed_at.filter(|_| seen.leases > 0)?;
    Some(renewed_at + seen.allowance.max(lease::LENGTH))
}

/// Whether one level is graver than another: it may be pulled on top of it, and everything else is a release.
pub fn may_be_pulled(from: HaltLevel, to: HaltLevel) -> bool {
    to > from
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> impl Strategy<Value = Seen> {
        (any::<bool>(), any::<bool>(), 0_u64..3, prop::option::of(0_i64..1_000_000_000), 0_u64..2_000)
            .prop_map(|(acknowledged, reachable, leases, renewed, allowance)| Seen {
                acknowledged,
                reachable,
                leases,
                renewed_at: renewed.map(Timestamp::from_micros),
                allowance: Duration::from_secs(allowance),
            })
    }

    proptest! {
        /// Nobody is called clear who holds work and could still be within his lease or allowance.
        #[test]
        fn clear_means_that_nothing_can_run(seen in seen(), now in 0_i64..4_000_000_000) {
            let now = Timestamp::from_micros(now);
            if let (Standing::Clear, Some(renewed)) = (standing(&seen, now), seen.renewed_at) {
                prop_assert!(!seen.reachable && !seen.acknowledged);
                let over = now >= renewed + lease::LENGTH && now >= renewed + seen.allowance;
                prop_assert!(seen.leases == 0 || over);
            }
        }

        #[test]
        fn the_bound_lies_ahead_and_behind_the_lease(seen in seen(), now in 0_i64..4_000_000_000) {
            let now = Timestamp::from_micros(now);
            if let Standing::Unreachable { until } = standing(&seen, now) {
                prop_assert!(until > now);
                prop_assert!(seen.renewed_at.is_some_and(|at| until >= at + lease::LENGTH));
            }
        }
    }

    #[test]
    fn levels_only_rise() {
        use HaltLevel::{Halt, None, Stop};
        assert!(may_be_pulled(None, Halt) && may_be_pulled(None, Stop) && may_be_pulled(Halt, Stop));
        assert!(!may_be_pulled(Stop, Halt) && !may_be_pulled(Halt, Halt) && !may_be_pulled(Halt, None));
    }
}

//! When the session's leases end, counted on the boot clock from *sending* the heartbeat that renewed them.
//!
//! Counting from the sending can only end work too early, never too late, however long a message lay in a buffer.

use std::collections::VecDeque;
use std::time::Duration;

/// Work that may be repeated is ended this long before its lease.
pub const MARGIN: Duration = Duration::from_secs(5);

/// Heartbeats remembered. More unanswered ones are beyond any lease.
const REMEMBERED: usize = 64;

/// The leases of one session; they are renewed together.
#[derive(Debug, Clone)]
pub struct LeaseClock {
    lease: Duration,
    sent: VecDeque<(u64, Duration)>,
    until: Duration,
}

impl LeaseClock {
    /// Begins with the Hello, which counts as heartbeat 0.
    pub fn new(hello_sent: Duration, lease: Duration) -> Self {
        Self { lease, sent: VecDeque::from([(0, hello_sent)]), until: hello_sent + lease }
    }

    /// A heartbeat is about to be sent; numbers grow.
    pub fn sending(&mut self, number: u64, at: Duration) {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((number, at));
    }

    /// The coordinator has handled this heartbeat: every lease of the session now ends at the returned reading. A number
    /// that was never sent, or is forgotten, renews nothing.
    pub fn renewed(&mut self, number: u64) -> Duration {
        while self.sent.front().is_some_and(|(oldest, _)| *oldest < number) && self.sent.len() > 1 {
            self.sent.pop_front();
        }
        let sent = if nexusmon_shared::planted::planted("lease-counted-from-newest-beat") {
            self.sent.back()
        } else {
            self.sent.iter().find(|(sent, _)| *sent == number)
        };
        if let Some((_, at)) = sent {
            self.until = self.until.max(*at + self.lease);
        }
        self.until
    }

    /// Until when the leases of this session live.
    pub fn until(&self) -> Duration {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(30);

    proptest! {
        /// No echo, in whatever order and however often, makes a lease outlive its sending.
        #[test]
        fn a_lease_never_outlives_the_newest_sending(
            steps in prop::collection::vec((any::<bool>(), 0_u64..200, 0_u64..9), 0..200),
        ) {
            let mut clock = LeaseClock::new(Duration::ZERO, LEASE);
            let (mut now, mut number, mut newest_sent) = (Duration::ZERO, 0, Duration::ZERO);
            let mut until = clock.until();
            for (send, echo, pass) in steps {
                now += Duration::from_secs(pass);
                if send {
                    number += 1;
                    newest_sent = now;
                    clock.sending(number, now);
                } else {
                    let renewed = clock.renewed(echo);
                    prop_assert!(renewed >= until, "moves forward only");
                    prop_assert!(renewed <= newest_sent + LEASE);
                    until = renewed;
                }
            }
        }

        #[test]
        fn the_newest_echo_counts(gap in 1_u64..20, beats in 1_u64..100) {
            let mut clock = LeaseClock::new(Duration::ZERO, LEASE);
            for number in 1..=beats {
                clock.sending(number, Duration::from_secs(number * gap));
            }
            prop_assert_eq!(clock.renewed(beats), Duration::from_secs(beats * gap) + LEASE);
            prop_assert_eq!(clock.renewed(beats), clock.until());
        }
    }
}

//! The phases of one attempt on this agent, and what each wish to end it means in each phase.

use nexusmon_shared::outcome::Ending;

/// How far an attempt has come. From `Starting` on it counts as started: its process may exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its inputs are being fetched.
    Fetching,
    /// Waits for a slot.
    Queued,
    /// Its start is in the journal; the process exists or is about to.
    Starting,
    /// Told to end, for the newest reason given.
    Ending(Reason),
}

/// Why an attempt is to end before it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Give back what has not started: recall, drain, pause, halt.
    Recalled,
    /// The coordinator cancelled it, or stopped everything.
    Cancelled,
    /// Nobody has renewed its lease.
    LeaseEnded,
    /// The coordinator says that its fence is stale, or has granted the task anew: nobody wants its report.
    Stale,
}

/// What a wish to end an attempt comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It has not started and never will: report this.
    Report(Ending),
    /// It has not started and nobody wants a report.
    Forget,
    /// Tell the worker; its exit comes later.
    Tell,
    /// Nothing changes.
    Nothing,
}

impl Phase {
    pub fn has_started(self) -> bool {
        matches!(self, Self::Starting | Self::Ending(_))
    }

    /// Somebody wants the attempt to end.
    pub fn end(&mut self, reason: Reason) -> Answer {
        match (*self, reason) {
            (Self::Fetching | Self::Queued, Reason::Recalled | Reason::LeaseEnded) => {
                Answer::Report(Ending::Returned)
            }
            (Self::Fetching | Self::Queued, Reason::Cancelled) => Answer::Report(Ending::Cancelled),
            (Self::Fetching | Self::Queued, Reason::Stale) => Answer::Forget,
            (Self::Starting | Self::Ending(_), Reason::Recalled) => Answer::Nothing,
            // What is ended as stale stays so; an end for want of a lease can still become a cancelled one.
            (Self::Ending(Reason::Stale), _) => Answer::Nothing,
            (Self::Ending(known), wanted) if known == wanted => Answer::Tell,
            (Self::Ending(Reason::Cancelled), Reason::LeaseEnded) => Answer::Nothing,
            (Self::Starting | Self::Ending(_), Reason::Cancelled | Reason::LeaseEnded | Reason::Stale) => {
                *self = Self::Ending(reason);
                Answer::Tell
            }
        }
    }

    /// What the worker's exit means; `None` when nobody wants to know.
    ///
    /// Work that ended by itself before it could be ended is reported as it ended: a late result is still the truth.
    pub fn exited(self, ending: Ending) -> Option<Ending> {
        match (self, ending) {
            (Self::Ending(Reason::Stale), _) => None,
            (Self::Ending(Reason::Cancelled), Ending::Cancelled | Ending::Unknown) => Some(Ending::Cancelled),
            // Killed in the middle, and not because the coordinator said so.
            (_, Ending::Cancelled) => Some(Ending::Unknown),
            (_, ending) => Some(ending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reasons() -> impl Strategy<Value = Reason> {
        prop_oneof![
            Just(Reason::Recalled),
            Just(Reason::Cancelled),
            Just(Reason::LeaseEnded),
            Just(Reason::Stale)
        ]
    }

    fn endings() -> impl Strategy<Value = Ending> {
        prop_oneof![
            Just(Ending::Succeeded { outputs: serde_json::Map::new() }),
            Just(Ending::Cancelled),
            Just(Ending::Unknown),
        ]
    }

    proptest! {
        /// What has started is never given back, and what has not is never sent to the worker.
        #[test]
        fn started_work_is_never_returned(wishes in prop::collection::vec(reasons(), 0..8), started: bool) {
            let mut phase = if started { Phase::Starting } else { Phase::Queued };
            for wish in wishes {
                let answer = phase.end(wish);
                prop_assert_eq!(phase.has_started(), started);
                match answer {
                    Answer::Report(_) | Answer::Forget => prop_assert!(!started),
                    Answer::Tell => prop_assert!(started),
                    Answer::Nothing => {}
                }
            }
        }

        /// A result is never lost to a wish that came too late, unless it is stale; and "cancelled" is only said where
        /// the coordinator asked for it.
        #[test]
        fn exits_tell_the_truth(wishes in prop::collection::vec(reasons(), 0..8), ending in endings()) {
            let mut phase = Phase::Starting;
            for wish in &wishes {
                phase.end(*wish);
            }
            let reported = phase.exited(ending.clone());
            if wishes.contains(&Reason::Stale) {
                prop_assert_eq!(reported, None);
            } else if matches!(ending, Ending::Succeeded { .. }) {
                prop_assert_eq!(reported, Some(ending));
            } else if wishes.contains(&Reason::Cancelled) {
                prop_assert_eq!(reported, Some(Ending::Cancelled));
            } else {
                prop_assert_eq!(reported, Some(Ending::Unknown));
            }
        }
    }
}

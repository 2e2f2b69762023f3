//! Leaves an endpoint alone for a while that failed several times in a row; then one question finds out.

use std::sync::Mutex;
use std::time::Duration;

const FAILURES: u32 = 3;
const PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Boot clock; nobody is let in before.
    until: Option<Duration>,
}

impl Breaker {
    /// Whether to ask now; else how long to wait. After the pause one is let in and closes the door behind it.
    pub(super) fn enter(&self, now: Duration) -> Result<(), Duration> {
        let mut state = self.0.lock().expect("no holder panics");
        match state.until {
            Some(until) if now < until => Err(until.saturating_sub(now)),
            Some(_) => {
                state.until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// `None` says neither: the count stays as it is.
    pub(super) fn leave(&self, now: Duration, well: Option<bool>) {
        let mut state = self.0.lock().expect("no holder panics");
        match well {
            Some(true) => *state = State::default(),
            Some(false) => {
                state.failures += 1;
                if state.failures >= FAILURES {
                    state.until = Some(now + PAUSE);
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_three_failures_it_is_left_alone_and_then_tried_once() {
        let breaker = Breaker::default();
        let at = Duration::from_secs;
        for second in 0..2 {
            assert_eq!(breaker.enter(at(second)), Ok(()));
            breaker.leave(at(second), Some(false));
        }
        assert_eq!(breaker.enter(at(2)), Ok(()), "two are not enough");
        breaker.leave(at(2), Some(false));
        assert_eq!(breaker.enter(at(3)), Err(at(59)));
        assert_eq!(breaker.enter(at(62)), Ok(()));
        assert!(breaker.enter(at(62)).is_err(), "one finds out for all");
        breaker.leave(at(63), Some(true));
        assert_eq!(breaker.enter(at(63)), Ok(()));
        breaker.leave(at(63), Some(false));
        assert_eq!(breaker.enter(at(64)), Ok(()), "counted anew");
    }

    #[test]
    fn what_says_neither_leaves_the_count_as_it_is() {
        let breaker = Breaker::default();
        let at = Duration::from_secs;
        for second in 0..3 {
            assert_eq!(breaker.enter(at(second)), Ok(()));
            breaker.leave(at(second), None);
            breaker.leave(at(second), Some(false));
        }
        assert_eq!(breaker.enter(at(3)), Err(at(59)));
    }
}

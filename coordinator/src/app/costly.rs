//! Answers that take long to find serve for a while: a million rows are not counted for every look at a figure.

use std::time::Duration;

use nexusmon_shared::time::Clock;
use tokio::sync::Mutex;

/// What was found sooner than this is found again every time.
const QUICK: Duration = Duration::from_millis(20);
/// An answer serves this many times as long as it took to find: looking costs at most a fiftieth of a core.
const SERVES: u32 = 50;

/// One answer, and the boot clock until which it serves. Who asks while it is being found waits for it.
#[derive(Debug)]
pub struct Costly<T>(Mutex<Option<(Duration, T)>>);

impl<T> Default for Costly<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Costly<T> {
    pub async fn get<E>(&self, clock: &dyn Clock, find: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut known = self.0.lock().await;
        let began = clock.boot();
        if let Some((until, answer)) = &*known
            && began < *until
        {
            return Ok(answer.clone());
        }
        let answer = find.await?;
        let now = clock.boot();
        let took = now.saturating_sub(began);
        *known = (took > QUICK).then(|| (now + took * SERVES, answer.clone()));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use nexusmon_shared::time::{ManualClock, Timestamp};

    use super::*;

    #[tokio::test]
    async fn what_takes_long_serves_for_a_while_and_what_does_not_is_always_fresh() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let costly = Costly::default();
        let find = async |took: u64, answer: u32| {
            let finding = async {
                clock.advance(Duration::from_millis(took));
                Ok::<_, Infallible>(answer)
            };
            costly.get(&clock, finding).await.unwrap()
        };
        assert_eq!((find(1, 1).await, find(1, 2).await), (1, 2));
        assert_eq!((find(100, 3).await, find(100, 4).await), (3, 3));
        clock.advance(Duration::from_secs(5));
        assert_eq!((find(100, 5).await, find(100, 6).await), (5, 5));
    }
}

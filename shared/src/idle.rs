//! Once nothing happens, memory goes back to the machine: what starting and working needed is not needed for waiting.

use std::time::Duration;

use crate::lifecycle::Lifecycle;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// Less processor time between two looks is no work: heartbeats, timers.
const QUIET: Duration = Duration::from_millis(20);
/// After less work than this there is nothing worth giving back.
const WORTH: Duration = Duration::from_millis(50);

/// Watches this process for as long as it lives.
pub fn watch(lifecycle: &Lifecycle) {
    let soft = lifecycle.soft();
    lifecycle.spawn_quiet("idle memory", async move {
        let mut idle = Idle::default();
        let mut pace = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                () = soft.cancelled() => return Ok::<(), std::convert::Infallible>(()),
            }
            if idle.look(nexusmon_memory::processor_time())
                && tokio::task::spawn_blocking(nexusmon_memory::release).await.is_ok()
            {
                idle.released = nexusmon_memory::processor_time();
            }
        }
    });
}

/// Tells, from processor time used, when work has ended.
#[derive(Debug, Default)]
struct Idle {
    seen: Duration,
    /// When memory was last given back.
    released: Duration,
}

impl Idle {
    fn look(&mut self, used: Duration) -> bool {
        let quiet = used.saturating_sub(self.seen) < QUIET;
        self.seen = used;
        quiet && used.saturating_sub(self.released) >= WORTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_once_after_work() {
        let mut idle = Idle::default();
        let millis = Duration::from_millis;
        assert!(!idle.look(millis(300)), "it has just started");
        assert!(idle.look(millis(305)));
        idle.released = millis(310);
        assert!(!idle.look(millis(315)), "nothing has happened since");
        assert!(!idle.look(millis(500)), "it works");
        assert!(idle.look(millis(501)));
    }
}

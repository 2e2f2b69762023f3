//! Time as an agent believes it: never before what its organism's authority has signed. A wall clock that is set back must
//! not bring expired signatures back to life.

use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::time::{Clock, SharedClock, Timestamp};

use super::Home;

/// The wall clock, or the newest time signed for this agent if that is later. That lies in its newest certificate, which is
/// on the disk before it is used.
#[derive(Debug)]
pub struct NeverBehind {
    inner: SharedClock,
    home: Arc<Home>,
}

impl NeverBehind {
    pub fn new(inner: SharedClock, home: Arc<Home>) -> Self {
        Self { inner, home }
    }
}

impl Clock for NeverBehind {
    fn now(&self) -> Timestamp {
        self.inner.now().max(self.home.signed_time())
    }

    fn wall(&self) -> Timestamp {
        self.inner.wall()
    }

    fn boot(&self) -> Duration {
        self.inner.boot()
    }
}

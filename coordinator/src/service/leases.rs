//! Timers of missions and tasks: leases that ended, backoffs and start times that are due, deadlines.
//!
//! Each function is an idempotent activation without input; background calls them periodically and on demand.

use std::time::Duration;

use crate::app::App;
use crate::error::Result;

/// What one activation did.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimerResult {
    pub handled: usize,
    /// When the next one is due, if known.
    pub next_in: Option<Duration>,
}

/// Ends leases whose session is over by database time and by this node's own observation.
pub async fn expire(app: &App) -> Result<TimerResult> {
    let _ = app;
    todo!()
}

/// Backoffs that are over, missions whose start time, deadline or `decide_by` has come.
pub async fn due(app: &App) -> Result<TimerResult> {
    let _ = app;
    todo!()
}

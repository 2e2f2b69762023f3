//! Dispatch: ready tasks become orders. Claims, decides by the pure scheduler, commits grants, then sends.

use crate::app::App;
use crate::error::Result;

/// What one activation did.
#[derive(Debug, Clone, Copy, Default)]
pub struct TickResult {
    pub granted: usize,
    /// More may be waiting: tick again at once.
    pub more: bool,
}

/// One activation; idempotent. Background calls it whenever [`woken`] returns.
pub async fn tick(app: &App) -> Result<TickResult> {
    let _ = app;
    todo!()
}

/// Asks for a tick soon; cheap, callable from anywhere.
pub fn wake(app: &App) {
    let _ = app;
    todo!()
}

/// Waits until somebody called [`wake`] or the store signalled ready tasks.
pub async fn woken(app: &App) {
    let _ = app;
    todo!()
}

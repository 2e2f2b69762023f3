//! Retention: what is old enough goes, and a tombstone stays.

use crate::app::App;
use crate::error::Result;

#[derive(Debug, Clone, Copy, Default)]
pub struct Swept {
    pub versions_purged: usize,
    pub blobs_deleted: usize,
    pub sessions_deleted: usize,
    pub keys_deleted: usize,
}

/// One activation; idempotent.
pub async fn sweep(app: &App) -> Result<Swept> {
    let _ = app;
    todo!()
}

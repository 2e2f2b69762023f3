//! What keeps the house small, and how large it is.

use nexusmon_store::{Advice, Sizes};

use crate::app::App;
use crate::error::{Error, Result};

/// The house in bytes, and what would help it.
#[derive(Debug, Clone)]
pub struct HouseView {
    pub database: Sizes,
    pub blobs: u64,
    pub blob_bytes: u64,
    /// Nothing, if all is well.
    pub advice: Vec<Advice>,
}

/// One activation; idempotent. Pages nobody needs go back to the system, the write-ahead log is held to its bound; a roster
/// whose time has come is the one that new agents pin.
pub async fn tidy(app: &App) -> Result<()> {
    super::roster::refresh(app).await?;
    let tidied = app.store.tidy().await?;
    if tidied.held {
        tracing::warn!(
            bytes = tidied.after.log,
            "the write-ahead log stays beyond its bound: something keeps a read of the database open"
        );
    }
    let freed = tidied.before.free.saturating_sub(tidied.after.free);
    if freed > 0 {
        tracing::info!(bytes = freed, left = tidied.after.database, "the database gave pages back");
    }
    Ok(())
}

pub async fn view(app: &App) -> Result<HouseView> {
    let database = app.store.sizes().await?;
    let advice = app.store.advice().await?;
    let (blobs, blob_bytes) = blobs(app).await?;
    Ok(HouseView { database, blobs, blob_bytes, advice })
}

/// What is measured again and again, in bytes and units of work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub database: u64,
    pub database_free: u64,
    pub database_log: u64,
    pub blob_bytes: u64,
    /// Messages that wait for agents to read.
    pub session_queue_bytes: u64,
    /// Logs in memory that are not stored yet.
    pub log_buffer_bytes: u64,
    /// Units of work that wait for the writer.
    pub store_queue: u64,
}

pub async fn figures(app: &App) -> Result<Figures> {
    let sizes = app.store.sizes().await?;
    Ok(Figures {
        database: sizes.database,
        database_free: sizes.free,
        database_log: sizes.log,
        blob_bytes: blobs(app).await?.1,
        session_queue_bytes: app.sessions.waiting_bytes() as u64,
        log_buffer_bytes: app.logs.buffered() as u64,
        store_queue: app.store.queued() as u64,
    })
}

async fn blobs(app: &App) -> Result<(u64, u64)> {
    let whole = |count: i64| u64::try_from(count).unwrap_or(0);
    let totals = async { Ok::<_, Error>(app.store.read().await?.blob_totals().await?) };
    let (count, bytes) = app.blob_totals.get(&*app.clock, totals).await?;
    Ok((whole(count), whole(bytes)))
}

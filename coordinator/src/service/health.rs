//! Whether this node can serve.

use crate::app::App;
use crate::error::{Error, Result};

/// The database answers and nothing is shutting down.
pub async fn ready(app: &App) -> Result<()> {
    if app.lifecycle.is_stopping() {
        return Err(Error::unavailable("the coordinator is shutting down"));
    }
    Ok(app.store.ping().await?)
}

//! The stream of events: resumable at any place of the audit trail, then live.

use futures::stream::BoxStream;

use crate::app::App;
use crate::app::events::{Event, EventFilter};
use crate::error::Result;

/// Events after `after` (a `seq`; the newest if absent), then as they come. Events without a `seq` are told once, to
/// who listens at the time.
pub async fn subscribe(
    app: &App,
    after: Option<i64>,
    filter: EventFilter,
) -> Result<BoxStream<'static, Result<std::sync::Arc<Event>>>> {
    let _ = (app, after, filter);
    todo!()
}

/// Reads what has been committed and tells it to the subscribers, until shutdown; background runs it once.
pub async fn relay(app: App) -> Result<()> {
    let _ = app;
    todo!()
}

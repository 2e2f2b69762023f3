//! Telling people who are away: their channels, their rules, what waits to be sent and what became of it.
//!
//! What leaves are sentences of ours, ids and ranks. What happened is looked at under a duty and written into an outbox
//! without a word to anybody; sending is claimed row by row and holds up nobody but its own target.

mod address;
mod channels;
mod gather;
mod lost;
mod rules;
mod send;
mod words;

use std::sync::Arc;

use nexusmon_core::policy::access;
use nexusmon_shared::id::{ApprovalId, NotificationId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ApprovalState, NotificationRow};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use super::unit::{Actor, Unit};
use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::{Error, Result};
pub use crate::outward::Hidden;

pub use address::{GivenServer, NewChannel};
pub use channels::{ChannelView, MadeChannel};
pub(crate) use gather::Place;
pub(super) use gather::begin;
pub use gather::gather;
pub use lost::look_for_lost;
pub use rules::{NewRule, RuleView};
pub use send::{Look, look};

/// Messages under way at a time.
const AT_ONCE: usize = 32;

/// What this process knows of sending.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Something may be due.
    pub(super) due: Notify,
    pub(super) free: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { due: Notify::new(), free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Resolves when something may be due.
pub async fn woken(app: &App) {
    app.desk.due.notified().await;
}

/// One thing somebody was told, is being told, or could not be told.
#[derive(Debug, Clone)]
pub struct DeliveryView {
    pub id: NotificationId,
    /// A rule, or `browser`.
    pub rule: String,
    /// A channel, or a browser.
    pub target: String,
    pub kind: String,
    pub subject: String,
    pub rank: Option<Rank>,
    pub escalated: bool,
    /// `waiting`, `sent`, `failed`, `moot`.
    pub state: &'static str,
    pub attempts: u64,
    /// When it is sent, where it waits.
    pub due_at: Timestamp,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

impl From<NotificationRow> for DeliveryView {
    fn from(row: NotificationRow) -> Self {
        Self {
            id: row.id,
            rule: row.rule,
            target: row.target,
            kind: row.kind,
            subject: row.subject,
            rank: row.rank,
            escalated: row.escalated,
            state: row.state.as_str(),
            attempts: u64::try_from(row.attempts).unwrap_or(0),
            due_at: row.due_at,
            error: row.error,
            created_at: row.created_at,
            settled_at: row.settled_at,
        }
    }
}

/// What the caller was told, newest first.
pub async fn deliveries(app: &App, caller: &Caller, page: PageRequest) -> Result<Page<DeliveryView>> {
    let found = app.store.read().await?.notification_list(caller.principal, &page.store()?).await?;
    Ok(Page { items: found.items.into_iter().map(Into::into).collect(), next_cursor: found.next_cursor })
}

pub mod channel {
    //! Where people are told.
    pub use super::channels::{create, list, remove, test};
}

pub mod rule {
    //! What people are told.
    pub use super::rules::{change, create, list, read, remove};
}

/// The caller has looked at an approval: nobody else is told that nobody did.
pub async fn saw(app: &App, caller: &Caller, id: ApprovalId) -> Result<()> {
    if !access::permits(caller.role.as_str(), "approval.decide") {
        return Err(Error::Forbidden {
            code: "not_allowed",
            detail: "only who may decide counts as having looked".to_owned(),
        });
    }
    let row = app.store.read().await?.approval(id).await?;
    let row = row.ok_or_else(|| Error::not_found("approval", id))?;
    if row.state != ApprovalState::Pending {
        return Ok(());
    }
    let (principal, unit_app) = (caller.principal, app.clone());
    let after = app
        .store
        .write_with("approvals.saw", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let now = unit.now;
                if unit.tx.put_approval_view(id, principal, now).await? {
                    let subject = ("approval", id.to_string());
                    unit.audit(actor.0.clone(), "approval.seen", subject, row.mission, json!({}));
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

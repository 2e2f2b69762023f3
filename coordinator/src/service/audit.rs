//! The audit trail: as it is read, as a tree that is signed and shown, and as a file that others can check.

mod export;
mod proof;
mod publish;
mod restores;
mod witness;
mod words;

use std::sync::{Mutex, RwLock};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AuditId, MissionId};
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::{Page, PageRequest};
use crate::app::App;
use crate::error::Result;

pub use export::export;
pub(super) use export::log_key;
pub use proof::{ConsistencyView, InclusionView, consistency, inclusion};
pub use publish::{publish, thin};
pub use restores::{restores, sign_restore};
pub(crate) use witness::greet;
pub use witness::{CheckpointView, WitnessView, ask_witnesses, checkpoint, cosigned};
pub(in crate::service) use words::{Shown, among, part, shown, version_of};

/// What this node knows of the tree without asking the database.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// One at a time grows the tree here.
    growing: tokio::sync::Mutex<()>,
    newest: RwLock<Option<nexusmon_store::CheckpointRow>>,
    witnesses: Mutex<witness::Witnesses>,
}

#[derive(Debug, Clone)]
pub struct AuditView {
    pub seq: i64,
    pub id: AuditId,
    pub at: Timestamp,
    /// A principal's or agent's id, or `nexusmon`.
    pub actor: String,
    /// For example `task.settled`.
    pub action: String,
    pub subject_kind: String,
    pub subject: String,
    pub mission: Option<MissionId>,
    pub body: Value,
    /// Commitments to the words in it, by their places (RFC 6901); those of erased words, too.
    pub sealed: serde_json::Map<String, Value>,
    /// Places of words that were erased.
    pub erased: Vec<String>,
    pub digest: Digest,
}

#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub subject: Option<String>,
    pub mission: Option<MissionId>,
    pub since: Option<Timestamp>,
}

/// Newest first.
pub async fn list(app: &App, filter: AuditFilter, page: PageRequest) -> Result<Page<AuditView>> {
    let AuditFilter { actor, action, subject, mission, since } = filter;
    let filter = nexusmon_store::AuditFilter { actor, action, subject, mission, since };
    let request = nexusmon_store::PageRequest { limit: page.limit()?, cursor: page.cursor };
    let mut read = app.store.read().await?;
    let rows = read.audit_list(&filter, &request).await?;
    let shown = shown(&mut read, &rows.items).await?;
    let items = rows.items.into_iter().zip(shown).map(|(row, shown)| view(row, shown)).collect();
    Ok(Page { items, next_cursor: rows.next_cursor })
}

fn view(row: nexusmon_store::AuditRow, shown: Shown) -> AuditView {
    AuditView {
        seq: row.seq,
        id: row.id,
        at: row.at,
        actor: row.actor,
        action: row.action,
        subject_kind: row.subject_kind,
        subject: row.subject,
        mission: row.mission,
        body: shown.body,
        sealed: shown.unsealed.sealed,
        erased: shown.unsealed.erased,
        digest: row.digest,
    }
}

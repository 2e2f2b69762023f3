//! The audit trail, as read.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::{Page, PageRequest};
use crate::app::App;
use crate::error::Result;

#[derive(Debug, Clone)]
pub struct AuditView {
    pub seq: i64,
    pub at: Timestamp,
    /// A principal's or agent's id, or `nexusmon`.
    pub actor: String,
    /// For example `task.settled`.
    pub action: String,
    pub subject_kind: String,
    pub subject: String,
    pub mission: Option<MissionId>,
    pub body: Value,
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
    let _ = (app, filter, page);
    todo!()
}

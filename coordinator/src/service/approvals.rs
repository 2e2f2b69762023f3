//! Approvals: what waits for people, and what they decide.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId, PrincipalId, TaskId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use super::missions::MissionView;
use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Approve, Self::Reject].into_iter().find(|v| v.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct DecisionView {
    pub by: PrincipalId,
    pub by_name: String,
    pub verdict: Verdict,
    pub comment: Option<String>,
    /// `session`, `token`.
    pub method: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct ApprovalView {
    pub id: ApprovalId,
    /// `mission_plan`, `task_instance`.
    pub subject_kind: String,
    pub mission: MissionId,
    pub task: Option<TaskId>,
    pub goal: String,
    pub digest: Digest,
    pub rank: Rank,
    pub needed: u32,
    pub author: Author,
    /// `pending`, `approved`, `rejected`, `expired`, `void`.
    pub status: String,
    pub created_at: Timestamp,
    pub decide_by: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decisions: Vec<DecisionView>,
    /// Canonical JSON (RFC 8785) of what a signature would cover, without verdict, validity and nonce.
    pub to_sign: serde_json::Value,
}

#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    pub status: Option<String>,
    pub mission: Option<MissionId>,
}

/// What a person decides; `digest` must be the approval's.
#[derive(Debug, Clone)]
pub struct NewDecision {
    pub verdict: Verdict,
    pub digest: Digest,
    /// Required for A and S.
    pub comment: Option<String>,
}

pub async fn list(app: &App, filter: ApprovalFilter, page: PageRequest) -> Result<Page<ApprovalView>> {
    let _ = (app, filter, page);
    todo!()
}

pub async fn get(app: &App, id: ApprovalId) -> Result<ApprovalView> {
    let _ = (app, id);
    todo!()
}

pub async fn decide(
    app: &App,
    caller: &Caller,
    id: ApprovalId,
    decision: NewDecision,
) -> Result<ApprovalView> {
    let _ = (app, caller, id, decision);
    todo!()
}

/// The mission's own route: decides its one pending approval.
pub async fn decide_mission(
    app: &App,
    caller: &Caller,
    mission: MissionId,
    decision: NewDecision,
) -> Result<MissionView> {
    let _ = (app, caller, mission, decision);
    todo!()
}

//! Approvals: what waits for people, and what they decide.

mod decide;
mod instance;
mod proposal;
mod signature;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId, PrincipalId, TaskId};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ApprovalRow, ApprovalState, ApprovalSubject, Connection, DecisionVerdict};
use serde_json::json;

use super::missions::{self, MissionView};
use super::{Caller, Page, PageRequest};
use super::{roster, standing};
use crate::app::App;
use crate::error::{Error, Result};

pub(super) use proposal::{Asked, ask, propose};
pub use signature::GivenSignature;

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
    /// `server`: the coordinator vouches for it; `key`, `passkey`: signed.
    pub method: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct ApprovalView {
    pub id: ApprovalId,
    /// `mission_plan`, `task_instance`, `policy_change`, `halt_release`, `trait_grant`, `budget`, `standing_approval`.
    pub subject_kind: String,
    pub mission: Option<MissionId>,
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
    /// Whether agents want signatures for it.
    pub signature_needed: bool,
    /// Until when the signatures hold that it rests on.
    pub valid_until: Option<Timestamp>,
    /// What a signature covers, without verdict, validity and nonce.
    pub to_sign: serde_json::Value,
    /// For a `task_instance`: what its digest is made of.
    pub instance: Option<serde_json::Value>,
    /// For subjects that are documents: the document, which is what the digest covers.
    pub proposal: Option<serde_json::Value>,
    /// For a `standing_approval`: the open leaves that its shape is made of.
    pub leaves: Option<serde_json::Value>,
    /// What whoever approves should know.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    pub status: Option<String>,
    pub mission: Option<MissionId>,
}

/// Said while the key's file lies beside the coordinator.
pub(crate) const KEY_HERE: &str = "the key lies on the coordinator's own host: signatures add nothing against that host \
until the key moves to another device";

/// What a person decides; `digest` must be the approval's.
#[derive(Debug, Clone)]
pub struct NewDecision {
    pub verdict: Verdict,
    pub digest: Digest,
    /// Required for A and S.
    pub comment: Option<String>,
    /// Required to approve A and S.
    pub signature: Option<GivenSignature>,
}

/// How many persons have to approve.
pub(super) fn needed(app: &App, rank: Rank, author: &Author) -> u32 {
    let needed =
        app.roster.get().map_or(1, |known| known.roster.needed(rank, known.roster.eligible(author).len()));
    u32::try_from(needed).unwrap_or(u32::MAX)
}

/// Newest first.
pub async fn list(app: &App, filter: ApprovalFilter, page: PageRequest) -> Result<Page<ApprovalView>> {
    let states = match filter.status.as_deref() {
        None => Vec::new(),
        Some(word) => vec![ApprovalState::parse(word).ok_or_else(|| {
            Error::field(
                "?status",
                "unknown_value",
                "must be one of pending, approved, rejected, expired, void",
            )
        })?],
    };
    let wanted = nexusmon_store::ApprovalFilter { states, mission: filter.mission };
    let mut read = app.store.read().await?;
    let found = read.approval_list(&wanted, &page.store()?).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for row in found.items {
        items.push(view(app, &mut read, row).await?);
    }
    Ok(Page { items, next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: ApprovalId) -> Result<ApprovalView> {
    let mut read = app.store.read().await?;
    let missing = || Error::not_found("approval", id);
    let row = read.approval(id).await?.ok_or_else(missing)?;
    view(app, &mut read, row).await
}

async fn view(app: &App, read: &mut Connection, row: ApprovalRow) -> Result<ApprovalView> {
    let proposal = row.body.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?;
    let goal = match (&proposal, row.mission) {
        (Some(proposal), _) => proposal::summary(row.subject_kind, proposal),
        (None, Some(mission)) => read.mission(mission).await?.map(|mission| mission.goal).unwrap_or_default(),
        (None, None) => String::new(),
    };
    let mut decisions = Vec::new();
    for decision in read.decisions(row.id).await? {
        let by = read.principal(decision.principal).await?;
        decisions.push(DecisionView {
            by: decision.principal,
            by_name: by.map(|principal| principal.name).unwrap_or_default(),
            verdict: match decision.verdict {
                DecisionVerdict::Approve => Verdict::Approve,
                DecisionVerdict::Reject => Verdict::Reject,
            },
            comment: decision.comment,
            method: decision.method,
            at: decision.at,
        });
    }
    let to_sign = json!({
        "organism": app.organism,
        "subject": signature::subject(row.subject_kind),
        "digest": row.digest,
        "mission": row.mission,
    });
    let signature_needed = signature::is_needed(&row);
    let waits = row.state == ApprovalState::Pending;
    let mut notes = Vec::new();
    if signature_needed && waits {
        if app.roster.get().is_none() {
            notes.push(roster::NO_ROSTER.to_owned());
        } else if roster::key_shares_host() {
            notes.push(KEY_HERE.to_owned());
        }
    }
    let instance = match row.subject_kind {
        ApprovalSubject::TaskInstance => instance::values(read, &row).await?,
        _ => None,
    };
    let leaves = match row.subject_kind {
        ApprovalSubject::Standing => standing::leaves(app, &row, read).await?,
        _ => None,
    };
    if let (ApprovalSubject::MissionPlan, true, Some(mission)) = (row.subject_kind, waits, row.mission) {
        notes.extend(standing::misses(app, read, mission).await?);
    }
    let needed = if signature_needed && waits { needed(app, row.rank, &row.author.0) } else { row.needed };
    Ok(ApprovalView {
        id: row.id,
        subject_kind: signature::word(row.subject_kind).to_owned(),
        mission: row.mission,
        task: row.subject.parse().ok(),
        goal,
        digest: row.digest,
        rank: row.rank,
        needed,
        author: row.author.0,
        status: row.state.as_str().to_owned(),
        created_at: row.created_at,
        decide_by: row.decide_by,
        decided_at: row.decided_at,
        decisions,
        signature_needed,
        valid_until: row.valid_until,
        to_sign,
        instance,
        proposal,
        leaves,
        notes,
    })
}

pub async fn decide(
    app: &App,
    caller: &Caller,
    id: ApprovalId,
    decision: NewDecision,
) -> Result<ApprovalView> {
    decide::decide(app, caller, id, decision).await?;
    let decided = get(app, id).await?;
    if decided.proposal.is_some() && decided.status == ApprovalState::Approved.as_str() {
        proposal::carried_out(app).await?;
    }
    Ok(decided)
}

/// The mission's own route: decides its one pending approval.
pub async fn decide_mission(
    app: &App,
    caller: &Caller,
    mission: MissionId,
    decision: NewDecision,
) -> Result<MissionView> {
    let pending: Vec<ApprovalRow> = {
        let mut read = app.store.read().await?;
        read.mission(mission).await?.ok_or_else(|| Error::not_found("mission", mission))?;
        read.pending_approvals_of(&[mission]).await?
    };
    let only = match pending.as_slice() {
        [only] => only.id,
        [] => {
            return Err(Error::conflict(
                "nothing_pending",
                "no approval of this mission waits for a decision",
            ));
        }
        several => {
            let ids: Vec<_> = several.iter().map(|approval| approval.id.to_string()).collect();
            let detail = "several approvals of this mission wait: decide each by its own route";
            return Err(Error::conflict("several_pending", detail).with("approvals", ids));
        }
    };
    decide::decide(app, caller, only, decision).await?;
    missions::get(app, mission).await
}

/// Nobody decided on a task's values in time, or on the plan of a running mission anew: what waits for it fails. Plans of
/// missions that have not begun expire with their mission.
pub(super) async fn expire_late(app: &App, approval: &ApprovalRow) -> Result<bool> {
    match approval.subject_kind {
        ApprovalSubject::TaskInstance => instance::expire(app, approval.id).await.map(|()| true),
        ApprovalSubject::MissionPlan => instance::expire_again(app, approval.id).await,
        _ => proposal::expire(app, approval.id).await.map(|()| true),
    }
}

/// The signatures of a given approval have ended.
pub(super) async fn lapsed(app: &App, id: ApprovalId) -> Result<()> {
    instance::lapsed(app, id).await
}

//! Reviews: the after-the-fact judgement of flagged work.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId, ReviewId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewVerdict {
    Accept,
    Reject,
}

impl ReviewVerdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accept, Self::Reject].into_iter().find(|v| v.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct ReviewView {
    pub id: ReviewId,
    pub mission: MissionId,
    pub goal: String,
    pub rank: Rank,
    /// Identical runs share it.
    pub shape: Digest,
    /// `open`, `accepted`, `rejected`, `covered`.
    pub status: String,
    pub opened_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<PrincipalId>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    pub status: Option<String>,
    pub mission: Option<MissionId>,
}

pub async fn list(app: &App, filter: ReviewFilter, page: PageRequest) -> Result<Page<ReviewView>> {
    let _ = (app, filter, page);
    todo!()
}

pub async fn get(app: &App, id: ReviewId) -> Result<ReviewView> {
    let _ = (app, id);
    todo!()
}

pub async fn decide(
    app: &App,
    caller: &Caller,
    id: ReviewId,
    verdict: ReviewVerdict,
    comment: Option<String>,
) -> Result<ReviewView> {
    let _ = (app, caller, id, verdict, comment);
    todo!()
}

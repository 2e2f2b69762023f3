//! Reviews: the after-the-fact judgement of flagged work.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId, ReviewId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{MissionRow, ReviewRow, ReviewState};
use serde_json::json;

use super::missions::no_nul;
use super::unit::{Actor, SYSTEM, Unit};
use super::{Caller, Page, PageRequest, evolution};
use crate::app::App;
use crate::error::{Error, Result};

/// Bytes of a comment.
const MAX_COMMENT: usize = 4096;

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
    pub shape: Option<Digest>,
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
    let states = match filter.status.as_deref() {
        None => Vec::new(),
        Some(word) => vec![ReviewState::parse(word).ok_or_else(|| {
            Error::field("?status", "unknown_value", "must be one of open, accepted, rejected, covered")
        })?],
    };
    let wanted = nexusmon_store::ReviewFilter { states, mission: filter.mission };
    let mut read = app.store.read().await?;
    let found = read.review_list(&wanted, &page.store()?).await?;
    let ids: Vec<_> = found.items.iter().map(|review| review.mission).collect();
    let goals: BTreeMap<_, _> =
        read.missions(&ids).await?.into_iter().map(|mission| (mission.id, mission.goal)).collect();
    let items = found.items.into_iter().map(|row| {
        let goal = goals.get(&row.mission).cloned().unwrap_or_default();
        view(row, goal)
    });
    Ok(Page { items: items.collect(), next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: ReviewId) -> Result<ReviewView> {
    let mut read = app.store.read().await?;
    let row = read.review(id).await?.ok_or_else(|| Error::not_found("review", id))?;
    let goal = read.mission(row.mission).await?.map(|mission| mission.goal).unwrap_or_default();
    Ok(view(row, goal))
}

fn view(row: ReviewRow, goal: String) -> ReviewView {
    ReviewView {
        id: row.id,
        mission: row.mission,
        goal,
        rank: row.rank,
        shape: row.shape,
        status: row.state.as_str().to_owned(),
        opened_at: row.created_at,
        decided_at: row.decided_at,
        decided_by: row.decided_by,
        comment: row.comment,
    }
}

/// Judges flagged work. Accepted work may count for the ledger; rejected work never does, and loses what it had.
pub async fn decide(
    app: &App,
    caller: &Caller,
    id: ReviewId,
    verdict: ReviewVerdict,
    comment: Option<String>,
) -> Result<ReviewView> {
    check_comment(comment.as_deref())?;
    let unit_app = app.clone();
    let caller = caller.clone();
    let after = app
        .store
        .write("reviews.decide", move |tx| {
            let (app, caller, comment) = (unit_app.clone(), caller.clone(), comment.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                write(&mut unit, &caller, id, verdict, comment).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    get(app, id).await
}

async fn write(
    unit: &mut Unit<'_>,
    caller: &Caller,
    id: ReviewId,
    verdict: ReviewVerdict,
    comment: Option<String>,
) -> Result<()> {
    let row = unit.tx.review(id).await?;
    let mut row = row.ok_or_else(|| Error::not_found("review", id))?;
    if !matches!(row.state, ReviewState::Open | ReviewState::Covered) {
        let detail = format!("this review is {} already", row.state.as_str());
        return Err(Error::conflict("already_decided", detail));
    }
    row.state = match verdict {
        ReviewVerdict::Accept => ReviewState::Accepted,
        ReviewVerdict::Reject => ReviewState::Rejected,
    };
    row.decided_at = Some(unit.now);
    row.decided_by = Some(caller.principal);
    row.comment.clone_from(&comment);
    unit.tx.update_review(&row).await?;
    let body = json!({"verdict": verdict.as_str(), "comment": comment, "rank": row.rank, "shape": row.shape});
    let actor = Actor::from(caller);
    unit.audit(actor.0, "review.decided", ("review", id.to_string()), Some(row.mission), body);
    match verdict {
        // It may be what the mission still lacked to count as verified.
        ReviewVerdict::Accept => unit.after.judge = true,
        ReviewVerdict::Reject => {
            if let Some(mission) = unit.tx.lock_mission(row.mission).await? {
                evolution::take_back(unit, &mission, "review rejected").await?;
            }
        }
    }
    Ok(())
}

/// How long an accepted run covers identical ones.
const COVERS: Duration = Duration::from_hours(30 * 24);

/// Closes the review of a mission that succeeded and verified, where a run of the same shape was accepted within the last
/// thirty days, nothing of that shape failed since, and only machines took part that had in accepted runs. Whether it did.
pub(super) async fn cover(unit: &mut Unit<'_>, mission: &MissionRow) -> Result<bool> {
    let Some(mut row) = unit.tx.review_of(mission.id).await? else { return Ok(false) };
    let (ReviewState::Open, Some(shape)) = (row.state, row.shape) else { return Ok(false) };
    let since = unit.now - COVERS;
    let Some(accepted) = unit.tx.covering_review(shape, since).await? else { return Ok(false) };
    let Some(decided_at) = accepted.decided_at else { return Ok(false) };
    if unit.tx.failed_since(shape, decided_at).await? {
        return Ok(false);
    }
    let known = unit.tx.accepted_agents(shape, since).await?;
    if unit.tx.agents_of(mission.id).await?.iter().any(|agent| !known.contains(agent)) {
        return Ok(false);
    }
    row.state = ReviewState::Covered;
    row.decided_at = Some(unit.now);
    unit.tx.update_review(&row).await?;
    let body = json!({"by": accepted.id, "shape": shape});
    unit.audit(SYSTEM, "review.covered", ("review", row.id.to_string()), Some(mission.id), body);
    Ok(true)
}

/// A comment people may leave anywhere: bounded, and text.
pub(super) fn check_comment(comment: Option<&str>) -> Result<()> {
    match comment {
        Some(text) if text.len() > MAX_COMMENT => {
            Err(Error::field("/comment", "too_long", format!("must be at most {MAX_COMMENT} bytes")))
        }
        Some(text) => no_nul(text, "/comment"),
        None => Ok(()),
    }
}

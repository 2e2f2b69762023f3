//! Reviews: the after-the-fact judgement of flagged work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId, PrincipalId, ReviewId};
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{AgentOfMission, Connection, MissionRow, ReviewRow, ReviewState};
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
    /// Other open reviews of its shape.
    pub alike: u64,
}

#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    pub status: Option<String>,
    pub mission: Option<MissionId>,
    pub shape: Option<Digest>,
    /// Of identical work in one state, the newest alone.
    pub grouped: bool,
}

pub async fn list(app: &App, filter: ReviewFilter, page: PageRequest) -> Result<Page<ReviewView>> {
    let states = match filter.status.as_deref() {
        None => Vec::new(),
        Some(word) => vec![ReviewState::parse(word).ok_or_else(|| {
            Error::field("?status", "unknown_value", "must be one of open, accepted, rejected, covered")
        })?],
    };
    let ReviewFilter { mission, shape, grouped, .. } = filter;
    let wanted = nexusmon_store::ReviewFilter { states, mission, shape, newest_of_shape: grouped };
    let mut read = app.store.read().await?;
    let found = read.review_list(&wanted, &page.store()?).await?;
    let ids: Vec<_> = found.items.iter().map(|review| review.mission).collect();
    let goals: BTreeMap<_, _> =
        read.missions(&ids).await?.into_iter().map(|mission| (mission.id, mission.goal)).collect();
    let open = open_of(&mut read, &found.items).await?;
    let items = found.items.into_iter().map(|row| {
        let goal = goals.get(&row.mission).cloned().unwrap_or_default();
        view(row, goal, &open)
    });
    Ok(Page { items: items.collect(), next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: ReviewId) -> Result<ReviewView> {
    let mut read = app.store.read().await?;
    let row = read.review(id).await?.ok_or_else(|| Error::not_found("review", id))?;
    let goal = read.mission(row.mission).await?.map(|mission| mission.goal).unwrap_or_default();
    let open = open_of(&mut read, std::slice::from_ref(&row)).await?;
    Ok(view(row, goal, &open))
}

/// How many open reviews there are of each shape.
async fn open_of(read: &mut Connection, rows: &[ReviewRow]) -> Result<BTreeMap<Digest, u64>> {
    let shapes: Vec<_> =
        rows.iter().filter_map(|row| row.shape).collect::<BTreeSet<_>>().into_iter().collect();
    let found = read.open_of_shapes(&shapes).await?;
    Ok(found.into_iter().map(|one| (one.shape, u64::try_from(one.open).unwrap_or(0))).collect())
}

fn view(row: ReviewRow, goal: String, open: &BTreeMap<Digest, u64>) -> ReviewView {
    let itself = u64::from(row.state == ReviewState::Open);
    let alike = row.shape.and_then(|shape| open.get(&shape)).map_or(0, |open| open.saturating_sub(itself));
    ReviewView {
        alike,
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
    let (alike, after) = app
        .store
        .write("reviews.decide", move |tx| {
            let (app, caller, comment) = (unit_app.clone(), caller.clone(), comment.clone());
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let alike = write(&mut unit, &caller, id, verdict, comment).await?;
                Ok::<_, Error>((alike, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    // The decision stands whatever becomes of those like it.
    if let Some(shape) = alike
        && let Err(error) = cover_alike(app, shape).await
    {
        tracing::warn!(review = %id, error = %chain(&error), "reviews of identical work stay open");
    }
    get(app, id).await
}

/// Gives the shape whose other reviews this may close.
async fn write(
    unit: &mut Unit<'_>,
    caller: &Caller,
    id: ReviewId,
    verdict: ReviewVerdict,
    comment: Option<String>,
) -> Result<Option<Digest>> {
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
        ReviewVerdict::Accept => {
            unit.after.judge = true;
            return Ok(row.shape);
        }
        ReviewVerdict::Reject => {
            if let Some(mission) = unit.tx.lock_mission(row.mission).await? {
                evolution::take_back(unit, &mission, "review rejected").await?;
                evolution::rejected(unit, mission.id).await?;
            }
        }
    }
    Ok(None)
}

/// Open reviews of a shape that one decision looks at; a nightly job of a year, and a little.
const ALIKE: usize = 400;
/// Those that one unit of work looks at: others get their turn at the writer in between.
const AT_ONCE: u32 = 40;

/// One decision for identical runs that verified: what [`cover`] would close if they ended now is closed. What a crash
/// leaves open the next judgement of those missions closes.
async fn cover_alike(app: &App, shape: Digest) -> Result<()> {
    let mut after = ReviewId::from_bits(0);
    for _ in 0..ALIKE.div_ceil(AT_ONCE as usize) {
        let unit_app = app.clone();
        let (last, done) = app
            .store
            .write("reviews.cover", move |tx| {
                let app = unit_app.clone();
                Box::pin(async move {
                    let mut unit = Unit::new(&app, tx);
                    let last = cover_some(&mut unit, shape, after).await?;
                    Ok::<_, Error>((last, unit.finish().await?))
                })
            })
            .await?;
        done.run(app);
        let Some(last) = last else { break };
        after = last;
    }
    Ok(())
}

/// Looks at those that come after `after`; gives the last of them if there may be more.
async fn cover_some(unit: &mut Unit<'_>, shape: Digest, after: ReviewId) -> Result<Option<ReviewId>> {
    let open = unit.tx.open_reviews_of(shape, after, AT_ONCE).await?;
    let last = open.last().filter(|_| open.len() == AT_ONCE as usize).map(|review| review.id);
    let ids: Vec<_> = open.iter().map(|review| review.mission).collect();
    let Some(by) = Accepted::of(unit, shape).await? else { return Ok(None) };
    let traces = unit.tx.traces(&ids).await?;
    let agents = unit.tx.agents_of(&ids).await?;
    for mission in unit.tx.missions(&ids).await? {
        let Some(trace) = traces.iter().find(|trace| trace.mission == mission.id) else { continue };
        let Some(row) = open.iter().find(|review| review.mission == mission.id) else { continue };
        if mission.status == MissionStatus::Succeeded
            && by.knows(&agents, mission.id)
            && evolution::left_something(unit.tx, &mission, trace).await?
        {
            match by.close(unit, row.clone()).await {
                // Somebody decides on it at this moment: theirs counts.
                Ok(()) | Err(Error::PreconditionFailed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(last)
}

/// How long an accepted run covers identical ones.
const COVERS: Duration = Duration::from_hours(30 * 24);

/// What covers runs of a shape: one that was accepted lately with nothing of that shape failed since.
struct Accepted {
    review: ReviewRow,
    /// Those that took part in accepted runs.
    agents: Vec<AgentId>,
}

impl Accepted {
    async fn of(unit: &mut Unit<'_>, shape: Digest) -> Result<Option<Self>> {
        let since = unit.now - COVERS;
        let Some(review) = unit.tx.covering_review(shape, since).await? else { return Ok(None) };
        let Some(decided_at) = review.decided_at else { return Ok(None) };
        if unit.tx.failed_since(shape, decided_at).await? {
            return Ok(None);
        }
        let agents = unit.tx.accepted_agents(shape, since).await?;
        Ok(Some(Self { review, agents }))
    }

    fn knows(&self, took_part: &[AgentOfMission], mission: MissionId) -> bool {
        took_part.iter().filter(|one| one.mission == mission).all(|one| self.agents.contains(&one.agent))
    }

    async fn close(&self, unit: &mut Unit<'_>, mut row: ReviewRow) -> Result<()> {
        row.state = ReviewState::Covered;
        row.decided_at = Some(unit.now);
        unit.tx.update_review(&row).await?;
        let body = json!({"by": self.review.id, "shape": row.shape});
        unit.audit(SYSTEM, "review.covered", ("review", row.id.to_string()), Some(row.mission), body);
        Ok(())
    }
}

/// Closes the review of a mission that succeeded and verified, where a run of the same shape was accepted within the last
/// thirty days, nothing of that shape failed since, and only machines took part that had in accepted runs. Whether it did.
pub(super) async fn cover(unit: &mut Unit<'_>, mission: &MissionRow) -> Result<bool> {
    let Some(row) = unit.tx.review_of(mission.id).await? else { return Ok(false) };
    let (ReviewState::Open, Some(shape)) = (row.state, row.shape) else { return Ok(false) };
    let Some(by) = Accepted::of(unit, shape).await? else { return Ok(false) };
    if !by.knows(&unit.tx.agents_of(&[mission.id]).await?, mission.id) {
        return Ok(false);
    }
    by.close(unit, row).await?;
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

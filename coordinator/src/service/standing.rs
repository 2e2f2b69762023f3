//! Standing approvals: work of one shape, approved ahead of time within bounds. The coordinator counts uses exactly, in
//! the unit that grants; each agent holds every use against the bounds itself.

mod ask;
mod cover;
mod spend;

use std::collections::BTreeSet;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, ApprovalId, MissionId, PrincipalId, StandingId, TaskId};
use nexusmon_shared::message::{CoordinatorMessage, MAX_REVOKED, RevokedApproval};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ApprovalRow, ApprovalState, Connection, StandingRow, StandingState, Topic, pressing};
use serde_json::{Value, json};

use super::unit::{Actor, SYSTEM, Unit};
use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::{Error, Result};

pub use ask::{NewStanding, ask};
pub(super) use cover::{covering, misses};
pub(super) use spend::{Shown, Spending, spend};

/// Uses that a view lists.
const LISTED: u32 = 50;

/// A standing approval as people see it.
#[derive(Debug, Clone)]
pub struct StandingView {
    pub id: StandingId,
    pub approval: ApprovalId,
    /// `pending`, `active`, `revoked`, `refused`, `expired`, `spent`.
    pub status: String,
    pub playbook: Name,
    pub version: i64,
    pub shape: Digest,
    pub digest: Digest,
    /// What is signed.
    pub document: Value,
    pub uses: i64,
    pub used: i64,
    pub expires_at: Timestamp,
    pub created_by: PrincipalId,
    pub created_at: Timestamp,
    /// The newest fifty; of one that is asked for alone.
    pub newest_uses: Vec<UseView>,
}

#[derive(Debug, Clone)]
pub struct UseView {
    pub number: i64,
    pub mission: MissionId,
    pub task: TaskId,
    pub agent: AgentId,
    pub attempt: u32,
    pub at: Timestamp,
}

fn view(row: StandingRow, now: Timestamp) -> Result<StandingView> {
    let status = match row.state {
        StandingState::Active if row.expires_at <= now => "expired",
        StandingState::Active if row.used >= row.uses => "spent",
        other => other.as_str(),
    };
    Ok(StandingView {
        id: row.id,
        approval: row.approval,
        status: status.to_owned(),
        playbook: row.playbook,
        version: row.version,
        shape: row.shape,
        digest: row.digest,
        document: serde_json::from_str(&row.body).map_err(Error::internal)?,
        uses: row.uses,
        used: row.used,
        expires_at: row.expires_at,
        created_by: row.created_by,
        created_at: row.created_at,
        newest_uses: Vec::new(),
    })
}

/// Newest first.
pub async fn list(app: &App, page: PageRequest) -> Result<Page<StandingView>> {
    let now = app.clock.now();
    let found = app.store.read().await?.standing_list(&page.store()?).await?;
    let items = found.items.into_iter().map(|row| view(row, now)).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: StandingId) -> Result<StandingView> {
    let mut read = app.store.read().await?;
    let row = read.standing(id).await?.ok_or_else(|| Error::not_found("standing approval", id))?;
    let uses = read.standing_uses(id, LISTED).await?;
    let mut view = view(row, app.clock.now())?;
    let shown = uses.into_iter().map(|row| UseView {
        number: row.number,
        mission: row.mission,
        task: row.task,
        agent: row.agent,
        attempt: row.attempt,
        at: row.at,
    });
    view.newest_uses = shown.collect();
    Ok(view)
}

/// Takes it back: nothing begins under it any more. Machines are told, and write it down; one that is away hears of it with
/// its next session, and until then is bound by its end and its uses.
pub async fn revoke(app: &App, caller: &Caller, id: StandingId) -> Result<StandingView> {
    let unit_app = app.clone();
    let revoking = app.store.write_with("standing.revoke", Actor::from(caller), move |tx, actor| {
        let app = unit_app.clone();
        Box::pin(async move {
            let mut unit = Unit::new(&app, tx);
            let row = unit.tx.lock_standing(&[id]).await?.pop();
            let row = row.ok_or_else(|| Error::not_found("standing approval", id))?;
            let from = [StandingState::Pending, StandingState::Active];
            if !unit.tx.set_standing_state(id, &from, StandingState::Revoked).await? {
                let detail = format!("it is {} already", row.state.as_str());
                return Err(Error::conflict("over", detail));
            }
            let now = unit.now;
            unit.tx.end_approval(row.approval, ApprovalState::Void, now).await?;
            unit.audit(
                actor.0.clone(),
                "standing.revoked",
                ("standing_approval", id.to_string()),
                None,
                json!({"used": row.used}),
            );
            let revoked = vec![RevokedApproval { digest: row.digest, expires_at: row.expires_at }];
            unit.tx.wake(Topic::Governance);
            Ok::<_, Error>((unit.finish().await?, revoked))
        })
    });
    let (after, revoked) = pressing(revoking).await?;
    after.run(app);
    for live in app.sessions.all() {
        live.offer(CoordinatorMessage::RevokedStanding(revoked.clone()));
    }
    get(app, id).await
}

/// What agents are told after each welcome: a machine that was away hears of it, too.
pub(super) async fn revoked(read: &mut Connection, now: Timestamp) -> Result<Vec<RevokedApproval>> {
    let most = u32::try_from(MAX_REVOKED).unwrap_or(u32::MAX);
    let rows = read.standing_revoked(now, most).await?;
    Ok(rows.iter().map(|row| RevokedApproval { digest: row.digest, expires_at: row.expires_at }).collect())
}

/// Tells the agents of this node what another node took back; `told` is what they heard of already.
pub(super) async fn follow_revoked(app: &App, told: &mut BTreeSet<Digest>) -> Result<()> {
    let all = revoked(&mut app.store.read().await?, app.clock.now()).await?;
    let news: Vec<_> = all.iter().filter(|one| !told.contains(&one.digest)).copied().collect();
    if !news.is_empty() {
        for live in app.sessions.all() {
            live.offer(CoordinatorMessage::RevokedStanding(news.clone()));
        }
    }
    *told = all.into_iter().map(|one| one.digest).collect();
    Ok(())
}

fn subject(row: &ApprovalRow) -> Result<StandingId> {
    row.subject.parse().map_err(|_| Error::internal(format!("{} names no standing approval", row.id)))
}

/// Enough people signed.
pub(super) async fn activate(unit: &mut Unit<'_>, row: &ApprovalRow) -> Result<()> {
    let id = subject(row)?;
    if !unit.tx.set_standing_state(id, &[StandingState::Pending], StandingState::Active).await? {
        return Err(Error::conflict("revoked", "it was taken back meanwhile"));
    }
    let standing = unit.tx.standing(id).await?.ok_or_else(|| Error::not_found("standing approval", id))?;
    // What people signed, for whoever verifies by the log alone.
    let document: Value = serde_json::from_str(&standing.body).map_err(Error::internal)?;
    let body = json!({"approval": row.id, "digest": row.digest, "shape": standing.shape,
        "playbook": format!("{}@{}", standing.playbook, standing.version), "uses": standing.uses,
        "max_rank": row.rank, "expires_at": standing.expires_at, "document": document});
    unit.audit(SYSTEM, "standing.activated", ("standing_approval", id.to_string()), None, body);
    Ok(())
}

/// Somebody said no, or nobody yes in time.
pub(super) async fn refuse(unit: &mut Unit<'_>, row: &ApprovalRow) -> Result<()> {
    let id = subject(row)?;
    unit.tx.set_standing_state(id, &[StandingState::Pending], StandingState::Refused).await?;
    Ok(())
}

/// For whoever signs: the open leaves that the shape is made of.
pub(super) async fn leaves(app: &App, row: &ApprovalRow, read: &mut Connection) -> Result<Option<Value>> {
    let Some(standing) = read.standing(subject(row)?).await? else { return Ok(None) };
    ask::open_leaves_of(app, read, &standing).await
}

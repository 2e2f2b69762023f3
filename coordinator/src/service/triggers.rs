//! Triggers: what starts missions by itself, in the name of whoever set it up.

mod backfill;
mod due;
pub mod events;
mod fire;
pub(in crate::service) mod happened;
mod keep;
mod limits;
pub mod schedules;
mod watch;
pub mod webhooks;

use nexusmon_core::policy::access;
use nexusmon_shared::id::{FiringId, MissionId, TriggerId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{FiringResult, FiringRow, PrincipalKind, TriggerKind, TriggerRow};

use super::{Caller, Origin, Page, PageRequest, Role, chains};
use crate::app::App;
use crate::error::{Error, Result};
pub use backfill::{Backfill, Backfilled, backfill};
pub use due::Looked;
pub(crate) use due::Seen;

/// One activation: schedules that are due, what happened since the look before, and what follows from what ended;
/// idempotent.
pub async fn look(app: &App) -> Result<Looked> {
    // None keeps the others from being looked at.
    let due = due::look(app).await;
    let happened = watch::look(app).await;
    let followed = chains::look(app).await;
    let (due, happened, followed) = (due?, happened?, followed?);
    Ok(Looked {
        fired: due.fired + happened.fired + followed.fired,
        more: due.more || happened.more || followed.more,
    })
}

/// Once that a trigger was due, and what came of it.
#[derive(Debug, Clone)]
pub struct FiringView {
    pub id: FiringId,
    pub occasion: String,
    /// `fired`, `skipped`, `failed`.
    pub result: FiringResult,
    pub reason: Option<String>,
    pub due: Option<Timestamp>,
    pub mission: Option<MissionId>,
    pub at: Timestamp,
}

impl From<FiringRow> for FiringView {
    fn from(row: FiringRow) -> Self {
        let FiringRow { id, occasion, result, reason, due, mission, at, trigger_id: _ } = row;
        Self { id, occasion, result, reason, due, mission, at }
    }
}

/// What a trigger has fired for, newest first.
async fn firings(app: &App, kind: TriggerKind, id: TriggerId, page: PageRequest) -> Result<Page<FiringView>> {
    let mut read = app.store.read().await?;
    known(read.trigger(id).await?, kind, id)?;
    let found = read.firings(id, &page.store()?).await?.map(FiringView::from);
    Ok(Page { items: found.items, next_cursor: found.next_cursor })
}

fn known(row: Option<TriggerRow>, kind: TriggerKind, id: TriggerId) -> Result<TriggerRow> {
    row.filter(|row| row.kind == kind).ok_or_else(|| Error::not_found(kind.as_str(), id))
}

/// Missions are made in the name of whoever set a trigger up, above which a token's ceiling must not reach.
fn within_reach(caller: &Caller, row: &TriggerRow) -> Result<()> {
    if caller.rank_ceiling.is_none() || caller.principal == row.owner {
        return Ok(());
    }
    Err(Error::Forbidden {
        code: "not_the_owner",
        detail: "a token sets off only what it set up itself".to_owned(),
    })
}

/// In whose name a trigger acts now; `Err` says why it may not any more.
async fn acting(app: &App, row: &TriggerRow) -> Result<std::result::Result<Caller, String>> {
    let found = app.store.read().await?.principal(row.owner).await?;
    let now = app.expiry_clock.now();
    let live = found.filter(|one| one.revoked_at.is_none() && one.expires_at.is_none_or(|until| until > now));
    let Some(owner) = live else {
        let why = "whoever set it up may not act here any more: save it again to take it over";
        return Ok(Err(why.to_owned()));
    };
    if !access::permits(owner.role.as_str(), "mission.create") {
        let why = format!("{} set it up, and may not create missions any more", owner.name);
        return Ok(Err(why));
    }
    // A token stays one whatever its role: its plans are its own text, held under its ceiling.
    let role = match owner.kind {
        PrincipalKind::Token => Role::Service,
        _ => Role::parse(owner.role.as_str()).unwrap_or(Role::Service),
    };
    Ok(Ok(Caller {
        principal: owner.id,
        name: owner.name,
        role,
        session: None,
        rank_ceiling: owner.rank_ceiling,
        origin: match row.kind {
            TriggerKind::Schedule => Origin::Schedule,
            TriggerKind::Webhook => Origin::Webhook,
            TriggerKind::Event => Origin::Event,
        },
    }))
}

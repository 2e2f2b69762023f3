//! Event triggers: what happens here starts a mission, in the name of whoever set it up.

pub use nexusmon_core::trigger::EventKind;
use nexusmon_core::trigger::{EventRule, NewEventTrigger, parse_event_trigger};
use nexusmon_shared::id::{MissionId, PrincipalId, TriggerId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{TriggerKind, TriggerRow, TriggerState};
use serde_json::{Map, Value};

use super::super::missions::no_nul;
use super::keep::{self, Acts};
use super::{Caller, FiringView, Page, PageRequest, known};
use crate::app::App;
use crate::error::{Error, Result};

const KIND: TriggerKind = TriggerKind::Event;
const ACTS: Acts = Acts { kind: KIND, created: "event_trigger.created", removed: "event_trigger.removed" };

/// An event trigger as people see it.
#[derive(Debug, Clone)]
pub struct EventTriggerView {
    pub id: TriggerId,
    pub name: Name,
    pub state: TriggerState,
    /// Why the system paused it.
    pub reason: Option<String>,
    pub rule: EventRule,
    /// A mission's body.
    pub work: Map<String, Value>,
    pub owner: PrincipalId,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    pub last_mission: Option<MissionId>,
    pub version: u64,
}

fn view(row: TriggerRow) -> Result<EventTriggerView> {
    Ok(EventTriggerView {
        id: row.id,
        name: row.name,
        state: row.state,
        reason: row.reason,
        rule: serde_json::from_str(&row.rule).map_err(Error::internal)?,
        work: serde_json::from_str(&row.work).map_err(Error::internal)?,
        owner: row.owner,
        created_at: row.created_at,
        changed_at: row.changed_at,
        last_mission: row.last_mission,
        version: u64::try_from(row.version).unwrap_or(0),
    })
}

/// Newest first.
pub async fn list(app: &App, page: PageRequest) -> Result<Page<EventTriggerView>> {
    let found = app.store.read().await?.trigger_list(KIND, &page.store()?).await?;
    let items = found.items.into_iter().map(view).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: TriggerId) -> Result<EventTriggerView> {
    view(known(app.store.read().await?.trigger(id).await?, KIND, id)?)
}

/// What it has fired for, newest first.
pub async fn firings(app: &App, id: TriggerId, page: PageRequest) -> Result<Page<FiringView>> {
    super::firings(app, KIND, id, page).await
}

/// Keeps a new one. It listens from then on.
pub async fn create(app: &App, caller: &Caller, body: &Value) -> Result<EventTriggerView> {
    let new = read(app, body).await?;
    let now = app.clock.now();
    let id = app.rng.with(|rng| TriggerId::new(now, rng));
    view(keep::create(app, caller, ACTS, row_of(id, &new, caller, now)?).await?)
}

async fn read(app: &App, body: &Value) -> Result<NewEventTrigger> {
    let new = parse_event_trigger(body)?;
    no_nul(&body.to_string().replace("\\u0000", "\0"), "")?;
    keep::check_inputs(app, &new.work).await?;
    Ok(new)
}

fn row_of(id: TriggerId, new: &NewEventTrigger, caller: &Caller, now: Timestamp) -> Result<TriggerRow> {
    Ok(TriggerRow {
        id,
        kind: KIND,
        name: new.name.clone(),
        state: if new.paused { TriggerState::Paused } else { TriggerState::Active },
        reason: None,
        rule: serde_json::to_string(&new.rule).map_err(Error::internal)?,
        work: Value::Object(new.work.0.clone()).to_string(),
        owner: caller.principal,
        created_at: now,
        changed_at: now,
        decided_through: now,
        next_at: None,
        last_mission: None,
        sealed: None,
        version: 1,
        since: 0,
        keyed_at: None,
    })
}

/// Changes one as a whole; from now on it acts in the caller's name, for what happens from now on.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: TriggerId,
    body: &Value,
    if_match: Option<u64>,
) -> Result<EventTriggerView> {
    let next = row_of(id, &read(app, body).await?, caller, app.clock.now())?;
    let row = keep::edit(app, caller, KIND, id, if_match, "event_trigger.changed", move |row| {
        *row = TriggerRow {
            created_at: row.created_at,
            last_mission: row.last_mission,
            version: row.version,
            ..next.clone()
        };
        Ok(())
    });
    view(row.await?)
}

/// What happens is passed over.
pub async fn pause(app: &App, caller: &Caller, id: TriggerId) -> Result<EventTriggerView> {
    view(keep::edit(app, caller, KIND, id, None, "event_trigger.paused", keep::paused).await?)
}

/// It listens again from now on; what happened meanwhile is not made up for.
pub async fn resume(app: &App, caller: &Caller, id: TriggerId) -> Result<EventTriggerView> {
    let person = caller.clone();
    let row = keep::edit(app, caller, KIND, id, None, "event_trigger.resumed", move |row| {
        super::within_reach(&person, row)?;
        keep::resumed(row)
    });
    view(row.await?)
}

pub async fn remove(app: &App, caller: &Caller, id: TriggerId) -> Result<()> {
    keep::remove(app, caller, ACTS, id).await
}

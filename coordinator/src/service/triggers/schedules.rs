//! Schedules: kept, changed, paused, and what they will do next.

use nexusmon_core::trigger::{Clockwork, NewSchedule, Rule, Timetable, parse_schedule};
use nexusmon_shared::id::{MissionId, PrincipalId, TriggerId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{TriggerKind, TriggerRow, TriggerState};
use serde_json::{Map, Value, json};

use super::super::missions::no_nul;
use super::super::playbooks;
use super::due::rule_of;
use super::keep::{self, Acts};
use super::{Caller, FiringView, Page, PageRequest, known};
use crate::app::App;
use crate::error::{Error, Result};

/// Due times shown of what is to come.
const SHOWN: usize = 10;
const KIND: TriggerKind = TriggerKind::Schedule;
const ACTS: Acts = Acts { kind: KIND, created: "schedule.created", removed: "schedule.removed" };

/// A due time to come.
#[derive(Debug, Clone)]
pub struct Coming {
    pub due: Timestamp,
    /// Jitter included.
    pub starts_at: Timestamp,
    /// The due time on the wall clock of its zone.
    pub local: String,
}

/// A schedule as people see it.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    pub id: TriggerId,
    pub name: Name,
    pub state: TriggerState,
    /// Why the system paused it.
    pub reason: Option<String>,
    pub rule: Rule,
    /// The cron line in words.
    pub described: String,
    /// A mission's body.
    pub work: Map<String, Value>,
    pub owner: PrincipalId,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    /// The next ten; none while it is paused.
    pub next: Vec<Coming>,
    pub last_mission: Option<MissionId>,
    pub version: u64,
}

fn view(app: &App, row: TriggerRow) -> Result<ScheduleView> {
    let (rule, timetable) = rule_of(&row)?;
    let clockwork =
        Clockwork { id: row.id, rule: &rule, timetable: &timetable, through: row.decided_through };
    let shown = if row.state == TriggerState::Active { SHOWN } else { 0 };
    let next = clockwork
        .coming(app.clock.now(), shown)
        .into_iter()
        .map(|(due, starts_at)| Coming { due, starts_at, local: timetable.local(due) })
        .collect();
    Ok(ScheduleView {
        id: row.id,
        name: row.name,
        state: row.state,
        reason: row.reason,
        described: timetable.describe(),
        rule,
        work: serde_json::from_str(&row.work).map_err(Error::internal)?,
        owner: row.owner,
        created_at: row.created_at,
        changed_at: row.changed_at,
        next,
        last_mission: row.last_mission,
        version: u64::try_from(row.version).unwrap_or(0),
    })
}

/// Newest first.
pub async fn list(app: &App, page: PageRequest) -> Result<Page<ScheduleView>> {
    let found = app.store.read().await?.trigger_list(KIND, &page.store()?).await?;
    let items = found.items.into_iter().map(|row| view(app, row)).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: TriggerId) -> Result<ScheduleView> {
    view(app, known(app.store.read().await?.trigger(id).await?, KIND, id)?)
}

/// What a cron line means, and its next ten due times. Nothing is kept.
pub fn preview(app: &App, cron: &str, time_zone: &str) -> Result<(String, Vec<Coming>)> {
    let timetable = Timetable::parse(cron, time_zone)?;
    let mut at = app.clock.now();
    let mut next = Vec::new();
    while let Some(due) = timetable.next_after(at).filter(|_| next.len() < SHOWN) {
        next.push(Coming { due, starts_at: due, local: timetable.local(due) });
        at = due;
    }
    Ok((timetable.describe(), next))
}

/// What it has fired for, newest first.
pub async fn firings(app: &App, id: TriggerId, page: PageRequest) -> Result<Page<FiringView>> {
    super::firings(app, KIND, id, page).await
}

/// Keeps a new schedule. Its playbook must be there and take its inputs.
pub async fn create(app: &App, caller: &Caller, body: &Value) -> Result<ScheduleView> {
    let new = read(app, body).await?;
    let now = app.clock.now();
    let id = app.rng.with(|rng| TriggerId::new(now, rng));
    let row = row_of(id, &new, caller, now)?;
    view(app, keep::create(app, caller, ACTS, row).await?)
}

async fn read(app: &App, body: &Value) -> Result<NewSchedule> {
    let new = parse_schedule(body)?;
    no_nul(&body.to_string().replace("\\u0000", "\0"), "")?;
    // With the values of its next due time, which every later one is like.
    let due = new.timetable.next_after(app.clock.now()).unwrap_or_default();
    let values = json!({"due": due, "local": new.timetable.local(due), "date": new.timetable.date(due),
        "name": new.name});
    let draft = new.work.filled(&values)?;
    playbooks::resolve(app, draft.into()).await?;
    Ok(new)
}

fn row_of(id: TriggerId, new: &NewSchedule, caller: &Caller, now: Timestamp) -> Result<TriggerRow> {
    let mut row = TriggerRow {
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
    };
    row.next_at = first_look(&row, now)?;
    Ok(row)
}

/// When a schedule that begins now is to be looked at.
fn first_look(row: &TriggerRow, now: Timestamp) -> Result<Option<Timestamp>> {
    if row.state != TriggerState::Active {
        return Ok(None);
    }
    let (rule, timetable) = rule_of(row)?;
    let clockwork = Clockwork { id: row.id, rule: &rule, timetable: &timetable, through: now };
    Ok(timetable.next_after(now).map(|due| clockwork.fires_at(due)))
}

/// Changes a schedule as a whole; from now on it acts in the caller's name. What was due before is not made up for.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: TriggerId,
    body: &Value,
    if_match: Option<u64>,
) -> Result<ScheduleView> {
    let next = row_of(id, &read(app, body).await?, caller, app.clock.now())?;
    let row = keep::edit(app, caller, KIND, id, if_match, "schedule.changed", move |row| {
        *row = TriggerRow {
            created_at: row.created_at,
            last_mission: row.last_mission,
            version: row.version,
            ..next.clone()
        };
        Ok(())
    });
    view(app, row.await?)
}

/// Nothing fires any more. What is under way goes on.
pub async fn pause(app: &App, caller: &Caller, id: TriggerId) -> Result<ScheduleView> {
    view(app, keep::edit(app, caller, KIND, id, None, "schedule.paused", keep::paused).await?)
}

/// It fires again from now on; what was due meanwhile is for a backfill.
pub async fn resume(app: &App, caller: &Caller, id: TriggerId) -> Result<ScheduleView> {
    let (now, person) = (app.clock.now(), caller.clone());
    let row = keep::edit(app, caller, KIND, id, None, "schedule.resumed", move |row| {
        super::within_reach(&person, row)?;
        keep::resumed(row)?;
        row.decided_through = now;
        row.next_at = first_look(row, now)?;
        Ok(())
    });
    view(app, row.await?)
}

pub async fn remove(app: &App, caller: &Caller, id: TriggerId) -> Result<()> {
    keep::remove(app, caller, ACTS, id).await
}

//! What happened since the look before, and whom it concerns. The audit log is the list of events: gapless, in order, and
//! committed with what it tells of, so that none is missed; firings are unique, so that none counts twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use nexusmon_core::mission::Start;
use nexusmon_core::trigger::{EventRule, condition};
use nexusmon_store::{TriggerKind, TriggerRow};

use super::due::Looked;
use super::fire::{self, Chained, Fired, Occasion, OfEvent};
use super::happened::{self, Happened};
use super::limits::Bounds;
use crate::app::App;
use crate::error::{Error, Result};

/// Up to where everything was looked at; kept whenever something concerned a trigger.
const PLACE: &str = "triggers.place";
/// Entries in one activation.
const MOST: u32 = 100;
/// So many entries that concerned nobody are passed before the place is written down again.
const FAR: i64 = 10_000;
/// A trigger that is changed while it fires is looked at again.
const AGAIN: usize = 3;
/// What the coordinator itself cannot do is tried so often before it is a failed firing …
const TRIES: u32 = 10;
/// … and so often where not even that can be written down.
const GIVE_UP: u32 = 60;

/// An event trigger that listens.
struct Listening {
    row: TriggerRow,
    rule: EventRule,
}

/// One look. Costs nothing while nothing is written down.
pub(super) async fn look(app: &App) -> Result<Looked> {
    let seen = &app.triggers.through;
    if app.store.seq() <= seen.load(Ordering::Acquire) {
        return Ok(Looked::default());
    }
    let mut read = app.store.read().await?;
    let newest = read.newest_seq().await?;
    let listening = listening(read.active_triggers(TriggerKind::Event).await?);
    let Some(oldest) = listening.iter().map(|one| one.row.since).min() else {
        seen.store(newest, Ordering::Release);
        return Ok(Looked::default());
    };
    let kept = read.setting(PLACE).await?.and_then(|row| row.value.parse().ok()).unwrap_or(0_i64);
    // What one node saw while no trigger listened, or wrote down, need not be looked at again.
    let from = kept.max(oldest);
    let from = if from >= newest { newest } else { from.max(seen.load(Ordering::Acquire).min(newest)) };
    let actions: BTreeSet<&'static str> =
        listening.iter().flat_map(|one| &one.rule.on).flat_map(|kind| kind.actions()).copied().collect();
    let actions: Vec<&'static str> = actions.into_iter().collect();
    let rows = read.audit_of(&actions, from, newest, MOST).await?;
    let more = rows.len() >= MOST as usize;
    let through = rows.last().filter(|_| more).map_or(newest, |row| row.seq);
    let before = std::mem::take(&mut *app.triggers.tried.lock().expect("no holder panics"));
    let mut trouble = Trouble { before, ..Trouble::default() };
    let mut concerned = Vec::new();
    for row in &rows {
        match happened::read(&mut read, row).await {
            Ok(found) => concerned.extend(found),
            Err(error) => {
                tracing::warn!(entry = row.seq, %error, "an entry of the audit log could not be read as an event");
                if trouble.tries(format!("entry {}", row.seq), &error) < TRIES {
                    trouble.again(row.seq);
                }
            }
        }
    }
    drop(read);
    let mut fired = 0;
    for happened in &concerned {
        for one in &listening {
            match concern(app, one, happened).await {
                Ok(made) => fired += usize::from(made),
                Err(error) => in_trouble(app, one, happened, &error, &mut trouble).await,
            }
        }
    }
    // What is still to be tried is before the place; what was done after it does not fire twice.
    let place = trouble.first.map_or(through, |seq| seq - 1);
    *app.triggers.tried.lock().expect("no holder panics") = trouble.now;
    if place > kept && (!concerned.is_empty() || place - kept > FAR) {
        keep(app, place).await?;
    }
    seen.store(place, Ordering::Release);
    Ok(Looked { fired, more: more && trouble.first.is_none() })
}

/// What could not be done in one look. It holds up nothing that comes after it.
#[derive(Default)]
struct Trouble {
    before: HashMap<String, u32>,
    now: HashMap<String, u32>,
    /// The first entry that is to be looked at again.
    first: Option<i64>,
}

impl Trouble {
    /// How often this was tried. What is only unavailable for now is tried until it is there.
    fn tries(&mut self, what: String, error: &Error) -> u32 {
        let passing = matches!(error, Error::Unavailable { .. } | Error::StorageFull);
        let tries = self.before.get(&what).copied().unwrap_or(0) + u32::from(!passing);
        self.now.insert(what, tries);
        tries
    }

    fn again(&mut self, seq: i64) {
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
    }
}

/// A firing that the coordinator itself could not carry out: tried again for a while, then written down as failed.
async fn in_trouble(app: &App, one: &Listening, happened: &Happened, error: &Error, trouble: &mut Trouble) {
    let (trigger, event) = (one.row.id, happened.occasion());
    tracing::warn!(%trigger, %event, %error, "an event trigger could not fire");
    let tries = trouble.tries(format!("{trigger} {event}"), error);
    if tries >= TRIES {
        let failed = occasion(happened, &one.rule, Some(error.to_string()));
        match fire::fire(app, one.row.clone(), failed).await {
            Ok(Fired::Changed) => {}
            Ok(_) => return,
            Err(error) if tries >= GIVE_UP => {
                tracing::error!(%trigger, %event, %error, "an event is passed over by a trigger");
                return;
            }
            Err(_) => {}
        }
    }
    trouble.again(happened.seq);
}

fn listening(rows: Vec<TriggerRow>) -> Vec<Listening> {
    let read = |row: TriggerRow| match serde_json::from_str(&row.rule) {
        Ok(rule) => Some(Listening { row, rule }),
        Err(error) => {
            // One that cannot be read keeps no other from firing.
            tracing::error!(trigger = %row.id, %error, "the rule of an event trigger cannot be read");
            None
        }
    };
    rows.into_iter().filter_map(read).collect()
}

/// Fires where it is concerned; gives whether a mission was made.
async fn concern(app: &App, one: &Listening, happened: &Happened) -> Result<bool> {
    let mut row = one.row.clone();
    let mut rule = one.rule.clone();
    for _ in 0..AGAIN {
        if !fire::concerns(&row, happened.seq, happened.at) || !rule.on.contains(&happened.kind) {
            return Ok(false);
        }
        let doubt = match rule.condition.as_deref().map(|source| condition(source, &happened.event)) {
            None | Some(Ok(true)) => None,
            Some(Ok(false)) => return Ok(false),
            Some(Err(why)) => Some(format!("`if`: {why}")),
        };
        let occasion = occasion(happened, &rule, doubt);
        let mut read = app.store.read().await?;
        // A mission's preparation is not free: what counted before costs no more than a look.
        if read.firing(row.id, &occasion.name).await?.is_some() {
            return Ok(false);
        }
        drop(read);
        match fire::fire(app, row.clone(), occasion).await? {
            Fired::Mission(_) => return Ok(true),
            Fired::Skipped(_) | Fired::Failed(_) | Fired::Already => return Ok(false),
            Fired::Changed => {}
        }
        let found = app.store.read().await?.trigger(row.id).await?;
        let Some(found) = found.filter(|found| found.state == nexusmon_store::TriggerState::Active) else {
            return Ok(false);
        };
        rule = serde_json::from_str(&found.rule).map_err(Error::internal)?;
        row = found;
    }
    Err(Error::unavailable("an event trigger was changed again and again while it fired"))
}

fn occasion(happened: &Happened, rule: &EventRule, doubt: Option<String>) -> Occasion {
    let of_event = OfEvent { seq: happened.seq, at: happened.at, doubt };
    let chained = Chained { bounds: Bounds::from(rule), parent: happened.mission, why: happened.why() };
    Occasion {
        name: happened.occasion(),
        due: None,
        context: happened.event.clone(),
        start: Start::Auto,
        by_hand: false,
        skip_while_running: false,
        step: None,
        passed_over: 0,
        of_event: Some(of_event),
        chained: Some(chained),
    }
}

async fn keep(app: &App, place: i64) -> Result<()> {
    app.store
        .write("triggers.place", move |tx| {
            Box::pin(async move {
                let now = tx.now();
                Ok::<_, Error>(tx.put_setting(PLACE, &place.to_string(), now).await?)
            })
        })
        .await
}

//! Looks for approvals that were asked for and alerts that were raised, and tells the browsers of those they concern. At
//! least once: a message that came twice has the same topic and takes the place of the one before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use nexusmon_core::policy::access;
use nexusmon_shared::id::{ApprovalId, PrincipalId, PushId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ApprovalState, AuditRow, Connection, PushRow, Role};
use serde_json::json;

use super::{message, to};
use crate::app::App;
use crate::error::Result;
use crate::push::{Sent, To};
use crate::service::unit::{SYSTEM, Unit};

/// Up to where everybody has been told; kept from the first subscription on, so that what came while nobody ran is told.
pub(super) const PLACE: &str = "push.place";
/// Entries looked at in one run.
const PAGE: u32 = 100;
/// An alert that is older is read in the console.
const STALE: Duration = Duration::from_hours(1);
/// Messages under way at a time.
const AT_ONCE: usize = 8;
/// Before the second and last attempt.
const PAUSE: Duration = Duration::from_millis(500);
/// A subscription that failed as often is forgotten: its browser turns it on again when it is opened.
const HOPELESS: i64 = 50;

/// What this process knows of the place; below zero: not read yet.
#[derive(Debug)]
pub(crate) struct Place(AtomicI64);

impl Default for Place {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

/// What somebody is told.
struct Note {
    id: String,
    rank: Option<Rank>,
    /// Who may do something about it.
    action: &'static str,
}

/// One look, where something may be pushed at all. Costs nothing while nothing is written down or nobody has subscribed.
pub async fn deliver(app: &App) -> Result<()> {
    let newest = app.store.seq();
    let known = app.push_place.0.load(Ordering::Acquire);
    if known >= newest {
        return Ok(());
    }
    let mut read = app.store.read().await?;
    let subscriptions = read.push_subscriptions().await?;
    if subscriptions.is_empty() {
        app.push_place.0.store(newest, Ordering::Release);
        return Ok(());
    }
    let from = match known {
        0.. => known,
        _ => read.setting(PLACE).await?.and_then(|row| row.value.parse().ok()).unwrap_or(newest),
    };
    let rows = read.pushworthy_after(from, PAGE).await?;
    // Some may have been written since `newest` was read.
    let last = rows.last().map_or(0, |row| row.seq);
    let place = if rows.len() < PAGE as usize { newest.max(last) } else { last };
    let mut notes = Vec::new();
    for row in &rows {
        notes.extend(note(&mut read, row, app.clock.now()).await?);
    }
    let people = people(&mut read).await?;
    drop(read);
    if !notes.is_empty() {
        let told = tell(app, &subscriptions, &people, &notes).await;
        keep(app, told, place).await?;
    }
    app.push_place.0.store(place, Ordering::Release);
    Ok(())
}

/// What an entry means to somebody who is away; nothing where it is over by now.
async fn note(read: &mut Connection, row: &AuditRow, now: Timestamp) -> Result<Option<Note>> {
    let id = row.subject.clone();
    if row.action == "approval.requested" {
        let Ok(approval) = id.parse::<ApprovalId>() else { return Ok(None) };
        let found = read.approval(approval).await?.filter(|row| row.state == ApprovalState::Pending);
        return Ok(found.map(|found| Note { id, rank: Some(found.rank), action: "approval.decide" }));
    }
    if now.since(row.at) > STALE {
        return Ok(None);
    }
    let rank = match row.mission {
        Some(mission) => read.mission(mission).await?.map(|mission| mission.rank),
        None => None,
    };
    Ok(Some(Note { id, rank, action: "agent.quarantine" }))
}

/// Everybody who may act, with their role.
async fn people(read: &mut Connection) -> Result<HashMap<PrincipalId, Role>> {
    let rows = read.persons_with(Role::ALL).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.role)).collect())
}

/// One message to one browser.
struct Job {
    id: PushId,
    failures: i64,
    to: Option<To>,
    message: Vec<u8>,
    topic: String,
}

async fn tell(
    app: &App,
    subscriptions: &[PushRow],
    people: &HashMap<PrincipalId, Role>,
    notes: &[Note],
) -> Vec<(PushId, i64, Sent)> {
    let mut jobs = Vec::new();
    for row in subscriptions {
        let Some(role) = people.get(&row.principal) else { continue };
        for note in notes.iter().filter(|note| access::permits(role.as_str(), note.action)) {
            let message = message(&note.id, note.rank);
            let (id, failures, topic) = (row.id, row.failures, note.id.clone());
            jobs.push(Job { id, failures, to: to(row), message, topic });
        }
    }
    let work = jobs.into_iter().map(|job| send(app.clone(), job));
    futures::stream::iter(work).buffer_unordered(AT_ONCE).collect().await
}

async fn send(app: App, job: Job) -> (PushId, i64, Sent) {
    let Job { id, failures, to, message, topic } = job;
    let (Some(sender), Some(to)) = (&app.push, to) else { return (id, failures, Sent::Gone) };
    let mut sent = Sent::Refused;
    for attempt in 0..2 {
        sent = sender.send(&app.keyring.vapid, &to, &message, &topic, app.clock.now()).await;
        match sent {
            // Asked to wait longer than we do, we count it as not arrived.
            Sent::Later(None) if attempt == 0 => tokio::time::sleep(PAUSE).await,
            _ => break,
        }
    }
    (id, failures, sent)
}

async fn keep(app: &App, told: Vec<(PushId, i64, Sent)>, place: i64) -> Result<()> {
    let (mut arrived, mut gone, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (id, failures, sent) in told {
        match sent {
            Sent::Taken => arrived.push(id),
            Sent::Gone => gone.push(id),
            Sent::Later(_) | Sent::Refused if failures >= HOPELESS => gone.push(id),
            Sent::Later(_) | Sent::Refused => failed.push(id),
        }
    }
    for ids in [&mut arrived, &mut gone, &mut failed] {
        ids.sort_unstable();
        ids.dedup();
    }
    if !failed.is_empty() {
        tracing::warn!(
            subscriptions = failed.len(),
            "push services did not take messages; `nexusmon doctor` looks at the network"
        );
    }
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("push.told", (arrived, gone, failed), move |tx, (arrived, gone, failed)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let now = unit.now;
                unit.tx.pushed(arrived, now).await?;
                unit.tx.push_failed(failed).await?;
                unit.tx.forget_push(gone).await?;
                unit.tx.put_setting(PLACE, &place.to_string(), now).await?;
                for id in gone {
                    let body = json!({"subscription": id, "why": "the browser took it back, or could not be told for long"});
                    unit.audit(SYSTEM, "push.removed", ("push_subscription", id.to_string()), None, body);
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

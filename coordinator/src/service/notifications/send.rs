//! The outbox is emptied: each target by one message at a time, whichever coordinator claims it, and no target waits for
//! another. Told at least once: what was claimed by a coordinator that ended is claimed again a minute later.

use std::time::Duration;

use nexusmon_core::notification::Kind;
use nexusmon_core::policy::access;
use nexusmon_shared::id::{ApprovalId, ChannelId, NotificationId, PushId, RuleId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ApprovalState, Connection, NotificationRow, NotificationState};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::super::push;
use super::super::unit::{SYSTEM, Unit};
use super::{channels, gather, words};
use crate::app::App;
use crate::error::{Error, Result};
use crate::outward::Sent;

/// Longer than any attempt.
const CLAIM: Duration = Duration::from_mins(1);
/// Attempts at one message: two hours and some, all in all.
const ATTEMPTS: i64 = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing waits.
    Idle,
    Within(Duration),
}

/// Claims what is due and sends it, each message on its own; gives when the next is due.
pub async fn look(app: &App) -> Result<Look> {
    let next = app.store.read().await?.next_notification().await?;
    let Some(next) = next else { return Ok(Look::Idle) };
    let now = app.clock.now();
    if next > now {
        return Ok(Look::Within(next.since(now)));
    }
    let mut permits = Vec::new();
    while let Ok(permit) = app.desk.free.clone().try_acquire_owned() {
        permits.push(permit);
    }
    let most = u32::try_from(permits.len()).unwrap_or(0);
    if most == 0 {
        // Whatever ends next asks for another look.
        return Ok(Look::Idle);
    }
    let groups = app
        .store
        .write("notifications.claim", move |tx| {
            Box::pin(async move {
                let until = now + CLAIM;
                let mut groups = Vec::new();
                for first in tx.claim_notifications(now, until, most).await? {
                    let mut group = Vec::new();
                    if !first.batch.is_empty() {
                        group = tx.claim_batch(&first, now, until).await?;
                    }
                    group.push(first);
                    group.sort_by_key(|row| row.id);
                    groups.push(group);
                }
                Ok::<_, Error>(groups)
            })
        })
        .await?;
    for group in groups {
        let Some(permit) = permits.pop() else { break };
        let sending = app.clone();
        app.lifecycle.spawn_quiet("notifications.send", async move { one(&sending, group, permit).await });
    }
    Ok(Look::Within(CLAIM))
}

async fn one(app: &App, group: Vec<NotificationRow>, permit: OwnedSemaphorePermit) -> Result<()> {
    let done = deliver(app, group).await;
    drop(permit);
    // Its target is free for the next.
    app.desk.due.notify_one();
    done
}

/// What a message came to.
enum Came {
    Sent(Sent),
    /// The target is gone; nothing more is sent there.
    Gone,
}

async fn deliver(app: &App, group: Vec<NotificationRow>) -> Result<()> {
    // Whoever claimed these before ended each time before it could say what came of it.
    let (worn, group): (Vec<_>, Vec<_>) = group.into_iter().partition(|row| row.attempts > ATTEMPTS);
    if let Some(first) = worn.first() {
        let why = format!("tried {ATTEMPTS} times, and each time the coordinator ended over it");
        let (target, attempts) = (first.target.clone(), first.attempts);
        let ids = worn.iter().map(|row| row.id).collect();
        let came = Some(Came::Sent(Sent::Refused(why)));
        settle(app, Settling { target, ids, moot: Vec::new(), attempts, came }).await?;
    }
    if group.is_empty() {
        return Ok(());
    }
    let (mut told, mut moot) = (Vec::new(), Vec::new());
    let mut read = app.store.read().await?;
    for row in group {
        if over(&mut read, &row).await? { moot.push(row.id) } else { told.push(row) }
    }
    drop(read);
    if told.is_empty() {
        return settle(app, Settling { moot, ..Settling::default() }).await;
    }
    let target = told[0].target.clone();
    let came = match (target.parse::<PushId>(), target.parse::<ChannelId>()) {
        (Ok(id), _) => to_browser(app, id, &told).await?,
        (_, Ok(id)) => to_channel(app, id, &told).await?,
        _ => Came::Gone,
    };
    let attempts = told.iter().map(|row| row.attempts).max().unwrap_or(1);
    let ids = told.iter().map(|row| row.id).collect();
    settle(app, Settling { target, ids, moot, attempts, came: Some(came) }).await
}

/// Nobody needs to be told of it any more, or may be.
async fn over(read: &mut Connection, row: &NotificationRow) -> Result<bool> {
    let person = read.principal(row.owner).await?.filter(|person| person.revoked_at.is_none());
    let Some(person) = person else { return Ok(true) };
    let kind = Kind::parse(&row.kind);
    let needed = if row.rule == gather::BROWSER {
        kind.and_then(gather::by_itself)
    } else {
        let rule = match row.rule.parse::<RuleId>() {
            Ok(id) => read.rule(id).await?,
            Err(_) => None,
        };
        if rule.is_none_or(|rule| rule.paused) {
            return Ok(true);
        }
        kind.map(gather::reading)
    };
    if needed.is_some_and(|action| !access::permits(person.role.as_str(), action)) {
        return Ok(true);
    }
    let (Some(Kind::Approval), Ok(id)) = (kind, row.subject.parse::<ApprovalId>()) else {
        return Ok(false);
    };
    let waits = read.approval(id).await?.is_some_and(|row| row.state == ApprovalState::Pending);
    Ok(!waits || (row.escalated && read.approval_seen(id).await?))
}

async fn to_channel(app: &App, id: ChannelId, rows: &[NotificationRow]) -> Result<Came> {
    let channel = app.store.read().await?.channel(id).await?;
    let Some(channel) = channel else { return Ok(Came::Gone) };
    // Why is not written down: it may hold what was sealed.
    let Ok(address) = channels::open(app, &channel) else {
        let why = "its address cannot be opened with this master key: remove the channel and make it anew";
        return Ok(Came::Sent(Sent::Refused(why.to_owned())));
    };
    Ok(Came::Sent(app.outward.send(&address, &words::message(app, rows), app.clock.now()).await))
}

/// The first of them by name, the rest by their number.
async fn to_browser(app: &App, id: PushId, rows: &[NotificationRow]) -> Result<Came> {
    let (row, more) = (&rows[0], rows.len() - 1);
    let subscription = app.store.read().await?.push_subscription(id).await?;
    let Some(subscription) = subscription else { return Ok(Came::Gone) };
    Ok(match push::send(app, &subscription, &row.subject, row.rank, more).await {
        crate::push::Sent::Taken => Came::Sent(Sent::Taken),
        crate::push::Sent::Gone => {
            push::forget(app, vec![id], "the browser took it back").await?;
            Came::Gone
        }
        crate::push::Sent::Later(wait) => {
            Came::Sent(Sent::Later(wait, "the push service did not take it".to_owned()))
        }
        crate::push::Sent::Refused => Came::Sent(Sent::Refused("the push service refused it".to_owned())),
    })
}

#[derive(Default)]
struct Settling {
    target: String,
    ids: Vec<NotificationId>,
    moot: Vec<NotificationId>,
    attempts: i64,
    came: Option<Came>,
}

/// What becomes of the rows: their state, when they are tried again, and why.
fn verdict(came: &Came, attempts: i64, now: Timestamp) -> (NotificationState, Timestamp, Option<String>) {
    match came {
        Came::Gone => (NotificationState::Moot, now, Some("nobody is told there any more".to_owned())),
        Came::Sent(Sent::Taken) => (NotificationState::Sent, now, None),
        Came::Sent(Sent::TakenBut(why)) => (NotificationState::Sent, now, Some(why.clone())),
        Came::Sent(Sent::Refused(why)) => (NotificationState::Failed, now, Some(why.clone())),
        Came::Sent(Sent::Later(_, why)) if attempts >= ATTEMPTS => {
            (NotificationState::Failed, now, Some(format!("{why}; tried {attempts} times")))
        }
        Came::Sent(Sent::Later(wait, why)) => {
            let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(10);
            let pause = FIRST_PAUSE.saturating_mul(3_u32.saturating_pow(exponent)).min(LONGEST_PAUSE);
            (NotificationState::Waiting, now + wait.unwrap_or(pause).min(LONGEST_PAUSE), Some(why.clone()))
        }
    }
}

async fn settle(app: &App, settling: Settling) -> Result<()> {
    let hopeless = match (&settling.came, settling.target.parse::<PushId>()) {
        (Some(Came::Sent(Sent::Later(..) | Sent::Refused(_))), Ok(id)) => push::hopeless(app, id).await?,
        _ => false,
    };
    if let (true, Ok(id)) = (hopeless, settling.target.parse::<PushId>()) {
        push::forget(app, vec![id], "it could not be told for long").await?;
    }
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("notifications.settle", settling, move |tx, settling| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let now = unit.now;
                unit.tx.settle_notifications(&settling.moot, NotificationState::Moot, now, None, now).await?;
                if let Some(came) = &settling.came {
                    write(&mut unit, settling, came).await?;
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

async fn write(unit: &mut Unit<'_>, settling: &Settling, came: &Came) -> Result<()> {
    let now = unit.now;
    let (state, due_at, error) = verdict(came, settling.attempts, now);
    unit.tx.settle_notifications(&settling.ids, state, due_at, error.as_deref(), now).await?;
    if let Came::Sent(sent) = came {
        let taken = matches!(sent, Sent::Taken | Sent::TakenBut(_));
        match (settling.target.parse::<PushId>(), settling.target.parse::<ChannelId>()) {
            (Ok(id), _) if taken => unit.tx.pushed(&[id], now).await?,
            // What is tried again has not failed yet: a browser is given up for messages, not for attempts.
            (Ok(id), _) if state == NotificationState::Failed => unit.tx.push_failed(&[id]).await?,
            (_, Ok(id)) => unit.tx.channel_told(id, taken, error.as_deref(), now).await?,
            _ => {}
        }
    }
    if state == NotificationState::Failed {
        let body = json!({"notifications": settling.ids.len(), "why": error});
        let kind =
            if settling.target.starts_with("psh_") { "push_subscription" } else { "notification_channel" };
        unit.audit(SYSTEM, "notification.failed", (kind, settling.target.clone()), None, body);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_arrive_is_tried_ever_more_seldom_and_then_given_up() {
        let now = Timestamp::from_micros(0);
        let later = |wait| Came::Sent(Sent::Later(wait, "answered 503".to_owned()));
        let mut pauses = Vec::new();
        for attempts in 1..ATTEMPTS {
            let (state, due, _) = verdict(&later(None), attempts, now);
            assert_eq!(state, NotificationState::Waiting);
            pauses.push(due.since(now).as_secs());
        }
        assert_eq!(pauses, [10, 30, 90, 270, 810, 2430, 3600]);
        let (state, _, why) = verdict(&later(None), ATTEMPTS, now);
        assert_eq!((state, why.as_deref()), (NotificationState::Failed, Some("answered 503; tried 8 times")));
        let (_, due, _) = verdict(&later(Some(Duration::from_secs(7))), 1, now);
        assert_eq!(due.since(now).as_secs(), 7, "as long as it was asked to");
        assert_eq!(
            verdict(&Came::Sent(Sent::Refused("answered 404".into())), 1, now).0,
            NotificationState::Failed
        );
    }
}

//! What happened becomes what people are to be told: rows of the outbox, written in the unit that moves the place up to which
//! everything has been looked at. Nobody is called here, so the duty is short.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nexusmon_core::notification::{Happening, Kind, Rule};
use nexusmon_core::policy::access;
use nexusmon_shared::id::{ApprovalId, ChannelId, MissionId, NotificationId, PrincipalId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{
    ApprovalState, AuditRow, ChannelKind, Connection, NotificationRow, NotificationState, PushRow, Role,
    RuleRow,
};

use super::super::unit::Unit;
use super::rules::read_rule;
use crate::app::App;
use crate::error::{Error, Result};

/// Up to where everything has been looked at; kept from the first rule or subscription on, so that what came while nobody ran
/// is told.
const PLACE: &str = "push.place";
/// Entries looked at in one run.
const PAGE: u32 = 100;
/// What is older is read in the console; an approval is told of for as long as it waits.
const STALE: Duration = Duration::from_hours(1);
/// What is due for one target beyond this is said together.
const MANY: i64 = 20;
/// What waits for one target beyond this is not told, unless it is an approval: the console has it.
const TOO_MANY: i64 = 1000;
/// Over which a flood is gathered.
const FLOOD: i64 = 60 * 1_000_000;
/// The rule of what browsers are told without one.
pub(super) const BROWSER: &str = "browser";

/// What this process knows of the place; below zero: not read yet.
#[derive(Debug)]
pub(crate) struct Place(AtomicI64);

impl Default for Place {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

/// Somebody listens from now on.
pub(in crate::service) async fn begin(unit: &mut Unit<'_>) -> Result<()> {
    if unit.tx.setting(PLACE).await?.is_none() {
        let place = unit.app.store.seq().to_string();
        unit.tx.put_setting(PLACE, &place, unit.now).await?;
    }
    Ok(())
}

/// One thing that happened, as it is told.
struct Noted {
    seq: i64,
    at: Timestamp,
    subject: String,
    mission: Option<MissionId>,
    what: Happening,
}

/// Who listens.
struct Listeners {
    rules: Vec<(RuleRow, Rule)>,
    /// Kinds of the channels.
    channels: HashMap<ChannelId, ChannelKind>,
    browsers: Vec<PushRow>,
    people: HashMap<PrincipalId, Role>,
}

/// One look, under a duty. Costs nothing while nothing is written down or nobody listens. True where there is more.
pub async fn gather(app: &App) -> Result<bool> {
    let newest = app.store.seq();
    let known = app.push_place.0.load(Ordering::Acquire);
    if known >= newest {
        return Ok(false);
    }
    let mut read = app.store.read().await?;
    let listeners = listeners(app, &mut read).await?;
    if listeners.rules.is_empty() && listeners.browsers.is_empty() {
        app.push_place.0.store(newest, Ordering::Release);
        return Ok(false);
    }
    let from = match known {
        0.. => known,
        _ => read.setting(PLACE).await?.and_then(|row| row.value.parse().ok()).unwrap_or(newest),
    };
    let rows = read.notable_after(from, PAGE).await?;
    // Some may have been written since `newest` was read.
    let last = rows.last().map_or(0, |row| row.seq);
    let more = rows.len() >= PAGE as usize;
    let place = if more { last } else { newest.max(last) };
    let now = app.clock.now();
    let mut noted = Vec::new();
    for row in &rows {
        noted.extend(note(&mut read, row, now).await?);
    }
    let mut outbox = Outbox { app, now, waiting: HashMap::new(), rows: Vec::new(), dropped: 0 };
    if !noted.is_empty() {
        let waiting = read.notifications_waiting(now).await?;
        let count = |all, due| Waiting { all, due };
        outbox.waiting = waiting.into_iter().map(|row| (row.target, count(row.count, row.due))).collect();
    }
    drop(read);
    for one in &noted {
        listeners.tell(&mut outbox, one);
    }
    if outbox.dropped > 0 {
        tracing::warn!(
            notifications = outbox.dropped,
            "more happened than anybody can be told of; the console has all of it"
        );
    }
    if !outbox.rows.is_empty() {
        keep(app, outbox.rows, place).await?;
        app.desk.due.notify_one();
    }
    app.push_place.0.store(place, Ordering::Release);
    Ok(more)
}

async fn listeners(app: &App, read: &mut Connection) -> Result<Listeners> {
    let browsers = if app.push.is_some() { read.push_subscriptions().await? } else { Vec::new() };
    let rows = read.rules(None).await?;
    let mut rules = Vec::new();
    for row in rows.into_iter().filter(|row| !row.paused) {
        let rule = read_rule(&row)?;
        rules.push((row, rule));
    }
    let (mut channels, mut people) = (HashMap::new(), HashMap::new());
    if !rules.is_empty() {
        channels = read.channels(None).await?.into_iter().map(|row| (row.id, row.kind)).collect();
    }
    if !rules.is_empty() || !browsers.is_empty() {
        people = read.persons_with(Role::ALL).await?.into_iter().map(|row| (row.id, row.role)).collect();
    }
    Ok(Listeners { rules, channels, browsers, people })
}

/// What an entry means to somebody who is away; nothing where it is over by now.
async fn note(read: &mut Connection, row: &AuditRow, now: Timestamp) -> Result<Option<Noted>> {
    let body = serde_json::from_str(&row.body).unwrap_or_default();
    let Some(kind) = Kind::of(&row.action, &row.actor, &body) else { return Ok(None) };
    let mut rank = None;
    if kind == Kind::Approval {
        let Ok(id) = row.subject.parse::<ApprovalId>() else { return Ok(None) };
        let found = read.approval(id).await?.filter(|row| row.state == ApprovalState::Pending);
        let Some(found) = found else { return Ok(None) };
        rank = Some(found.rank);
    } else if now.since(row.at) > STALE {
        return Ok(None);
    }
    let mission = match row.mission {
        Some(id) => read.mission(id).await?,
        None => None,
    };
    let labels: Option<BTreeMap<String, String>> = mission
        .as_ref()
        .map(|mission| mission.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
    let rank = rank.or_else(|| mission.as_ref().map(|mission| mission.rank));
    let what = Happening { kind, rank, labels };
    Ok(Some(Noted { seq: row.seq, at: row.at, subject: row.subject.clone(), mission: row.mission, what }))
}

/// What a browser is told without a rule, and who may do something about it.
pub(super) const fn by_itself(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Approval => Some("approval.decide"),
        Kind::Alert => Some("agent.quarantine"),
        _ => None,
    }
}

/// What one may read to be told of it.
pub(super) const fn reading(kind: Kind) -> &'static str {
    match kind {
        Kind::Approval => "approval.read",
        Kind::Review => "review.read",
        Kind::Failure | Kind::Budget => "mission.read",
        Kind::Suspension => "evolution.read",
        Kind::AgentLost => "agent.read",
        Kind::Alert => "audit.read",
        Kind::Halt => "halt.read",
    }
}

impl Listeners {
    fn may(&self, person: PrincipalId, action: &str) -> bool {
        self.people.get(&person).is_some_and(|role| access::permits(role.as_str(), action))
    }

    fn tell(&self, outbox: &mut Outbox<'_>, one: &Noted) {
        // Whoever has rules for their browsers is told by those alone.
        let ruled = |person: PrincipalId| {
            self.rules.iter().any(|(row, _)| {
                row.owner == person && self.channels.get(&row.channel) == Some(&ChannelKind::Push)
            })
        };
        if let Some(action) = by_itself(one.what.kind) {
            for browser in &self.browsers {
                if self.may(browser.principal, action) && !ruled(browser.principal) {
                    let target = (browser.id.to_string(), true);
                    outbox.add(one, BROWSER, browser.principal, target, (outbox.now, false), false);
                }
            }
        }
        for (row, rule) in &self.rules {
            let since = row.created_at <= one.at;
            if !since || !rule.wants(&one.what) || !self.may(row.owner, reading(one.what.kind)) {
                continue;
            }
            let due = rule.due(outbox.now);
            self.add(outbox, one, row, row.channel, (due.at, due.together), false);
            if let (Kind::Approval, Some(escalate)) = (one.what.kind, &rule.escalate) {
                let quiet = Rule { digest: None, ..rule.clone() };
                let due = quiet.due(outbox.now + escalate.after.0);
                self.add(outbox, one, row, escalate.channel, (due.at, false), true);
            }
        }
    }

    fn add(
        &self,
        outbox: &mut Outbox<'_>,
        one: &Noted,
        row: &RuleRow,
        channel: ChannelId,
        due: (Timestamp, bool),
        escalated: bool,
    ) {
        let rule = row.id.to_string();
        match self.channels.get(&channel) {
            Some(ChannelKind::Push) => {
                for browser in self.browsers.iter().filter(|browser| browser.principal == row.owner) {
                    let target = (browser.id.to_string(), true);
                    outbox.add(one, &rule, row.owner, target, due, escalated);
                }
            }
            Some(_) => outbox.add(one, &rule, row.owner, (channel.to_string(), false), due, escalated),
            None => {}
        }
    }
}

/// What waits for one target.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    all: i64,
    /// What is to come later is no flood.
    due: i64,
}

/// How one more is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    /// With others of its minute, as one and so many more.
    Together,
    Not,
}

impl Waiting {
    /// An approval is always told, and a browser shows each of them.
    const fn way(self, browser: bool, approval: bool) -> Way {
        if approval && browser {
            Way::Alone
        } else if self.all > TOO_MANY && !approval {
            Way::Not
        } else if self.due > MANY {
            Way::Together
        } else {
            Way::Alone
        }
    }
}

struct Outbox<'a> {
    app: &'a App,
    now: Timestamp,
    waiting: HashMap<String, Waiting>,
    rows: Vec<NotificationRow>,
    dropped: u64,
}

impl Outbox<'_> {
    fn add(
        &mut self,
        one: &Noted,
        rule: &str,
        owner: PrincipalId,
        (target, browser): (String, bool),
        (mut due_at, mut together): (Timestamp, bool),
        escalated: bool,
    ) {
        let now = self.now;
        let waiting = self.waiting.entry(target.clone()).or_default();
        waiting.all += 1;
        waiting.due += i64::from(due_at <= now);
        let approval = one.what.kind == Kind::Approval;
        match waiting.way(browser, approval) {
            Way::Not => {
                self.dropped += 1;
                return;
            }
            Way::Together if !together && !escalated => {
                let end = due_at.as_micros().div_euclid(FLOOD).saturating_add(1).saturating_mul(FLOOD);
                (due_at, together) = (Timestamp::from_micros(end), true);
            }
            Way::Together => {}
            // Quiet hours would say them as one.
            Way::Alone => together &= !(browser && approval),
        }
        // In the order in which it happened.
        let place = now + Duration::from_millis(self.rows.len() as u64);
        self.rows.push(NotificationRow {
            id: self.app.rng.with(|rng| NotificationId::new(place, rng)),
            rule: rule.to_owned(),
            owner,
            target,
            occasion: format!("{}{}", one.seq, if escalated { "+" } else { "" }),
            batch: if together { due_at.as_micros().to_string() } else { String::new() },
            kind: one.what.kind.as_str().to_owned(),
            subject: one.subject.clone(),
            mission: one.mission,
            rank: one.what.rank,
            escalated,
            state: NotificationState::Waiting,
            due_at,
            attempts: 0,
            claimed_until: Timestamp::from_micros(0),
            error: None,
            created_at: now,
            settled_at: None,
        });
    }
}

async fn keep(app: &App, rows: Vec<NotificationRow>, place: i64) -> Result<()> {
    let unit_app = app.clone();
    app.store
        .write_with("notifications.gather", rows, move |tx, rows| {
            let app = unit_app.clone();
            Box::pin(async move {
                tx.insert_notifications(rows).await?;
                tx.put_setting(PLACE, &place.to_string(), app.clock.now()).await?;
                Ok::<_, Error>(())
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_of_every_approval_and_of_the_rest_together() {
        let waiting = |all, due| Waiting { all, due };
        for (all, due) in [(1, 1), (MANY + 1, MANY + 1), (TOO_MANY + 1, TOO_MANY + 1)] {
            assert_eq!(waiting(all, due).way(true, true), Way::Alone, "{all} {due}");
        }
        assert_eq!(waiting(MANY, MANY).way(true, false), Way::Alone);
        assert_eq!(waiting(MANY + 1, MANY + 1).way(true, false), Way::Together, "none is lost");
        assert_eq!(
            waiting(MANY + 1, MANY).way(true, false),
            Way::Alone,
            "what is to come later does not count"
        );
        assert_eq!(waiting(TOO_MANY + 1, 1).way(true, false), Way::Not);
        // Elsewhere approvals are named in one message.
        assert_eq!(waiting(TOO_MANY + 1, MANY + 1).way(false, true), Way::Together);
        assert_eq!(waiting(TOO_MANY + 1, MANY + 1).way(false, false), Way::Not);
    }
}

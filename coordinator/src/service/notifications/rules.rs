//! What people are told, where: each their own.

use nexusmon_core::notification::{Kind, Rule};
use nexusmon_shared::id::{ChannelId, RuleId};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ChannelKind, Connection, RuleRow, StoreError};
use serde_json::{Value, json};

use super::super::Caller;
use super::super::unit::{Actor, Unit};
use super::{address, gather};
use crate::app::App;
use crate::error::{Error, Result};

/// Of one person.
const MOST: usize = 50;

#[derive(Debug, Clone)]
pub struct RuleView {
    pub id: RuleId,
    pub name: String,
    pub channel: ChannelId,
    pub rule: Rule,
    pub paused: bool,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    pub version: u64,
}

#[derive(Debug, Clone)]
pub struct NewRule {
    pub name: String,
    pub channel: ChannelId,
    pub rule: Rule,
    pub paused: bool,
}

/// A rule as people write it.
pub fn read(body: &Value) -> Result<Rule> {
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    for (place, kind) in body["kinds"].as_array().into_iter().flatten().enumerate() {
        if kind.as_str().and_then(Kind::parse).is_none() {
            let message = format!("must be one of {}", kinds.join(", "));
            return Err(Error::field(format!("/kinds/{place}"), "unknown_value", message));
        }
    }
    // One part at a time, so that a mistake has its place.
    for part in ["rank", "quiet", "digest", "escalate"] {
        let mut alone = json!({"kinds": ["approval"]});
        alone[part] = body[part].clone();
        if let Err(error) = serde_json::from_value::<Rule>(alone) {
            let why: String = error.to_string().chars().take(200).collect();
            return Err(Error::field(format!("/{part}"), "invalid_value", why));
        }
    }
    serde_json::from_value(body.clone()).map_err(|error| Error::field("", "invalid_value", error.to_string()))
}

pub(super) fn read_rule(row: &RuleRow) -> Result<Rule> {
    serde_json::from_str(&row.rule).map_err(Error::internal)
}

fn view(row: RuleRow) -> Result<RuleView> {
    let rule = read_rule(&row)?;
    let RuleRow { id, name, channel, paused, created_at, changed_at, version, .. } = row;
    let version = u64::try_from(version).unwrap_or(0);
    Ok(RuleView { id, name, channel, rule, paused, created_at, changed_at, version })
}

/// The caller's, by name.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<RuleView>> {
    let rows = app.store.read().await?.rules(Some(caller.principal)).await?;
    rows.into_iter().map(view).collect()
}

/// The rule can be followed and leads to channels of the caller's.
async fn checked(read: &mut Connection, caller: &Caller, new: &NewRule) -> Result<()> {
    new.rule.check()?;
    let escalate = new.rule.escalate.as_ref().map(|escalate| ("/escalate/channel", escalate.channel));
    for (pointer, id) in [("/channel", new.channel)].into_iter().chain(escalate) {
        let row = read.channel(id).await?.filter(|row| row.owner == caller.principal);
        let Some(row) = row else {
            return Err(Error::field(pointer, "unknown_channel", "is no channel of yours: make one first"));
        };
        if row.kind == ChannelKind::Push && new.rule.digest.is_some() && pointer == "/channel" {
            let message = "browsers are told one thing at a time: take another channel, or no digest";
            return Err(Error::field("/digest", "unexpected", message));
        }
    }
    if new.rule.escalate.as_ref().is_some_and(|escalate| escalate.channel == new.channel) {
        let message = "leads where it was told already: name another channel";
        return Err(Error::field("/escalate/channel", "invalid_value", message));
    }
    Ok(())
}

pub async fn create(app: &App, caller: &Caller, new: NewRule) -> Result<RuleView> {
    checked(&mut app.store.read().await?, caller, &new).await?;
    let now = app.clock.now();
    let row = RuleRow {
        id: app.rng.with(|rng| RuleId::new(now, rng)),
        owner: caller.principal,
        name: address::named(&new.name)?,
        channel: new.channel,
        rule: serde_json::to_string(&new.rule).map_err(Error::internal)?,
        paused: new.paused,
        created_at: now,
        changed_at: now,
        version: 1,
    };
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("rules.create", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if unit.tx.rules(Some(row.owner)).await?.len() >= MOST {
                    let detail = format!("you have {MOST} rules; take one away first");
                    return Err(Error::conflict("too_many_rules", detail));
                }
                unit.tx.insert_rule(row).await.map_err(taken)?;
                gather::begin(&mut unit).await?;
                note(&mut unit, actor, "notification.rule_added", row);
                Ok((row.clone(), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    view(row)
}

fn taken(error: StoreError) -> Error {
    match error {
        StoreError::Unique { .. } => Error::conflict("name_taken", "you have a rule of that name"),
        other => other.into(),
    }
}

fn note(unit: &mut Unit<'_>, actor: &Actor, action: &'static str, row: &RuleRow) {
    let body = json!({"name": row.name, "channel": row.channel, "paused": row.paused});
    unit.audit(actor.0.clone(), action, ("notification_rule", row.id.to_string()), None, body);
}

/// Changes one as a whole.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: RuleId,
    new: NewRule,
    if_match: Option<u64>,
) -> Result<RuleView> {
    checked(&mut app.store.read().await?, caller, &new).await?;
    let name = address::named(&new.name)?;
    let (principal, unit_app) = (caller.principal, app.clone());
    let input = (name, new, Actor::from(caller));
    let (row, after) = app
        .store
        .write_with("rules.change", input, move |tx, (name, new, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let found = unit.tx.rule(id).await?.filter(|row| row.owner == principal);
                let mut row = found.ok_or_else(|| Error::not_found("rule", id))?;
                let current = u64::try_from(row.version).unwrap_or(0);
                if if_match.is_some_and(|wanted| wanted != current) {
                    return Err(Error::PreconditionFailed { current: current.to_string() });
                }
                let rule = serde_json::to_string(&new.rule).map_err(Error::internal)?;
                if new.paused || row.channel != new.channel || row.rule != rule {
                    unit.tx.delete_waiting_of(id).await?;
                }
                row.name.clone_from(name);
                row.channel = new.channel;
                row.rule = rule;
                row.paused = new.paused;
                row.changed_at = unit.now;
                row.version += 1;
                unit.tx.update_rule(&row).await.map_err(taken)?;
                note(&mut unit, actor, "notification.rule_changed", &row);
                Ok((row, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    view(row)
}

pub async fn remove(app: &App, caller: &Caller, id: RuleId) -> Result<()> {
    let (principal, unit_app) = (caller.principal, app.clone());
    let after = app
        .store
        .write_with("rules.remove", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let found = unit.tx.rule(id).await?.filter(|row| row.owner == principal);
                let row = found.ok_or_else(|| Error::not_found("rule", id))?;
                unit.tx.delete_rule(id).await?;
                note(&mut unit, actor, "notification.rule_removed", &row);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

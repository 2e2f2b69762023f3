//! Where people are told: each their own. What opens the door there is sealed, used, and never shown again.

use nexusmon_shared::id::ChannelId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{ChannelKind, ChannelRow, StoreError};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::unit::{Actor, Unit};
use super::super::{Caller, push};
use super::{NewChannel, address, words};
use crate::app::App;
use crate::error::{Error, Result};
use crate::outward::{Address, Hidden, Sent};

/// Of one person.
const MOST: usize = 20;

#[derive(Debug, Clone)]
pub struct ChannelView {
    pub id: ChannelId,
    pub name: String,
    pub kind: &'static str,
    /// What may be read of where it leads.
    pub shown: Value,
    pub created_at: Timestamp,
    pub last_sent_at: Option<Timestamp>,
    /// In a row.
    pub failures: u64,
    pub last_error: Option<String>,
}

/// With a key that was made just now: the only time it is shown.
#[derive(Debug)]
pub struct MadeChannel {
    pub channel: ChannelView,
    pub key: Option<Hidden>,
}

impl From<ChannelRow> for ChannelView {
    fn from(row: ChannelRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            kind: row.kind.as_str(),
            shown: serde_json::from_str(&row.shown).unwrap_or_default(),
            created_at: row.created_at,
            last_sent_at: row.last_sent_at,
            failures: u64::try_from(row.failures).unwrap_or(0),
            last_error: row.last_error,
        }
    }
}

/// The caller's, by name.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<ChannelView>> {
    let rows = app.store.read().await?.channels(Some(caller.principal)).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub async fn create(app: &App, caller: &Caller, new: NewChannel) -> Result<MadeChannel> {
    let read = address::read(app, new)?;
    if read.kind == ChannelKind::Push {
        push::sender(app)?;
    }
    let now = app.clock.now();
    let id = app.rng.with(|rng| ChannelId::new(now, rng));
    let address = Zeroizing::new(serde_json::to_vec(&read.address).map_err(Error::internal)?);
    let row = ChannelRow {
        id,
        owner: caller.principal,
        name: read.name,
        kind: read.kind,
        shown: read.shown.to_string(),
        sealed: app.rng.with(|rng| app.keyring.seal_channel(id, &address, rng)),
        created_at: now,
        last_sent_at: None,
        failures: 0,
        last_error: None,
    };
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("channels.create", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if unit.tx.channels(Some(row.owner)).await?.len() >= MOST {
                    let detail = format!("you have {MOST} channels; take one away first");
                    return Err(Error::conflict("too_many_channels", detail));
                }
                unit.tx.insert_channel(row).await.map_err(taken)?;
                let body = json!({"name": row.name, "kind": row.kind.as_str()});
                let subject = ("notification_channel", row.id.to_string());
                unit.audit(actor.0.clone(), "notification.channel_added", subject, None, body);
                Ok((row.clone(), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(MadeChannel { channel: row.into(), key: read.made })
}

fn taken(error: StoreError) -> Error {
    match error {
        StoreError::Unique { .. } => Error::conflict("name_taken", "you have a channel of that name"),
        other => other.into(),
    }
}

/// The caller's own.
pub(super) async fn own(app: &App, caller: &Caller, id: ChannelId) -> Result<ChannelRow> {
    let row = app.store.read().await?.channel(id).await?;
    row.filter(|row| row.owner == caller.principal).ok_or_else(|| Error::not_found("channel", id))
}

pub async fn remove(app: &App, caller: &Caller, id: ChannelId) -> Result<()> {
    let row = own(app, caller, id).await?;
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("channels.remove", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let rules = unit.tx.rules(Some(row.owner)).await?;
                let leads_here = |rule: &nexusmon_store::RuleRow| {
                    let escalates = super::rules::read_rule(rule).ok().and_then(|rule| rule.escalate);
                    rule.channel == row.id || escalates.is_some_and(|escalate| escalate.channel == row.id)
                };
                if let Some(rule) = rules.iter().find(|rule| leads_here(rule)) {
                    let detail =
                        format!("the rule `{}` tells you there; change or remove that first", rule.name);
                    return Err(Error::conflict("channel_in_use", detail).with("rule", rule.id.to_string()));
                }
                if !unit.tx.delete_channel(row.id).await? {
                    return Err(Error::not_found("channel", row.id));
                }
                let subject = ("notification_channel", row.id.to_string());
                let body = json!({"name": row.name});
                unit.audit(actor.0.clone(), "notification.channel_removed", subject, None, body);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// Sends something to try it, at once, and says what came of it.
pub async fn test(app: &App, caller: &Caller, id: ChannelId) -> Result<()> {
    let row = own(app, caller, id).await?;
    if row.kind == ChannelKind::Push {
        let mine = push::list(app, caller).await?;
        if mine.is_empty() {
            return Err(Error::conflict("no_browser", "none of your browsers takes messages yet"));
        }
        for browser in mine {
            push::test(app, caller, browser.id).await?;
        }
        return Ok(());
    }
    let now = app.clock.now();
    let sent = app.outward.send(&open(app, &row)?, &words::test(app, id), now).await;
    let (taken, error) = match sent {
        Sent::Taken => (true, None),
        Sent::TakenBut(why) => (true, Some(why)),
        Sent::Later(_, why) | Sent::Refused(why) => (false, Some(why)),
    };
    let (told, why) = (id, error.clone());
    app.store
        .write_with("channels.told", why, move |tx, why| {
            Box::pin(async move { Ok::<_, Error>(tx.channel_told(told, taken, why.as_deref(), now).await?) })
        })
        .await?;
    match error {
        None => Ok(()),
        Some(why) if taken => {
            Err(Error::conflict("channel_failed", format!("it did not arrive everywhere: {why}")))
        }
        Some(why) => Err(Error::conflict("channel_failed", format!("it did not arrive: {why}"))),
    }
}

/// Where it leads.
pub(super) fn open(app: &App, row: &ChannelRow) -> Result<Address> {
    let bytes = app.keyring.open_channel(row.id, &row.sealed).map_err(Error::internal)?;
    let address: Option<Address> = serde_json::from_slice(&bytes).map_err(Error::internal)?;
    address.ok_or_else(|| Error::internal("a channel without an address"))
}

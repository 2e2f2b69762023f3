//! Rates of starts, by capability, agent, or concurrency key.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_core::rates::{LONGEST, MOST, Rate};
use nexusmon_core::schedule::LimitUse;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, Json, RateRow, Topic};
use serde_json::json;

use crate::app::App;
use crate::error::{Error, Result};
use crate::service::unit::{Actor, Unit};
use crate::service::{Caller, agents, dispatch};

/// A rate, and how far it is spent.
#[derive(Debug, Clone)]
pub struct RateView {
    /// `capability:NAME`, `agent:ID`, or `key:NAME`.
    pub key: String,
    pub most: u32,
    pub per: Duration,
    /// Starts that count just now.
    pub used: u32,
    pub by: PrincipalId,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub struct NewRate {
    pub most: u32,
    pub per: Duration,
}

pub(in crate::service) fn of_row(row: &RateRow) -> Rate {
    Rate {
        most: u32::try_from(row.most).unwrap_or(u32::MAX),
        per: Duration::from_micros(u64::try_from(row.per_micros).unwrap_or(0)),
    }
}

/// How far every rate is spent, by key.
pub(in crate::service) async fn used(app: &App, read: &mut Connection) -> Result<BTreeMap<String, LimitUse>> {
    if app.flags.get().rates.is_empty() {
        return Ok(BTreeMap::new());
    }
    let now = app.clock.now();
    let rows = read.rates().await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let rate = of_row(&row);
            let counted = LimitUse { live: rate.used(&row.spent, now), least: Some(rate.most) };
            (row.key, counted)
        })
        .collect())
}

pub async fn list(app: &App) -> Result<Vec<RateView>> {
    let now = app.clock.now();
    let rows = app.store.read().await?.rates().await?;
    let view = |row: RateRow| {
        let rate = of_row(&row);
        RateView {
            used: rate.used(&row.spent, now),
            key: row.key,
            most: rate.most,
            per: rate.per,
            by: row.by_principal,
            at: row.at,
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// The key as it is kept: an agent may be named.
async fn key(app: &App, text: &str) -> Result<String> {
    let wrong = |message: &str| Err(Error::field("?key", "invalid_value", message));
    match text.split_once(':') {
        Some(("capability", name)) => match name.parse::<Capability>() {
            Ok(capability) => Ok(format!("capability:{capability}")),
            Err(error) => wrong(&error.to_string()),
        },
        Some(("agent", name)) => Ok(format!("agent:{}", agents::find(app, name).await?)),
        Some(("key", name)) if !name.is_empty() && name.len() <= 128 => Ok(text.to_owned()),
        _ => wrong("expected `capability:NAME`, `agent:NAME`, or `key:NAME` of a task's `limits`"),
    }
}

pub async fn set(app: &App, caller: &Caller, text: &str, rate: NewRate) -> Result<Vec<RateView>> {
    let key = key(app, text).await?;
    let NewRate { most, per } = rate;
    if !(1..=MOST).contains(&most) {
        return Err(Error::field("/most", "out_of_range", format!("must be from 1 to {MOST}")));
    }
    if per < Duration::from_secs(1) || per > LONGEST {
        return Err(Error::field("/per", "out_of_range", "must be from 1s to 24h"));
    }
    let (unit_app, by) = (app.clone(), caller.principal);
    let after = app
        .store
        .write_with("rates.set", (key, Actor::from(caller)), move |tx, (key, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                let row = RateRow {
                    key: key.clone(),
                    most: i64::from(most),
                    per_micros: i64::try_from(per.as_micros()).unwrap_or(i64::MAX),
                    spent: Json(Vec::new()),
                    by_principal: by,
                    at: unit.now,
                };
                unit.tx.put_rate(&row).await?;
                let body = json!({"most": most, "per": per.as_secs_f64()});
                unit.audit(actor.0.clone(), "rate.set", ("rate", key.clone()), None, body);
                unit.tx.wake(Topic::Governance);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    super::load(app).await?;
    list(app).await
}

pub async fn remove(app: &App, caller: &Caller, text: &str) -> Result<()> {
    let key = key(app, text).await?;
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("rates.remove", (key, Actor::from(caller)), move |tx, (key, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                if !unit.tx.delete_rate(key).await? {
                    return Err(Error::not_found("rate", key.clone()));
                }
                unit.audit(actor.0.clone(), "rate.removed", ("rate", key.clone()), None, json!({}));
                unit.tx.wake(Topic::Governance);
                unit.tx.wake(Topic::Ready);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    super::load(app).await?;
    dispatch::refresh(app).await?;
    dispatch::wake(app);
    Ok(())
}

//! What operators switch off or slow down: capability flags for the fleet, a label or one agent; whole plugins; rates
//! of starts. Grants read the rows in their own unit, after whoever changed them; agents are told, too.

mod rates;

use std::collections::BTreeSet;

use nexusmon_core::flags::{Flag, Scope, Target, disabled};
use nexusmon_core::schedule::AgentView;
use nexusmon_shared::id::{AgentId, PrincipalId};
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{FlagRow, Topic};
use serde_json::json;

use super::unit::{Actor, Unit, attempt_of};
use super::{Caller, agents, dispatch};
use crate::app::App;
use crate::app::flags::Rules;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};

pub use rates::{NewRate, RateView, list as rate_list, remove as remove_rate, set as set_rate};
pub(super) use rates::{of_row, used as rates_used};

const MAX_REASON_BYTES: usize = 1000;

/// One thing that is switched off in one place.
#[derive(Debug, Clone)]
pub struct FlagView {
    /// `shell.run`, or `shell.*`.
    pub capability: String,
    /// `fleet`, `label:key=value`, or an agent's id.
    pub scope: String,
    pub reason: Option<String>,
    pub by: PrincipalId,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct FlagChange {
    /// `fleet`, `label:key=value`, an agent's id or name.
    pub scope: String,
    pub disabled: bool,
    pub reason: Option<String>,
    /// What runs of it there is ended, too.
    pub stop: bool,
}

/// Reads what holds; at start, and when this node or another changed it.
pub(super) async fn load(app: &App) -> Result<()> {
    let mut read = app.store.read().await?;
    let rows = read.flags().await?;
    let rates = read.rates().await?;
    drop(read);
    let rates = rates.iter().map(|row| (row.key.clone(), of_row(row))).collect();
    let rules = Rules { flags: rows.iter().filter_map(flag_of).collect(), rates };
    if app.flags.learn(rules) {
        // Whoever refused because of a flag may be asked again; whoever refuses for another reason says so again.
        for live in app.sessions.all() {
            app.barred.clear(live.agent);
            tell(app, &live);
        }
        dispatch::wake(app);
    }
    Ok(())
}

/// A row that says nothing intelligible is one a newer version wrote.
fn flag_of(row: &FlagRow) -> Option<Flag> {
    let flag = Flag { target: row.capability.parse().ok()?, scope: row.scope.parse().ok()? };
    row.disabled.then_some(flag)
}

/// Flags of rows, for the unit that grants.
pub(super) fn flags_of(rows: &[FlagRow]) -> Vec<Flag> {
    rows.iter().filter_map(flag_of).collect()
}

/// Fills in what flags switch off at an agent.
pub(super) fn mark(flags: &[Flag], view: &mut AgentView) {
    if !flags.is_empty() {
        view.disabled = disabled(flags, view.id, &view.offer.labels, view.offer.capabilities.keys());
    }
}

/// Tells an agent what is switched off there, if it does not know. Its Welcome made it forget what it knew.
pub(super) fn tell(app: &App, live: &AgentLive) {
    let profile = live.profile();
    let offer = &profile.offer;
    let now = disabled(&app.flags.get().flags, live.agent, &offer.labels, offer.capabilities.keys());
    if live.flagged(&now) {
        live.offer(CoordinatorMessage::Flags { disabled_capabilities: now.into_iter().collect() });
    }
}

pub async fn list(app: &App) -> Result<Vec<FlagView>> {
    let rows = app.store.read().await?.flags().await?;
    let view = |row: FlagRow| {
        let FlagRow { capability, scope, disabled: _, reason, by_principal, at } = row;
        FlagView { capability, scope, reason, by: by_principal, at }
    };
    Ok(rows.into_iter().filter(|row| row.disabled).map(view).collect())
}

/// Whether a flag, by its text, speaks of a capability.
pub fn speaks_of(flag: &FlagView, capability: &nexusmon_shared::capability::Capability) -> bool {
    flag.capability.parse::<Target>().is_ok_and(|target| target.covers(capability))
}

/// Switches a capability (or `plugin.*`) off or on again; gives the flags that hold then.
pub async fn set(app: &App, caller: &Caller, target: &str, change: FlagChange) -> Result<Vec<FlagView>> {
    let parsed = target.parse::<Target>();
    let target = parsed.map_err(|error| Error::field("?capability", "invalid_value", error.to_string()))?;
    let scope = scope(app, &change.scope).await?;
    if change.reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
        return Err(Error::field("/reason", "too_long", format!("must be at most {MAX_REASON_BYTES} bytes")));
    }
    let flag = Flag { target, scope };
    let input = (Actor::from(caller), flag, change);
    let (unit_app, by) = (app.clone(), caller.principal);
    let after = app
        .store
        .write_with("flags.set", input, move |tx, (actor, flag, change)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // Grants under way come before this; later ones see it.
                unit.tx.lock_organism().await?;
                let row = FlagRow {
                    capability: flag.target.to_string(),
                    scope: flag.scope.to_string(),
                    disabled: change.disabled,
                    reason: change.reason.clone(),
                    by_principal: by,
                    at: unit.now,
                };
                unit.tx.put_flag(&row).await?;
                let ended = enforce(&mut unit, flag, change).await?;
                let action = if change.disabled { "capability.disabled" } else { "capability.enabled" };
                let body = json!({"scope": row.scope, "reason": row.reason, "recalled": ended.0,
                    "cancelled": ended.1});
                unit.audit(actor.0.clone(), action, ("capability", row.capability), None, body);
                unit.tx.wake(Topic::Governance);
                unit.tx.wake(Topic::Ready);
                unit.finish().await
            })
        })
        .await?;
    // Agents hear of the flag before they are asked to give back what it forbids.
    load(app).await?;
    after.run(app);
    dispatch::refresh(app).await?;
    dispatch::wake(app);
    list(app).await
}

/// Within the unit of a change: bars that may come from flags are lifted; what is out and has not started is asked
/// back; what runs is ended if that is wished. Gives how many of each.
async fn enforce(unit: &mut Unit<'_>, flag: &Flag, change: &FlagChange) -> Result<(u64, u64)> {
    let members: Vec<_> = unit.tx.live_agents().await?;
    let members: Vec<_> =
        members.into_iter().filter(|agent| flag.scope.covers(agent.id, &agent.labels.0)).collect();
    let barred: BTreeSet<AgentId> = unit.tx.bars().await?.iter().map(|bar| bar.agent).collect();
    for agent in members.iter().filter(|agent| barred.contains(&agent.id)) {
        unit.tx.clear_bars(agent.id).await?;
    }
    if !change.disabled {
        return Ok((0, 0));
    }
    let busy: BTreeSet<AgentId> = unit.tx.held_leases().await?.iter().map(|held| held.agent).collect();
    let (mut recalled, mut cancelled) = (0, 0);
    for agent in members.iter().filter(|agent| busy.contains(&agent.id)) {
        for task in unit.tx.leases_of(agent.id).await? {
            if !flag.target.covers(&task.uses) {
                continue;
            }
            let attempt = attempt_of(&task);
            if change.stop {
                unit.after.cancel.push((agent.id, attempt));
                cancelled += 1;
            } else if unit.app.running.get(&attempt).is_none_or(|news| news.started_at.is_none()) {
                unit.after.recall.push((agent.id, attempt));
                recalled += 1;
            }
        }
    }
    Ok((recalled, cancelled))
}

/// `fleet`, `label:key=value`, an agent's id or name.
async fn scope(app: &App, text: &str) -> Result<Scope> {
    if let Ok(scope) = text.parse::<Scope>() {
        return Ok(scope);
    }
    match agents::find(app, text).await {
        Ok(agent) => Ok(Scope::Agent(agent)),
        Err(Error::NotFound { .. }) => {
            let detail = "expected `fleet`, `label:key=value`, or an agent's id or name";
            Err(Error::field("/scope", "invalid_value", detail))
        }
        Err(error) => Err(error),
    }
}

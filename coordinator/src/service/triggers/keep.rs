//! What keeping a trigger is, of whatever kind: made, changed, paused, removed, each written down.

use nexusmon_core::planning::PlaybookRef;
use nexusmon_core::trigger::Work;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TriggerId;
use nexusmon_store::{StoreError, TriggerKind, TriggerRow, TriggerState};
use serde_json::{Map, Value, json};

use super::super::playbooks;
use super::super::unit::{Actor, Unit};
use super::{Caller, known};
use crate::app::App;
use crate::error::{Error, Result};

/// Of each kind.
const MOST: i64 = 1_000;

/// A kind, and what the audit log calls its beginning and its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acts {
    pub kind: TriggerKind,
    pub created: &'static str,
    pub removed: &'static str,
}

pub(super) async fn create(app: &App, caller: &Caller, acts: Acts, row: TriggerRow) -> Result<TriggerRow> {
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("triggers.create", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mut row = row.clone();
                if row.kind == TriggerKind::Event {
                    // What was written down before does not concern it.
                    row.since = unit.tx.newest_seq().await?;
                    row.changed_at = unit.now;
                }
                let row = &row;
                if unit.tx.trigger_count(acts.kind).await? >= MOST {
                    let detail = format!("there are {MOST} of them already: remove one first");
                    return Err(Error::conflict("too_many", detail));
                }
                unit.tx.insert_trigger(row).await.map_err(|error| taken(row, error))?;
                noted(&mut unit, actor, row, acts.created);
                Ok((row.clone(), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row)
}

pub(super) async fn edit(
    app: &App,
    caller: &Caller,
    kind: TriggerKind,
    id: TriggerId,
    if_match: Option<u64>,
    action: &'static str,
    change: impl Fn(&mut TriggerRow) -> Result<()> + Send + Sync + 'static,
) -> Result<TriggerRow> {
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("triggers.change", (Actor::from(caller), change), move |tx, (actor, change)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mut row = known(unit.tx.lock_trigger(id).await?, kind, id)?;
                if if_match.is_some_and(|wanted| i64::try_from(wanted) != Ok(row.version)) {
                    return Err(Error::PreconditionFailed { current: row.version.to_string() });
                }
                change(&mut row)?;
                if kind == TriggerKind::Event {
                    // Changed or resumed, it listens from here on.
                    row.since = unit.tx.newest_seq().await?;
                }
                row.version += 1;
                row.changed_at = unit.now;
                unit.tx.update_trigger(&row).await.map_err(|error| taken(&row, error))?;
                noted(&mut unit, actor, &row, action);
                Ok((row, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row)
}

/// It is gone, with what it has fired for; the audit log keeps both.
pub(super) async fn remove(app: &App, caller: &Caller, acts: Acts, id: TriggerId) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("triggers.remove", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let row = known(unit.tx.lock_trigger(id).await?, acts.kind, id)?;
                unit.tx.delete_trigger(id).await?;
                noted(&mut unit, actor, &row, acts.removed);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

pub(super) fn paused(row: &mut TriggerRow) -> Result<()> {
    if row.state == TriggerState::Paused {
        return Err(Error::conflict("paused", "it is paused already"));
    }
    row.state = TriggerState::Paused;
    row.next_at = None;
    Ok(())
}

pub(super) fn resumed(row: &mut TriggerRow) -> Result<()> {
    if row.state == TriggerState::Active {
        return Err(Error::conflict("active", "it is not paused"));
    }
    row.state = TriggerState::Active;
    row.reason = None;
    Ok(())
}

fn taken(row: &TriggerRow, error: StoreError) -> Error {
    match error {
        StoreError::Unique { .. } => {
            let (kind, name) = (row.kind.as_str(), &row.name);
            Error::conflict("exists", format!("there is a {kind} `{name}` already: choose another name"))
        }
        other => other.into(),
    }
}

fn noted(unit: &mut Unit<'_>, actor: &Actor, row: &TriggerRow, action: &'static str) {
    let rule: Value = serde_json::from_str(&row.rule).unwrap_or_default();
    let body = json!({"name": row.name, "state": row.state, "rule": rule,
        "work": Digest::of(row.work.as_bytes())});
    unit.audit(actor.0.clone(), action, (row.kind.as_str(), row.id.to_string()), None, body);
}

/// The playbook is there, takes inputs of these names, and gets every one that it requires.
pub(super) async fn check_inputs(app: &App, work: &Work) -> Result<()> {
    let Some(playbook) = work.0.get("playbook").and_then(Value::as_str) else { return Ok(()) };
    let wanted: PlaybookRef =
        playbook.parse().map_err(|message: String| Error::field("/playbook", "wrong_value", message))?;
    let (_, playbook) = playbooks::usable(app, &wanted).await?;
    let inputs = work.0.get("inputs").and_then(Value::as_object);
    let schema = &playbook.input_schema;
    let closed = schema["additionalProperties"] == json!(false);
    for name in inputs.into_iter().flat_map(Map::keys) {
        if closed && schema["properties"].get(name).is_none() {
            let message = format!("the playbook has no input `{name}`");
            return Err(Error::field(format!("/inputs/{name}"), "unknown_input", message));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let given = inputs.is_some_and(|inputs| inputs.contains_key(name));
        if !given && schema["properties"][name].get("default").is_none() {
            let message = format!("the playbook requires `{name}`: give it a value or map one to it");
            return Err(Error::field("/inputs", "missing_input", message));
        }
    }
    Ok(())
}

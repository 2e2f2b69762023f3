//! Secrets: set, listed by name, removed, and handed to the agents that hold a lease of a task that names them. Nobody
//! reads one back.

mod deliver;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexusmon_core::planning::PlaybookRef;
use nexusmon_shared::binding::{Binding, Bindings};
use nexusmon_shared::id::{AgentId, PrincipalId};
use nexusmon_shared::masking;
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::sealed::MAX_SECRET_BYTES;
use nexusmon_store::{Connection, Receiver, SecretName, SecretRow, Topic};
use serde_json::json;
use zeroize::Zeroizing;

use super::unit::{Actor, Unit};
use super::{Caller, agents};
use crate::app::App;
use crate::error::{Error, Result};

pub use deliver::deliver;

/// Secrets of an organism.
const MOST: usize = 10_000;

/// A secret, without its value.
#[derive(Debug, Clone)]
pub struct SecretView {
    pub name: Name,
    /// Grows with every value; never used again.
    pub version: i64,
    pub binding: Binding,
    /// Whether its value is masked in logs; short and simple ones are not.
    pub masked: bool,
    pub changed_by: PrincipalId,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    pub received: Vec<ReceivedView>,
}

/// An agent that was ever handed it.
#[derive(Debug, Clone)]
pub struct ReceivedView {
    pub agent: AgentId,
    pub name: Option<String>,
    /// The newest version it was handed.
    pub version: i64,
    pub times: i64,
    pub last_at: Timestamp,
}

/// A value, with where it belongs; `None` keeps what the version before was bound to.
pub struct NewSecret {
    pub value: Zeroizing<Vec<u8>>,
    pub binding: Option<NewBinding>,
}

#[derive(Debug, Clone, Default)]
pub struct NewBinding {
    /// By name, for the newest version there is, or as `name@version`.
    pub playbooks: BTreeSet<String>,
    /// By id or name.
    pub agents: BTreeSet<String>,
    pub hosts: BTreeSet<String>,
}

/// Reads what there is; at start, and when this node or another changed it.
pub(super) async fn load(app: &App) -> Result<()> {
    let rows = app.store.read().await?.secret_names().await?;
    let mut bindings = Bindings::new();
    for row in rows {
        bindings.insert(row.name, read_binding(&row.binding)?);
    }
    app.secrets.learn(bindings);
    Ok(())
}

pub(super) fn read_binding(text: &str) -> Result<Binding> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// By name.
pub async fn list(app: &App) -> Result<Vec<SecretView>> {
    let mut read = app.store.read().await?;
    let names = read.secret_names().await?;
    let mut received = received(app, &mut read, None).await?;
    names.into_iter().map(|row| view(row, &mut received)).collect()
}

async fn one(app: &App, name: &Name) -> Result<SecretView> {
    let mut read = app.store.read().await?;
    let row = read.secret_names().await?.into_iter().find(|row| row.name == *name);
    let mut received = received(app, &mut read, Some(name)).await?;
    view(row.ok_or_else(|| Error::not_found("secret", name))?, &mut received)
}

async fn received(
    app: &App,
    read: &mut Connection,
    name: Option<&Name>,
) -> Result<BTreeMap<Name, Vec<ReceivedView>>> {
    let fleet = app.fleet.get();
    let mut by_secret = BTreeMap::<Name, Vec<ReceivedView>>::new();
    for Receiver { name, agent, version, times, last_at } in read.receivers(name).await? {
        let known = fleet.names.get(&agent).cloned();
        by_secret.entry(name).or_default().push(ReceivedView { agent, name: known, version, times, last_at });
    }
    Ok(by_secret)
}

fn view(row: SecretName, received: &mut BTreeMap<Name, Vec<ReceivedView>>) -> Result<SecretView> {
    let SecretName { name, version, binding, masked, changed_by, created_at, changed_at } = row;
    let binding = read_binding(&binding)?;
    let received = received.remove(&name).unwrap_or_default();
    Ok(SecretView { name, version, binding, masked, changed_by, created_at, changed_at, received })
}

async fn resolve(app: &App, wanted: NewBinding) -> Result<Binding> {
    let NewBinding { playbooks, agents: wanted, hosts } = wanted;
    let mut found = BTreeSet::new();
    for text in &wanted {
        let agent = agents::find(app, text).await;
        let agent =
            agent.map_err(|error| Error::field("/binding/agents", "unknown_agent", error.to_string()))?;
        found.insert(agent);
    }
    let mut binding = Binding { playbooks, agents: found, hosts };
    binding
        .check()
        .map_err(|(field, message)| Error::field(format!("/binding/{field}"), "invalid_value", message))?;
    binding.playbooks = versions(app, binding.playbooks).await?;
    Ok(binding)
}

/// Each with the version it stands for now: whoever changes a playbook later does not change where a secret belongs.
async fn versions(app: &App, wanted: BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut read = app.store.read().await?;
    let mut found = BTreeSet::new();
    for text in wanted {
        let bad = |code: &'static str, message: String| Error::field("/binding/playbooks", code, message);
        let named: PlaybookRef = text.parse().map_err(|message| bad("invalid_value", message))?;
        let row = read.playbook(&named.name, named.version.map(i64::from)).await?;
        let row = row.ok_or_else(|| bad("unknown_playbook", format!("there is no playbook `{text}`")))?;
        found.insert(format!("{}@{}", row.name, row.version));
    }
    Ok(found)
}

/// Sets a value: the next version. Who was handed an earlier one stands in the answer, since that is whom a rotation is
/// about. A binding comes with a value and never alone: widened by itself it would let an old value out.
pub async fn set(app: &App, caller: &Caller, name: &Name, new: NewSecret) -> Result<SecretView> {
    let NewSecret { value, binding } = new;
    if value.is_empty() {
        return Err(Error::field("/value", "empty", "a secret holds at least one byte"));
    }
    if value.len() > MAX_SECRET_BYTES {
        return Err(Error::TooLarge { what: "the secret", limit: MAX_SECRET_BYTES as u64 });
    }
    let binding = match binding {
        Some(wanted) => Some(resolve(app, wanted).await?),
        None => None,
    };
    let input = Arc::new((Actor::from(caller), name.clone(), value, binding, caller.principal));
    let unit_app = app.clone();
    app.store
        .write("secrets.set", move |tx| {
            let (app, input) = (unit_app.clone(), Arc::clone(&input));
            Box::pin(async move {
                let (actor, name, value, binding, by) = &*input;
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                let known = unit.tx.secret(name).await?;
                if known.is_none() && unit.tx.secret_names().await?.len() >= MOST {
                    return Err(Error::conflict("too_many", format!("there are {MOST} secrets already")));
                }
                let live = known.as_ref().filter(|row| row.sealed.is_some());
                let binding = match (binding, live) {
                    (Some(binding), _) => binding.clone(),
                    (None, Some(row)) => read_binding(&row.binding)?,
                    (None, None) => Binding::default(),
                };
                let version = known.as_ref().map_or(0, |row| row.version) + 1;
                let scope = binding.scope();
                let (key_wrapped, sealed) =
                    app.keyring.seal_secret((name, version, &scope), value, &mut unit.rng);
                let row = SecretRow {
                    name: name.clone(),
                    version,
                    binding: scope.clone(),
                    key_wrapped: Some(key_wrapped),
                    sealed: Some(sealed),
                    masked: masking::is_masked(value),
                    changed_by: *by,
                    created_at: known.as_ref().map_or(unit.now, |row| row.created_at),
                    changed_at: unit.now,
                };
                unit.tx.put_secret(&row).await?;
                let body = json!({"version": version, "binding": binding, "masked": row.masked});
                unit.audit(actor.0.clone(), "secret.set", ("secret", name.to_string()), None, body);
                unit.tx.wake(Topic::Governance);
                unit.finish().await.map(drop)
            })
        })
        .await?;
    load(app).await?;
    one(app, name).await
}

/// Removes the value. Who was handed it stays known, and its versions go on counting.
pub async fn remove(app: &App, caller: &Caller, name: &Name) -> Result<()> {
    let input = (Actor::from(caller), name.clone(), caller.principal);
    let unit_app = app.clone();
    app.store
        .write_with("secrets.remove", input, move |tx, (actor, name, by)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                let known = unit.tx.secret(name).await?.filter(|row| row.sealed.is_some());
                let known = known.ok_or_else(|| Error::not_found("secret", name))?;
                let row = SecretRow {
                    key_wrapped: None,
                    sealed: None,
                    changed_by: *by,
                    changed_at: unit.now,
                    ..known
                };
                unit.tx.put_secret(&row).await?;
                let body = json!({"version": row.version});
                unit.audit(actor.0.clone(), "secret.removed", ("secret", name.to_string()), None, body);
                unit.tx.wake(Topic::Governance);
                unit.finish().await.map(drop)
            })
        })
        .await?;
    load(app).await
}

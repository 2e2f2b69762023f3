//! One authority takes the place of another while work runs: both are in force until every agent has followed, or is
//! left behind by name.
//!
//! The table of keys has the truth; every node follows it, its agent port with it.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::CoordinatorMessage;
use nexusmon_shared::pki::validity;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{AgentRow, AgentState, Topic};
use serde_json::json;

use super::agents::{self, Presence};
use super::unit::{Actor, Unit};
use super::{Caller, auth};
use crate::app::App;
use crate::app::sessions::AgentLive;
use crate::error::{Error, Result};

/// Names that one answer or entry holds.
const MOST_NAMED: usize = 200;

/// What is in force, and who has followed.
#[derive(Debug, Clone)]
pub struct RotationView {
    pub current: AuthorityView,
    /// While it takes over.
    pub next: Option<AuthorityView>,
    pub begun_at: Option<Timestamp>,
    /// Agents that trust the next one and have their certificate of it.
    pub followed: usize,
    /// The others that are not revoked.
    pub behind: Vec<AgentBehind>,
}

#[derive(Debug, Clone)]
pub struct AuthorityView {
    /// SHA-256 of its public key.
    pub pin: Digest,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

#[derive(Debug, Clone)]
pub struct AgentBehind {
    pub id: AgentId,
    pub name: String,
    pub state: AgentState,
    pub presence: Presence,
}

/// What retiring the old one did.
#[derive(Debug, Clone)]
pub struct Retired {
    pub rotation: RotationView,
    /// Names of agents that have to be joined anew.
    pub left: Vec<String>,
    /// Invites that named the old one; they are void.
    pub invites: u64,
}

pub async fn view(app: &App) -> Result<RotationView> {
    let in_force = app.keyring.authorities.get();
    let one = |authority: &nexusmon_shared::pki::Authority| {
        let (not_before, not_after) = validity(authority.certificate()).map_err(Error::internal)?;
        Ok::<_, Error>(AuthorityView { pin: authority.pin(), not_before, not_after })
    };
    let next = in_force.next.as_ref();
    let rows = app.store.read().await?.live_agents().await?;
    let (followed, behind) = match next {
        None => (rows.len(), Vec::new()),
        Some(next) => {
            let pin = next.authority.pin();
            let (followed, behind): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| has_followed(row, &pin));
            (followed.len(), behind)
        }
    };
    let behind = behind.into_iter().map(|row| AgentBehind {
        presence: agents::presence(app, row.id),
        id: row.id,
        name: row.name,
        state: row.state,
    });
    Ok(RotationView {
        current: one(&in_force.current)?,
        next: next.map(|next| one(&next.authority)).transpose()?,
        begun_at: next.map(|next| next.begun_at),
        followed,
        behind: behind.collect(),
    })
}

/// As it said itself in its newest Hello, on a connection that shows the certificate it speaks of.
fn has_followed(row: &AgentRow, next: &Digest) -> bool {
    // Its words cover the old one: they would not be those a person makes again from the new one.
    row.state != AgentState::Pending && agents::authority_of(row).as_ref() == Some(next)
}

/// Puts a new authority in force beside the current one.
pub async fn begin(app: &App, caller: &Caller) -> Result<RotationView> {
    auth::require_fresh(app, caller).await?;
    let now = app.clock.now();
    let made = app.rng.with(|rng| app.keyring.next_authority(now, rng)).map_err(Error::internal)?;
    let unit_app = app.clone();
    let after = app
        .store
        .write_with("authorities.begin", (made, Actor::from(caller)), move |tx, ((pin, row), actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.one_node_at_a_time().await?;
                if unit.tx.put_key_once(row).await? != *row {
                    return Err(Error::conflict(
                        "rotating",
                        "a new authority is in force beside the old one already; \
                         `nexusmon agent rotate-ca status` says who has not followed",
                    ));
                }
                let old = app.keyring.authorities.get().current.pin();
                let body = json!({"old": old, "new": pin});
                unit.audit(actor.0.clone(), "authority.begun", ("authority", pin.to_string()), None, body);
                unit.tx.wake(Topic::Governance);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    refresh(app).await?;
    view(app).await
}

/// The next authority is the only one from now on. Agents that have not followed are refused unless `leave` names them:
/// they can be had back only by joining anew.
pub async fn retire(app: &App, caller: &Caller, leave: Vec<String>) -> Result<Retired> {
    auth::require_fresh(app, caller).await?;
    let unit_app = app.clone();
    let (left, invites, after) = app
        .store
        .write_with("authorities.retire", (leave, Actor::from(caller)), move |tx, (leave, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.one_node_at_a_time().await?;
                let now = unit.now;
                let keys = unit.tx.keys().await?;
                let taken = app.keyring.taken_over(&keys, now, &mut unit.rng).map_err(Error::internal)?;
                let Some((in_force, row, gone)) = taken else {
                    return Err(Error::conflict(
                        "not_rotating",
                        "there is one authority only; `nexusmon agent rotate-ca begin` makes the next",
                    ));
                };
                let pin = in_force.issuing().pin();
                // They name the old one. Before agents are looked at: who joins at this moment is among them, or its invite is
                // void.
                let invites = unit.tx.void_invites().await?;
                let agents = unit.tx.live_agents().await?;
                let behind: Vec<&AgentRow> = agents.iter().filter(|row| !has_followed(row, &pin)).collect();
                check_left(&agents, &behind, leave)?;
                unit.tx.replace_key(&row).await?;
                unit.tx.remove_key(gone).await?;
                let left: Vec<String> = behind.iter().map(|row| row.name.clone()).collect();
                let body = json!({"old": in_force.current.pin(), "new": pin, "invites": invites,
                    "left": left.iter().take(MOST_NAMED).collect::<Vec<_>>(), "left_count": left.len()});
                unit.audit(actor.0.clone(), "authority.retired", ("authority", pin.to_string()), None, body);
                unit.tx.wake(Topic::Governance);
                Ok((left, invites, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    refresh(app).await?;
    Ok(Retired { rotation: view(app).await?, left, invites })
}

fn check_left(agents: &[AgentRow], behind: &[&AgentRow], leave: &[String]) -> Result<()> {
    if let Some(unknown) = leave.iter().find(|name| !agents.iter().any(|row| row.name == **name)) {
        let unknown: String = unknown.chars().take(80).collect();
        return Err(Error::field("/leave", "unknown_agent", format!("no agent is called `{unknown}`")));
    }
    let names: Vec<&str> = behind
        .iter()
        .map(|row| row.name.as_str())
        .filter(|name| !leave.iter().any(|left| left == name))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let shown = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>();
    let detail = format!(
        "{} of {} agents have not followed the new authority: {}. They follow by themselves as soon as they are connected and \
         run a build that can; one that waits for its six words has to be confirmed first. To go on without them, \
         name each: they will have to leave and join anew",
        names.len(),
        agents.len(),
        shown.iter().take(20).copied().collect::<Vec<_>>().join(", "),
    );
    Err(Error::conflict("agents_behind", detail).with("agents", shown))
}

/// Brings this node in line with the table of keys: its port and the agents it speaks with.
pub(crate) async fn refresh(app: &App) -> Result<()> {
    // What was read before somebody else followed is older than what is in force.
    let _turn = app.keyring.authorities.turn().await;
    let keys = app.store.read().await?.keys().await?;
    if !app.keyring.follow(&keys, app.clock.now()).map_err(Error::internal)? {
        return Ok(());
    }
    let in_force = app.keyring.authorities.get();
    tracing::warn!(
        current = %in_force.current.pin(),
        next = in_force.next.as_ref().map(|next| tracing::field::display(next.authority.pin())),
        "the authorities in force have changed"
    );
    for live in app.sessions.all() {
        live.offer(CoordinatorMessage::Authorities(in_force.notice()));
    }
    Ok(())
}

/// What an agent has missed. An older build does not say whom it trusts, and would not understand.
pub(super) fn greet(app: &App, live: &AgentLive, hello: (Option<Digest>, u32)) {
    let (Some(authority), trusted) = hello else { return };
    let in_force = app.keyring.authorities.get();
    if authority != in_force.issuing().pin() || (trusted > 1) != in_force.next.is_some() {
        live.offer(CoordinatorMessage::Authorities(in_force.notice()));
    }
}

//! Agents: invited, listed, told what to do; their sessions opened, renewed and closed.

mod beats;
mod commands;
mod fleet;
mod record;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::{AgentId, InviteId, PrincipalId};
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{CertificateIssued, Facts, Goodbye, Heartbeat, Hello, LocalPolicy, Welcome};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Timestamp;

use serde_json::{Value, json};

use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::app::events::Event;
use crate::app::sessions::{Live, Outgoing};
use crate::error::{Error, Result};
pub(crate) use beats::Renewals;
pub(super) use commands::{key_context, owner_key};
pub(super) use fleet::{authority_of, learn, presence, profile_of, refresh as refresh_fleet};
pub(super) use session::{Changes, check_state, end as end_lease};

/// Whether an agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Online,
    /// No heartbeat for ten seconds.
    Suspect,
    Offline,
}

impl Presence {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
        }
    }
}

#[derive(Debug, Clone)]
pub struct AgentView {
    pub id: AgentId,
    pub name: Name,
    /// `pending`, `active`, `draining`, `paused`, `quarantined`, `revoked`.
    pub state: String,
    pub presence: Presence,
    pub labels: Labels,
    pub max_rank: Rank,
    pub slots: u32,
    /// Live leases.
    pub busy: u32,
    pub load_percent: u32,
    pub build: String,
    pub facts: Facts,
    pub sandbox_levels: BTreeSet<Level>,
    /// Why the machine has not the others.
    pub sandbox_missing: BTreeMap<Level, String>,
    pub local_policy: Option<LocalPolicy>,
    /// The machine's own admin paused it.
    pub paused_locally: bool,
    pub manifests: Vec<Manifest>,
    pub enrolled_at: Timestamp,
    pub last_seen: Option<Timestamp>,
    pub certificate_expires_at: Option<Timestamp>,
    pub enrollment: EnrollmentView,
    pub version: u64,
}

/// What a person compares, and what came of it.
#[derive(Debug, Clone)]
pub struct EnrollmentView {
    /// Of the agent, hexadecimal.
    pub identity_key: String,
    /// SHA-256 of the authority's public key, hexadecimal.
    pub authority: String,
    /// Six words, until they were confirmed.
    pub words: Option<String>,
    pub confirmed_at: Option<Timestamp>,
    pub confirmed_by: Option<PrincipalId>,
}

#[derive(Debug, Clone)]
pub struct CapabilityView {
    pub name: Capability,
    pub description: String,
    pub plugin: String,
    pub plugin_versions: Vec<String>,
    pub rank_floor: Rank,
    pub requires_approval: bool,
    pub params: Option<Value>,
    pub outputs: Option<Value>,
    /// Names of agents that have it now.
    pub agents: Vec<String>,
    /// Where it is switched off.
    pub flags: Vec<super::flags::FlagView>,
}

#[derive(Debug, Clone)]
pub struct NewInvite {
    pub name: Name,
    pub labels: Labels,
    pub max_rank: Rank,
    pub ttl: Duration,
}

/// Shown once.
#[derive(Clone)]
pub struct InviteView {
    pub id: InviteId,
    pub name: Name,
    pub max_rank: Rank,
    pub labels: Labels,
    pub expires_at: Timestamp,
    /// `nxj1.…`; secret.
    pub token: String,
    /// The line for the new machine.
    pub command: String,
}

/// What a person tells an agent to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentCommand {
    Drain,
    Pause,
    Resume,
    Quarantine,
    Revoke,
}

#[derive(Debug, Clone, Default)]
pub struct AgentFilter {
    pub state: Option<String>,
    pub label: Option<String>,
    pub name: Option<String>,
}

pub async fn invite(app: &App, caller: &Caller, invite: NewInvite) -> Result<InviteView> {
    commands::invite(app, caller, invite).await
}

pub async fn list(app: &App, filter: AgentFilter, page: PageRequest) -> Result<Page<AgentView>> {
    fleet::list(app, filter, page).await
}

/// The agent with this id or name.
pub async fn find(app: &App, text: &str) -> Result<AgentId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let row = app.store.read().await?.agent_named(text).await?;
    row.map(|row| row.id).ok_or_else(|| Error::not_found("agent", text.chars().take(80).collect::<String>()))
}

pub async fn get(app: &App, id: AgentId) -> Result<AgentView> {
    let row = app.store.read().await?.agent(id).await?.ok_or_else(|| Error::not_found("agent", id))?;
    fleet::views(app, vec![row]).await?.pop().ok_or_else(|| Error::not_found("agent", id))
}

pub async fn command(app: &App, caller: &Caller, id: AgentId, command: AgentCommand) -> Result<AgentView> {
    commands::command(app, caller, id, command).await?;
    get(app, id).await
}

/// A person has read these words on the machine itself; they have to be those this coordinator knows.
pub async fn confirm(app: &App, caller: &Caller, id: AgentId, words: &str) -> Result<AgentView> {
    commands::confirm(app, caller, id, words).await?;
    get(app, id).await
}

/// Replaces the labels; `if_match` guards against a change in between.
pub async fn set_labels(
    app: &App,
    caller: &Caller,
    id: AgentId,
    labels: Labels,
    if_match: Option<u64>,
) -> Result<AgentView> {
    commands::set_labels(app, caller, id, labels, if_match).await?;
    get(app, id).await
}

/// What the fleet can do now, one entry a capability.
pub async fn capabilities(app: &App) -> Result<Vec<CapabilityView>> {
    let flags = super::flags::list(app).await?;
    let mut capabilities = fleet::capabilities(app);
    for one in &mut capabilities {
        one.flags = flags.iter().filter(|flag| super::flags::speaks_of(flag, &one.name)).cloned().collect();
    }
    Ok(capabilities)
}

/// Whether a certificate with this id may speak at all; every RPC asks. Served from memory once known.
pub async fn admit(app: &App, id: AgentId) -> Result<()> {
    // Quarantine and revocation take an agent out of the fleet in memory before they answer.
    if app.fleet.get().admitted.contains(&id) {
        return Ok(());
    }
    let row = app.store.read().await?.agent(id).await?;
    let row = row.ok_or_else(|| Error::Unauthenticated {
        code: "unknown_agent",
        detail: "this certificate belongs to no enrolled agent".to_owned(),
    })?;
    check_state(&row)
}

/// Opens a session: raises the session number, reconciles held attempts, registers the queue. `Outgoing` is where the
/// listener drains what is to be sent; the first message after the returned `Welcome` may already be waiting in it.
/// Dropping [`Live`] (or [`goodbye`]) ends the registration; leases live on until they expire.
pub async fn hello(app: &App, agent: AgentId, hello: Hello) -> Result<(Live, Welcome, Outgoing)> {
    session::open(app, agent, hello).await
}

/// Renews the session's leases; committed with those of other agents, at most once a second. The `Renewed` message is
/// queued to the agent once durable.
pub fn heartbeat(app: &App, live: &Live, heartbeat: Heartbeat) {
    let was = live.credit();
    live.beat(heartbeat.number, heartbeat.load_percent, app.clock.boot());
    live.set_credit(heartbeat.credit);
    app.renewals.add(live.agent(), live.session(), heartbeat.number, app.clock.now());
    if heartbeat.credit > was {
        super::dispatch::wake(app);
    }
}

/// Credit told with events.
pub fn credit(app: &App, live: &Live, credit: u32) {
    let was = live.credit();
    live.touch(app.clock.boot());
    live.set_credit(credit);
    if credit > was {
        super::dispatch::wake(app);
    }
}

pub async fn capabilities_changed(app: &App, live: &Live, manifests: Vec<Manifest>) -> Result<()> {
    commands::capabilities_changed(app, live, manifests).await
}

pub async fn drain_requested(app: &App, live: &Live, reason: String) -> Result<()> {
    commands::drain_requested(app, live, reason).await
}

/// Renewal over the live session.
pub async fn certificate(
    app: &App,
    live: &Live,
    csr: &[u8],
    join_counter: Option<u64>,
) -> Result<CertificateIssued> {
    super::enrollment::renewed(app, live.agent(), csr, join_counter).await
}

/// The stream ended. `farewell` is what was sent to the agent, if we ended it.
pub fn goodbye(app: &App, live: Live, farewell: Option<&Goodbye>) {
    let (agent, session) = (live.agent(), live.session());
    let code = farewell.map(|goodbye| goodbye.code.as_str().to_owned());
    drop(live);
    tell(app, "agent.offline", agent, json!({"session": session, "code": code}));
    let closing = app.clone();
    app.lifecycle.spawn_quiet("agents.goodbye", async move {
        let now = closing.clock.now();
        closing
            .store
            .write_with("agents.goodbye", (agent, session, now), |tx, (agent, session, now)| {
                Box::pin(async move { Ok::<_, Error>(tx.close_session(*agent, *session, *now).await?) })
            })
            .await
            .map(drop)
    });
}

/// An event that is not kept.
pub(super) fn tell(app: &App, kind: &str, agent: AgentId, body: Value) {
    let event = Event {
        seq: None,
        kind: kind.to_owned(),
        actor: agent.to_string(),
        subject_kind: "agent".to_owned(),
        subject: agent.to_string(),
        mission: None,
        at: app.clock.now(),
        body,
        erased: Vec::new(),
    };
    super::news::publish(app, event);
}

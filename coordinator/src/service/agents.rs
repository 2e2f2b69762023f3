//! Agents: invited, listed, told what to do; their sessions opened, renewed and closed.

use std::collections::BTreeSet;
use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::{AgentId, InviteId};
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{CertificateIssued, Facts, Goodbye, Heartbeat, Hello, LocalPolicy, Welcome};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Timestamp;

use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::app::sessions::{Live, Outgoing};
use crate::error::Result;

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
    /// `active`, `draining`, `paused`, `quarantined`, `revoked`, `locked`.
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
    pub local_policy: Option<LocalPolicy>,
    /// The machine's own admin paused it.
    pub paused_locally: bool,
    pub manifests: Vec<Manifest>,
    pub enrolled_at: Timestamp,
    pub last_seen: Option<Timestamp>,
    pub certificate_expires_at: Option<Timestamp>,
    pub version: u64,
}

#[derive(Debug, Clone)]
pub struct CapabilityView {
    pub name: Capability,
    pub description: String,
    pub plugin: String,
    pub plugin_versions: Vec<String>,
    pub rank_floor: Rank,
    pub requires_approval: bool,
    pub params: Option<serde_json::Value>,
    pub outputs: Option<serde_json::Value>,
    /// Names of agents that have it now.
    pub agents: Vec<String>,
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
    let _ = (app, caller, invite);
    todo!()
}

pub async fn list(app: &App, filter: AgentFilter, page: PageRequest) -> Result<Page<AgentView>> {
    let _ = (app, filter, page);
    todo!()
}

/// The agent with this id or name.
pub async fn find(app: &App, text: &str) -> Result<AgentId> {
    let _ = (app, text);
    todo!()
}

pub async fn get(app: &App, id: AgentId) -> Result<AgentView> {
    let _ = (app, id);
    todo!()
}

pub async fn command(app: &App, caller: &Caller, id: AgentId, command: AgentCommand) -> Result<AgentView> {
    let _ = (app, caller, id, command);
    todo!()
}

/// Replaces the labels; `version` guards against a change in between.
pub async fn set_labels(
    app: &App,
    caller: &Caller,
    id: AgentId,
    labels: Labels,
    if_match: Option<u64>,
) -> Result<AgentView> {
    let _ = (app, caller, id, labels, if_match);
    todo!()
}

/// What the fleet can do now, one entry a capability.
pub async fn capabilities(app: &App) -> Result<Vec<CapabilityView>> {
    let _ = app;
    todo!()
}

/// Whether a certificate with this id may speak at all; every RPC asks. Served from memory once known.
pub async fn admit(app: &App, id: AgentId) -> Result<()> {
    let _ = (app, id);
    todo!()
}

/// Opens a session: raises the session number, reconciles held attempts, registers the queue. `outgoing` is where the
/// listener drains what is to be sent; the first message after the returned `Welcome` may already be waiting in it.
/// Dropping [`Live`] (or [`goodbye`]) ends the registration; leases live on until they expire.
pub async fn hello(app: &App, agent: AgentId, hello: Hello) -> Result<(Live, Welcome, Outgoing)> {
    let _ = (app, agent, hello);
    todo!()
}

/// Renews the session's leases; committed with those of other agents, at most once a second. The `Renewed` message is
/// queued to the agent once durable.
pub fn heartbeat(app: &App, live: &Live, heartbeat: Heartbeat) {
    let _ = (app, live, heartbeat);
    todo!()
}

/// Credit told with events.
pub fn credit(app: &App, live: &Live, credit: u32) {
    let _ = (app, live, credit);
    todo!()
}

pub async fn capabilities_changed(app: &App, live: &Live, manifests: Vec<Manifest>) -> Result<()> {
    let _ = (app, live, manifests);
    todo!()
}

pub async fn drain_requested(app: &App, live: &Live, reason: String) -> Result<()> {
    let _ = (app, live, reason);
    todo!()
}

/// Renewal over the live session.
pub async fn certificate(app: &App, live: &Live, csr: &[u8]) -> Result<CertificateIssued> {
    let _ = (app, live, csr);
    todo!()
}

/// The stream ended. `farewell` is what was sent to the agent, if we ended it.
pub fn goodbye(app: &App, live: Live, farewell: Option<&Goodbye>) {
    let _ = (app, live, farewell);
    todo!()
}

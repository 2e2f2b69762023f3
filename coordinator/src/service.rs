//! The use cases: everything that REST, gRPC and background work can do, a file each. The only way in.
//!
//! Knows core, store and blobs; never a listener's types, never SQL.

use nexusmon_shared::id::{PrincipalId, SessionId};
use nexusmon_shared::rank::Rank;

use crate::app::App;
use crate::error::{Error, Result};

pub mod agents;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod authorities;
pub mod beliefs;
pub mod chains;
mod classes;
pub mod cognition;
pub mod companion;
mod consent;
pub mod dispatch;
pub mod enrollment;
pub mod events;
pub mod evolution;
pub mod filters;
mod finish;
pub mod flags;
pub mod halt;
pub mod health;
pub mod house;
pub mod idempotency;
pub mod learned;
pub mod leases;
pub mod logs;
pub mod memory;
pub mod missions;
pub mod news;
pub mod nodes;
pub mod notifications;
pub mod planning;
pub mod playbooks;
pub mod policies;
pub mod principals;
pub mod provenance;
pub mod push;
mod refusals;
mod restored;
pub mod retention;
pub mod reviews;
pub mod roster;
pub mod secrets;
pub(crate) mod settled;
pub mod spawned;
pub mod standing;
pub mod start;
pub mod sub_missions;
pub mod tasks;
mod transition;
pub mod triggers;
mod unit;
mod unlock;
pub mod vault;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Api,
    Cli,
    Cockpit,
    System,
    /// A schedule, in the name of whoever set it up.
    Schedule,
    /// A call from outside.
    Webhook,
    /// Something that happened here, which somebody set a trigger on.
    Event,
}

impl Origin {
    /// Where no person decided when, or that, a mission of this origin starts.
    const UNASKED: [Self; 3] = [Self::System, Self::Webhook, Self::Event];

    const ALL: [Self; 6] = [Self::Api, Self::Cli, Self::Cockpit, Self::System, Self::Schedule, Self::Webhook];

    /// Of a mission's row; what is not known here was nobody's wish.
    pub(crate) fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word).unwrap_or(Self::System)
    }

    /// Whether a mission is the system's doing: nobody asked for it at that time.
    pub(crate) fn is_unasked(self) -> bool {
        Self::UNASKED.contains(&self)
    }

    /// As [`Self::is_unasked`], of a mission's row.
    pub(crate) fn names_unasked(word: &str) -> bool {
        Self::UNASKED.iter().any(|origin| origin.as_str() == word)
    }

    /// Nobody asked for this very mission, though somebody set up what did.
    pub const fn is_trigger(self) -> bool {
        matches!(self, Self::Schedule | Self::Webhook | Self::Event)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Cockpit => "cockpit",
            Self::System => "system",
            Self::Schedule => "schedule",
            Self::Webhook => "webhook",
            Self::Event => "event",
        }
    }
}

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Owner,
    Operator,
    Approver,
    Viewer,
    Service,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Viewer => "viewer",
            Self::Service => "service",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Owner, Self::Operator, Self::Approver, Self::Viewer, Self::Service]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// Who asks; stamped by the server, never by the request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: PrincipalId,
    pub name: String,
    pub role: Role,
    pub session: Option<SessionId>,
    /// Work above this rank is held; `None` for people.
    pub rank_ceiling: Option<Rank>,
    pub origin: Origin,
}

impl Caller {
    /// The coordinator itself, for what it does unasked.
    pub fn system(app: &App) -> Self {
        Self {
            principal: app.system,
            name: "nexusmon".to_owned(),
            role: Role::Owner,
            session: None,
            rank_ceiling: None,
            origin: Origin::System,
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Opaque; `None` on the last page.
    pub next_cursor: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// At most 200; `None` gives 50.
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

impl PageRequest {
    /// As the store takes it; the cursor is the store's own.
    pub(crate) fn store(&self) -> Result<nexusmon_store::PageRequest> {
        if self.cursor.as_ref().is_some_and(|cursor| cursor.len() > 200) {
            return Err(Error::field("?cursor", "invalid", "is not a cursor of this list"));
        }
        Ok(nexusmon_store::PageRequest { limit: self.limit()?, cursor: self.cursor.clone() })
    }

    /// The limit, checked.
    pub fn limit(&self) -> Result<u32> {
        match self.limit {
            None => Ok(50),
            Some(limit @ 1..=200) => Ok(limit),
            Some(_) => Err(Error::field("?limit", "out_of_range", "must be from 1 to 200")),
        }
    }
}

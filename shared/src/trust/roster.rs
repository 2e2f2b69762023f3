//! The roster: who the persons are and with which keys, how many of them A and S work needs, and the agents' identity
//! keys. Signed by the owner, each naming its predecessor; agents keep it, so that nobody else can change who decides.
//!
//! Everything here is checked by the agent itself: it believes a roster, never the coordinator.

mod eligible;
mod signed;
mod valid;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use signed::{InForce, RosterError, RosterSignature, SignedRoster};
pub use valid::InvalidRoster;

use super::ed25519::PublicKey;
use super::key::{KeyId, PersonKey};
use super::signable::Signable;
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId, PrincipalId};

/// Of a signed roster as JSON: 10,000 agents fit, and so does one message of the transport.
pub const MAX_ROSTER_BYTES: usize = 3 * 1024 * 1024;
pub const MAX_PERSONS: usize = 256;
pub const MAX_KEYS: usize = 16;
pub const MAX_NAME: usize = 200;
/// How long after its alert a roster signed by the recovery key comes into force.
pub const RECOVERY_DELAY: Duration = Duration::from_hours(24);

/// One roster. Its canonical form (RFC 8785) is what is signed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    pub organism: OrganismId,
    /// Counts from 1.
    pub number: u64,
    /// The digest of the one before; absent in the first.
    pub predecessor: Option<Digest>,
    pub persons: BTreeMap<PrincipalId, Person>,
    pub need: Need,
    /// Identity keys of enrolled agents.
    pub agents: BTreeMap<AgentId, PublicKey>,
    /// May sign one further roster when the owner's keys are lost; see `trust::recovery`.
    pub recovery: Option<PublicKey>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// For people to read; decides nothing.
    pub name: String,
    pub role: Role,
    pub keys: BTreeSet<PersonKey>,
}

/// What a person may do by signing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The one who signs rosters; approves as well.
    Owner,
    Approver,
    Operator,
    Viewer,
}

impl Role {
    pub const fn may_approve(self) -> bool {
        matches!(self, Self::Owner | Self::Approver)
    }
}

/// How many persons have to approve, where that many are eligible.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    #[serde(rename = "A")]
    pub a: u8,
    /// At least two.
    #[serde(rename = "S")]
    pub s: u8,
}

impl Default for Need {
    fn default() -> Self {
        Self { a: 1, s: 2 }
    }
}

impl Signable for Roster {
    const DOMAIN: &'static str = "nexusmon/roster/v1";
}

/// A key of the roster and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder<'a> {
    pub id: PrincipalId,
    pub person: &'a Person,
    pub key: &'a PersonKey,
}

impl Roster {
    /// Whose key that is. Persons are never believed to be who they say: the key says it.
    pub fn holder(&self, key: &KeyId) -> Option<Holder<'_>> {
        self.persons.iter().find_map(|(id, person)| {
            let key = person.keys.iter().find(|held| held.id() == *key)?;
            Some(Holder { id: *id, person, key })
        })
    }

    /// Whether somebody who may approve signs with a key of the command line.
    pub fn has_cli_key(&self) -> bool {
        let may = self.persons.values().filter(|person| person.role.may_approve());
        may.flat_map(|person| &person.keys).any(|key| matches!(key, PersonKey::Cli { .. }))
    }

    /// The one who signs the next roster.
    pub fn owner(&self) -> Option<(PrincipalId, &Person)> {
        self.persons.iter().find(|(_, person)| person.role == Role::Owner).map(|(id, person)| (*id, person))
    }
}

#[cfg(test)]
pub(crate) mod tests;

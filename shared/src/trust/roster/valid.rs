//! What a roster must hold to be one at all, whoever signed it.

use std::collections::BTreeSet;

use super::{MAX_KEYS, MAX_NAME, MAX_PERSONS, Role, Roster};
use crate::id::PrincipalId;
use crate::trust::key::PersonKey;
use crate::trust::signable::MAX_EXACT;

/// Why a roster cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoster {
    #[error("its number must be 1 to 2^53 - 1, and it is {0}")]
    Number(u64),
    #[error("the first roster has no predecessor, every other one has")]
    Predecessor,
    #[error("it must name 1 to {MAX_PERSONS} persons, and it names {0}")]
    Persons(usize),
    #[error("it must name exactly one owner, and it names {0}")]
    Owners(usize),
    #[error("the owner has no key")]
    OwnerWithoutKey,
    #[error("{0} has a name that is empty, longer than {MAX_NAME} characters, or not plain text")]
    Name(PrincipalId),
    #[error("{person} has {keys} keys, more than {MAX_KEYS}")]
    Keys { person: PrincipalId, keys: usize },
    #[error("a passkey of {0} has an origin that is not within its domain, or a wrong credential id")]
    Passkey(PrincipalId),
    #[error("one key appears twice: among persons, agents and the recovery key each must be another")]
    SharedKey,
    #[error("`need` must be at least 1 for A and at least 2 for S (fewer count where fewer are eligible)")]
    Need,
}

impl Roster {
    pub fn validate(&self) -> Result<(), InvalidRoster> {
        let Self { organism: _, number, predecessor, persons, need, agents: _, recovery: _ } = self;
        if !(1..=MAX_EXACT).contains(number) {
            return Err(InvalidRoster::Number(*number));
        }
        if predecessor.is_some() != (*number > 1) {
            return Err(InvalidRoster::Predecessor);
        }
        if !(1..=MAX_PERSONS).contains(&persons.len()) {
            return Err(InvalidRoster::Persons(persons.len()));
        }
        if need.a < 1 || need.s < 2 {
            return Err(InvalidRoster::Need);
        }
        for (id, person) in persons {
            let name = &person.name;
            if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
                return Err(InvalidRoster::Name(*id));
            }
            if person.keys.len() > MAX_KEYS {
                return Err(InvalidRoster::Keys { person: *id, keys: person.keys.len() });
            }
            if person.keys.iter().any(|key| matches!(key, PersonKey::Passkey(key) if !key.is_plausible())) {
                return Err(InvalidRoster::Passkey(*id));
            }
        }
        self.check_owner()?;
        self.check_keys()
    }

    fn check_owner(&self) -> Result<(), InvalidRoster> {
        let mut owners = self.persons.values().filter(|person| person.role == Role::Owner);
        match (owners.next(), owners.count()) {
            (Some(owner), 0) if owner.keys.is_empty() => Err(InvalidRoster::OwnerWithoutKey),
            (Some(_), 0) => Ok(()),
            (first, more) => Err(InvalidRoster::Owners(usize::from(first.is_some()) + more)),
        }
    }

    /// One person with another's key would count twice.
    fn check_keys(&self) -> Result<(), InvalidRoster> {
        let mut seen = BTreeSet::new();
        let persons = self.persons.values().flat_map(|person| &person.keys).map(PersonKey::public_bytes);
        let machines = self.agents.values().chain(&self.recovery).map(|key| key.as_bytes().as_slice());
        if persons.chain(machines).all(|key| seen.insert(key)) {
            Ok(())
        } else {
            Err(InvalidRoster::SharedKey)
        }
    }
}

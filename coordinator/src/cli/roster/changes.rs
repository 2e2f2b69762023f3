//! What a new roster changes, for whoever is about to sign it: every key in full.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster};

use crate::cli::render;

pub(super) fn print(before: &Roster, next: &Roster) {
    for line in lines(before, next) {
        println!("{line}");
    }
}

fn lines(before: &Roster, next: &Roster) -> Vec<String> {
    let Roster { organism: _, number: _, predecessor: _, persons, need, agents, recovery } = next;
    let entries = [
        differences("need", &needs(before.need), &needs(*need)),
        differences("person", &named(&before.persons), &named(persons)),
        differences("key", &keys(&before.persons), &keys(persons)),
        differences("agent", &pairs(&before.agents), &pairs(agents)),
        differences("recovery", &all(before.recovery), &all(*recovery)),
    ];
    entries.into_iter().flatten().collect()
}

/// What went, then what came.
fn differences(kind: &str, before: &BTreeSet<String>, next: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(next).map(|entry| format!("- {kind:<9}{entry}"));
    let new = next.difference(before).map(|entry| format!("+ {kind:<9}{entry}"));
    gone.chain(new).collect()
}

fn needs(need: Need) -> BTreeSet<String> {
    let Need { a, s } = need;
    [format!("A {a}, S {s}")].into()
}

fn named(persons: &BTreeMap<PrincipalId, Person>) -> BTreeSet<String> {
    let entry = |(id, person): (&PrincipalId, &Person)| {
        let role = match person.role {
            Role::Owner => "owner",
            Role::Approver => "approver",
            Role::Operator => "operator",
            Role::Viewer => "viewer",
        };
        format!("{id} {role} {}", render::plain(&person.name))
    };
    persons.iter().map(entry).collect()
}

fn keys(persons: &BTreeMap<PrincipalId, Person>) -> BTreeSet<String> {
    let entries = |(id, person): (&PrincipalId, &Person)| {
        let entry = |key: &PersonKey| match key {
            PersonKey::Cli { .. } => format!("{} of {id}", key.id()),
            PersonKey::Passkey(_) => format!("{} of {id}, a passkey", key.id()),
        };
        person.keys.iter().map(entry).collect::<Vec<_>>()
    };
    persons.iter().flat_map(entries).collect()
}

fn pairs(agents: &BTreeMap<impl Display, impl Display>) -> BTreeSet<String> {
    agents.iter().map(|(id, key)| format!("{id} {key}")).collect()
}

fn all(keys: impl IntoIterator<Item = impl Display>) -> BTreeSet<String> {
    keys.into_iter().map(|key| key.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use nexusmon_shared::id::{AgentId, OrganismId};
    use nexusmon_shared::trust::ed25519::{PublicKey, SigningKey};

    use super::*;

    fn public(seed: u8) -> PublicKey {
        PublicKey::of(&SigningKey::from_bytes(&[seed; 32]))
    }

    fn roster() -> Roster {
        let key = PersonKey::Cli { public_key: public(1) };
        let owner = Person { name: "owner".to_owned(), role: Role::Owner, keys: [key].into() };
        Roster {
            organism: OrganismId::from_bits(1),
            number: 1,
            predecessor: None,
            persons: [(PrincipalId::from_bits(1), owner)].into(),
            need: Need::default(),
            agents: [(AgentId::from_bits(1), public(51))].into(),
            recovery: Some(public(99)),
        }
    }

    #[test]
    fn whatever_changes_is_said_with_its_whole_key() {
        assert_eq!(lines(&roster(), &roster()), Vec::<String>::new());
        let said = |edit: &dyn Fn(&mut Roster)| {
            let mut next = roster();
            edit(&mut next);
            lines(&roster(), &next)
        };
        let (old, new, agent) = (public(99), public(66), AgentId::from_bits(1));
        let recovery = said(&|next| next.recovery = Some(new));
        assert_eq!(recovery, [format!("- recovery {old}"), format!("+ recovery {new}")]);
        assert_eq!(said(&|next| next.recovery = None), [format!("- recovery {old}")]);
        let replaced = said(&|next| {
            next.agents.insert(agent, new);
        });
        let machine = public(51);
        assert_eq!(replaced, [format!("- agent    {agent} {machine}"), format!("+ agent    {agent} {new}")]);
        assert_eq!(said(&|next| next.need.a = 2), ["- need     A 1, S 2", "+ need     A 2, S 2"]);
        let owner = PrincipalId::from_bits(1);
        let key = PersonKey::Cli { public_key: new };
        let added = said(&|next| {
            next.persons.get_mut(&owner).unwrap().keys.insert(key.clone());
        });
        assert_eq!(added, [format!("+ key      {} of {owner}", key.id())]);
        let role = said(&|next| next.persons.get_mut(&owner).unwrap().role = Role::Viewer);
        assert_eq!(
            role,
            [format!("- person   {owner} owner owner"), format!("+ person   {owner} viewer owner")]
        );
    }
}

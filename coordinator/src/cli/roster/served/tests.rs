use nexusmon_shared::id::{AgentId, PrincipalId};
use nexusmon_shared::trust::ed25519::{PublicKey, SigningKey};
use nexusmon_shared::trust::owner_key::OwnerKey;
use nexusmon_shared::trust::roster::{Need, Person, Role};

use super::*;

const OWNER: u8 = 1;
const STRANGER: u8 = 66;

fn key(seed: u8) -> OwnerKey {
    OwnerKey::from_seed(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::of(&SigningKey::from_bytes(&[seed; 32]))
}

fn first() -> Roster {
    let owner =
        Person { name: "owner".to_owned(), role: Role::Owner, keys: [key(OWNER).person_key()].into() };
    Roster {
        organism: OrganismId::from_bits(1),
        number: 1,
        predecessor: None,
        persons: [(PrincipalId::from_bits(1), owner)].into(),
        need: Need::default(),
        agents: BTreeMap::new(),
        recovery: Some(public(99)),
    }
}

fn after(roster: &Roster) -> Roster {
    Roster { number: roster.number + 1, predecessor: Some(roster.digest()), ..roster.clone() }
}

fn by(seed: u8, roster: &Roster) -> SignedRoster {
    SignedRoster::new(roster.clone()).signed_by(key(seed).signing_key())
}

fn known(roster: &Roster) -> Known {
    Known { number: roster.number, digest: roster.digest() }
}

/// The real roster, with one thing in it that is the coordinator's.
#[test]
fn an_altered_roster_is_not_built_on_whoever_signed_it_again() {
    let good = by(OWNER, &first());
    let pinned = key(OWNER).id();
    assert!(check(&good, pinned, None).is_ok());
    let alterations: [fn(&mut Roster); 4] = [
        |roster| roster.recovery = Some(public(STRANGER)),
        |roster| {
            roster.agents.insert(AgentId::from_bits(6), public(STRANGER));
        },
        |roster| roster.need.a = 9,
        |roster| {
            let owner = roster.persons.get_mut(&PrincipalId::from_bits(1)).unwrap();
            owner.keys.insert(key(STRANGER).person_key());
        },
    ];
    for alter in alterations {
        let mut altered = good.clone();
        alter(&mut altered.roster);
        assert!(matches!(check(&altered, pinned, None), Err(Unfounded::Signature(_))), "{altered:?}");
        let again = altered.signed_by(key(STRANGER).signing_key());
        assert!(matches!(check(&again, pinned, None), Err(Unfounded::Signature(_))), "{again:?}");
    }
    // A stranger's own, whole in itself.
    let mut foreign = first();
    let owner = foreign.persons.get_mut(&PrincipalId::from_bits(1)).unwrap();
    owner.keys = [key(STRANGER).person_key()].into();
    let foreign = by(STRANGER, &foreign);
    assert!(matches!(check(&foreign, pinned, None), Err(Unfounded::Signature(RosterError::NotPinned))));
    assert!(check(&foreign, key(STRANGER).id(), None).is_ok());
}

#[test]
fn only_the_last_known_roster_and_its_successor_are_built_on() {
    let pinned = key(OWNER).id();
    let one = first();
    let two = after(&one);
    let three = after(&two);
    let ok = |roster: &Roster, last: &Roster| check(&by(OWNER, roster), pinned, Some(known(last)));
    assert!(ok(&two, &two).is_ok() && ok(&two, &one).is_ok());
    let fork = Roster { need: Need { a: 2, s: 2 }, ..after(&one) };
    for (served, last) in [(&one, &two), (&three, &one), (&fork, &two), (&after(&fork), &two)] {
        let why = ok(served, last).unwrap_err();
        assert!(matches!(why, Unfounded::Strange { .. }), "{why}");
        let text = advice(&why, pinned, Path::new("my.key.roster.json"));
        assert!(text.contains("Nothing was signed") && text.contains("remove my.key.roster.json"));
        assert!(text.contains(&served.digest().to_string()), "{text}");
    }
}

#[test]
fn the_note_is_kept_per_organism_and_a_damaged_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { key_file: Some(folder.path().join("my.key")) };
    let path = path(&place).unwrap();
    assert_eq!(path, folder.path().join("my.key.roster.json"));
    assert_eq!(read(&path).unwrap(), Note::new());
    let other = Roster { organism: OrganismId::from_bits(2), ..first() };
    let next = after(&first());
    for roster in [&first(), &other, &next] {
        keep(&place, roster).unwrap();
    }
    let note = read(&path).unwrap();
    assert_eq!(note.get(&first().organism).copied(), Some(known(&next)));
    assert_eq!(note.get(&other.organism).copied(), Some(known(&other)));
    std::fs::write(&path, "{").unwrap();
    let error = keep(&place, &next).unwrap_err().to_string();
    assert!(error.contains("my.key.roster.json") && error.contains("damaged"), "{error}");
}

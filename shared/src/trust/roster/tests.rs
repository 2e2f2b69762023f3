use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::plan::Author;
use crate::rank::Rank;
use crate::trust::key::{KeySignature, Proof};
use crate::trust::passkey::tests::Authenticator;

pub(crate) fn signing(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn cli(seed: u8) -> PersonKey {
    PersonKey::Cli { public_key: PublicKey::of(&signing(seed)) }
}

pub(crate) fn principal(number: u8) -> PrincipalId {
    PrincipalId::from_bits(number.into())
}

pub(crate) const ORGANISM: OrganismId = OrganismId::from_bits(1);
const OWNER: u8 = 1;
const RECOVERY: u8 = 99;

pub(crate) fn person(role: Role, keys: impl IntoIterator<Item = PersonKey>) -> Person {
    Person { name: "a person".to_owned(), role, keys: keys.into_iter().collect() }
}

/// An owner (1, keys 1 and a passkey 11), approvers (2 and 3), an operator (4), a viewer (5).
pub(crate) fn roster() -> Roster {
    Roster {
        organism: ORGANISM,
        number: 1,
        predecessor: None,
        persons: BTreeMap::from([
            (
                principal(1),
                person(Role::Owner, [cli(OWNER), PersonKey::Passkey(Authenticator::es256(11).passkey)]),
            ),
            (
                principal(2),
                person(Role::Approver, [cli(2), PersonKey::Passkey(Authenticator::eddsa(12).passkey)]),
            ),
            (principal(3), person(Role::Approver, [cli(3)])),
            (principal(4), person(Role::Operator, [cli(4)])),
            (principal(5), person(Role::Viewer, [cli(5)])),
        ]),
        need: Need::default(),
        agents: BTreeMap::from([(AgentId::from_bits(1), PublicKey::of(&signing(51)))]),
        recovery: Some(PublicKey::of(&signing(RECOVERY))),
    }
}

fn after(roster: &Roster) -> Roster {
    Roster { number: roster.number + 1, predecessor: Some(roster.digest()), ..roster.clone() }
}

#[test]
fn the_first_roster_is_signed_by_the_pinned_key_of_its_owner() {
    let signed = SignedRoster::new(roster()).signed_by(&signing(OWNER));
    assert_eq!(signed.verify_first(ORGANISM, cli(OWNER).id()).unwrap(), &roster());
    let error = signed.verify_first(ORGANISM, cli(2).id()).unwrap_err();
    assert!(matches!(error, RosterError::NotPinned), "{error}");
    let error = signed.verify_first(OrganismId::from_bits(2), cli(OWNER).id()).unwrap_err();
    assert!(matches!(error, RosterError::OtherOrganism), "{error}");
    // An approver's signature is worth nothing here, pinned or not.
    let error =
        SignedRoster::new(roster()).signed_by(&signing(2)).verify_first(ORGANISM, cli(2).id()).unwrap_err();
    assert!(matches!(error, RosterError::NotByItsOwner(None)), "{error}");
}

#[test]
fn a_passkey_may_be_the_owner_key() {
    let authenticator = Authenticator::es256(11);
    let roster = roster();
    let key = PersonKey::Passkey(authenticator.passkey.clone()).id();
    let proof = Proof::Passkey(authenticator.sign(&roster.digest()));
    let mut signed = SignedRoster::new(roster);
    signed.signatures.push(KeySignature { key, proof }.into());
    assert!(signed.verify_first(ORGANISM, key).is_ok());
    assert!(SignedRoster::read(&crate::trust::canonical::to_bytes(&signed).unwrap()).is_ok());
}

#[test]
fn a_successor_by_the_owner_is_in_force_at_once() {
    let first = roster();
    let next = SignedRoster::new(after(&first)).signed_by(&signing(OWNER));
    assert_eq!(next.verify_successor(&first).unwrap(), InForce::AtOnce);
    let third = SignedRoster::new(after(&next.roster)).signed_by(&signing(OWNER));
    assert!(matches!(
        third.verify_successor(&first).unwrap_err(),
        RosterError::Number { wanted: 2, offered: 3 }
    ));
    let mut forked = after(&first);
    forked.predecessor = Some(third.roster.digest());
    let forked = SignedRoster::new(forked).signed_by(&signing(OWNER));
    assert!(matches!(forked.verify_successor(&first).unwrap_err(), RosterError::Predecessor));
    for by in [2, 4, 50, RECOVERY] {
        let foreign = SignedRoster::new(after(&first)).signed_by(&signing(by));
        assert!(matches!(foreign.verify_successor(&first).unwrap_err(), RosterError::NotByItsOwner(None)));
    }
}

#[test]
fn a_new_owner_key_is_signed_by_the_old_and_by_itself() {
    let first = roster();
    let mut next = after(&first);
    next.persons.insert(principal(1), person(Role::Owner, [cli(77)]));
    let by = |seeds: &[u8]| {
        let signed = SignedRoster::new(next.clone());
        seeds.iter().fold(signed, |signed, seed| signed.signed_by(&signing(*seed)))
    };
    assert_eq!(by(&[OWNER, 77]).verify_successor(&first).unwrap(), InForce::AtOnce);
    assert_eq!(by(&[77, OWNER]).verify_successor(&first).unwrap(), InForce::AtOnce);
    assert!(matches!(by(&[OWNER]).verify_successor(&first), Err(RosterError::NotByItsOwner(None))));
    assert!(matches!(by(&[77]).verify_successor(&first), Err(RosterError::NotByPredecessor(None))));
    // Whoever joins later pins the new key alone.
    assert!(by(&[OWNER, 77]).verify_first(ORGANISM, cli(77).id()).is_ok());
    assert!(matches!(by(&[77; 5]).verify_successor(&first), Err(RosterError::TooManySignatures(5))));
}

#[test]
fn the_recovery_key_signs_once_and_takes_a_day() {
    let first = roster();
    let mut next = after(&first);
    next.persons.insert(principal(1), person(Role::Owner, [cli(77)]));
    let kept = SignedRoster::new(next.clone()).recovered_by(&signing(RECOVERY)).signed_by(&signing(77));
    assert!(matches!(kept.verify_successor(&first), Err(RosterError::RecoveryKept)));
    next.recovery = Some(PublicKey::of(&signing(98)));
    let good = SignedRoster::new(next.clone()).recovered_by(&signing(RECOVERY)).signed_by(&signing(77));
    assert_eq!(good.verify_successor(&first).unwrap(), InForce::After(Duration::from_hours(24)));
    let alone = SignedRoster::new(next.clone()).recovered_by(&signing(RECOVERY));
    assert!(matches!(alone.verify_successor(&first), Err(RosterError::NotByItsOwner(None))));
    let spent = SignedRoster::new(after(&next)).recovered_by(&signing(RECOVERY)).signed_by(&signing(77));
    assert_eq!(spent.verify_successor(&next).unwrap(), InForce::AtOnce, "by its owner, the recovery aside");
    let mut stolen = after(&next);
    stolen.persons.insert(principal(1), person(Role::Owner, [cli(66)]));
    stolen.recovery = None;
    let stolen = SignedRoster::new(stolen).recovered_by(&signing(RECOVERY)).signed_by(&signing(66));
    assert!(matches!(stolen.verify_successor(&next), Err(RosterError::NotByPredecessor(None))));
}

#[test]
fn what_cannot_be_a_roster_is_told_apart() {
    let change = |edit: &dyn Fn(&mut Roster)| {
        let mut changed = roster();
        edit(&mut changed);
        changed.validate().unwrap_err()
    };
    assert_eq!(roster().validate(), Ok(()));
    assert_eq!(change(&|r| r.number = 0), InvalidRoster::Number(0));
    assert_eq!(change(&|r| r.number = 1 << 53), InvalidRoster::Number(1 << 53));
    assert_eq!(change(&|r| r.number = 2), InvalidRoster::Predecessor);
    assert_eq!(change(&|r| r.persons.clear()), InvalidRoster::Persons(0));
    assert_eq!(change(&|r| r.need.s = 1), InvalidRoster::Need);
    assert_eq!(change(&|r| r.need.a = 0), InvalidRoster::Need);
    assert_eq!(change(&|r| drop(r.persons.remove(&principal(1)))), InvalidRoster::Owners(0));
    let two = |r: &mut Roster| r.persons.get_mut(&principal(2)).unwrap().role = Role::Owner;
    assert_eq!(change(&two), InvalidRoster::Owners(2));
    let keyless = |r: &mut Roster| r.persons.get_mut(&principal(1)).unwrap().keys.clear();
    assert_eq!(change(&keyless), InvalidRoster::OwnerWithoutKey);
    let named = |r: &mut Roster| r.persons.get_mut(&principal(3)).unwrap().name = "a\u{7}".to_owned();
    assert_eq!(change(&named), InvalidRoster::Name(principal(3)));
    let many = |r: &mut Roster| r.persons.get_mut(&principal(3)).unwrap().keys.extend((200..=220).map(cli));
    assert_eq!(change(&many), InvalidRoster::Keys { person: principal(3), keys: 22 });
    let shared = |r: &mut Roster| r.persons.get_mut(&principal(3)).unwrap().keys.extend([cli(2)]);
    assert_eq!(change(&shared), InvalidRoster::SharedKey);
    let machine = |r: &mut Roster| r.agents.extend([(AgentId::from_bits(9), PublicKey::of(&signing(2)))]);
    assert_eq!(change(&machine), InvalidRoster::SharedKey);
    let recovery = |r: &mut Roster| r.recovery = Some(PublicKey::of(&signing(OWNER)));
    assert_eq!(change(&recovery), InvalidRoster::SharedKey);
    // The same public key as a passkey and in a file is still one.
    let twice = |r: &mut Roster| {
        let passkey = PersonKey::Passkey(Authenticator::eddsa(2).passkey);
        r.persons.get_mut(&principal(3)).unwrap().keys.insert(passkey);
    };
    assert_eq!(change(&twice), InvalidRoster::SharedKey);
    let foreign = |r: &mut Roster| {
        let mut passkey = Authenticator::eddsa(13).passkey;
        passkey.origin = "https://elsewhere.example".to_owned();
        r.persons.get_mut(&principal(3)).unwrap().keys.insert(PersonKey::Passkey(passkey));
    };
    assert_eq!(change(&foreign), InvalidRoster::Passkey(principal(3)));
}

#[test]
fn eligible_are_the_approvers_less_the_author() {
    let roster = roster();
    let of = |author: &Author| roster.eligible(author).into_iter().collect::<Vec<_>>();
    let [owner, second, third] = [1, 2, 3].map(principal);
    assert_eq!(of(&Author::Person(second)), [owner, third]);
    assert_eq!(of(&Author::Person(principal(4))), [owner, second, third]);
    assert_eq!(of(&Author::Planner("model".to_owned())), [owner, second, third]);
    assert_eq!(of(&Author::Token(second)), [owner, second, third], "a token is nobody's person");
    let mut alone = roster.clone();
    alone.persons.retain(|id, _| *id == owner || *id == principal(4));
    assert_eq!(alone.eligible(&Author::Person(owner)).into_iter().collect::<Vec<_>>(), [owner]);
    assert_eq!((roster.needed(Rank::S, 2), roster.needed(Rank::S, 1), roster.needed(Rank::A, 3)), (2, 1, 1));
    assert_eq!((roster.needed(Rank::S, 0), roster.needed(Rank::C, 5)), (1, 1), "never none");
}

proptest! {
    // Curves without optimization are slow.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_persons_and_keys_does_not_matter(order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(), turn: bool) {
        let whole = roster();
        let persons: Vec<_> = whole.persons.clone().into_iter().collect();
        let mut built = Roster { persons: BTreeMap::new(), ..whole.clone() };
        for place in order {
            let (id, person) = persons[place].clone();
            let mut keys: Vec<_> = person.keys.into_iter().collect();
            if turn {
                keys.reverse();
            }
            built.persons.insert(id, Person { keys: keys.into_iter().collect(), ..person });
        }
        prop_assert_eq!(built.digest(), whole.digest());
        prop_assert!(SignedRoster::new(built).signed_by(&signing(OWNER)).verify_first(ORGANISM, cli(OWNER).id()).is_ok());
    }

    #[test]
    fn any_changed_bit_of_a_signed_roster_is_refused(bit: usize) {
        let signed = SignedRoster::new(roster()).signed_by(&signing(OWNER));
        let mut bytes = crate::trust::canonical::to_bytes(&signed).unwrap();
        prop_assert!(SignedRoster::read(&bytes).unwrap().verify_first(ORGANISM, cli(OWNER).id()).is_ok());
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = SignedRoster::read(&bytes).and_then(|read| read.verify_first(ORGANISM, cli(OWNER).id()).map(|_| ()));
        prop_assert!(refused.is_err());
    }

    #[test]
    fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[{}\\[\\]\":,a-z0-9_]{0,200}") {
        prop_assert!(SignedRoster::read(&bytes).is_err());
        prop_assert!(SignedRoster::read(text.as_bytes()).is_err());
    }
}

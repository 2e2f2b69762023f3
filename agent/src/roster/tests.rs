use std::collections::BTreeMap;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::roster::{Need, Person, Role};
use nexusmon_shared::trust::signable::Signable as _;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);
const DAY: Duration = Duration::from_hours(24);

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn cli(seed: u8) -> PersonKey {
    PersonKey::Cli { public_key: PublicKey::of(&signing(seed)) }
}

fn roster(number: u64, owner: u8, before: Option<&Roster>) -> Roster {
    let keys = [cli(owner)].into();
    let person = Person { name: "owner".to_owned(), role: Role::Owner, keys };
    Roster {
        organism: OrganismId::from_bits(1),
        number,
        predecessor: before.map(Roster::digest),
        persons: BTreeMap::from([(PrincipalId::from_bits(1), person)]),
        need: Need::default(),
        agents: BTreeMap::new(),
        recovery: Some(PublicKey::of(&signing(90 + owner))),
    }
}

fn bytes(signed: &SignedRoster) -> Vec<u8> {
    canonical::to_bytes(signed).unwrap()
}

fn open(folder: &Path, joined_with: Option<KeyId>) -> Believed {
    Believed::open(folder, OrganismId::from_bits(1), joined_with).unwrap()
}

#[test]
fn only_what_follows_from_the_pinned_key_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let joined = Some(cli(1).id());
    let mut believed = open(folder.path(), joined);
    assert_eq!((believed.number(), believed.in_force(NOW)), (0, None));

    let first = roster(1, 1, None);
    let foreign = SignedRoster::new(roster(1, 2, None)).signed_by(&signing(2));
    let error = believed.take(&bytes(&foreign), NOW).unwrap_err();
    assert!(matches!(error, TakeError::Roster(RosterError::NotPinned)), "{error}");
    let error = believed.take(b"{}", NOW).unwrap_err();
    assert!(matches!(error, TakeError::Roster(RosterError::Unreadable(_))), "{error}");
    let signed = SignedRoster::new(first.clone()).signed_by(&signing(1));
    assert_eq!(believed.take(&bytes(&signed), NOW).unwrap(), Taken::InForce { number: 1 });
    assert_eq!(believed.take(&bytes(&signed), NOW).unwrap(), Taken::Known);

    // It is kept, and only its successor replaces it.
    let mut believed = open(folder.path(), joined);
    assert_eq!(believed.in_force(NOW).as_deref(), Some(&first));
    let third = SignedRoster::new(roster(3, 1, Some(&first))).signed_by(&signing(1));
    assert!(matches!(believed.take(&bytes(&third), NOW), Err(TakeError::Roster(RosterError::Number { .. }))));
    let taken_over = SignedRoster::new(roster(2, 2, Some(&first))).signed_by(&signing(2));
    let error = believed.take(&bytes(&taken_over), NOW).unwrap_err();
    assert!(matches!(error, TakeError::Roster(RosterError::NotByPredecessor(_))), "{error}");
    let second = SignedRoster::new(roster(2, 1, Some(&first))).signed_by(&signing(1));
    assert_eq!(believed.take(&bytes(&second), NOW).unwrap(), Taken::InForce { number: 2 });
    assert_eq!(open(folder.path(), joined).number(), 2);
}

#[test]
fn a_recovered_roster_waits_a_day_and_an_owner_can_object() {
    let folder = tempfile::tempdir().unwrap();
    let joined = Some(cli(1).id());
    let mut believed = open(folder.path(), joined);
    let first = roster(1, 1, None);
    let signed = SignedRoster::new(first.clone()).signed_by(&signing(1));
    believed.take(&bytes(&signed), NOW).unwrap();

    let recovered = roster(2, 2, Some(&first));
    let recovered = SignedRoster::new(recovered).signed_by(&signing(2)).recovered_by(&signing(91));
    let taken = believed.take(&bytes(&recovered), NOW).unwrap();
    assert_eq!(taken, Taken::From { number: 2, at: NOW + DAY });
    // Shown again an hour later it still begins then.
    let later = NOW + Duration::from_hours(1);
    assert_eq!(believed.take(&bytes(&recovered), later).unwrap(), taken);
    assert_eq!(believed.in_force(NOW + DAY - Duration::from_secs(1)).as_deref(), Some(&first));
    let mut waited = open(folder.path(), joined);

    // The owner, who still has the key, signs another one: it takes the place.
    let objection = SignedRoster::new(roster(2, 1, Some(&first))).signed_by(&signing(1));
    assert_eq!(believed.take(&bytes(&objection), later).unwrap(), Taken::InForce { number: 2 });
    assert_eq!(believed.pending(), None);
    assert_eq!(believed.in_force(NOW + DAY).as_deref(), Some(&objection.roster));

    // Where nobody objected, it decides.
    assert_eq!(waited.in_force(NOW + DAY).as_deref(), Some(&recovered.roster));
}

#[test]
fn a_machine_that_joined_too_early_is_told_by_its_admin() {
    let folder = tempfile::tempdir().unwrap();
    let joined = None;
    let signed = SignedRoster::new(roster(1, 1, None)).signed_by(&signing(1));
    let mut believed = open(folder.path(), joined);
    assert!(matches!(believed.take(&bytes(&signed), NOW), Err(TakeError::NoOwnerKey)));
    reset(folder.path(), Some(cli(1).id()), NOW).unwrap();
    let mut believed = open(folder.path(), joined);
    assert_eq!(believed.take(&bytes(&signed), NOW).unwrap(), Taken::InForce { number: 1 });
    reset(folder.path(), None, NOW).unwrap();
    let mut believed = open(folder.path(), joined);
    assert_eq!((believed.owner_key(), believed.in_force(NOW)), (None, None));
    let log = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    let entries: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["roster_before"], 1);
    assert_eq!(entries[1]["owner_key_before"], cli(1).id().to_string());
}

#[test]
fn what_was_taken_back_stays_so_until_it_would_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let one = |text: &[u8], expires_at| RevokedApproval { digest: Digest::of(text), expires_at };
    let (short, long, over) = (one(b"short", NOW + DAY), one(b"long", NOW + DAY * 9), one(b"over", NOW));
    let mut believed = open(folder.path(), None);
    assert_eq!(believed.revoke(&[short, long, over], NOW).unwrap(), 2);
    assert_eq!(believed.revoke(&[short, long], NOW).unwrap(), 0);
    // Also for a coordinator that would rather not say it again.
    let mut believed = open(folder.path(), None);
    assert_eq!(*believed.revoked(), [short.digest, long.digest].into());
    let later = one(b"later", NOW + DAY * 3);
    assert_eq!(believed.revoke(&[later], NOW + DAY * 2).unwrap(), 1);
    assert_eq!(*open(folder.path(), None).revoked(), [later.digest, long.digest].into());
}

#[test]
fn a_damaged_file_is_not_a_weaker_one() {
    let folder = tempfile::tempdir().unwrap();
    let joined = Some(cli(1).id());
    std::fs::write(folder.path().join(FILE), "{\"owner_key\":null").unwrap();
    let error = Believed::open(folder.path(), OrganismId::from_bits(1), joined).unwrap_err();
    assert!(matches!(error, FileError::Damaged { .. }), "{error}");
}

mod forged;
mod standing;

use proptest::prelude::*;

use super::*;
use crate::id::PrincipalId;
use crate::plan::Author;
use crate::rank::Rank;
use crate::trust::passkey::tests::Authenticator;
use crate::trust::roster::tests::{ORGANISM, cli, principal, roster, signing};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);
const MISSION: MissionId = MissionId::from_bits(7);

fn planner() -> Author {
    Author::Planner("model".to_owned())
}

fn claim(author: &Author, rank: Rank) -> Claim<'_> {
    Claim {
        organism: ORGANISM,
        subject: SubjectKind::MissionPlan,
        digest: Digest::of(b"plan"),
        mission: Some(MISSION),
        rank,
        author,
    }
}

fn statement(nonce: u8) -> Statement {
    Statement {
        organism: ORGANISM,
        subject: SubjectKind::MissionPlan,
        digest: Digest::of(b"plan"),
        mission: Some(MISSION),
        verdict: Verdict::Approve,
        valid_until: NOW + HOUR,
        nonce: Nonce::from_bytes([nonce; 16]),
    }
}

fn by(seed: u8) -> SignedDecision {
    statement(seed).sign(&signing(seed))
}

/// By the passkey of person 1 (seed 11).
fn by_passkey(statement: Statement) -> SignedDecision {
    let authenticator = Authenticator::es256(11);
    let proof = Proof::Passkey(authenticator.sign(&statement.digest()));
    SignedDecision { statement, key: PersonKey::Passkey(authenticator.passkey).id(), proof }
}

fn persons(evidence: &Evidence) -> Vec<PrincipalId> {
    evidence.counted.iter().map(|counted| counted.person).collect()
}

#[test]
fn one_approves_a_and_two_approve_s() {
    let (roster, planner) = (roster(), planner());
    let evidence = enough(&roster, &[by(2)], &claim(&planner, Rank::A), NOW).unwrap();
    assert_eq!((persons(&evidence), evidence.valid_until), (vec![principal(2)], NOW + HOUR));
    let refusal = enough(&roster, &[by(2)], &claim(&planner, Rank::S), NOW).unwrap_err();
    assert_eq!(refusal, Refusal::NotEnough { needed: 2, persons: vec![principal(2)], faults: Vec::new() });
    let evidence = enough(&roster, &[by(2), by(3)], &claim(&planner, Rank::S), NOW).unwrap();
    assert_eq!(persons(&evidence), [principal(2), principal(3)]);
    let mixed = [by_passkey(statement(1)), by(3)];
    assert!(enough(&roster, &mixed, &claim(&planner, Rank::A), NOW).is_ok());
    let refusal = enough(&roster, &mixed, &claim(&planner, Rank::S), NOW).unwrap_err();
    let faults = vec![Fault { place: 0, reason: Reason::NeedsCliKey }];
    assert_eq!(refusal, Refusal::NotEnough { needed: 2, persons: vec![principal(3)], faults });
    // Nobody is shut out where there are passkeys only.
    let mut pages = roster;
    for person in pages.persons.values_mut() {
        person.keys.retain(|key| matches!(key, PersonKey::Passkey(_)));
    }
    let claimed = claim(&planner, Rank::S);
    let refusal = enough(&pages, &mixed[..1], &claimed, NOW).unwrap_err();
    assert!(matches!(refusal, Refusal::NotEnough { needed: 2, faults, .. } if faults.is_empty()));
}

#[test]
fn two_keys_of_one_person_are_one_person() {
    let (roster, planner) = (roster(), planner());
    let both = [by(1), by_passkey(statement(11))];
    let refusal = enough(&roster, &both, &claim(&planner, Rank::S), NOW).unwrap_err();
    let faults = vec![Fault { place: 1, reason: Reason::NeedsCliKey }];
    assert_eq!(refusal, Refusal::NotEnough { needed: 2, persons: vec![principal(1)], faults });
    assert!(enough(&roster, &both, &claim(&planner, Rank::A), NOW).is_ok());
    let mut careful = roster;
    careful.need.a = 2;
    let refusal = enough(&careful, &both, &claim(&planner, Rank::A), NOW).unwrap_err();
    let faults = vec![Fault { place: 1, reason: Reason::SamePerson }];
    assert_eq!(refusal, Refusal::NotEnough { needed: 2, persons: vec![principal(1)], faults });
}

#[test]
fn one_person_alone_approves_what_they_typed_and_two_do_not() {
    let author = Author::Person(principal(1));
    let mut alone = roster();
    alone.persons.retain(|id, _| *id == principal(1));
    for rank in [Rank::A, Rank::S] {
        assert!(enough(&alone, &[by(1)], &claim(&author, rank), NOW).is_ok(), "{rank}");
    }
    let refusal = enough(&roster(), &[by(1)], &claim(&author, Rank::A), NOW).unwrap_err();
    let Refusal::NotEnough { faults, .. } = refusal else { panic!("{refusal}") };
    assert_eq!(faults, [Fault { place: 0, reason: Reason::ByTheAuthor }]);
    // Two persons: for what the one typed, the other alone is enough even at S, for nobody else is eligible.
    let mut two = roster();
    two.persons.retain(|id, _| *id <= principal(2));
    assert!(enough(&two, &[by(2)], &claim(&author, Rank::S), NOW).is_ok());
    assert!(enough(&two, &[by(2)], &claim(&planner(), Rank::S), NOW).is_err());
}

#[test]
fn each_time_enough_persons_sign_anew_is_a_round() {
    let (roster, planner) = (roster(), planner());
    let rounds = |decisions: &[SignedDecision], rank| rounds(&roster, decisions, &claim(&planner, rank));
    let again = |seed: u8| {
        Statement { nonce: Nonce::from_bytes([seed + 100; 16]), ..statement(seed) }.sign(&signing(seed))
    };
    assert_eq!(rounds(&[], Rank::A), 0);
    assert_eq!(rounds(&[by(1), by(2), by(3)], Rank::A), 1, "more persons are not more times");
    assert_eq!(rounds(&[by(1), by(1)], Rank::A), 1, "the same signature twice is one");
    assert_eq!(rounds(&[by(1), by(2), again(1)], Rank::A), 2);
    assert_eq!(rounds(&[by(1), by(2), again(1)], Rank::S), 1);
    assert_eq!(rounds(&[by(1), by(2), again(1), again(2)], Rank::S), 2);
    assert_eq!(rounds(&[by(1), by(50)], Rank::S), 0);
    let expired = Statement { valid_until: NOW, ..statement(1) }.sign(&signing(1));
    assert_eq!(rounds(&[expired, again(1)], Rank::A), 2, "what was used up is not forgotten");
}

#[test]
fn a_rejection_outweighs_approvals() {
    let no = Statement { verdict: Verdict::Reject, ..statement(3) };
    let all = [by(1), by(2), no.sign(&signing(3))];
    let refusal = enough(&roster(), &all, &claim(&planner(), Rank::A), NOW).unwrap_err();
    assert_eq!(refusal, Refusal::Rejected { person: principal(3) });
    // Who may not approve may not reject either; nor may a rejection be forged.
    let viewer = [by(2), no.sign(&signing(5))];
    assert!(enough(&roster(), &viewer, &claim(&planner(), Rank::A), NOW).is_ok());
    let forged = SignedDecision { key: cli(3).id(), ..no.sign(&signing(50)) };
    assert!(enough(&roster(), &[by(2), forged], &claim(&planner(), Rank::A), NOW).is_ok());
}

#[test]
fn evidence_lasts_as_long_as_those_who_are_needed() {
    let lasting =
        |seed, hours| Statement { valid_until: NOW + HOUR * hours, ..statement(seed) }.sign(&signing(seed));
    let all = [lasting(1, 1), lasting(2, 3), lasting(3, 2)];
    let evidence = enough(&roster(), &all, &claim(&planner(), Rank::S), NOW).unwrap();
    assert_eq!(
        (persons(&evidence), evidence.valid_until),
        (vec![principal(2), principal(3)], NOW + HOUR * 2)
    );
    assert!(enough(&roster(), &all, &claim(&planner(), Rank::S), NOW + HOUR * 2).is_err());
    assert!(enough(&roster(), &all, &claim(&planner(), Rank::A), NOW + HOUR * 2).is_ok());
}

#[test]
fn decisions_are_read_from_json_in_any_layout() {
    let decision = by_passkey(statement(1));
    let text = serde_json::to_string_pretty(&decision).unwrap();
    assert_eq!(SignedDecision::read(text.as_bytes()).unwrap(), decision);
    assert!(SignedDecision::read(text.replace("\"verdict\"", "\"verdikt\"").as_bytes()).is_err());
    assert!(SignedDecision::read(" ".repeat(MAX_DECISION_BYTES + 1).as_bytes()).is_err());
}

/// What two programs of different versions have to agree on to the byte.
#[test]
fn the_signed_form_of_a_statement_stays_the_same() {
    let expected = concat!(
        "nexusmon/approval/v1\n",
        r#"{"digest":"64879f7d6b960a01909762d911a32d4582c20010c5641ee90278b644a9e3b525","#,
        r#""mission":"mis_00000000000000000000000007","nonce":"AQEBAQEBAQEBAQEBAQEBAQ","#,
        r#""organism":"org_00000000000000000000000001","subject":"mission_plan","#,
        r#""valid_until":"2023-11-14T23:13:20.000000Z","verdict":"approve"}"#,
    );
    assert_eq!(String::from_utf8(statement(1).to_sign()).unwrap(), expected);
}

proptest! {
    // Curves without optimization are slow.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_decisions_does_not_matter(order in Just(vec![0_usize, 1, 2, 3, 4, 5]).prop_shuffle(), s: bool) {
        let all = [by(1), by_passkey(statement(11)), by(2), by(3), by(4), by(50)];
        let shuffled: Vec<_> = order.iter().map(|place| all[*place].clone()).collect();
        let planner = planner();
        let claim = claim(&planner, if s { Rank::S } else { Rank::A });
        let evidence = enough(&roster(), &all, &claim, NOW);
        prop_assert!(evidence.is_ok());
        prop_assert_eq!(enough(&roster(), &shuffled, &claim, NOW), evidence);
    }

    #[test]
    fn any_changed_bit_is_refused(bit: usize, passkey: bool) {
        let decision = if passkey { by_passkey(statement(1)) } else { by(1) };
        let mut bytes = serde_json::to_vec(&decision).unwrap();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = SignedDecision::read(&bytes) {
            // Digits of a digest may be written in both cases, and mean the same.
            prop_assert!(read == decision || enough(&roster(), &[read], &claim(&planner(), Rank::A), NOW).is_err());
        }
    }

    #[test]
    fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[{}\\[\\]\":,a-z0-9_]{0,200}") {
        prop_assert!(SignedDecision::read(&bytes).is_err());
        prop_assert!(SignedDecision::read(text.as_bytes()).is_err());
        prop_assert!(StandingApproval::read(&bytes).is_err());
    }
}

//! A thousand orders that a coordinator without the approvers' keys might send: none is approved, and each says why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::trust::passkey::tests::{Answer, GOOD};

/// What is sent, and what the agent itself knows of the work.
struct Attempt {
    what: &'static str,
    decisions: Vec<SignedDecision>,
    rank: Rank,
    author: Author,
    organism: OrganismId,
}

fn attempt(what: &'static str, decisions: Vec<SignedDecision>) -> Attempt {
    Attempt { what, decisions, rank: Rank::A, author: planner(), organism: ORGANISM }
}

fn altered(rng: &mut StdRng, edit: impl FnOnce(&mut Statement, u64)) -> Vec<SignedDecision> {
    let mut decision = by(2);
    edit(&mut decision.statement, rng.next_u64());
    vec![decision]
}

/// A signed statement that says something else than what is needed.
fn other(edit: impl FnOnce(&mut Statement)) -> Vec<SignedDecision> {
    let mut statement = statement(2);
    edit(&mut statement);
    vec![statement.sign(&signing(2))]
}

fn passkey(answer: &Answer<'_>) -> Vec<SignedDecision> {
    let (authenticator, statement) = (Authenticator::es256(11), statement(1));
    let proof = Proof::Passkey(authenticator.answer(&statement.digest(), answer));
    vec![SignedDecision { statement, key: PersonKey::Passkey(authenticator.passkey).id(), proof }]
}

fn forge(number: usize, rng: &mut StdRng) -> Attempt {
    let random = Digest::of(&rng.next_u64().to_be_bytes());
    let seed = 60 + u8::try_from(rng.next_u32() % 100).unwrap();
    match number % 25 {
        0 => attempt("forged: by a key of nobody", vec![statement(seed).sign(&signing(seed))]),
        1 => {
            let forged = SignedDecision { key: cli(2).id(), ..statement(seed).sign(&signing(seed)) };
            attempt("forged: another key in an approver's name", vec![forged])
        }
        2 => {
            let mut decision = by(2);
            let Proof::Ed25519 { signature } = &mut decision.proof else { unreachable!() };
            let mut bytes = *signature.as_bytes();
            bytes[rng.next_u32() as usize % 64] ^= 1 << (rng.next_u32() % 8);
            *signature = Signature::from_bytes(bytes);
            attempt("altered: a bit of the signature", vec![decision])
        }
        3 => attempt(
            "altered: the nonce, to be counted again",
            altered(rng, |s, r| {
                s.nonce = Nonce::from_bytes([r.to_be_bytes(), [0; 8]].concat().try_into().unwrap());
            }),
        ),
        4 => attempt(
            "altered: valid for longer",
            altered(rng, |s, r| s.valid_until = s.valid_until + HOUR * u32::try_from(r % 100 + 1).unwrap()),
        ),
        5 => {
            let mut decision = Statement { verdict: Verdict::Reject, ..statement(2) }.sign(&signing(2));
            decision.statement.verdict = Verdict::Approve;
            attempt("altered: a no into a yes", vec![decision])
        }
        6 => {
            let mut decision = other(|s| s.digest = random).remove(0);
            decision.statement.digest = Digest::of(b"plan");
            attempt("altered: the digest put in place", vec![decision])
        }
        7 => attempt("re-aimed: another plan", other(|s| s.digest = random)),
        8 => attempt(
            "re-aimed: another mission",
            other(|s| s.mission = Some(MissionId::from_bits(rng.next_u64().into()))),
        ),
        9 => attempt("re-aimed: no mission", other(|s| s.mission = None)),
        10 => attempt(
            "re-aimed: another organism's",
            other(|s| s.organism = OrganismId::from_bits(rng.next_u64().into())),
        ),
        11 => attempt("re-aimed: an approval of something else", other(|s| s.subject = SubjectKind::Budget)),
        12 => {
            let organism = OrganismId::from_bits(rng.next_u64().into());
            Attempt { organism, ..attempt("re-aimed: the work of another organism", vec![by(2)]) }
        }
        13 => attempt(
            "replayed: after its end",
            other(|s| s.valid_until = NOW - HOUR * (rng.next_u32() % 1000)),
        ),
        14 => attempt(
            "replayed: one that never ends",
            other(|s| s.valid_until = NOW + HOUR * (24 * 7 + 1 + rng.next_u32() % 9999)),
        ),
        15 => Attempt { rank: Rank::S, ..attempt("replayed: one approval twice", vec![by(2), by(2)]) },
        16 => {
            let again = statement(seed).sign(&signing(2));
            Attempt { rank: Rank::S, ..attempt("under-signed: two by one key", vec![by(2), again]) }
        }
        17 => Attempt {
            rank: Rank::S,
            ..attempt("under-signed: two keys of one person", vec![by(1), by_passkey(statement(seed))])
        },
        18 => Attempt { rank: Rank::S, ..attempt("down-ranked: S work as if it were A", vec![by(2)]) },
        19 => attempt("under-signed: nothing at all", Vec::new()),
        20 => {
            let seed = 4 + u8::try_from(rng.next_u32() % 2).unwrap();
            attempt("under-signed: by one who may not approve", vec![by(seed)])
        }
        21 => {
            let author = Author::Person(principal(2));
            Attempt { author, ..attempt("under-signed: by its author", vec![by(2)]) }
        }
        22 => {
            let answers = [
                Answer { origin: "https://nexusmon.example.evil", ..GOOD },
                Answer { rp_id: "evil", ..GOOD },
                Answer { flags: 1, ..GOOD },
                Answer { flags: 4, ..GOOD },
                Answer { kind: "webauthn.create", ..GOOD },
            ];
            attempt(
                "forged: a passkey's answer of another kind",
                passkey(&answers[number / 25 % answers.len()]),
            )
        }
        23 => {
            let mut decision = by_passkey(statement(1));
            decision.statement.nonce = Nonce::from_bytes([seed; 16]);
            attempt("replayed: a passkey's answer to another challenge", vec![decision])
        }
        _ => attempt(
            "forged: a flood with a good one behind it",
            vec![statement(seed).sign(&signing(seed)); MAX_DECISIONS + 1],
        ),
    }
}

fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotEnough { faults, persons, .. } => match faults.first() {
            Some(fault) => fault.reason.to_string(),
            None => format!("{} signed, more are needed", persons.len()),
        },
        Refusal::TooManyDecisions(_) => "too many decisions".to_owned(),
        other => other.to_string(),
    }
}

/// How often what was tried, and why it was refused.
const TABLE: &str = "
40  altered: a bit of the signature -> it is not signed: the signature is not this key's over this document
40  altered: a no into a yes -> it is not signed: the signature is not this key's over this document
40  altered: the digest put in place -> it is not signed: the signature is not this key's over this document
40  altered: the nonce, to be counted again -> it is not signed: the signature is not this key's over this document
40  altered: valid for longer -> it is not signed: the signature is not this key's over this document
40  down-ranked: S work as if it were A -> 1 signed, more are needed
40  forged: a flood with a good one behind it -> too many decisions
8  forged: a passkey's answer of another kind -> it is not signed: the passkey's answer does not hold: it was made at another origin than the key was made for
8  forged: a passkey's answer of another kind -> it is not signed: the passkey's answer does not hold: it was made for another domain
8  forged: a passkey's answer of another kind -> it is not signed: the passkey's answer does not hold: it was made for something other than signing in or signing
8  forged: a passkey's answer of another kind -> it is not signed: the passkey's answer does not hold: nobody touched the authenticator
8  forged: a passkey's answer of another kind -> it is not signed: the passkey's answer does not hold: the authenticator did not check who touched it
40  forged: another key in an approver's name -> it is not signed: the signature is not this key's over this document
40  forged: by a key of nobody -> its key is not in the roster
40  re-aimed: an approval of something else -> it is about another kind of subject
40  re-aimed: another mission -> it is about another mission
40  re-aimed: another organism's -> it is about another organism
40  re-aimed: another plan -> it is about another digest
40  re-aimed: no mission -> it is about another mission
40  re-aimed: the work of another organism -> the roster is of another organism
40  replayed: a passkey's answer to another challenge -> it is not signed: the passkey's answer does not hold: it answers another challenge
40  replayed: after its end -> it has expired
40  replayed: one approval twice -> its signer has been counted already
40  replayed: one that never ends -> it claims to be valid for longer than such an approval can be
40  under-signed: by its author -> its signer is the author, and others may approve
40  under-signed: by one who may not approve -> its signer may not approve
40  under-signed: nothing at all -> 0 signed, more are needed
40  under-signed: two by one key -> its signer has been counted already
40  under-signed: two keys of one person -> it is by a passkey, and rank S wants a key of the command line where somebody has one
";

#[test]
fn a_thousand_forged_approvals_are_refused() {
    let (roster, mut rng) = (roster(), StdRng::seed_from_u64(4));
    let mut counted: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for number in 0..1_000 {
        let Attempt { what, decisions, rank, author, organism } = forge(number, &mut rng);
        let claim = Claim { organism, ..claim(&author, rank) };
        let refusal = enough(&roster, &decisions, &claim, NOW).expect_err(what);
        *counted.entry((what, reason(&refusal))).or_default() += 1;
    }
    // The same roster and work with what is really needed: the refusals above are not for nothing.
    assert!(enough(&roster, &[by(2), by(3)], &claim(&planner(), Rank::S), NOW).is_ok());
    assert_eq!(counted.values().sum::<usize>(), 1_000);
    let table = counted.iter().fold(String::new(), |mut table, ((what, why), count)| {
        writeln!(table, "{count}  {what} -> {why}").unwrap();
        table
    });
    assert_eq!(table, TABLE.trim_start());
}

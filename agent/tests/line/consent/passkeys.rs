//! Signatures by passkeys: what an authenticator really answered counts, everything near it does not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::outcome::{Ending, Refusal};
use nexusmon_shared::trust::approval::{SignedDecision, Statement, Verdict};
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::{PersonKey, Proof};
use nexusmon_shared::trust::passkey::{Assertion, CredentialKey, Passkey};
use nexusmon_shared::trust::roster::{Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;

use super::forgery::{Forged, Forger};
use super::*;

const ORIGIN: &str = "https://nexus.example";
const RP: &str = "nexus.example";
/// Present and verified.
const GOOD: u8 = 0x05;
const TRIES: usize = 20;

/// An authenticator in software: ES256 for even seeds, `EdDSA` for odd ones, as people have both.
struct Authenticator(u8);

struct Answer<'a> {
    kind: &'a str,
    origin: &'a str,
    rp: &'a str,
    flags: u8,
    challenge: Digest,
    more: &'a str,
}

impl Authenticator {
    fn es256(&self) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&[self.0; 32]).unwrap()
    }

    fn passkey(&self) -> Passkey {
        let public_key = if self.0.is_multiple_of(2) {
            CredentialKey::es256(self.es256().verifying_key().to_sec1_point(false).as_bytes()).unwrap()
        } else {
            CredentialKey::Eddsa(PublicKey::of(&signing(self.0)))
        };
        let (rp_id, origin) = (RP.to_owned(), ORIGIN.to_owned());
        Passkey { rp_id, origin, credential_id: vec![self.0; 16], public_key }
    }

    fn person_key(&self) -> PersonKey {
        PersonKey::Passkey(self.passkey())
    }

    fn answer(&self, answer: &Answer<'_>) -> Assertion {
        let Answer { kind, origin, rp, flags, challenge, more } = answer;
        let challenge = URL_SAFE_NO_PAD.encode(challenge.as_bytes());
        let client_data =
            format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#)
                .into_bytes();
        let mut authenticator_data = Digest::of(rp.as_bytes()).as_bytes().to_vec();
        authenticator_data.extend([*flags, 0, 0, 0, 1]);
        let signed = [authenticator_data.as_slice(), Digest::of(&client_data).as_bytes()].concat();
        let signature = if self.0.is_multiple_of(2) {
            let signature: p256::ecdsa::Signature =
                p256::ecdsa::signature::Signer::sign(&self.es256(), &signed);
            signature.to_der().as_bytes().to_vec()
        } else {
            signing(self.0).sign(&signed).to_bytes().to_vec()
        };
        Assertion { client_data, authenticator_data, signature }
    }

    /// A decision in the name of this passkey, with what the authenticator was made to say.
    fn decide(&self, statement: Statement, change: impl FnOnce(&mut Answer<'_>)) -> SignedDecision {
        let mut answer = Answer {
            kind: "webauthn.get",
            origin: ORIGIN,
            rp: RP,
            flags: GOOD,
            challenge: statement.digest(),
            more: "",
        };
        change(&mut answer);
        let proof = Proof::Passkey(self.answer(&answer));
        SignedDecision { statement, key: self.person_key().id(), proof }
    }
}

/// The usual roster, where persons 2 and 3 have a passkey each beside their key.
fn with_passkeys() -> Roster {
    let mut roster = roster();
    for number in [2, 3] {
        let keys = &mut roster.persons.get_mut(&person(number)).unwrap().keys;
        keys.insert(Authenticator(number + 100).person_key());
    }
    roster
}

/// Takes the passkey of person 2 or 3, whose algorithms differ, and one wrong thing.
fn forge(forger: &mut Forger, kind: usize, salt: usize) -> Option<Forged> {
    let seed = if salt.is_multiple_of(2) { 102 } else { 103 };
    let own = Authenticator(seed);
    let bad = |forger: &mut Forger, what, change: &dyn Fn(&mut Answer<'_>)| {
        forger.with(what, |forger, plan| vec![own.decide(forger.statement(plan.0.digest), change)])
    };
    let altered = |forger: &mut Forger, what, edit: &dyn Fn(&mut Assertion)| {
        forger.with(what, |forger, plan| {
            let mut decision = own.decide(forger.statement(plan.0.digest), |_| {});
            let Proof::Passkey(assertion) = &mut decision.proof else { unreachable!() };
            edit(assertion);
            vec![decision]
        })
    };
    Some(match kind {
        0 => bad(forger, "at another origin", &|answer| answer.origin = "https://nexus.example.evil"),
        1 => {
            bad(forger, "at a neighbour of the origin", &|answer| answer.origin = "https://www.nexus.example")
        }
        2 => bad(forger, "for another domain", &|answer| answer.rp = "example"),
        3 => {
            bad(forger, "to another challenge", &|answer| answer.challenge = Digest::of(&salt.to_be_bytes()))
        }
        4 => bad(forger, "nobody was verified", &|answer| answer.flags = 0x01),
        5 => bad(forger, "nobody was present", &|answer| answer.flags = 0x04),
        6 => bad(forger, "for making a passkey", &|answer| answer.kind = "webauthn.create"),
        7 => bad(forger, "inside another page", &|answer| answer.more = r#","crossOrigin":true"#),
        8 => altered(forger, "a bit of the signature", &|assertion| {
            let place = salt % assertion.signature.len();
            assertion.signature[place] ^= 1 << (salt % 8);
        }),
        9 => altered(forger, "a bit of the authenticator's data", &|assertion| {
            let last = assertion.authenticator_data.len() - 1;
            assertion.authenticator_data[last] ^= 1 << (salt % 8);
        }),
        10 => {
            altered(forger, "a space in the client data", &|assertion| assertion.client_data.insert(1, b' '))
        }
        11 => altered(forger, "cut off", &|assertion| assertion.authenticator_data.truncate(salt)),
        12 => forger.with("by a passkey of nobody", |forger, plan| {
            let stranger = Authenticator(120 + u8::try_from(salt).unwrap());
            vec![stranger.decide(forger.statement(plan.0.digest), |_| {})]
        }),
        13 => forger.with("in the name of another's passkey", |forger, plan| {
            let other = Authenticator(if seed == 102 { 103 } else { 102 });
            let decision = own.decide(forger.statement(plan.0.digest), |_| {});
            vec![SignedDecision { key: other.person_key().id(), ..decision }]
        }),
        14 => forger.with("over another plan", |forger, plan| {
            let other = own.decide(forger.statement(Digest::of(&salt.to_be_bytes())), |_| {});
            let statement = forger.statement(plan.0.digest);
            vec![SignedDecision { statement, ..other }]
        }),
        15 => forger.with("a no turned into a yes", |forger, plan| {
            let no = Statement { verdict: Verdict::Reject, ..forger.statement(plan.0.digest) };
            let mut decision = own.decide(no, |_| {});
            decision.statement.verdict = Verdict::Approve;
            vec![decision]
        }),
        16 => forger.with("a log-in's answer", |forger, plan| {
            let login = Digest::of(b"nexusmon/challenge/v1");
            vec![own.decide(forger.statement(plan.0.digest), |answer| answer.challenge = login)]
        }),
        17 => forger.wide_by("S work by two passkeys", |statement| {
            [102, 103].map(|seed| Authenticator(seed).decide(statement, |_| {})).to_vec()
        }),
        _ => return None,
    })
}

const KINDS: usize = 18;

async fn holding(stage: &Stage, roster: Roster, config: Option<Config>) -> (Actor, FakeSession) {
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    nexusmon_agent::roster::reset(stage.folder.path(), Some(cli(1).id()), now).unwrap();
    let act = |_: &_| Act::After(std::time::Duration::ZERO, succeeded());
    let actor = match config {
        Some(config) => stage.agent_as(config, act).await,
        None => stage.agent(act).await,
    };
    let first = stage.fake.session().await;
    first.welcome(Vec::new()).await;
    first.send(message(&SignedRoster::new(roster).signed_by(&signing(1)))).await;
    let session = stage.fake.session().await;
    assert_eq!(session.hello.roster, 1);
    session.welcome(Vec::new()).await;
    (actor, session)
}

/// A good approval of A work by this passkey.
fn good(forger: &mut Forger, seed: u8) -> Forged {
    forger.with("good", |forger, plan| {
        vec![Authenticator(seed).decide(forger.statement(plan.0.digest), |_| {})]
    })
}

#[tokio::test]
async fn forged_assertions_are_refused_and_true_ones_count() {
    let stage = Stage::new().await;
    let (actor, mut session) = holding(&stage, with_passkeys(), None).await;
    let mut forger = Forger::new();
    let mut counted: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for salt in 0..TRIES {
        let mut sent = BTreeMap::new();
        for kind in 0..KINDS {
            let forged = forge(&mut forger, kind, salt).unwrap();
            send(&session, &forged).await;
            sent.insert(forged.order.attempt, forged.what);
        }
        for report in session.reports(KINDS).await {
            let what = sent.remove(&report.attempt).expect("one report for each");
            let Ending::Refused { reason: Refusal::BadSignature, detail } = report.ending else {
                panic!("{what}: {:?}", report.ending)
            };
            let why = detail.split_once("decision 0: ").map_or(detail.as_str(), |(_, why)| why);
            let why = why.split("; decision").next().unwrap_or_default().to_owned();
            *counted.entry((what, why)).or_default() += 1;
            session.send(CoordinatorMessage::Ack(vec![report.attempt])).await;
        }
    }
    assert_eq!(actor.worker.seen().executed, [], "none of them ran");
    assert_eq!(counted.values().sum::<usize>(), KINDS * TRIES);
    let table = counted.iter().fold(String::new(), |mut table, ((what, why), count)| {
        writeln!(table, "{count}  {what} -> {why}").unwrap();
        table
    });
    println!("{table}");
    insta::assert_snapshot!(table);
    // Both algorithms, as an authenticator answers them.
    for seed in [102, 103] {
        send(&session, &good(&mut forger, seed)).await;
        let reports = session.reports(1).await;
        assert_eq!(reports[0].ending, succeeded(), "{seed}");
    }
    assert_eq!(actor.worker.seen().executed.len(), 2);
    actor.kill().await;
}

#[tokio::test]
async fn a_machine_may_want_keys_of_the_command_line_alone() {
    let stage = Stage::new().await;
    std::fs::write(stage.folder.path().join("agent.toml"), "cli_keys_only = true\n").unwrap();
    let config = Config::load(nexusmon_agent::config::Settings {
        data_dir: Some(stage.folder.path().to_owned()),
        ..nexusmon_agent::config::Settings::default()
    })
    .unwrap();
    assert!(config.cli_keys_only);
    let (actor, mut session) = holding(&stage, with_passkeys(), Some(config)).await;
    let mut forger = Forger::new();
    send(&session, &good(&mut forger, 102)).await;
    let reports = session.reports(1).await;
    let Ending::Refused { reason: Refusal::BadSignature, detail } = &reports[0].ending else {
        panic!("{reports:?}")
    };
    assert!(detail.contains("cli_keys_only"), "{detail}");
    let by_key = forger.with("good", |forger, plan| vec![forger.statement(plan.0.digest).sign(&signing(2))]);
    send(&session, &by_key).await;
    assert_eq!(session.reports(1).await[0].ending, succeeded());
    actor.kill().await;
}

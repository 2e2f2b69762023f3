//! A coordinator with the whole database and the CA in its hands, and none of the approvers' keys: it speaks the real
//! protocol over real TLS, sends a thousand orders of A and S work, and a real agent carries out none of them.

mod forgery;
mod passkeys;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ed25519_dalek::SigningKey;
use nexusmon_shared::id::{AgentId, MissionId, OrganismId, PrincipalId};
use nexusmon_shared::message::{CoordinatorMessage, RevokedApproval};
use nexusmon_shared::outcome::{Ending, Refusal, Report};
use nexusmon_shared::plan::Author;
use nexusmon_shared::trust::approval::StandingApproval;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_shared::trust::signable::Signable as _;

use super::fake::FakeSession;
use super::plan::{Sample, orders, task};
use super::*;
use forgery::{Forged, Forger, KINDS};

const ORGANISM: OrganismId = OrganismId::from_bits(1);
const MISSION: MissionId = MissionId::from_bits(1);
/// The agent's own id: `Stage` joins it with this invite.
const HERE: AgentId = AgentId::from_bits(5);
const EACH: usize = 25;

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn cli(seed: u8) -> PersonKey {
    PersonKey::Cli { public_key: PublicKey::of(&signing(seed)) }
}

fn person(number: u8) -> PrincipalId {
    PrincipalId::from_bits(number.into())
}

/// An owner (key 1), two approvers (2 and 3), an operator (4).
fn roster() -> Roster {
    let roles = [(1, Role::Owner), (2, Role::Approver), (3, Role::Approver), (4, Role::Operator)];
    let persons = roles.into_iter().map(|(seed, role)| {
        (person(seed), Person { name: format!("person {seed}"), role, keys: [cli(seed)].into() })
    });
    Roster {
        organism: ORGANISM,
        number: 1,
        predecessor: None,
        persons: persons.collect(),
        need: Need::default(),
        agents: BTreeMap::new(),
        recovery: None,
    }
}

fn message(signed: &SignedRoster) -> CoordinatorMessage {
    CoordinatorMessage::Roster(canonical::to_bytes(signed).unwrap().into())
}

/// An agent that was told the owner's key, with a session in which it holds the roster.
async fn trusting(stage: &Stage) -> (Actor, FakeSession) {
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    nexusmon_agent::roster::reset(stage.folder.path(), Some(cli(1).id()), now).unwrap();
    let actor = stage.agent(|_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let first = stage.fake.session().await;
    assert_eq!(first.hello.roster, 0);
    first.welcome(Vec::new()).await;
    first.send(message(&SignedRoster::new(roster()).signed_by(&signing(1)))).await;
    // It says so in a Hello.
    let session = stage.fake.session().await;
    assert_eq!(session.hello.roster, 1);
    session.welcome(Vec::new()).await;
    (actor, session)
}

async fn send(session: &FakeSession, forged: &Forged) {
    session.send(forged.plan.notice_with(forged.decisions.clone())).await;
    session.send(orders(session.session, vec![forged.order.clone()])).await;
}

#[tokio::test]
async fn a_thousand_orders_nobody_approved_are_refused() {
    let stage = Stage::new().await;
    let (actor, mut session) = trusting(&stage).await;
    // It would be glad to bring a roster of its own, too.
    let mut own = Roster { number: 2, predecessor: Some(roster().digest()), ..roster() };
    own.persons.get_mut(&person(1)).unwrap().keys = [cli(66)].into();
    session.send(message(&SignedRoster::new(own).signed_by(&signing(66)))).await;

    let mut forger = Forger::new();
    let good = forger.good();
    let mut counted: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for _ in 0..EACH {
        let mut sent = BTreeMap::new();
        for kind in 0..KINDS {
            let forged = forger.forge(kind);
            send(&session, &forged).await;
            sent.insert(forged.order.attempt, forged.what);
        }
        for report in session.reports(KINDS).await {
            let what = sent.remove(&report.attempt).expect("one report for each");
            let Ending::Refused { reason, detail } = report.ending else {
                panic!("{what}: {:?}", report.ending)
            };
            assert_ne!(reason, Refusal::MissingConsent, "{what}: it holds a roster");
            *counted.entry((what, format!("{reason:?}: {}", kind_of(&detail)))).or_default() += 1;
            session.send(CoordinatorMessage::Ack(vec![report.attempt])).await;
        }
    }
    assert_eq!(actor.worker.seen().executed, [], "none of them ran");
    assert_eq!(counted.values().sum::<usize>(), 1_000);
    let table = counted.iter().fold(String::new(), |mut table, ((what, why), count)| {
        writeln!(table, "{count}  {what} -> {why}").unwrap();
        table
    });
    println!("{table}");
    insta::assert_snapshot!(table);

    // What people really approved runs, as often as they allowed: once and one retry. Then it is replayed.
    for forged in &good {
        send(&session, forged).await;
    }
    let reports = session.reports(good.len()).await;
    assert!(reports.iter().all(|report| report.ending == succeeded()), "{reports:#?}");
    let executed = actor.worker.seen().executed.len();
    assert_eq!(executed, good.len());
    for forged in &good {
        for _ in 0..10 {
            let again = forger.replay(forged);
            send(&session, &again).await;
        }
    }
    let reports = session.reports(good.len() * 10).await;
    let ran = reports.iter().filter(|report| report.ending == succeeded()).count();
    assert_eq!(ran, good.len(), "one retry each");
    assert_eq!(actor.worker.seen().executed.len(), 2 * good.len());
    // A standing approval covers three starts on this machine, whatever coordinator counts them.
    let covered = forger.covered();
    for _ in 0..10 {
        send(&session, &forger.replay(&covered)).await;
    }
    let reports = session.reports(10).await;
    let ran = reports.iter().filter(|report| report.ending == succeeded()).count();
    assert_eq!(ran, 3, "{reports:#?}");
    actor.kill().await;

    // A crash makes no difference: starts are counted on the disk.
    let actor = stage.agent(|_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let mut session = stage.fake.session().await;
    assert_eq!(session.hello.roster, 1);
    session.welcome(session.hello.held.iter().map(|held| held.attempt).collect()).await;
    for forged in good.iter().chain([&covered]) {
        send(&session, &forger.replay(forged)).await;
    }
    for report in session.reports(good.len() + 1).await {
        assert!(
            matches!(&report.ending, Ending::Refused { reason: Refusal::BadSignature, .. }),
            "{report:?}"
        );
    }
    assert_eq!(actor.worker.seen().executed, []);
    actor.kill().await;
}

/// The beginning of an explanation, without what differs from one order to the next.
fn kind_of(detail: &str) -> String {
    let detail = detail.split_once(": it was made").map_or(detail, |(before, _)| before);
    detail.chars().take(120).collect()
}

#[tokio::test]
async fn without_a_roster_nothing_grave_runs_and_a_foreign_one_is_not_taken() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    // It joined before there was a key: nobody can bring one by saying so.
    session.send(message(&SignedRoster::new(roster()).signed_by(&signing(1)))).await;
    for forged in Forger::new().good() {
        send(&session, &forged).await;
        let reports = session.reports(1).await;
        let Ending::Refused { reason: Refusal::MissingConsent, detail } = &reports[0].ending else {
            panic!("{reports:?}")
        };
        assert!(detail.contains("nexusmon key make"), "{detail}");
    }
    actor.kill().await;
}

#[tokio::test]
async fn what_was_taken_back_covers_nothing_also_after_a_restart() {
    let stage = Stage::new().await;
    let (actor, mut session) = trusting(&stage).await;
    let mut forger = Forger::new();
    let covered = forger.covered();
    send(&session, &covered).await;
    assert_eq!(session.reports(1).await[0].ending, succeeded());
    let shown = covered.order.standing.as_ref().unwrap();
    let document = StandingApproval::read(&shown.standing).unwrap();
    let (digest, expires_at) = (document.digest(), document.expires_at);
    session.send(CoordinatorMessage::RevokedStanding(vec![RevokedApproval { digest, expires_at }])).await;
    let refused = |report: &Report| {
        let Ending::Refused { reason: Refusal::MissingConsent, detail } = &report.ending else {
            panic!("{report:?}")
        };
        assert!(detail.contains("taken back"), "{detail}");
    };
    send(&session, &forger.replay(&covered)).await;
    refused(&session.reports(1).await[0]);
    actor.kill().await;
    // Whoever holds the coordinator now says nothing of it.
    let actor = stage.agent(|_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let mut session = stage.fake.session().await;
    session.welcome(session.hello.held.iter().map(|held| held.attempt).collect()).await;
    send(&session, &forger.replay(&covered)).await;
    refused(&session.reports(1).await[0]);
    actor.kill().await;
}

#[tokio::test]
async fn a_machine_may_want_signatures_for_less() {
    let stage = Stage::new().await;
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    nexusmon_agent::roster::reset(stage.folder.path(), Some(cli(1).id()), now).unwrap();
    std::fs::write(stage.folder.path().join("agent.toml"), "signed_from = \"E\"\n").unwrap();
    let config = Config::load(nexusmon_agent::config::Settings {
        data_dir: Some(stage.folder.path().to_owned()),
        ..nexusmon_agent::config::Settings::default()
    })
    .unwrap();
    assert_eq!(config.signed_from, nexusmon_shared::rank::Rank::E);
    let said = |text: &str| {
        std::fs::write(stage.folder.path().join("agent.toml"), text).unwrap();
        Config::load(nexusmon_agent::config::Settings {
            data_dir: Some(stage.folder.path().to_owned()),
            ..nexusmon_agent::config::Settings::default()
        })
    };
    assert!(said("signed_from = \"S\"\n").unwrap_err().to_string().contains("signed_from"));
    let tame = Sample::by(Author::Token(person(9)), "tame", vec![task("t", |_| {})]);
    let strict = stage.agent_as(config, |_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(tame.notice()).await;
    session.send(orders(session.session, vec![tame.order(0, 1)])).await;
    let reports = session.reports(1).await;
    let unsigned = |reports: &[Report]| {
        matches!(&reports[0].ending, Ending::Refused { reason: Refusal::MissingConsent, .. })
    };
    assert!(unsigned(&reports), "{reports:?}");
    // With a roster it is no forgery either: nobody was asked, and another machine may do it.
    session.send(message(&SignedRoster::new(roster()).signed_by(&signing(1)))).await;
    let mut session = stage.fake.session().await;
    assert_eq!(session.hello.roster, 1);
    session.welcome(Vec::new()).await;
    session.send(tame.notice()).await;
    session.send(orders(session.session, vec![tame.order(0, 2)])).await;
    let reports = session.reports(1).await;
    assert!(unsigned(&reports), "{reports:?}");
    strict.kill().await;
}

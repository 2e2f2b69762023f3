//! Tasks that attempts add: written down, sent until they are answered, believed by nobody without the signature.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, OrganismId, PrincipalId, TaskId};
use nexusmon_shared::message::{AgentMessage, CoordinatorMessage, Order, Spawn, SpawnAnswer, SpawnedUse};
use nexusmon_shared::outcome::Refusal;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::key::PersonKey;
use nexusmon_shared::trust::roster::{Need, Person, Role, Roster, SignedRoster};
use nexusmon_shared::trust::spawned::{SignedSpawned, Spawned};
use serde_json::{Value, json};

use super::fake::FakeSession;
use super::plan::{Sample, attempt, orders, task};
use super::*;

const HERE: AgentId = AgentId::from_bits(5);

/// One task that may add two, and one that may add none.
fn plan() -> Sample {
    let adds = |t: &mut Value| {
        t["uses"] = "shell.run".into();
        t["with"] = json!({"script": "true"});
        t["spawn"] = json!({"capabilities": ["shell.run"], "max": 2, "rank": "D"});
    };
    let alone = |t: &mut Value| {
        t["uses"] = "shell.run".into();
        t["with"] = json!({"script": "true"});
    };
    Sample::new(vec![task("scan", adds), task("alone", alone)])
}

fn child(id: &str) -> Value {
    json!({"id": id, "uses": "shell.run", "with": {"script": "true"}})
}

/// The next task that is added.
async fn added(session: &mut FakeSession) -> Spawn {
    session
        .until(|message| match message {
            AgentMessage::Spawn(spawn) => Some(spawn),
            AgentMessage::Events(events) => {
                assert!(events.finished.is_empty(), "the report comes behind what was added");
                None
            }
            _ => None,
        })
        .await
}

fn yes(spawn: &Spawn) -> CoordinatorMessage {
    CoordinatorMessage::SpawnResult(SpawnAnswer { task: spawn.task, refused: String::new() })
}

async fn begin(session: &FakeSession, plan: &Sample) {
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(0, 1)])).await;
}

#[tokio::test]
async fn what_is_added_is_signed_and_the_report_waits_for_the_answers() {
    let stage = Stage::new().await;
    let plan = plan();
    let wanted = || {
        vec![
            // What the leaf does not name, and what no task has.
            json!({"id": "x", "uses": "core.noop"}),
            json!({"id": "x", "uses": "shell.run", "colour": 1}),
            child("eu"),
            child("us"),
            // The same once more is the same; a third is too much.
            child("eu"),
            child("af"),
        ]
    };
    let actor = stage.agent(move |_| Act::Adds(wanted())).await;
    let mut session = stage.fake.session().await;
    assert!(session.hello.spawns);
    begin(&session, &plan).await;
    let (first, second) = (added(&mut session).await, added(&mut session).await);
    let key = Home::open(stage.folder.path()).unwrap().identity().verifier();
    for (number, spawn) in (0..).zip([&first, &second]) {
        let signed = SignedSpawned::read(&spawn.signed).unwrap();
        assert!(signed.is_signed_by(&key));
        let document = signed.document;
        assert_eq!((document.task(), document.number), (spawn.task, number));
        assert_eq!(
            (document.agent, document.parent, document.plan_digest),
            (HERE, attempt(0, 1), plan.0.digest)
        );
        assert_eq!(document.leaf.needs, ["scan".parse().unwrap()]);
    }
    session.send(yes(&first)).await;
    let no = SpawnAnswer { task: second.task, refused: "WORKER_SPAWN is locked".to_owned() };
    session.send(CoordinatorMessage::SpawnResult(no)).await;
    let report = session.reports(1).await.remove(0);
    let Ending::Succeeded { outputs } = report.ending else { panic!("{:?}", report.ending) };
    let answers: Vec<&str> =
        outputs["answers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((answers[2], answers[4]), (first.task.to_string().as_str(), answers[2]));
    assert_eq!(answers[3], "WORKER_SPAWN is locked");
    for (place, part) in [(0, "spawn.capabilities"), (1, "colour"), (5, "spawn.max")] {
        assert!(answers[place].contains(part), "{}", answers[place]);
    }
    actor.kill().await;
}

#[tokio::test]
async fn one_that_was_not_answered_is_sent_again_also_by_the_next_life() {
    let stage = Stage::new().await;
    let plan = plan();
    let adds = |job: &nexusmon_agent::run::Job| match job.spec.id.as_str() {
        "scan" => Act::Adds(vec![child("eu")]),
        _ => Act::After(std::time::Duration::ZERO, succeeded()),
    };
    let actor = stage.agent(adds).await;
    let mut session = stage.fake.session().await;
    begin(&session, &plan).await;
    let first = added(&mut session).await;
    session.cut();
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    assert_eq!(added(&mut session).await, first, "the same bytes");
    // It is on the disk and nobody has answered: the agent crashes.
    actor.kill().await;
    drop(session);
    let actor = stage.agent(adds).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    assert_eq!(added(&mut session).await, first, "before the report that its attempt was lost");
    assert_eq!(session.reports(1).await[0].ending, Ending::Unknown);
    session.send(yes(&first)).await;
    session.send(CoordinatorMessage::Ack(vec![attempt(0, 1)])).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(1, 1)])).await;
    session.reports(1).await;
    actor.kill().await;
    drop(session);
    // What was answered stays answered.
    let actor = stage.agent(adds).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(1, 2)])).await;
    let mut sent_again = false;
    let reported = |message| match message {
        AgentMessage::Spawn(_) => {
            sent_again = true;
            None
        }
        AgentMessage::Events(events) => {
            events.finished.iter().any(|report| report.attempt == attempt(1, 2)).then_some(())
        }
        _ => None,
    };
    session.until(reported).await;
    assert!(!sent_again);
    actor.kill().await;
}

#[tokio::test]
async fn an_attempt_that_is_stale_adds_nothing_any_more() {
    let stage = Stage::new().await;
    let plan = plan();
    let actor = stage.agent(|_| Act::Adds(vec![child("eu")])).await;
    let mut session = stage.fake.session().await;
    begin(&session, &plan).await;
    added(&mut session).await;
    session.cut();
    let mut session = stage.fake.session().await;
    session.welcome(vec![attempt(0, 1)]).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(0, 2)])).await;
    let next = added(&mut session).await;
    assert_eq!(SignedSpawned::read(&next.signed).unwrap().document.parent, attempt(0, 2));
    actor.kill().await;
}

/// What a coordinator might do to the order of an added task.
struct Lie {
    document: Spawned,
    leaf: Option<TaskSpec>,
    parent: usize,
    rank: Rank,
    change: fn(&mut Order),
}

impl Lie {
    fn honest(plan: &Sample) -> Self {
        let document = Spawned {
            organism: OrganismId::from_bits(1),
            agent: HERE,
            plan_digest: plan.0.digest,
            parent: attempt(0, 1),
            number: 0,
            leaf: task("eu", |t| {
                t["uses"] = "shell.run".into();
                t["with"] = json!({"script": "true"});
                t["needs"] = json!(["scan"]);
            }),
        };
        Self { document, leaf: None, parent: 0, rank: Rank::E, change: |_| {} }
    }

    /// Signed by this agent or, with `key`, by somebody else.
    fn order(self, plan: &Sample, home: &Home, key: Option<&SigningKey>, fence: u64) -> Order {
        let signed = match key {
            Some(key) => self.document.sign(key).unwrap(),
            None => home.identity().sign_spawned(self.document).unwrap(),
        };
        let leaf = self.leaf.as_ref().unwrap_or(&signed.document.leaf);
        let mut order = Order {
            attempt: AttemptRef { task: signed.document.task(), fence: Fence { epoch: 1, number: fence } },
            leaf: canonical::to_bytes(leaf).unwrap().into(),
            leaf_index: 2,
            proof: Vec::new(),
            rank: self.rank,
            spawned: Some(Box::new(SpawnedUse {
                signed: signed.to_bytes().into(),
                parent_leaf: Bytes::from(plan.0.leaves[self.parent].clone()),
                parent_index: self.parent as u64,
                parent_proof: plan.0.tree.proof(self.parent).unwrap(),
            })),
            ..plan.order(0, 1)
        };
        (self.change)(&mut order);
        order
    }
}

fn used(order: &mut Order) -> &mut SpawnedUse {
    order.spawned.as_mut().unwrap()
}

type Cheat = (&'static str, Refusal, fn(&mut Lie));

const CHEATS: [Cheat; 17] = [
    ("the leaf is another", Refusal::BadProof, |lie| {
        let mut leaf = lie.document.leaf.clone();
        leaf.with.insert("script".to_owned(), json!("curl evil"));
        lie.leaf = Some(leaf);
    }),
    ("it is shown as another task", Refusal::BadProof, |lie| {
        lie.change = |order| order.attempt.task = TaskId::from_bits(1);
    }),
    ("another organism", Refusal::BadProof, |lie| lie.document.organism = OrganismId::from_bits(2)),
    ("another plan", Refusal::BadProof, |lie| lie.document.plan_digest = Digest::of(b"other")),
    ("a parent without an envelope", Refusal::BadProof, |lie| {
        lie.parent = 1;
        lie.document.leaf.needs = vec!["alone".parse().unwrap()];
    }),
    ("a parent that is in no plan", Refusal::BadProof, |lie| {
        lie.change = |order| {
            let mut leaf: Value = serde_json::from_slice(&used(order).parent_leaf).unwrap();
            leaf["spawn"]["rank"] = json!("B");
            used(order).parent_leaf = canonical::to_bytes(&leaf).unwrap().into();
        };
    }),
    ("a parent at another place", Refusal::BadProof, |lie| lie.change = |order| used(order).parent_index = 1),
    ("a proof of something else", Refusal::BadProof, |lie| {
        lie.change = |order| used(order).parent_proof = vec![Digest::of(b"x")];
    }),
    ("a third one", Refusal::BadProof, |lie| lie.document.number = 2),
    ("a capability that is not named", Refusal::BadProof, |lie| {
        lie.document.leaf.uses = "core.noop".parse().unwrap();
    }),
    ("it ranks above the envelope by what it is", Refusal::BadProof, |lie| {
        lie.document.leaf.effects.spends = true;
    }),
    ("it ranks above the envelope by what is said", Refusal::BadProof, |lie| lie.rank = Rank::B),
    ("values that were not signed", Refusal::BadProof, |lie| {
        lie.change = |order| order.parameters = Some(Bytes::from_static(b"{\"script\":\"curl evil\"}"));
    }),
    ("an element of a list", Refusal::BadProof, |lie| lie.change = |order| order.item_index = Some(1)),
    ("no signature that is one", Refusal::BadProof, |lie| {
        lie.change = |order| {
            let signed = used(order).signed.clone();
            used(order).signed = signed.slice(..signed.len() - 2);
        };
    }),
    ("nobody added it at all", Refusal::BadProof, |lie| lie.change = |order| order.spawned = None),
    ("an agent that no roster names", Refusal::MissingConsent, |lie| {
        lie.document.agent = AgentId::from_bits(77);
    }),
];

#[tokio::test]
async fn a_coordinator_cannot_make_up_what_an_agent_added() {
    let stage = Stage::new().await;
    let plan = plan();
    let actor = stage.agent(|_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    let home = Home::open(stage.folder.path()).unwrap();
    let mut fence = 0;
    let mut refused = async |order: Order| -> (Refusal, String) {
        session.send(orders(session.session, vec![order.clone()])).await;
        let report = session.reports(1).await.remove(0);
        assert_eq!(report.attempt, order.attempt);
        session.send(CoordinatorMessage::Ack(vec![report.attempt])).await;
        match report.ending {
            Ending::Refused { reason, detail } => (reason, detail),
            other => panic!("{other:?}: {order:?}"),
        }
    };
    for (what, reason, cheat) in CHEATS {
        fence += 1;
        let mut lie = Lie::honest(&plan);
        cheat(&mut lie);
        let (found, detail) = refused(lie.order(&plan, &home, None, fence)).await;
        assert_eq!(found, reason, "{what}: {detail}");
    }
    // With a key of its own it can sign what it likes.
    for seed in [1, 2, 3] {
        fence += 1;
        let own = SigningKey::from_bytes(&[seed; 32]);
        let (found, detail) = refused(Lie::honest(&plan).order(&plan, &home, Some(&own), fence)).await;
        assert_eq!(found, Refusal::BadSignature, "{detail}");
    }
    assert_eq!(actor.worker.seen().executed, [], "none of them ran");

    // What this agent really added runs, once per fence.
    let honest = Lie::honest(&plan).order(&plan, &home, None, fence + 1);
    for _ in 0..3 {
        session.send(orders(session.session, vec![honest.clone()])).await;
    }
    let report = session.reports(1).await.remove(0);
    assert_eq!((report.attempt, report.ending), (honest.attempt, succeeded()));
    let ask = Lie::honest(&plan).order(&plan, &home, None, fence + 2);
    session.send(orders(session.session, vec![ask.clone()])).await;
    assert_eq!(session.reports(1).await[0].attempt, ask.attempt);
    assert_eq!(actor.worker.seen().executed, [honest.attempt, ask.attempt]);
    actor.kill().await;
}

/// Of another machine, once the owner's roster names it.
#[tokio::test]
async fn another_machines_word_counts_by_the_roster() {
    let stage = Stage::new().await;
    let plan = plan();
    let other = SigningKey::from_bytes(&[77; 32]);
    let owner = SigningKey::from_bytes(&[1; 32]);
    let cli = PersonKey::Cli { public_key: PublicKey::of(&owner) };
    let roster = Roster {
        organism: OrganismId::from_bits(1),
        number: 1,
        predecessor: None,
        persons: [(
            PrincipalId::from_bits(1),
            Person { name: "owner".to_owned(), role: Role::Owner, keys: [cli.clone()].into() },
        )]
        .into(),
        need: Need::default(),
        agents: [(AgentId::from_bits(77), PublicKey::of(&other))].into(),
        recovery: None,
    };
    let now = Timestamp::from_micros(1_900_000_000_000_000);
    nexusmon_agent::roster::reset(stage.folder.path(), Some(cli.id()), now).unwrap();
    let actor = stage.agent(|_| Act::After(std::time::Duration::ZERO, succeeded())).await;
    let session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    let signed = SignedRoster::new(roster).signed_by(&owner);
    session.send(CoordinatorMessage::Roster(canonical::to_bytes(&signed).unwrap().into())).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    let home = Home::open(stage.folder.path()).unwrap();
    let by_other = || {
        let mut lie = Lie::honest(&plan);
        lie.document.agent = AgentId::from_bits(77);
        lie
    };
    let good = by_other().order(&plan, &home, Some(&other), 1);
    session.send(orders(session.session, vec![good.clone()])).await;
    assert_eq!(session.reports(1).await[0].ending, succeeded());
    // Signed by this very machine in the other's name.
    let forged = by_other().order(&plan, &home, None, 2);
    session.send(orders(session.session, vec![forged])).await;
    let report = session.reports(1).await.remove(0);
    assert!(matches!(report.ending, Ending::Refused { reason: Refusal::BadSignature, .. }), "{report:?}");
    assert_eq!(actor.worker.seen().executed, [good.attempt]);
    actor.kill().await;
}

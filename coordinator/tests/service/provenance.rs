//! What agents sign about artifacts: taken in as theirs only.

use nexusmon_coordinator::service::{PageRequest, provenance, tasks, vault};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, MissionId};
use nexusmon_shared::message::Order;
use nexusmon_shared::outcome::{ProducedArtifact, Report};
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::trust::provenance::{Material, Provenance};
use serde_json::json;

use crate::harness::{Agent, World, both, identity_key, succeed};

const CONTENT: &[u8] = b"made here\n";

fn statement(world: &World, mission: MissionId, order: &Order, agent: AgentId) -> Provenance {
    let spec: TaskSpec = serde_json::from_slice(&order.leaf).unwrap();
    Provenance {
        organism: world.app.organism,
        agent,
        mission,
        plan_digest: order.plan_digest,
        task: spec.id,
        attempt: order.attempt,
        item_index: order.item_index,
        capability: spec.uses,
        plugin_version: "1.0.0".to_owned(),
        rank: Rank::E,
        profile: Profile::Strict,
        level: Level::L3,
        parameters: Digest::of(b"{}"),
        inputs: Vec::new(),
        approvals: Vec::new(),
        artifacts: vec![Material { name: "out.txt".to_owned(), digest: Digest::of(CONTENT) }],
        log: None,
        started_at: world.app.clock.now(),
        finished_at: world.app.clock.now(),
    }
}

async fn report(world: &World, agent: &Agent, attempt: AttemptRef, envelope: Option<String>) {
    let digest = Digest::of(CONTENT);
    let blobs = vec![(digest, i64::try_from(CONTENT.len()).unwrap())];
    world
        .app
        .store
        .write_with("test.blobs", blobs, |tx, blobs| {
            Box::pin(async move {
                let now = tx.now();
                tx.put_blobs(blobs, now).await
            })
        })
        .await
        .unwrap();
    let now = world.app.clock.now();
    let artifact = ProducedArtifact {
        name: "out.txt".to_owned(),
        digest,
        size: CONTENT.len() as u64,
        media_type: "text/plain".to_owned(),
        withheld: false,
    };
    let report = Report {
        attempt,
        ending: succeed(json!({})),
        started_at: Some(now),
        finished_at: now,
        artifacts: vec![artifact],
        log_bytes: 0,
        sandbox_level: Some(Level::L3),
        provenance: envelope,
    };
    tasks::report(&world.app, agent.id, agent.live.session(), vec![report]).await.unwrap();
}

fn signed(by: &str, statement: &Provenance) -> String {
    let envelope = identity_key(by).attest(statement).unwrap();
    serde_json::to_string(&envelope).unwrap()
}

async fn begun(world: &World, agent: &mut Agent) -> (MissionId, Order) {
    let mission =
        json!({"goal": "make", "tasks": [{"id": "a", "uses": "probe.run", "on": {"agent": "one"}}]});
    let id = world.create(mission).await.summary.id;
    agent.live.set_credit(4);
    world.tick().await;
    (id, agent.orders().remove(0))
}

async fn outputs(world: &World, mission: MissionId) -> Vec<vault::ArtifactView> {
    let filter = vault::ArtifactFilter {
        mission: Some(mission),
        kind: Some("output".to_owned()),
        ..Default::default()
    };
    vault::list(&world.app, filter, PageRequest::default()).await.unwrap().items
}

both! {
    async fn what_an_agent_signs_is_kept_with_the_version(world) {
        let mut one = world.agent("one").await;
        let (mission, order) = begun(&world, &mut one).await;
        let said = statement(&world, mission, &order, one.id);
        report(&world, &one, order.attempt, Some(signed("one", &said))).await;
        let made = outputs(&world, mission).await;
        assert_eq!(made[0].latest.status, "active");
        let shown = provenance::of_version(&world.app, made[0].id, None).await.unwrap();
        assert_eq!((shown.agent, shown.digest), (one.id, Digest::of(CONTENT)));
        assert_eq!(shown.identity_key.as_bytes(), &identity_key("one").public());
        let envelope = nexusmon_shared::trust::dsse::Envelope::read(shown.envelope.to_string().as_bytes()).unwrap();
        assert_eq!(Provenance::open(&envelope, |_| Some(shown.identity_key)).unwrap(), said);
    }

    async fn an_agent_cannot_forge_the_provenance_of_another_or_of_other_work(world) {
        let (mut one, two) = (world.agent("one").await, world.agent("two").await);
        let other = begun(&world, &mut one).await;
        let mut forged = 0;
        for case in 0..8 {
            let (mission, order) = begun(&world, &mut one).await;
            let honest = statement(&world, mission, &order, one.id);
            let elsewhere = statement(&world, other.0, &other.1, one.id);
            let envelope = match case {
                // By another's key in its own name, and in the other's name by its own key.
                0 => Some(signed("two", &honest)),
                1 => Some(signed("one", &Provenance { agent: two.id, ..honest })),
                2 => Some(signed("two", &Provenance { agent: two.id, ..honest })),
                // True of something else.
                3 => Some(signed("one", &elsewhere)),
                4 => Some(signed("one", &Provenance { mission: other.0, ..honest })),
                5 => Some(signed("one", &Provenance { plan_digest: other.1.plan_digest, ..honest })),
                6 => Some(signed("one", &Provenance { artifacts: Vec::new(), ..honest })),
                _ => Some("{\"payload\": \"\"}".to_owned()),
            };
            report(&world, &one, order.attempt, envelope).await;
            assert_eq!(world.status(mission).await, "succeeded", "case {case}: the work itself was reported");
            let made = outputs(&world, mission).await;
            assert_eq!(made[0].latest.status, "withheld", "case {case}");
            assert!(provenance::of_version(&world.app, made[0].id, None).await.is_err(), "case {case}");
            forged += 1;
        }
        let alerts = world.written(forged, |action| action == "alert.raised").await;
        assert_eq!(alerts.len(), forged, "each is told to people");
    }
}

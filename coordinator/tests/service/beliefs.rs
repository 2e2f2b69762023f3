//! What is observed decides who gets work, where it may; what is asserted falls with what it rests on.

use std::collections::BTreeSet;
use std::time::Duration;

use nexusmon_coordinator::service::beliefs::{self, BeliefState, Evidence, NewBelief, Revision};
use nexusmon_coordinator::service::evolution::{TraitChange, change_trait};
use nexusmon_coordinator::service::{cognition, policies};
use nexusmon_shared::id::{AgentId, ArtifactId, BeliefId, MissionId, ReviewId, TaskId};
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{BoxFuture, Score, ShapeRecord, StoreError, TrustCount, Tx};
use serde_json::{Value, json};

use crate::harness::*;

fn note(text: &str) -> Evidence {
    Evidence { kind: "note".to_owned(), id: None, note: Some(text.to_owned()) }
}

fn belief(statement: &str, rests_on: Vec<BeliefId>) -> NewBelief {
    let statement = statement.to_owned();
    NewBelief { statement, confidence: 0.8, evidence: vec![note("seen")], rests_on }
}

/// Agents that got tasks, in the order of granting, with nothing done yet.
async fn given(world: &World, agents: &mut [(&str, &mut Agent)]) -> Vec<String> {
    world.create(json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run"}]})).await;
    for (_, agent) in agents.iter_mut() {
        agent.live.set_credit(4);
    }
    world.tick().await;
    let mut got = Vec::new();
    for (name, agent) in agents.iter_mut() {
        for order in agent.orders() {
            got.push((*name).to_owned());
            agent.report(order.attempt, succeed(json!({}))).await;
        }
    }
    got
}

/// Writes to the store what nobody here did.
async fn write<I: Send + Sync + 'static>(
    world: &World,
    input: I,
    work: impl for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<(), StoreError>> + Send + Sync + 'static,
) {
    world.app.store.write_with("testing", input, work).await.unwrap_or_else(|error| panic!("{error:?}"));
}

fn body(number: i64) -> Value {
    json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run", "with": {"n": number}, "retry": {"max": 0}}]})
}

/// A plan of its own for each number, as it is foreseen now: success, seconds, and what that rests on.
async fn foreseen(world: &World, number: i64) -> (f64, f64, String) {
    let made = world.create(body(number)).await;
    let prediction = world.mission(made.summary.id).await.prediction.unwrap();
    (prediction.success, prediction.duration_seconds, prediction.basis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_coordinator_settled_is_foreseen_here_too() {
    let world = World::new(TestDatabase::postgres().await.unwrap()).await;
    let _agent = world.agent("a").await;
    beliefs::refresh(&world.app).await.unwrap();
    let (success, _, basis) = foreseen(&world, 1).await;
    assert!((success - 0.5).abs() < 0.01 && basis.starts_with("prior"), "{basis}");
    let known = world.create(body(2)).await.summary.id;
    let shape = world.app.store.read().await.unwrap().mission(known).await.unwrap().unwrap().shape.unwrap();
    // As a coordinator beside this one writes down what it settled.
    let now = world.app.clock.now();
    let trust = TrustCount {
        capability: "probe.run".parse().unwrap(),
        plugin_version: "1.0.0".to_owned(),
        agent: AgentId::from_bits(9),
        successes: 98,
        failures: 0,
        timed: 98,
        duration_ms_sum: 196_000,
    };
    let runs = ShapeRecord { shape, runs: 8, successes: 8, duration_ms_sum: 32_000, updated_at: now };
    let score = Score { mission: known, succeeded: true, actual_ms: 4_000, scored_at: now };
    write(&world, (trust, runs, score), |tx, (trust, runs, score)| {
        Box::pin(async move {
            tx.add_trust(std::slice::from_ref(trust)).await?;
            tx.add_shape_records(std::slice::from_ref(runs)).await?;
            tx.score_predictions(std::slice::from_ref(score)).await.map(drop)
        })
    })
    .await;
    beliefs::refresh(&world.app).await.unwrap();
    let (success, seconds, basis) = foreseen(&world, 3).await;
    assert!(success > 0.98 && (seconds - 2.0).abs() < 0.01, "{success} {seconds} {basis}");
    assert_eq!(basis, "98 attempts of 1 capabilities on record");
    let (success, seconds, basis) = foreseen(&world, 2).await;
    assert!((success - 0.9).abs() < 0.01 && (seconds - 4.0).abs() < 0.01, "{success} {seconds} {basis}");
    assert_eq!(basis, "8 earlier runs of the same plan");
}

both! {
    async fn durations_are_foreseen_after_a_restart_as_before(world) {
        let mut agent = world.agent("a").await;
        foreseen(&world, 1).await;
        // The agent of the harness is done the moment it begins.
        agent.work(&world, |_, _| succeed(json!({}))).await;
        let (_, before, _) = foreseen(&world, 2).await;
        assert!(before < 1.0, "{before}");
        let (id, _) = agent.vanish().await;
        let world = world.restart().await;
        let _agent = Agent::connect(&world, id, 2, Vec::new()).await;
        let (_, after, basis) = foreseen(&world, 3).await;
        assert!((after - before).abs() < 0.01, "{before} before, {after} after: {basis}");
    }

    async fn the_better_record_gets_the_work_once_beliefs_may_be_used(world) {
        // Ids rise with time: without beliefs the older one of two idle agents gets the task.
        let mut bad = world.agent("bad").await;
        world.clock.advance(Duration::from_millis(10));
        for _ in 0..8 {
            world.create(json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run", "retry": {"max": 0}}]})).await;
        }
        bad.work(&world, |_, _| exit(1)).await;
        let mut good = world.agent("good").await;

        beliefs::refresh(&world.app).await.unwrap();
        assert_eq!(given(&world, &mut [("bad", &mut bad), ("good", &mut good)]).await, ["bad"]);
        let observed = beliefs::observed(&world.app).await.unwrap();
        assert_eq!((observed[0].successes, observed[0].failures, observed[0].effect), (1, 8, "none"));

        let owner = world.logged_in().await;
        let until = TraitChange::Grant { until: world.app.clock.now() + Duration::from_hours(1) };
        change_trait(&world.app, &owner, "BELIEF_TRACK", until, "for a test".to_owned()).await.unwrap();
        beliefs::refresh(&world.app).await.unwrap();
        assert_eq!(given(&world, &mut [("bad", &mut bad), ("good", &mut good)]).await, ["good"]);
        beliefs::refresh(&world.app).await.unwrap();
        let observed = beliefs::observed(&world.app).await.unwrap();
        let effect = |agent: &Agent| observed.iter().find(|one| one.agent == agent.id).unwrap().effect;
        assert_eq!((effect(&bad), effect(&good)), ("after_others", "level"));
        let written = world.written(1, |action| action == "beliefs.in_use").await;
        assert_eq!((written[0].actor.as_str(), &written[0].body["trait"]), ("nexusmon", &json!("BELIEF_TRACK")));

        // Closed again, the record decides nothing.
        change_trait(&world.app, &owner, "BELIEF_TRACK", TraitChange::Disable, String::new()).await.unwrap();
        beliefs::refresh(&world.app).await.unwrap();
        assert_eq!(given(&world, &mut [("bad", &mut bad), ("good", &mut good)]).await, ["bad"]);
        assert_eq!(world.written(1, |action| action == "beliefs.out_of_use").await.len(), 1);
    }

    async fn the_effect_that_is_shown_is_that_among_those_who_are_here(world) {
        let mut bad = world.agent("bad").await;
        for _ in 0..8 {
            world.create(json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run", "retry": {"max": 0}}]})).await;
        }
        bad.work(&world, |_, _| exit(1)).await;
        let other = world.agent("other").await;
        let owner = world.logged_in().await;
        let until = TraitChange::Grant { until: world.app.clock.now() + Duration::from_hours(1) };
        change_trait(&world.app, &owner, "BELIEF_TRACK", until, "for a test".to_owned()).await.unwrap();
        beliefs::refresh(&world.app).await.unwrap();
        // What it did with a plugin that it no longer has decides nothing.
        let before = TrustCount {
            capability: "probe.run".parse().unwrap(),
            plugin_version: "0.9.0".to_owned(),
            agent: bad.id,
            successes: 0,
            failures: 50,
            timed: 0,
            duration_ms_sum: 0,
        };
        write(&world, before, |tx, row| Box::pin(async move { tx.add_trust(std::slice::from_ref(row)).await })).await;
        let effects = async || {
            let observed = beliefs::observed(&world.app).await.unwrap();
            observed.into_iter().map(|one| (one.plugin_version, one.effect)).collect::<Vec<_>>()
        };
        let of = |now: &'static str| vec![("0.9.0".to_owned(), "none"), ("1.0.0".to_owned(), now)];
        assert_eq!(effects().await, of("after_others"), "one without a record comes first");
        let gone = (other.id, other.live.session(), world.app.clock.now());
        write(&world, gone, |tx, (agent, session, at)| {
            Box::pin(async move { tx.close_session(*agent, *session, *at).await.map(drop) })
        })
        .await;
        assert_eq!(effects().await, of("level"), "there is nobody else");
    }

    async fn what_rests_on_a_contradicted_belief_is_marked(world) {
        let owner = world.owner().await;
        let ground = beliefs::assert(&world.app, &owner, belief("the disk is sound", vec![])).await.unwrap().belief.id;
        let middle =
            beliefs::assert(&world.app, &owner, belief("backups are whole", vec![ground])).await.unwrap().belief.id;
        let top = beliefs::assert(&world.app, &owner, belief("nothing is lost", vec![middle])).await.unwrap().belief.id;
        assert!(beliefs::assert(&world.app, &owner, NewBelief { evidence: vec![], ..belief("x", vec![]) }).await.is_err());

        let around = Revision { rests_on: vec![top], ..Revision::default() };
        let refused = beliefs::revise(&world.app, &owner, ground, around).await.unwrap_err();
        assert_eq!(refused.fields()[0].code, "circular");
        let silent = Revision { state: Some(BeliefState::Contradicted), ..Revision::default() };
        assert!(beliefs::revise(&world.app, &owner, ground, silent.clone()).await.is_err(), "say why");

        let fallen = Revision { evidence: vec![note("it clicks")], of_revision: Some(1), ..silent };
        beliefs::revise(&world.app, &owner, ground, fallen.clone()).await.unwrap();
        assert!(beliefs::revise(&world.app, &owner, ground, fallen).await.is_err(), "of an older revision");
        let doubted = |all: &[beliefs::AssertedBelief]| -> BTreeSet<(BeliefId, BeliefId)> {
            all.iter().filter_map(|one| Some((one.id, one.doubted_by?))).collect()
        };
        let all = beliefs::beliefs(&world.app).await.unwrap();
        assert_eq!(doubted(&all), BTreeSet::from([(middle, ground), (top, ground)]));
        let seen = beliefs::get(&world.app, ground).await.unwrap();
        assert_eq!((seen.history.len(), seen.history[1].state, seen.supports), (2, BeliefState::Contradicted, vec![middle]));

        // It holds after all: the marks go.
        let again = Revision {
            state: Some(BeliefState::Held),
            comment: Some("the cable".to_owned()),
            ..Revision::default()
        };
        beliefs::revise(&world.app, &owner, ground, again).await.unwrap();
        assert!(doubted(&beliefs::beliefs(&world.app).await.unwrap()).is_empty());
        let written = world.written(5, |action| action.starts_with("belief.")).await;
        assert_eq!(written.iter().filter(|entry| entry.action == "belief.revised").count(), 2);
    }

    async fn what_a_belief_is_said_to_rest_on_is_there(world) {
        let owner = world.owner().await;
        let mission = world.create(json!({"goal": "g", "tasks": [{"id": "t", "uses": "core.noop"}]})).await;
        let agent = world.enroll("a").await;
        let written = world.written(1, |action| action == "mission.created").await;
        let of = |kind: &str, id: String| Evidence { kind: kind.to_owned(), id: Some(id), note: None };
        let newest = written[0].seq;
        let known = vec![
            of("mission", mission.summary.id.to_string()),
            of("task", mission.tasks[0].task_id.to_string()),
            of("agent", agent.to_string()),
            of("audit", newest.to_string()),
            note("seen"),
        ];
        let new = NewBelief { evidence: known, ..belief("it was made", vec![]) };
        let id = beliefs::assert(&world.app, &owner, new).await.unwrap().belief.id;
        for wrong in [
            of("audit", "banana".to_owned()),
            of("audit", (newest + 1_000_000).to_string()),
            of("mission", agent.to_string()),
            of("mission", MissionId::from_bits(7).to_string()),
            of("task", TaskId::from_bits(7).to_string()),
            of("artifact", ArtifactId::from_bits(7).to_string()),
            of("review", ReviewId::from_bits(7).to_string()),
        ] {
            let evidence = vec![note("seen"), wrong];
            let new = NewBelief { evidence: evidence.clone(), ..belief("it is so", vec![]) };
            let refused = beliefs::assert(&world.app, &owner, new).await.unwrap_err();
            assert_eq!((refused.fields()[0].code, refused.fields()[0].pointer.as_str()), ("unknown_id", "/evidence/1/id"));
            let more = Revision { evidence, ..Revision::default() };
            assert_eq!(beliefs::revise(&world.app, &owner, id, more).await.unwrap_err().fields()[0].code, "unknown_id");
        }
        assert_eq!(beliefs::beliefs(&world.app).await.unwrap().len(), 1);
    }

    async fn a_belief_is_revised_only_so_often_and_can_be_withdrawn_still(world) {
        let owner = world.owner().await;
        let id = beliefs::assert(&world.app, &owner, belief("the door is shut", vec![])).await.unwrap().belief.id;
        let again = Revision { confidence: Some(0.5), ..Revision::default() };
        for _ in 1..200 {
            beliefs::revise(&world.app, &owner, id, again.clone()).await.unwrap();
        }
        let refused = beliefs::revise(&world.app, &owner, id, again).await.unwrap_err();
        assert_eq!(refused.fields()[0].code, "too_many_revisions");
        let withdrawn = Revision {
            state: Some(BeliefState::Withdrawn),
            comment: Some("asserted anew".to_owned()),
            ..Revision::default()
        };
        let seen = beliefs::revise(&world.app, &owner, id, withdrawn).await.unwrap();
        assert_eq!((seen.belief.state, seen.belief.revision), (BeliefState::Withdrawn, 201));
    }

    async fn a_gate_may_require_that_predictions_have_come_true(world) {
        let mut agent = world.agent("a").await;
        let body = json!({"goal": "g", "tasks": [{"id": "t", "uses": "probe.run"}]});
        for _ in 0..12 {
            world.create(body.clone()).await;
            agent.work(&world, |_, _| succeed(json!({}))).await;
        }
        let shown = cognition::predictions(&world.app, None, 10).await.unwrap();
        assert_eq!((shown.summary.scored, shown.outcomes.len(), shown.complete), (12, 10, true));
        assert!(shown.summary.brier.unwrap() < 0.1, "{:?}", shown.summary.brier);
        let owner = world.logged_in().await;
        let text = r#"
            @id("calibrated") permit (principal, action == Action::"run_unattended", resource)
            when { context.predictions_scored >= 10 && context.brier <= 200 && context.predicted_success >= 60 };
            @id("held") permit (principal, action == Action::"run_with_approval", resource);
        "#;
        policies::change(&world.app, &owner, text.to_owned(), "only what is foreseen".to_owned(), None).await.unwrap();
        // What is not known says the worst: the gate stays shut.
        let held = world.create(body.clone()).await;
        assert_eq!(world.status(held.summary.id).await, "awaiting_approval");
        beliefs::refresh(&world.app).await.unwrap();
        let free = world.create(body).await;
        assert_ne!(world.status(free.summary.id).await, "awaiting_approval");
    }
}

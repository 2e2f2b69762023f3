//! Endpoints that are down, slow, lying or over budget: nothing hangs, and each answer says what happened.

use std::time::Duration;

use nexusmon_coordinator::config::{ModelKind, Settings};
use nexusmon_coordinator::service::evolution::{TraitChange, change_trait};
use nexusmon_coordinator::service::{cognition, missions, planning};
use nexusmon_shared::time::Clock as _;
use nexusmon_store::testing::TestDatabase;
use serde_json::json;

use super::scripted::{Does, Scripted};
use super::{World, planning_of, shell, state, steps, thinking};

const FLOOD: &str =
    "{\"message\": {\"content\": \"it goes on, and on, and on, and on, and on, and on, and on\"}}";

/// A coordinator with one machine, and its model.
async fn start(kind: ModelKind, change: impl FnOnce(&mut Settings)) -> (World, Scripted) {
    let model = Scripted::start().await;
    let world = thinking(TestDatabase::sqlite().unwrap(), &model, kind, change).await;
    world.agent("a").await.live.set_credit(0);
    (world, model)
}

/// What the model's step says of a goal.
async fn said(world: &World, goal: &str) -> (String, String, u64) {
    let view = state(world, goal).await;
    let step = planning_of(&view).steps.last().unwrap().clone();
    assert_eq!(step.planner, "model");
    if step.outcome != "planned" {
        assert_eq!(view.summary.status.as_str(), "needs_plan");
        assert!(view.reason.unwrap().contains(&step.said), "the reason names it");
    }
    (step.outcome, step.said, step.tokens)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_down_is_left_alone_and_tried_again() {
    let (world, model) = start(ModelKind::Openai, |_| {}).await;
    let down = || Does::Says(503, r#"{"error": {"message": "overloaded"}}"#.to_owned());
    model.will([down(), down(), down()]);
    for goal in ["goal one", "goal two", "goal three"] {
        let (outcome, text, _) = said(&world, goal).await;
        assert_eq!(outcome, "failed");
        assert!(text.contains("503") && text.contains("overloaded"), "{text}");
    }
    let (outcome, text, tokens) = said(&world, "goal four").await;
    assert_eq!((outcome.as_str(), tokens), ("barred", 0));
    assert!(text.contains("left alone for another 60 s"), "{text}");
    assert_eq!(model.asked().len(), 3, "the fourth goal did not bother it");
    world.clock.advance(Duration::from_secs(61));
    model.will([Does::Answers(shell("true"))]);
    assert_eq!(said(&world, "goal five").await.0, "planned");
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_answers_nonsense_between_its_failures_is_left_alone_too() {
    let (world, model) = start(ModelKind::Openai, |_| {}).await;
    let down = || Does::Says(503, r#"{"error": {"message": "overloaded"}}"#.to_owned());
    let refused = Does::Says(401, r#"{"error": {"message": "who are you"}}"#.to_owned());
    let endless = || Does::Says(200, "y".repeat(2_000_000));
    model.will([down(), endless(), refused, Does::Says(200, "no JSON".to_owned())]);
    for goal in ["goal one", "goal two", "goal three", "goal four"] {
        assert_eq!(said(&world, goal).await.0, "failed");
    }
    let (outcome, text, tokens) = said(&world, "goal five").await;
    assert_eq!((outcome.as_str(), tokens), ("barred", 0), "{text}");
    assert_eq!(model.asked().len(), 4);
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_stand_the_test_is_asked_anew() {
    let (world, model) = start(ModelKind::Anthropic, |_| {}).await;
    let task = |id: &str, needs: &str| json!({"id": id, "uses": "shell.run", "needs": [needs], "with": {"script": "true"}});
    let circle = Does::Answers(
        json!({"answer": "plan", "summary": "Round and round.", "tasks": [task("a", "b"), task("b", "a")]}),
    );
    model.will([circle.clone(), circle]);
    let view = state(&world, "run in a circle").await;
    assert_eq!(view.summary.status.as_str(), "needs_plan");
    assert_eq!(model.asked().len(), 2);
    model.will([Does::Answers(shell("true"))]);
    let owner = world.owner().await;
    missions::run(&world.app, &owner, view.summary.id).await.unwrap();
    planning::work(&world.app).await.unwrap();
    assert_eq!(world.status(view.summary.id).await, "running");
    assert_eq!(model.asked().len(), 1, "the answer that was kept is not given again");
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_there_is_said_to_be() {
    let (world, model) = start(ModelKind::Ollama, |_| {}).await;
    model.stop().await;
    let (outcome, text, _) = said(&world, "anything").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("was not reached") || text.contains("broke off"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_slow_is_not_waited_for() {
    let (world, model) = start(ModelKind::Anthropic, |settings| settings.model.seconds = Some(5)).await;
    model.will([Does::Hangs]);
    let (outcome, text, tokens) = said(&world, "anything").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("did not answer within 5 s"), "{text}");
    assert!(tokens > 0, "what was sent counts");
    // Whoever asks again starts anew.
    let id = missions::list(
        &world.app,
        missions::MissionFilter::default(),
        nexusmon_coordinator::service::PageRequest::default(),
    )
    .await
    .unwrap()
    .items[0]
        .id;
    model.will([Does::Answers(shell("true"))]);
    let owner = world.owner().await;
    let again = missions::run(&world.app, &owner, id).await.unwrap();
    assert_eq!(again.summary.status.as_str(), "planning");
    planning::work(&world.app).await.unwrap();
    let view = world.mission(id).await;
    assert_eq!(view.summary.status.as_str(), "running");
    assert_eq!(steps(&view).len(), 6, "every round is kept");
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lies_about_its_tokens_does_not_get_more_of_them() {
    let (world, model) = start(ModelKind::Openai, |_| {}).await;
    model.will([Does::Lies(shell("true"))]);
    let (outcome, _, tokens) = said(&world, "anything").await;
    assert_eq!(outcome, "planned");
    assert!(tokens > 100, "{tokens} are fewer than the question alone takes");
    model.will([Does::Says(200, format!("{{\"x\": \"{}\"}}", "y".repeat(2_000_000)))]);
    let (outcome, text, _) = said(&world, "anything longer").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("more than 1048576 bytes"), "{text}");
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_answers_what_is_no_answer_is_quoted_as_such() {
    for kind in [ModelKind::Anthropic, ModelKind::Openai, ModelKind::Ollama] {
        let (world, model) = start(kind, |_| {}).await;
        for (body, wanted) in [
            ("<html>Sign in to the network</html>", "what is no JSON"),
            ("", "what is no JSON"),
            ("[]", "without"),
            ("{\"choices\": 3, \"content\": \"x\", \"message\": []}", "without"),
        ] {
            // One that was left alone for what was before is asked again.
            world.clock.advance(Duration::from_secs(61));
            model.will([Does::Says(200, body.to_owned())]);
            let (outcome, text, _) = said(&world, &format!("goal of {body}")).await;
            assert_eq!(outcome, "failed");
            assert!(text.contains(wanted), "{kind:?} {body}: {text}");
        }
        assert_eq!(model.asked().len(), 4, "what cannot be read is not asked for again");
        model.stop().await;
    }
    // The text within the answer, where it is a text.
    let (world, model) = start(ModelKind::Openai, |_| {}).await;
    for (text, wanted) in [("Sure! Here it is", "what is no JSON"), ("[1, 2]", "JSON that is no object")] {
        let answer = json!({"choices": [{"message": {"content": text}}]});
        model.will([Does::Says(200, answer.to_string())]);
        let (outcome, told, _) = said(&world, &format!("goal of {text}")).await;
        assert_eq!(outcome, "failed");
        assert!(told.contains(wanted), "{told}");
    }
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_ends_its_answer_is_cut_off() {
    let (world, model) = start(ModelKind::Anthropic, |settings| settings.model.seconds = Some(5)).await;
    // A few bytes now and then hold nothing up for longer than its time …
    model.will([Does::Streams(" ", true)]);
    let (outcome, text, tokens) = said(&world, "drip").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("did not answer within 5 s"), "{text}");
    assert!(tokens > 0, "what was sent counts");
    model.will([Does::BreaksOff]);
    let (outcome, text, _) = said(&world, "break").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("broke off") || text.contains("connection closed"), "{text}");
    model.stop().await;
    // … and many at once no more than its size.
    let (world, model) = start(ModelKind::Ollama, |settings| settings.model.seconds = Some(600)).await;
    model.will([Does::Streams(FLOOD, false)]);
    let (outcome, text, _) = said(&world, "flood").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("more than 1048576 bytes"), "{text}");
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_sends_elsewhere_is_not_followed() {
    let (world, model) = start(ModelKind::Anthropic, |_| {}).await;
    let elsewhere = Scripted::start().await;
    elsewhere.will([Does::Answers(shell("true"))]);
    model.will([Does::Redirects(elsewhere.url.clone())]);
    let (outcome, text, _) = said(&world, "anything").await;
    assert_eq!(outcome, "failed");
    assert!(text.contains("answered 307"), "{text}");
    assert_eq!((elsewhere.asked().len(), elsewhere.left()), (0, 1), "neither the goal nor the key got there");
    elsewhere.stop().await;
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_budget_it_is_not_asked() {
    let (world, model) = start(ModelKind::Anthropic, |settings| {
        settings.model.daily_tokens = Some(12_000);
        settings.model.answer_tokens = Some(64);
    })
    .await;
    let mut planned = 0;
    let barred = loop {
        model.will([Does::Answers(shell("true"))]);
        let (outcome, text, _) = said(&world, &format!("anything {planned}")).await;
        if outcome != "planned" {
            break text;
        }
        planned += 1;
        assert!(planned < 20, "the budget never ends");
    };
    assert!(planned > 0, "{barred}");
    assert!(barred.contains("budget of 12000 tokens a day"), "{barred}");
    assert_eq!(model.asked().len(), planned);
    // The next day begins with nothing spent.
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(said(&world, "anything tomorrow").await.0, "planned");
    model.stop().await;

    let (world, model) = start(ModelKind::Anthropic, |settings| settings.model.daily_usd = Some(0.0)).await;
    let (outcome, text, _) = said(&world, "anything").await;
    assert_eq!(outcome, "barred");
    assert!(text.contains("$0.00 a day"), "{text}");
    assert_eq!(model.asked().len(), 0);
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_goal_has_a_budget_of_its_own_however_often_it_is_planned() {
    let (world, model) = start(ModelKind::Anthropic, |settings| {
        settings.model.goal_tokens = Some(12_000);
        settings.model.answer_tokens = Some(64);
    })
    .await;
    let lacking = json!({"answer": "lacking", "summary": "", "lacking": [
        {"kind": "input", "name": "which", "why": "which one is meant"}]});
    let outcome_of = |view: &missions::MissionView| planning_of(view).steps.last().unwrap().outcome.clone();
    model.will([Does::Answers(lacking.clone())]);
    let first = state(&world, "mend it").await;
    assert_eq!(outcome_of(&first), "asked");
    let owner = world.owner().await;
    let mut asked = 1;
    let barred = loop {
        // What was answered is forgotten by then, and the day's budget begins anew; the goal's does not.
        world.clock.advance(Duration::from_hours(2));
        model.will([Does::Answers(lacking.clone())]);
        missions::run(&world.app, &owner, first.summary.id).await.unwrap();
        planning::work(&world.app).await.unwrap();
        let view = world.mission(first.summary.id).await;
        if outcome_of(&view) != "asked" {
            break view;
        }
        asked += 1;
        assert!(asked < 20, "the budget never ends");
    };
    let plan = planning_of(&barred);
    let step = plan.steps.last().unwrap();
    assert_eq!((step.outcome.as_str(), step.tokens), ("barred", 0));
    assert!(step.said.contains("budget of 12000 tokens a goal"), "{}", step.said);
    assert!(plan.help.iter().any(|one| one.text.contains("model.goal_tokens")), "{:?}", plan.help);
    assert_eq!(model.asked().len(), asked);
    // Another goal has its own; the answer that was not asked for is still there.
    assert_eq!(outcome_of(&state(&world, "mend the other one").await), "asked");
    assert_eq!((model.asked().len(), model.left()), (1, 0));
    model.stop().await;

    let (world, model) = start(ModelKind::Anthropic, |settings| settings.model.goal_usd = Some(0.0)).await;
    let (outcome, text, _) = said(&world, "anything").await;
    assert_eq!(outcome, "barred");
    assert!(text.contains("$0.00 a goal"), "{text}");
    assert_eq!(model.asked().len(), 0);
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_stated_twice_is_paid_for_once_and_the_numbers_are_kept() {
    let (world, model) = start(ModelKind::Anthropic, |_| {}).await;
    model.will([Does::Answers(shell("true")), Does::Answers(shell("date"))]);
    let first = state(&world, "count the stars").await;
    let second = state(&world, "count the stars").await;
    let of = |view: &missions::MissionView| {
        let step = planning_of(view).steps.last().unwrap().clone();
        (step.cached, step.calls, step.tokens, step.prompt.unwrap(), step.model.unwrap())
    };
    assert_eq!(of(&first), (false, 1, 1020, "plan.v1".to_owned(), "anthropic/test".to_owned()));
    assert_eq!(of(&second), (true, 0, 0, "plan.v1".to_owned(), "anthropic/test".to_owned()));
    let planners = cognition::status(&world.app).await.unwrap().planner;
    let kinds: Vec<(&str, u64, u64, u64)> =
        planners.iter().map(|one| (one.kind.as_str(), one.asked, one.planned, one.fell_through)).collect();
    assert_eq!(kinds, [("playbook", 2, 0, 2), ("memory", 2, 0, 2), ("model", 2, 2, 0)]);
    let model_numbers = &planners[2];
    assert_eq!((model_numbers.calls, model_numbers.tokens_in, model_numbers.tokens_out), (1, 900, 120));
    assert!((model_numbers.cost_usd - 0.0045).abs() < 1e-9, "{}", model_numbers.cost_usd);
    assert_eq!(model_numbers.cached, 1);
    // A day on: the sums go over both, and each day has its own.
    world.clock.advance(Duration::from_hours(24));
    state(&world, "count the planets").await;
    let model_numbers = cognition::status(&world.app).await.unwrap().planner.remove(2);
    assert_eq!((model_numbers.asked, model_numbers.planned, model_numbers.outcomes["planned"]), (3, 3, 3));
    let days: Vec<_> =
        model_numbers.by_day.iter().map(|day| (day.asked, day.planned, day.calls, day.tokens)).collect();
    assert_eq!(days, [(2, 2, 1, 1020), (1, 1, 1, 1020)]);
    assert!(model_numbers.by_day[0].day < model_numbers.by_day[1].day);
    assert!(
        (model_numbers.by_day.iter().map(|day| day.cost_usd).sum::<f64>() - model_numbers.cost_usd).abs()
            < 1e-9
    );
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_asked_about_a_goal_once_however_often_a_model_is() {
    let (world, model) = start(ModelKind::Anthropic, |_| {}).await;
    let owner = world.logged_in().await;
    let until = TraitChange::Grant { until: world.app.clock.now() + Duration::from_hours(1) };
    change_trait(&world.app, &owner, "RECALL", until, "for a test".to_owned()).await.unwrap();
    model.will([Does::Answers(json!({"answer": "riddle"})), Does::Answers(shell("true"))]);
    assert_eq!(said(&world, "count the stars").await.0, "planned");
    assert_eq!(model.asked().len(), 2, "it mended its answer");
    let asked = cognition::status(&world.app).await.unwrap().memory.asked;
    let asked: Vec<_> = asked.into_iter().map(|one| (one.purpose, one.asked, one.hits)).collect();
    assert_eq!(asked, [("planning".to_owned(), 1, 0)]);
    // Each look is written down: that at the start, and that in the background.
    assert_eq!(world.written(2, |action| action == "memory.recalled").await.len(), 2);
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_whose_planner_crashed_is_planned_by_the_next() {
    let (world, model) = start(ModelKind::Anthropic, |_| {}).await;
    model.will([Does::Hangs]);
    let made = world.create(json!({"goal": "survive"})).await;
    assert_eq!(made.summary.status.as_str(), "planning");
    {
        // It has taken the goal and asks; then it is gone.
        let mut working = Box::pin(planning::work(&world.app));
        while model.asked().is_empty() {
            let pause = tokio::time::timeout(Duration::from_millis(20), &mut working).await;
            assert!(pause.is_err(), "the model hangs");
        }
    }
    let world = world.restart().await;
    planning::work(&world.app).await.unwrap();
    assert_eq!(world.status(made.summary.id).await, "planning", "it is still somebody's");
    world.clock.advance(Duration::from_mins(3));
    world.agent("b").await.live.set_credit(0);
    model.will([Does::Answers(shell("true"))]);
    planning::work(&world.app).await.unwrap();
    let view = world.mission(made.summary.id).await;
    assert_eq!(view.summary.status.as_str(), "running");
    // What the one before may have spent is with the mission, and before what came of it.
    let planning = planning_of(&view);
    assert_eq!(planning.planner.as_deref(), Some("model"));
    let abandoned = &planning.steps[0];
    assert_eq!(
        (abandoned.planner.as_str(), abandoned.outcome.as_str(), abandoned.calls),
        ("model", "failed", 1)
    );
    assert!(abandoned.said.contains("the coordinator ended while the model was asked"), "{}", abandoned.said);
    assert!(abandoned.tokens > 4096, "{} is not the most it may have taken", abandoned.tokens);
    model.stop().await;
}

/// A goal that a model is asked about until whoever asks ends: softly, or at once.
async fn ended_over(world: World, model: &Scripted, goal: &str, softly: bool) -> World {
    model.will([Does::Hangs]);
    world.create(json!({"goal": goal})).await;
    let mut working = Box::pin(planning::work(&world.app));
    while model.asked().is_empty() {
        let pause = tokio::time::timeout(Duration::from_millis(20), &mut working).await;
        assert!(pause.is_err(), "the model hangs");
    }
    if softly {
        world.app.lifecycle.soft().cancel();
        working.await.unwrap();
    } else {
        drop(working);
    }
    let world = world.restart().await;
    // Whoever begins at the same moment names things alike.
    world.clock.advance(Duration::from_secs(1));
    world.agent(if softly { "b" } else { "c" }).await.live.set_credit(0);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_when_a_coordinator_ended_counts_in_full() {
    for database in [TestDatabase::sqlite().unwrap(), TestDatabase::postgres().await.unwrap()] {
        let model = Scripted::start().await;
        let change = |settings: &mut Settings| {
            settings.model.daily_tokens = Some(150_000);
            settings.model.answer_tokens = Some(64_000);
        };
        let world = thinking(database, &model, ModelKind::Anthropic, change).await;
        world.agent("a").await.live.set_credit(0);
        // Once softly, once without a word: neither answer comes, and both are paid for as far as anybody knows.
        let world = Box::pin(ended_over(world, &model, "the first", true)).await;
        let world = Box::pin(ended_over(world, &model, "the second", false)).await;
        let (outcome, text, tokens) = said(&world, "the third").await;
        assert_eq!((outcome.as_str(), tokens), ("barred", 0));
        assert!(text.contains("budget of 150000 tokens a day"), "{text}");
        assert_eq!(model.asked().len(), 0, "the budget holds over both ends");
        // Once nobody waits for them any more they are booked as what was set aside.
        world.clock.advance(Duration::from_mins(10));
        planning::work(&world.app).await.unwrap();
        let model_numbers = cognition::status(&world.app).await.unwrap().planner.remove(2);
        assert_eq!(model_numbers.calls, 2);
        assert!(model_numbers.tokens_out == 128_000 && model_numbers.tokens_in > 0, "{model_numbers:?}");
        let left =
            world.app.store.read().await.unwrap().any_lapsed_model_call(world.clock.now()).await.unwrap();
        assert!(!left, "booked once");
        // The next day begins with nothing spent.
        world.clock.advance(Duration::from_hours(24));
        model.will([Does::Answers(shell("true"))]);
        assert_eq!(said(&world, "the fourth").await.0, "planned");
        model.stop().await;
    }
}

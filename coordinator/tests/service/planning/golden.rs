//! The golden set: goals with what a model answers, and what must come of each, in every wire format.

use nexusmon_coordinator::config::ModelKind;
use nexusmon_coordinator::service::missions::{self, MissionView};
use nexusmon_shared::plan::Author;
use nexusmon_store::testing::TestDatabase;
use serde_json::{Map, Value};

use super::scripted::{Does, Scripted};
use super::{World, furnish, planning_of, state, steps, thinking};

#[derive(Debug, serde::Deserialize)]
struct Case {
    name: String,
    goal: String,
    answers: Vec<Value>,
    expect: Expected,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    planner: Option<String>,
    status: String,
    rank: Option<String>,
    tasks: Option<Vec<String>>,
    inputs: Option<Map<String, Value>>,
    /// `kind:name`, beside the plan one may always give.
    help: Option<Vec<String>>,
    /// Of each planner asked.
    outcomes: Option<Vec<String>>,
    /// Of the model.
    calls: Option<u64>,
}

fn does(answer: &Value) -> Does {
    match (answer["says"].as_u64(), answer["cut"].as_bool()) {
        (Some(status), _) => {
            Does::Says(u16::try_from(status).unwrap(), answer["body"].as_str().unwrap().to_owned())
        }
        (_, Some(true)) => Does::IsCutOff,
        _ => Does::Answers(answer.clone()),
    }
}

/// What is not as it should be; empty where everything is.
fn wrong(case: &Case, view: &MissionView) -> Vec<String> {
    let Case { expect, .. } = case;
    let mut wrong = Vec::new();
    let mut same = |what: &str, found: &str, wanted: &str| {
        if found != wanted {
            wrong.push(format!("{}: {what} is {found}, not {wanted}", case.name));
        }
    };
    let planning = planning_of(view);
    same("status", view.summary.status.as_str(), &expect.status);
    same("planner", &format!("{:?}", planning.planner), &format!("{:?}", expect.planner));
    if let Some(rank) = &expect.rank {
        same("rank", &view.summary.rank.to_string(), rank);
    }
    if let Some(tasks) = &expect.tasks {
        let mut found: Vec<String> = view.tasks.iter().map(|task| task.id.clone()).collect();
        // Elements of a list go by the name of their task.
        found.dedup();
        same("tasks", &format!("{found:?}"), &format!("{tasks:?}"));
    }
    if let Some(inputs) = &expect.inputs {
        same("inputs", &format!("{:?}", view.inputs), &format!("{inputs:?}"));
    }
    if let Some(help) = &expect.help {
        let found: Vec<String> =
            planning.help.iter().map(|help| format!("{}:{}", help.kind, help.name)).collect();
        for wanted in help {
            same("help", if found.contains(wanted) { wanted } else { "absent" }, wanted);
        }
    }
    if let Some(outcomes) = &expect.outcomes {
        let found: Vec<String> = steps(view).into_iter().map(|(_, outcome)| outcome).collect();
        same("outcomes", &format!("{found:?}"), &format!("{outcomes:?}"));
    }
    if let Some(calls) = expect.calls {
        let found: u64 = planning.steps.iter().map(|step| step.calls).sum();
        same("calls", &found.to_string(), &calls.to_string());
    }
    match (&planning.planner, &view.plan) {
        (Some(planner), Some(plan)) => {
            // A model's own text is the model's; a playbook is theirs who stated the goal.
            let own = planner == "model" && plan.playbook.is_none();
            let found = match &plan.author {
                Author::Planner(name) => name.as_str(),
                Author::Person(_) => "whoever stated the goal",
                _ => "somebody else",
            };
            same("author", found, if own { "model" } else { "whoever stated the goal" });
        }
        (None, None) => {
            same(
                "reason",
                if view.reason.as_ref().is_some_and(|text| text.len() > 20) { "given" } else { "none" },
                "given",
            );
        }
        (planner, plan) => same("plan", &format!("{planner:?} {plan:?}"), "one of both"),
    }
    wrong
}

/// What the model was told keeps everything in its place, and shows it nothing that is not offered.
fn told(case: &Case, asked: &Value) {
    let text = asked.to_string();
    let turns = if text.matches("Your answer was not valid").count() > 0 { 4 } else { 3 };
    let system = asked["system"].as_str().map(str::to_owned);
    let system = system.or_else(|| asked["messages"][0]["content"].as_str().map(str::to_owned)).unwrap();
    let inside = text.replace(&Value::String(system).to_string(), "");
    assert_eq!(inside.matches("</data>").count(), turns, "{}: {inside}", case.name);
    assert_eq!(inside.matches("<goal>").count(), 1, "{}", case.name);
    assert!(!inside.contains("core.noop") || case.name.contains("does not offer"), "{}", case.name);
    assert!(inside.contains("probe.careful") && inside.contains("deploy-service"), "{}", case.name);
}

async fn check(database: TestDatabase, kind: ModelKind) {
    let model = Scripted::start().await;
    let world: World = thinking(database, &model, kind, |_| {}).await;
    furnish(&world).await;
    let agent = world.agent("a").await;
    agent.live.set_credit(0);
    let owner = world.owner().await;
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../golden/goals.json")).unwrap();
    assert!(cases.len() >= 40, "{} are not a set", cases.len());
    let mut all = Vec::new();
    for case in &cases {
        model.will(case.answers.iter().map(does));
        let view = state(&world, &case.goal).await;
        all.extend(wrong(case, &view));
        let asked = model.asked();
        if asked.len() != case.answers.len() || model.left() != 0 {
            all.push(format!("{}: the model was asked {} times", case.name, asked.len()));
        }
        for asked in &asked {
            told(case, asked);
        }
        if !view.summary.status.is_terminal() {
            missions::cancel(&world.app, &owner, view.summary.id).await.unwrap();
        }
    }
    assert!(all.is_empty(), "{} of {} cases:\n{}", all.len(), cases.len(), all.join("\n"));
    model.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropic() {
    check(TestDatabase::sqlite().unwrap(), ModelKind::Anthropic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_on_postgres() {
    check(TestDatabase::postgres().await.unwrap(), ModelKind::Openai).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ollama() {
    check(TestDatabase::sqlite().unwrap(), ModelKind::Ollama).await;
}

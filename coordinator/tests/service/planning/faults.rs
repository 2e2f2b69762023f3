//! Every way an endpoint can go wrong, in every wire format: nothing hangs, and each answer says what happened.

use std::time::Duration;

use nexusmon_coordinator::config::ModelKind;
use nexusmon_store::testing::TestDatabase;

use super::scripted::{Does, Scripted};
use super::{planning_of, shell, state, thinking};

const KINDS: [ModelKind; 3] = [ModelKind::Anthropic, ModelKind::Openai, ModelKind::Ollama];

fn complains(status: u16, text: &str) -> Does {
    Does::Says(status, format!(r#"{{"error": {{"message": "{text}"}}}}"#))
}

async fn check(kind: ModelKind) {
    let (model, elsewhere) = (Scripted::start().await, Scripted::start().await);
    let world = thinking(TestDatabase::sqlite().unwrap(), &model, kind, |settings| {
        settings.model.seconds = Some(5);
    })
    .await;
    world.agent("a").await.live.set_credit(0);
    let faults: [(Does, &[&str]); 12] = [
        (complains(503, "overloaded"), &["503", "overloaded"]),
        (complains(429, "slow down"), &["429", "slow down"]),
        (complains(401, "who are you"), &["401", "who are you"]),
        (Does::Says(500, String::new()), &["500"]),
        (Does::Says(200, "<html></html>".to_owned()), &["no JSON"]),
        (Does::Says(200, "[]".to_owned()), &["answered without"]),
        (Does::Says(200, "y".repeat(2_000_000)), &["more than 1048576 bytes"]),
        (Does::IsCutOff, &["cut off"]),
        (Does::Hangs, &["did not answer within 5 s"]),
        (Does::Streams(" ", true), &["did not answer within 5 s"]),
        (Does::BreaksOff, &["the model's endpoint"]),
        (Does::Redirects(elsewhere.url.clone()), &["307"]),
    ];
    for (number, (does, parts)) in faults.into_iter().enumerate() {
        // One that was left alone for what was before is asked again.
        world.clock.advance(Duration::from_secs(61));
        let breaks_off = matches!(does, Does::BreaksOff);
        model.will([does]);
        let view = state(&world, &format!("goal {number}")).await;
        assert_eq!(view.summary.status.as_str(), "needs_plan", "{number}");
        let step = planning_of(&view).steps.last().unwrap();
        assert_eq!((step.planner.as_str(), step.outcome.as_str(), step.calls), ("model", "failed", 1));
        for part in parts {
            assert!(step.said.contains(part), "{kind:?}: {part}: {}", step.said);
        }
        assert!(view.reason.as_ref().unwrap().contains(&step.said), "{:?}", view.reason);
        if breaks_off {
            // As far as it came before it was gone.
            assert!(
                ["broke off", "was not reached"].iter().any(|part| step.said.contains(part)),
                "{}",
                step.said
            );
        }
    }
    assert_eq!(model.asked().len(), 12, "each was asked once");
    assert!(elsewhere.asked().is_empty());
    world.clock.advance(Duration::from_secs(61));
    model.will([Does::Answers(shell("true"))]);
    assert_eq!(state(&world, "a goal after all").await.summary.status.as_str(), "running");
    model.stop().await;
    elsewhere.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_hangs_in_any_wire_format_and_each_answer_says_what_happened() {
    futures::future::join_all(KINDS.map(check)).await;
}

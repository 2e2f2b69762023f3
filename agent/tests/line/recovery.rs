use std::time::Duration;

use nexusmon_agent::worker::Leftover;
use nexusmon_shared::message::CoordinatorMessage;

use super::plan::{Sample, attempt, orders, task};
use super::*;

fn once() -> Sample {
    let spec = |t: &mut serde_json::Value| {
        t["uses"] = "shell.run".into();
        t["with"] = serde_json::json!({"script": "true"});
        t["idempotent"] = false.into();
        t["offline"] = 900.into();
    };
    Sample::new((0..4).map(|index| task(&format!("s{index}"), spec)).collect())
}

#[tokio::test]
async fn after_a_crash_started_work_is_unknown_and_reports_are_kept() {
    let stage = Stage::new().await;
    let plan = once();
    let finishes = |job: &nexusmon_agent::run::Job| match job.spec.id.as_str() {
        "s0" => Act::After(Duration::ZERO, succeeded()),
        _ => Act::UntilCancelled,
    };
    let actor = stage.agent(finishes).await;
    let mut session = stage.fake.session().await;
    let journal = session.hello.journal;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, (0..4).map(|index| plan.order(index, 1)).collect())).await;
    session.reports(1).await;
    while session.started().await != attempt(2, 1) {}
    actor.kill().await;
    drop(session);

    let actor = stage.agent(finishes).await;
    let mut session = stage.fake.session().await;
    assert_eq!(session.hello.journal, journal, "the journal is the same one");
    let recovered = actor.worker.seen().recovered;
    assert!(recovered.contains(&Leftover { attempt: attempt(1, 1), finished: false }), "{recovered:?}");
    session.welcome(Vec::new()).await;
    let mut reports = session.reports(4).await;
    reports.sort_by_key(|report| report.attempt);
    let endings: Vec<_> = reports.iter().map(|report| report.ending.clone()).collect();
    assert_eq!(endings, [succeeded(), Ending::Unknown, Ending::Unknown, Ending::Returned]);
    assert!(actor.worker.seen().executed.is_empty(), "nothing is executed again");

    // What the coordinator has is forgotten for good.
    session.send(CoordinatorMessage::Ack((0..4).map(|index| attempt(index, 1)).collect())).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(1, 1), plan.order(3, 2)])).await;
    while session.started().await != attempt(3, 2) {}
    assert_eq!(actor.worker.seen().executed, [attempt(3, 2)], "the old order is not news");
    actor.kill().await;
    drop(session);
    let actor = stage.agent(finishes).await;
    let session = stage.fake.session().await;
    assert_eq!(session.hello.held.iter().map(|held| held.attempt).collect::<Vec<_>>(), [attempt(3, 2)]);
    actor.kill().await;
}

#[tokio::test]
async fn an_attempt_goes_on_over_a_cut() {
    let stage = Stage::new().await;
    let plan = once();
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(0, 1)])).await;
    session.started().await;
    session.cut();
    let mut again = stage.fake.session().await;
    let held = &again.hello.held[0];
    assert!(held.attempt == attempt(0, 1) && held.started && !held.finished, "{held:?}");
    again.welcome(Vec::new()).await;
    assert_eq!(again.started().await, attempt(0, 1), "told again");
    assert_eq!(actor.worker.seen().executed.len(), 1);
    again.cut();
    // Now the coordinator has given it up.
    let mut last = stage.fake.session().await;
    last.welcome(vec![attempt(0, 1)]).await;
    last.send(plan.notice()).await;
    last.send(orders(last.session, vec![plan.order(0, 2)])).await;
    assert_eq!(last.started().await, attempt(0, 2));
    actor.kill().await;
}

use std::time::Duration;

use nexusmon_shared::message::{AgentMessage, Cancel, CoordinatorMessage, HaltAck, HaltLevel, HaltNotice};
use nexusmon_shared::outcome::Refusal;

use super::plan::{Sample, attempt, orders, task};
use super::*;

fn noops(count: usize) -> Sample {
    Sample::new((0..count).map(|index| task(&format!("t{index}"), |_| {})).collect())
}

fn shell(idempotent: bool) -> Sample {
    let spec = |t: &mut serde_json::Value| {
        t["uses"] = "shell.run".into();
        t["with"] = serde_json::json!({"script": "true"});
        t["idempotent"] = idempotent.into();
        t["offline"] = 900.into();
    };
    Sample::new((0..6).map(|index| task(&format!("s{index}"), spec)).collect())
}

#[tokio::test]
async fn what_is_not_acknowledged_is_told_again_and_nothing_else() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::AtOnce(succeeded())).await;
    let plan = noops(6);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, (0..6).map(|index| plan.order(index, 1)).collect())).await;
    let reports = session.reports(6).await;
    assert!(reports.iter().all(|report| report.ending == succeeded()));
    session.send(CoordinatorMessage::Ack((0..4).map(|index| attempt(index, 1)).collect())).await;
    // The acknowledgement has been taken in once something sent after it is answered.
    session.send(orders(session.session, vec![plan.order(0, 2)])).await;
    session.reports(1).await;
    session.cut();

    let mut again = stage.fake.session().await;
    let mut held: Vec<_> = again.hello.held.iter().map(|held| held.attempt).collect();
    held.sort_unstable();
    assert_eq!(held, [attempt(0, 2), attempt(4, 1), attempt(5, 1)]);
    assert!(again.hello.held.iter().all(|held| held.finished && held.started));
    // The coordinator knows one of them to be stale.
    again.welcome(vec![attempt(4, 1)]).await;
    let mut told: Vec<_> = again.reports(2).await.iter().map(|report| report.attempt).collect();
    told.sort_unstable();
    assert_eq!(told, [attempt(0, 2), attempt(5, 1)]);
    actor.kill().await;
}

#[tokio::test]
async fn orders_of_other_sessions_and_old_fences_do_nothing() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::AtOnce(succeeded())).await;
    let plan = noops(3);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session + 1, vec![plan.order(0, 9)])).await;
    session.send(orders(session.session, vec![plan.order(1, 5)])).await;
    session.send(orders(session.session, vec![plan.order(1, 4), plan.order(1, 5), plan.order(2, 1)])).await;
    let told: Vec<_> = session.reports(2).await.iter().map(|report| report.attempt).collect();
    assert_eq!(told, [attempt(1, 5), attempt(2, 1)]);
    actor.kill().await;
}

#[tokio::test]
async fn a_forged_order_is_refused_with_its_reason() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::AtOnce(succeeded())).await;
    let plan = noops(3);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    let mut forged = plan.order(0, 1);
    forged.leaf = plan.order(1, 1).leaf;
    session.send(orders(session.session, vec![forged])).await;
    let reports = session.reports(1).await;
    assert!(matches!(reports[0].ending, Ending::Refused { reason: Refusal::BadProof, .. }), "{reports:?}");
    actor.kill().await;
}

#[tokio::test]
async fn slots_bound_what_runs_and_recall_gives_back_the_rest() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let plan = shell(true);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, (0..4).map(|index| plan.order(index, 1)).collect())).await;
    assert_eq!([session.started().await, session.started().await], [attempt(0, 1), attempt(1, 1)]);
    session.send(CoordinatorMessage::Recall(Vec::new())).await;
    let mut returned = session.reports(2).await;
    returned.sort_by_key(|report| report.attempt);
    assert_eq!(
        returned.iter().map(|report| report.attempt).collect::<Vec<_>>(),
        [attempt(2, 1), attempt(3, 1)]
    );
    assert!(returned.iter().all(|report| report.ending == Ending::Returned));

    let cancel = Cancel { attempts: vec![attempt(0, 1)], grace: Duration::from_secs(1) };
    session.send(CoordinatorMessage::Cancel(cancel)).await;
    let cancelled = session.reports(1).await;
    assert_eq!((cancelled[0].attempt, &cancelled[0].ending), (attempt(0, 1), &Ending::Cancelled));
    assert!(cancelled[0].started_at.is_some());

    session.send(CoordinatorMessage::Halt(HaltNotice { level: HaltLevel::Stop, number: 5 })).await;
    // The answer comes ahead of the report it speaks of.
    let ack = session.until(|message| match message {
        AgentMessage::HaltAck(ack) if ack.running == 0 => Some(ack),
        _ => None,
    });
    assert_eq!(ack.await, HaltAck { level: HaltLevel::Stop, number: 5, running: 0 });
    let stopped = session.reports(1).await;
    assert_eq!((stopped[0].attempt, &stopped[0].ending), (attempt(1, 1), &Ending::Cancelled));
    session.send(orders(session.session, vec![plan.order(5, 1)])).await;
    assert_eq!(session.reports(1).await[0].ending, Ending::Returned, "nothing starts while halted");
    actor.kill().await;
}

#[tokio::test]
async fn a_newer_order_waits_for_the_end_of_the_older_attempt() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let plan = shell(false);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(0, 1)])).await;
    assert_eq!(session.started().await, attempt(0, 1));
    session.send(orders(session.session, vec![plan.order(0, 2)])).await;
    assert_eq!(session.started().await, attempt(0, 2));
    assert_eq!(actor.worker.seen().executed, [attempt(0, 1), attempt(0, 2)]);
    actor.kill().await;
}

#[tokio::test]
async fn pausing_gives_back_and_asks_to_be_drained_and_resuming_says_so() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    actor.agent.pause(true).await;
    session.until(|message| matches!(message, AgentMessage::DrainRequested { .. }).then_some(())).await;
    assert!(actor.agent.summary().await.paused);
    actor.agent.pause(false).await;
    let again = stage.fake.session().await;
    assert!(!again.hello.paused);
    again.welcome(Vec::new()).await;
    actor.kill().await;
}

#[tokio::test]
async fn without_renewal_repeatable_work_ends_and_other_work_may_finish() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::UntilCancelled).await;
    let (repeatable, once) = (shell(true), shell(false));
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(repeatable.notice()).await;
    session.send(once.notice()).await;
    session
        .send(orders(session.session, vec![repeatable.order(0, 1), once.order(1, 1), repeatable.order(2, 1)]))
        .await;
    assert_eq!([session.started().await, session.started().await], [attempt(0, 1), attempt(1, 1)]);
    // Heartbeats are never answered: the lease counts from the Hello.
    stage.clock.advance(Duration::from_secs(26));
    let mut ended = session.reports(2).await;
    ended.sort_by_key(|report| report.attempt);
    assert_eq!((ended[0].attempt, &ended[0].ending), (attempt(0, 1), &Ending::Unknown));
    assert_eq!((ended[1].attempt, &ended[1].ending), (attempt(2, 1), &Ending::Returned), "never started");
    assert_eq!(actor.agent.summary().await.running, 1);
    stage.clock.advance(Duration::from_mins(15));
    let ended = session.reports(1).await;
    assert_eq!((ended[0].attempt, &ended[0].ending), (attempt(1, 1), &Ending::Unknown));
    actor.kill().await;
}

#[tokio::test]
async fn changed_capabilities_are_told_without_a_new_session() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::AtOnce(succeeded())).await;
    let mut session = stage.fake.session().await;
    assert_eq!(session.hello.manifests.len(), 2);
    session.welcome(Vec::new()).await;
    session.until(|message| matches!(message, AgentMessage::Heartbeat(_)).then_some(())).await;
    actor.worker.offer(Vec::new());
    let told = session
        .until(|message| match message {
            AgentMessage::CapabilitiesChanged(manifests) => Some(manifests),
            _ => None,
        })
        .await;
    assert!(told.is_empty());
    let plan = noops(1);
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(0, 1)])).await;
    let ending = session.reports(1).await.remove(0).ending;
    assert!(matches!(ending, Ending::Refused { reason: Refusal::UnknownCapability, .. }), "{ending:?}");
    actor.kill().await;
}

#[tokio::test]
async fn stopping_lets_work_finish_and_delivers_its_report() {
    let stage = Stage::new().await;
    let actor = stage.agent(|_| Act::After(Duration::from_millis(200), succeeded())).await;
    let plan = shell(false);
    let mut session = stage.fake.session().await;
    session.welcome(Vec::new()).await;
    session.send(plan.notice()).await;
    session.send(orders(session.session, vec![plan.order(0, 1)])).await;
    session.started().await;
    let stopping = actor.lifecycle.clone();
    stopping.begin_shutdown();
    let reports = session.reports(1).await;
    assert_eq!((reports[0].attempt, &reports[0].ending), (attempt(0, 1), &succeeded()));
    session.send(CoordinatorMessage::Ack(vec![attempt(0, 1)])).await;
    let ended = stopping.shutdown(Duration::from_secs(20)).await;
    assert_eq!(ended, nexusmon_shared::lifecycle::Shutdown::Clean);
    assert_eq!(actor.worker.seen().released, [attempt(0, 1)]);
}

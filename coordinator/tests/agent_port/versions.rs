//! Agents of other protocol versions: the neighbours are served in the version both speak, the others are told to upgrade.

use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::{AgentMessage, CoordinatorMessage, GoodbyeCode, Hello, ProtocolRange, Spawn};
use serde_json::json;

use crate::scripted::Machine;
use crate::site::Site;

const OURS: ProtocolRange = ProtocolRange::OURS;

#[tokio::test(flavor = "multi_thread")]
async fn neighbouring_versions_are_served_and_strangers_told_to_upgrade() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let older = ProtocolRange { lowest: OURS.lowest.saturating_sub(1), highest: OURS.lowest };
    let newer = ProtocolRange { lowest: OURS.highest, highest: OURS.highest + 1 };
    for protocol in [older, newer] {
        let hello = AgentMessage::Hello(Box::new(Hello { protocol, ..agent.hello() }));
        let mut session = agent.stream(hello.into()).await;
        match session.next().await {
            Ok(Some(CoordinatorMessage::Welcome(welcome))) => {
                assert_eq!(Some(welcome.protocol), OURS.common(protocol));
            }
            other => panic!("expected Welcome for {protocol:?}, got {other:?}"),
        }
    }
    let future = ProtocolRange { lowest: OURS.highest + 1, highest: OURS.highest + 2 };
    let hello = AgentMessage::Hello(Box::new(Hello { protocol: future, ..agent.hello() }));
    let mut session = agent.stream(hello.into()).await;
    match session.next().await {
        Ok(Some(CoordinatorMessage::Goodbye(goodbye))) => {
            assert_eq!(goodbye.code, GoodbyeCode::Protocol, "{goodbye:?}");
            assert!(goodbye.detail.contains("upgrade"), "{goodbye:?}");
        }
        other => panic!("expected a goodbye, got {other:?}"),
    }
}

/// Builds from before tasks could add tasks: what says so never goes there, everything else does.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_know_added_tasks_is_offered_none() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let hello = |spawns| AgentMessage::Hello(Box::new(Hello { spawns, ..agent.hello() }));
    let mut session = agent.stream(hello(false).into()).await;
    let Ok(Some(CoordinatorMessage::Welcome(welcome))) = session.next().await else { panic!("a welcome") };
    session.welcome = Some(*welcome);
    let spawn = json!({"capabilities": ["test.work"], "max": 1, "rank": "E"});
    let adds = json!({"goal": "adds", "tasks": [{"id": "adds", "uses": "test.work", "spawn": spawn}]});
    let adds = site.mission(adds).await;
    let plain = site.mission(json!({"goal": "plain", "tasks": [{"id": "plain", "uses": "test.work"}]})).await;
    session.offer_credit(8).await;
    assert_eq!(session.order().await.attempt.task, plain.tasks[0].task_id);
    let waiting = site.look(&adds).await.tasks.remove(0).waiting.expect("it waits");
    assert_eq!(waiting.reason, "agent_too_old");
    drop(session);
    // The same machine, updated.
    let mut session = agent.stream(hello(true).into()).await;
    let Ok(Some(CoordinatorMessage::Welcome(welcome))) = session.next().await else { panic!("a welcome") };
    session.welcome = Some(*welcome);
    session.offer_credit(8).await;
    while session.order().await.attempt.task != adds.tasks[0].task_id {}
    // What cannot be read is answered, and the session goes on.
    let nonsense = Spawn { task: TaskId::from_bits(7), signed: "{}".into() };
    session.say(AgentMessage::Spawn(nonsense)).await;
    let answer = loop {
        if let Ok(Some(CoordinatorMessage::SpawnResult(answer))) = session.next().await {
            break answer;
        }
    };
    assert_eq!(answer.task, TaskId::from_bits(7));
    assert!(!answer.refused.is_empty());
}

//! The agent port from outside: a real coordinator, real TLS, an agent that follows a script.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "agent_port/enrollment.rs"]
mod enrollment;
#[path = "agent_port/hands.rs"]
mod hands;
#[path = "agent_port/scripted.rs"]
mod scripted;
#[path = "agent_port/site.rs"]
mod site;
#[path = "agent_port/starts.rs"]
mod starts;
#[path = "agent_port/streams.rs"]
mod streams;
#[path = "agent_port/versions.rs"]
mod versions;
#[path = "agent_port/witness.rs"]
mod witness;

use nexusmon_coordinator::service::Caller;
use nexusmon_coordinator::service::agents::{self, AgentCommand};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::message::{AgentMessage, Events, GoodbyeCode, ProtocolRange, Started};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::time::{SystemClock, Timestamp};
use nexusmon_shared::tls::{ConnectError, Connector, Trust};
use nexusmon_shared::wire::proto;
use scripted::{Machine, connect, succeeded, within};
use serde_json::json;
use site::Site;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_machines_with_one_token_one_joins() {
    let site = Site::start().await;
    let token = site.invite("nas").await;
    let machines: Vec<_> = (0..10).map(Machine::new).collect();
    let joins = futures::future::join_all(machines.iter().map(|machine| machine.join(&token))).await;
    let (winners, losers): (Vec<_>, Vec<_>) = joins.into_iter().partition(Result::is_ok);
    println!("one token, {} machines: {} joined, {} refused", machines.len(), winners.len(), losers.len());
    assert_eq!(winners.len(), 1);
    for refused in losers {
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let late = Machine::new(99).join(&token).await.unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated, "a used token: {late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_or_a_wrong_secret_joins_nothing() {
    let site = Site::start().await;
    let token = site.invite("nas").await;
    let elsewhere = Trust::Pin(Digest::of(b"another authority"));
    let clock = std::sync::Arc::new(SystemClock);
    let connector = Connector::new(token.address().clone(), elsewhere, None, clock).unwrap();
    assert!(matches!(connector.connect().await, Err(ConnectError::WrongPin { .. })));

    let forged = JoinToken::new(token.address().clone(), token.invite(), [9; 32], token.authority(), [0; 32]);
    let refused = Machine::new(1).join(&forged).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // The token itself is still good.
    Machine::new(2).join(&token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_enrollment_is_served_without_a_certificate() {
    let site = Site::start().await;
    let token = site.invite("nas").await;
    let channel = || async { connect(token.address(), Trust::Pin(token.authority()), None).await.channel };
    let mut sessions = proto::session_client::SessionClient::new(channel().await);
    let refused = sessions.open(tokio_stream::pending::<proto::AgentMessage>()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut transfers = proto::transfer_client::TransferClient::new(channel().await);
    let offer = transfers.offer(proto::OfferRequest::default()).await.unwrap_err();
    let upload = transfers.upload(tokio_stream::empty::<proto::UploadMessage>()).await.unwrap_err();
    let download = transfers.download(proto::DownloadRequest::default()).await.unwrap_err();
    let log = transfers.append_log(tokio_stream::pending::<proto::LogChunk>()).await.unwrap_err();
    for refused in [offer, upload, download, log] {
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_ordered_reported_and_acknowledged() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let mut session = agent.session().await;
    session.offer_credit(4).await;
    let mission = site
        .mission(json!({"goal": "two steps", "tasks": [
        {"id": "a", "uses": "test.work"}, {"id": "b", "uses": "test.work", "needs": ["a"]}]}))
        .await;
    for _ in 0..2 {
        let order = session.order().await;
        let started = Started { attempt: order.attempt, at: Timestamp::from_micros(1) };
        session
            .say(AgentMessage::Events(Events { started: vec![started], credit: 3, ..Events::default() }))
            .await;
        session.finish(order.attempt, succeeded()).await;
        session.acknowledged(order.attempt).await;
    }
    assert_eq!(site.look(&mission).await.summary.status, MissionStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_cut_off_and_stays_out() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let mut session = agent.session().await;
    let mut transfer = agent.transfer().await;
    let app = &site.running.app;
    agents::command(app, &Caller::system(app), agent.id(), AgentCommand::Revoke).await.unwrap();
    assert_eq!(session.farewell().await.code, GoodbyeCode::Revoked);
    // A line that was open already gives nothing either, nor does a new one.
    assert!(transfer.offer(proto::OfferRequest::default()).await.is_err());
    let refused = agent.transfer().await.offer(proto::OfferRequest::default()).await.unwrap_err();
    assert!(matches!(refused.code(), Code::PermissionDenied | Code::Unauthenticated), "{refused:?}");
    within("the end of the stream's other half", session.out.closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_ends_the_older_and_numbers_only_grow() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let mut older = agent.session().await;
    let newer = agent.session().await;
    assert!(newer.number() > older.number());
    assert_eq!(older.farewell().await.code, GoodbyeCode::Superseded);
    let site = site.restart().await;
    let agent = scripted::Scripted { address: site.running.grpc_addr.into(), ..agent };
    assert!(agent.session().await.number() > newer.number(), "a restart does not begin again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_coordinator_says_goodbye_after_the_last_ack() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let mut session = agent.session().await;
    let Site { running, folder: _folder } = site;
    let (_, goodbye) = tokio::join!(running.stop(), session.farewell());
    assert_eq!(goodbye.code, GoodbyeCode::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_do_not_begin_as_agreed_are_refused() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let heartbeat = AgentMessage::Heartbeat(nexusmon_shared::message::Heartbeat::default());
    let refused = agent.stream(heartbeat.into()).await.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let mut hello = agent.hello();
    hello.protocol = ProtocolRange { lowest: 1_000, highest: 2_000 };
    let mut session = agent.stream(AgentMessage::Hello(Box::new(hello)).into()).await;
    let goodbye = session.farewell().await;
    assert_eq!(goodbye.code, GoodbyeCode::Protocol);
    assert!(goodbye.detail.contains("upgrade the coordinator"), "{}", goodbye.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_beyond_the_limits_break_the_session() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let mut session = agent.session().await;
    let started = proto::Started { attempt: Some(proto::AttemptRef::default()), at_micros: 0 };
    let events = proto::Events { started: vec![started; 501], ..proto::Events::default() };
    session
        .out
        .send(proto::AgentMessage { kind: Some(proto::agent_message::Kind::Events(events)) })
        .await
        .unwrap();
    let refused = loop {
        match session.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("500"), "{refused:?}");
}

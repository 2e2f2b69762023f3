//! An agent in the wrong hands: with its own certificate and keys it tries what is another's, and more than it was enrolled
//! for.

use bytes::Bytes;
use futures::TryStreamExt as _;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{
    AgentMessage, CoordinatorMessage, DownloadRequest, Events, Heartbeat, HeldAttempt, Hello, LocalPolicy,
    Offer, OfferItem, UploadMessage, UploadStart,
};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::outcome::{Ending, ProducedArtifact, Report};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::wire::proto;
use serde_json::json;
use tonic::Code;

use super::scripted::{Machine, Scripted, Session, succeeded};
use super::site::Site;

/// Two agents; the first has an attempt that runs, the second is the one in the wrong hands.
async fn stage(
    site: &Site,
) -> (Session, AttemptRef, Scripted, nexusmon_coordinator::service::missions::MissionView) {
    let owner = Machine::new(1).enroll(&site.invite("one").await).await;
    let mut session = owner.session().await;
    session.offer_credit(1).await;
    let mission =
        site.mission(json!({"goal": "one step", "tasks": [{"id": "a", "uses": "test.work"}]})).await;
    let order = session.order().await;
    let thief = Machine::new(2).enroll(&site.invite("two").await).await;
    (session, order.attempt, thief, mission)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_settles_nothing_of_anothers() {
    let site = Site::start().await;
    let (mut owner, attempt, thief, mission) = stage(&site).await;
    let mut session = thief.session().await;
    // The attempt as it is, and fences somebody may guess.
    for number in attempt.fence.number..attempt.fence.number + 3 {
        let guessed = AttemptRef { fence: Fence { number, ..attempt.fence }, ..attempt };
        for ending in [succeeded(), Ending::Cancelled, Ending::Returned] {
            session.finish(guessed, ending).await;
        }
        session.acknowledged(guessed).await;
    }
    let seen = site.look(&mission).await;
    assert_eq!(seen.summary.status, MissionStatus::Running, "nothing was settled");
    // Nor does it hold what it says it holds.
    let held = vec![HeldAttempt { attempt, started: true, finished: false }];
    let claims = thief.session_holding(held).await;
    assert!(claims.welcome.as_ref().unwrap().stale.contains(&attempt), "it is told to forget it");
    owner.finish(attempt, succeeded()).await;
    owner.acknowledged(attempt).await;
    assert_eq!(site.look(&mission).await.summary.status, MissionStatus::Succeeded, "the owner's word counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_and_leaves_no_artifact_of_anothers() {
    let site = Site::start().await;
    let (_owner, attempt, thief, _) = stage(&site).await;
    let digest = Digest::of(b"theirs");
    let item = OfferItem { digest, size: 6 };
    let offer = proto::OfferRequest::from(Offer { attempt, items: vec![item] });
    let refused = thief.transfer().await.offer(offer).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::PermissionDenied | Code::FailedPrecondition | Code::NotFound),
        "{refused:?}"
    );
    let asked = proto::DownloadRequest::from(DownloadRequest { attempt, digest, offset: 0 });
    let refused = match thief.transfer().await.download(asked).await {
        Err(refused) => refused,
        Ok(stream) => stream.into_inner().try_collect::<Vec<_>>().await.unwrap_err(),
    };
    assert!(
        matches!(refused.code(), Code::PermissionDenied | Code::FailedPrecondition | Code::NotFound),
        "{refused:?}"
    );
}

/// Every file below, by its path.
fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_uploads_is_kept_by_digest_whatever_it_calls_it() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("one").await).await;
    let mut session = agent.session().await;
    session.offer_credit(1).await;
    let body =
        json!({"goal": "one step", "tasks": [{"id": "a", "uses": "test.work", "artifacts": ["*.planted"]}]});
    let mission = site.mission(body).await;
    let attempt = session.order().await.attempt;
    let bytes = Bytes::from_static(b"planted");
    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
    let start = UploadMessage::Start(UploadStart { attempt, digest, size, offset: 0 });
    let messages: Vec<proto::UploadMessage> = vec![start.into(), UploadMessage::Data(bytes.clone()).into()];
    agent.transfer().await.upload(tokio_stream::iter(messages)).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("x.planted").display().to_string();
    let named = |name: &str| ProducedArtifact {
        name: name.to_owned(),
        digest,
        size,
        media_type: "text/plain".to_owned(),
        withheld: false,
    };
    let names = ["../x.planted", "a/../../../x.planted", absolute.as_str()];
    let report = Report {
        attempt,
        ending: succeeded(),
        started_at: None,
        finished_at: Timestamp::from_micros(2),
        artifacts: names.into_iter().map(named).collect(),
        log_bytes: 0,
        sandbox_level: None,
        provenance: None,
    };
    session.say(AgentMessage::Events(Events { finished: vec![report], ..Events::default() })).await;
    session.acknowledged(attempt).await;
    assert_eq!(site.look(&mission).await.summary.status, MissionStatus::Succeeded);
    // The bytes are there, once, and nowhere under a name of the agent's.
    let mut found = Vec::new();
    files(site.folder.path(), &mut found);
    let whole = found.iter().filter(|path| std::fs::read(path).is_ok_and(|read| read == bytes)).count();
    assert_eq!(whole, 1, "{found:#?}");
    files(outside.path(), &mut found);
    let planted = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "planted");
    assert_eq!(found.iter().find(planted), None);
    let above = site.folder.path().ancestors().skip(1).take(3);
    assert!(above.map(|folder| folder.join("x.planted")).all(|path| !path.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_raises_neither_its_ceiling_nor_its_labels() {
    let site = Site::start().await;
    let thief = Machine::new(1).enroll(&site.invite_up_to("low", Rank::E).await).await;
    let hello = Hello {
        labels: Labels::from([("trusted".to_owned(), "yes".to_owned())]),
        local_policy: LocalPolicy { max_rank: Rank::S, capabilities: Vec::new(), unsigned_consent: true },
        ..thief.hello()
    };
    let mut session = thief.stream(AgentMessage::Hello(Box::new(hello)).into()).await;
    let Ok(Some(CoordinatorMessage::Welcome(welcome))) = session.next().await else { panic!("a welcome") };
    session.welcome = Some(*welcome);
    session.say(AgentMessage::Heartbeat(Heartbeat { number: 1, credit: 8, ..Heartbeat::default() })).await;
    let above = site
        .mission(json!({"goal": "above it", "tasks": [{"id": "a", "uses": "test.work", "sandbox": "user"}]}))
        .await;
    let elsewhere = site
        .mission(json!({"goal": "for others", "tasks": [
            {"id": "a", "uses": "test.work", "on": {"labels": {"trusted": "yes"}}}]}))
        .await;
    let fitting = site.mission(json!({"goal": "fits", "tasks": [{"id": "a", "uses": "test.work"}]})).await;
    let order = session.order().await;
    session.finish(order.attempt, succeeded()).await;
    session.acknowledged(order.attempt).await;
    assert_eq!(site.look(&fitting).await.summary.status, MissionStatus::Succeeded);
    for mission in [above, elsewhere] {
        let seen = site.look(&mission).await;
        assert_ne!(seen.summary.status, MissionStatus::Succeeded);
        assert_eq!(seen.summary.tasks.open, 1, "nothing of it was given to this agent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_it_sends_the_coordinator_goes_on() {
    let site = Site::start().await;
    let (_owner, attempt, thief, _) = stage(&site).await;
    let report = Report {
        attempt,
        ending: succeeded(),
        started_at: Some(Timestamp::from_micros(i64::MIN)),
        finished_at: Timestamp::from_micros(i64::MAX),
        artifacts: Vec::new(),
        log_bytes: u64::MAX,
        sandbox_level: None,
        provenance: None,
    };
    let odd: Vec<proto::AgentMessage> = vec![
        proto::AgentMessage { kind: None },
        proto::AgentMessage { kind: Some(proto::agent_message::Kind::Events(proto::Events::default())) },
        proto::AgentMessage {
            kind: Some(proto::agent_message::Kind::CertificateRequest(proto::CertificateRequest {
                csr: Bytes::from_static(b"\x30\x82\xff\xff"),
                join_counter: Some(u64::MAX),
            })),
        },
        proto::AgentMessage {
            kind: Some(proto::agent_message::Kind::Cosignature(proto::Cosignature {
                size: u64::MAX,
                line: "\u{0}".repeat(10_000),
                alarm: "x".repeat(100_000),
            })),
        },
        AgentMessage::Events(Events { finished: vec![report], ..Events::default() }).into(),
    ];
    for message in odd {
        let mut session = thief.session().await;
        let _ = session.out.send(message).await;
        // Answered, ignored or cut off; a new session opens all the same.
        let heartbeat = AgentMessage::Heartbeat(Heartbeat { number: 1, credit: 1, ..Heartbeat::default() });
        let _ = session.out.send(heartbeat.into()).await;
        drop(session.next().await);
    }
    let mut session = thief.session().await;
    session.offer_credit(1).await;
    let mission = site.mission(json!({"goal": "after", "tasks": [{"id": "a", "uses": "test.work"}]})).await;
    let order = session.order().await;
    session.finish(order.attempt, succeeded()).await;
    session.acknowledged(order.attempt).await;
    assert_eq!(site.look(&mission).await.summary.status, MissionStatus::Succeeded);
}

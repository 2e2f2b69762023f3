//! Logs and artifacts over lines that break.

use bytes::Bytes;
use futures::TryStreamExt as _;
use nexusmon_coordinator::service::{logs, vault};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{
    AgentMessage, Events, LogAck, LogChunk, LogRun, LogSource, Offer, OfferAnswer, OfferItem, UploadDone,
    UploadMessage, UploadStart,
};
use nexusmon_shared::outcome::{ProducedArtifact, Report};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::wire::proto;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::scripted::{Machine, Scripted, Session, succeeded, within};
use crate::site::Site;

/// One attempt, ordered and started.
async fn attempt(site: &Site, agent: &Scripted) -> (Session, AttemptRef) {
    let mut session = agent.session().await;
    session.offer_credit(1).await;
    site.mission(json!({"goal": "one step", "tasks": [{"id": "a", "uses": "test.work"}]})).await;
    let order = session.order().await;
    (session, order.attempt)
}

struct LogLine {
    out: mpsc::Sender<proto::LogChunk>,
    acks: Streaming<proto::LogAck>,
}

impl LogLine {
    async fn open(agent: &Scripted) -> Self {
        let (out, chunks) = mpsc::channel(4);
        let acks = agent.transfer().await.append_log(ReceiverStream::new(chunks)).await.unwrap().into_inner();
        Self { out, acks }
    }

    async fn send(&self, attempt: AttemptRef, offset: u64, data: Bytes, last: bool) {
        let size = u32::try_from(data.len()).unwrap();
        let runs =
            if size == 0 { Vec::new() } else { vec![LogRun { source: LogSource::Stdout, length: size }] };
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let chunk = LogChunk { attempt, offset, data, compressed: false, size, at, runs, last };
        self.out.send(chunk.into()).await.unwrap();
    }

    async fn ack(&mut self) -> LogAck {
        let ack = within("an ack", self.acks.message()).await.unwrap();
        ack.expect("the log stream goes on").try_into().unwrap()
    }

    /// Where to go on.
    async fn ask(&mut self, attempt: AttemptRef) -> u64 {
        self.send(attempt, 0, Bytes::new(), false).await;
        let ack = self.ack().await;
        assert_eq!(ack.refused, None);
        ack.received
    }
}

fn text(lines: usize, seed: u64) -> Bytes {
    let line = |n: usize| format!("line {n} of {seed} {}\n", "x".repeat(n % 97));
    (0..lines).fold(String::new(), |text, n| text + &line(n)).into()
}

/// Sends `log` over lines that are dropped after so many chunks each; returns when it is sealed.
async fn send_over_broken_lines(
    agent: &Scripted,
    attempt: AttemptRef,
    log: &Bytes,
    chunk: usize,
    cuts: &[usize],
) {
    let mut cuts = cuts.iter().copied();
    loop {
        let mut line = LogLine::open(agent).await;
        let mut at = line.ask(attempt).await;
        let allowed = cuts.next().unwrap_or(usize::MAX);
        let mut sent = 0;
        while sent < allowed {
            let begin = usize::try_from(at).unwrap();
            let end = log.len().min(begin + chunk);
            line.send(attempt, at, log.slice(begin..end), end == log.len()).await;
            at = end as u64;
            sent += 1;
            if end == log.len() {
                loop {
                    let ack = line.ack().await;
                    assert_eq!(ack.refused, None);
                    assert!(ack.stored <= ack.received && ack.received <= log.len() as u64);
                    if ack.sealed {
                        assert_eq!(ack.stored, log.len() as u64);
                        return;
                    }
                }
            }
        }
        // Dropped without a word, with chunks and acks under way.
    }
}

async fn stored(site: &Site, attempt: AttemptRef) -> Vec<u8> {
    let bytes = logs::bytes(&site.running.app, attempt.task, None, None).await.unwrap();
    let pieces: Vec<Bytes> = bytes.body.try_collect().await.unwrap();
    pieces.concat()
}

#[test]
fn a_log_arrives_whole_and_once_however_the_line_breaks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (site, agent) = runtime.block_on(async {
        let site = Site::start().await;
        let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
        (site, agent)
    });
    let strategy = (1_usize..400, 1_usize..5_000, prop::collection::vec(0_usize..5, 0..6), any::<u64>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    runner
        .run(&strategy, |(lines, chunk, cuts, seed)| {
            runtime.block_on(async {
                let (session, attempt) = attempt(&site, &agent).await;
                let log = text(lines, seed);
                send_over_broken_lines(&agent, attempt, &log, chunk, &cuts).await;
                assert_eq!(stored(&site, attempt).await, log);
                session.finish(attempt, succeeded()).await;
                let mut session = session;
                session.acknowledged(attempt).await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_the_log_of_anothers_attempt() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let other = Machine::new(2).enroll(&site.invite("other").await).await;
    let (_session, attempt) = attempt(&site, &agent).await;
    let mut line = LogLine::open(&other).await;
    line.send(attempt, 0, Bytes::from_static(b"forged\n"), false).await;
    let refused = match within("an answer", line.acks.message()).await {
        Ok(Some(ack)) => LogAck::try_from(ack).unwrap().refused.is_some(),
        Ok(None) => false,
        Err(status) => {
            matches!(status.code(), Code::PermissionDenied | Code::NotFound | Code::FailedPrecondition)
        }
    };
    assert!(refused);
}

async fn offer(agent: &Scripted, attempt: AttemptRef, digest: Digest, size: u64) -> OfferAnswer {
    let offer = Offer { attempt, items: vec![OfferItem { digest, size }] };
    let response = agent.transfer().await.offer(proto::OfferRequest::from(offer)).await.unwrap();
    let answers: Vec<OfferAnswer> = response.into_inner().try_into().unwrap();
    answers.into_iter().next().unwrap()
}

fn start(attempt: AttemptRef, digest: Digest, size: u64, offset: u64) -> proto::UploadMessage {
    UploadMessage::Start(UploadStart { attempt, digest, size, offset }).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_the_line_broke_and_feeds_the_next_task() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let mut session = agent.session().await;
    session.offer_credit(1).await;
    site.mission(json!({"goal": "make and use", "tasks": [
        {"id": "make", "uses": "test.work", "artifacts": ["*.bin"]},
        {"id": "use", "uses": "test.work", "needs": ["make"], "inputs": [{"task": "make", "artifact": "a.bin"}]}]}))
        .await;
    let order = session.order().await;
    let attempt = order.attempt;
    let bytes: Bytes =
        (0..5_000_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
    assert_eq!(offer(&agent, attempt, digest, size).await, OfferAnswer::Send { offset: 0 });

    let mut first = agent.transfer().await;
    let (out, messages) = mpsc::channel(16);
    let upload = first.upload(ReceiverStream::new(messages));
    let broken = async {
        out.send(start(attempt, digest, size, 0)).await.unwrap();
        for piece in 0..3 {
            let data = bytes.slice(piece * 1_000_000..(piece + 1) * 1_000_000);
            out.send(UploadMessage::Data(data).into()).await.unwrap();
        }
        // Until some of it has arrived; then the line is cut with the rest under way.
        loop {
            if let OfferAnswer::Send { offset: 1.. } = offer(&agent, attempt, digest, size).await {
                return;
            }
        }
    };
    tokio::select! {
        done = upload => panic!("the upload cannot be done: {done:?}"),
        () = within("the first bytes", broken) => {}
    }
    drop((out, first));

    let OfferAnswer::Send { offset } = offer(&agent, attempt, digest, size).await else {
        panic!("not all is there")
    };
    assert!((1..size).contains(&offset));
    let rest = bytes.slice(usize::try_from(offset).unwrap()..);
    let messages: Vec<proto::UploadMessage> = std::iter::once(start(attempt, digest, size, offset))
        .chain(rest.chunks(900_000).map(|data| UploadMessage::Data(Bytes::copy_from_slice(data)).into()))
        .collect();
    let done = agent.transfer().await.upload(tokio_stream::iter(messages)).await.unwrap().into_inner();
    assert_eq!(UploadDone::try_from(done).unwrap(), UploadDone { digest, size });
    assert_eq!(offer(&agent, attempt, digest, size).await, OfferAnswer::Present);

    // Before a lease names it, not even the agent that made it gets it back.
    let refused = download(&agent, attempt, digest).await.unwrap_err();
    assert!(matches!(refused.code(), Code::PermissionDenied | Code::NotFound), "{refused:?}");

    let produced = ProducedArtifact {
        name: "a.bin".to_owned(),
        digest,
        size,
        media_type: "application/octet-stream".to_owned(),
        withheld: false,
    };
    let report = Report {
        attempt,
        ending: succeeded(),
        started_at: None,
        finished_at: Timestamp::from_micros(2),
        artifacts: vec![produced],
        log_bytes: 0,
        sandbox_level: None,
        provenance: None,
    };
    session
        .say(AgentMessage::Events(Events { finished: vec![report], credit: 1, ..Events::default() }))
        .await;
    let next = session.order().await;
    assert_eq!(next.inputs.len(), 1);
    assert_eq!(next.inputs[0].digest, digest);
    assert_eq!(download(&agent, next.attempt, digest).await.unwrap(), bytes);

    let stranger = Machine::new(2).enroll(&site.invite("stranger").await).await;
    let refused = download(&stranger, next.attempt, digest).await.unwrap_err();
    assert!(matches!(refused.code(), Code::PermissionDenied | Code::NotFound), "{refused:?}");
    let listed = vault::list(
        &site.running.app,
        vault::ArtifactFilter::default(),
        nexusmon_coordinator::service::PageRequest::default(),
    )
    .await
    .unwrap();
    assert!(listed.items.iter().any(|artifact| artifact.name == "a.bin" && artifact.latest.digest == digest));
}

async fn download(agent: &Scripted, attempt: AttemptRef, digest: Digest) -> Result<Bytes, tonic::Status> {
    let request = nexusmon_shared::message::DownloadRequest { attempt, digest, offset: 0 };
    let chunks = agent.transfer().await.download(proto::DownloadRequest::from(request)).await?.into_inner();
    let chunks: Vec<proto::DownloadChunk> = chunks.try_collect().await?;
    Ok(chunks.into_iter().map(|chunk| chunk.data).collect::<Vec<_>>().concat().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_was_declared_are_refused() {
    let site = Site::start().await;
    let agent = Machine::new(1).enroll(&site.invite("nas").await).await;
    let (_session, attempt) = attempt(&site, &agent).await;
    let digest = Digest::of(b"declared");
    let upload = |data: &'static [u8]| {
        let messages =
            vec![start(attempt, digest, 8, 0), UploadMessage::Data(Bytes::from_static(data)).into()];
        let agent = &agent;
        async move { agent.transfer().await.upload(tokio_stream::iter(messages)).await }
    };
    for wrong in [b"whatever".as_slice(), b"too long by far", b"short"] {
        assert!(upload(wrong).await.is_err());
    }
    assert!(matches!(offer(&agent, attempt, digest, 8).await, OfferAnswer::Send { .. }));
}

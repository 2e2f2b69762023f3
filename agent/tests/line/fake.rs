//! A coordinator that does what a test tells it: the real TLS and the real protocol, nothing behind them.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, InviteId, OrganismId};
use nexusmon_shared::join_token::{Address, JoinToken};
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::message::{
    AgentMessage, CertificateIssued, ChallengeResponse, CoordinatorMessage, DownloadRequest, Hello,
    JoinRequest, JoinResponse, LogAck, LogChunk, Offer, OfferAnswer, RenewRequest, UploadDone, UploadMessage,
    Welcome,
};
use nexusmon_shared::outcome::Report;
use nexusmon_shared::pki::Authority;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::{SharedClock, Timestamp};
use nexusmon_shared::tls::{AgentPort, AgentPortLimits, Peer, ServerIdentity, TrustedAuthorities};
use nexusmon_shared::trust::enrollment::{JoinProof, invite_key, renew_message, verify_identity_signature};
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::enrollment_server::{Enrollment, EnrollmentServer};
use nexusmon_shared::wire::proto::session_server::{Session, SessionServer};
use nexusmon_shared::wire::proto::transfer_server::{Transfer, TransferServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

const SECRET: [u8; 32] = [7; 32];
/// Far beyond anything that works; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) authority: Authority,
    clock: SharedClock,
    address: Address,
    pub(crate) lifecycle: Lifecycle,
    sessions: tokio::sync::Mutex<mpsc::Receiver<FakeSession>>,
    opened: mpsc::Sender<FakeSession>,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    used: Vec<InviteId>,
    pub(crate) identities: HashMap<AgentId, [u8; 32]>,
    pub(crate) counter: u64,
    /// Renewals as they came: counter and key.
    pub(crate) renewals: Vec<(u64, Digest)>,
    /// Answers to renewals that get lost.
    pub(crate) lose: u32,
    pub(crate) logs: HashMap<AttemptRef, Log>,
    /// Chunks after which the log stream breaks.
    pub(crate) break_after: Option<u32>,
    pub(crate) blobs: HashMap<Digest, Vec<u8>>,
    pub(crate) partial: HashMap<Digest, Vec<u8>>,
    /// Bytes of an upload after which it breaks, once.
    pub(crate) cut_upload: Option<usize>,
    pub(crate) uploaded_bytes: usize,
}

#[derive(Default, Clone)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sealed: bool,
}

/// One session as the coordinator sees it.
pub(crate) struct FakeSession {
    pub(crate) hello: Hello,
    to_agent: mpsc::Sender<Result<proto::CoordinatorMessage, Status>>,
    from_agent: mpsc::Receiver<AgentMessage>,
    /// Told, and not asked for yet: several things come in one message.
    begun: VecDeque<AttemptRef>,
    ended: VecDeque<Report>,
    pub(crate) session: u64,
}

impl Fake {
    pub(crate) async fn start(clock: SharedClock) -> Self {
        let organism = OrganismId::from_bits(1);
        let authority = Authority::generate(organism, clock.now()).unwrap();
        let identity = ServerIdentity::new(&authority.issue_server(clock.now()).unwrap()).unwrap();
        let limits = AgentPortLimits::default();
        let trusted = TrustedAuthorities::new(&[authority.certificate().clone()]).unwrap();
        let port = AgentPort::new(organism, trusted, identity, Arc::clone(&clock), limits).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let lifecycle = Lifecycle::new();
        let incoming = port.serve(listener, &lifecycle);
        let (opened, sessions) = mpsc::channel(4);
        let fake = Self(Arc::new(Inner {
            authority,
            clock,
            address,
            lifecycle: lifecycle.clone(),
            sessions: tokio::sync::Mutex::new(sessions),
            opened,
            state: Mutex::default(),
        }));
        let server = tonic::transport::Server::builder()
            .add_service(EnrollmentServer::new(fake.clone()))
            .add_service(SessionServer::new(fake.clone()))
            .add_service(TransferServer::new(fake.clone()))
            .serve_with_incoming(incoming);
        lifecycle.spawn_quiet("fake", server);
        fake
    }

    pub(crate) fn token(&self, invite: u128) -> JoinToken {
        let address = self.0.address.clone();
        JoinToken::new(address, InviteId::from_bits(invite), SECRET, self.0.authority.pin(), [0; 32])
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The next session an agent opens.
    pub(crate) async fn session(&self) -> FakeSession {
        within(async { self.0.sessions.lock().await.recv().await.unwrap() }).await
    }

    pub(crate) fn issue(&self, csr: &[u8], agent: AgentId) -> CertificateIssued {
        self.issue_at(csr, agent, self.0.clock.now())
    }

    /// As one of that time.
    pub(crate) fn issue_at(&self, csr: &[u8], agent: AgentId, at: Timestamp) -> CertificateIssued {
        let issued = self.0.authority.issue_agent(csr, agent, at).unwrap();
        let mut state = self.state();
        state.counter += 1;
        let chain = issued.chain.iter().map(|der| Bytes::copy_from_slice(der)).collect();
        CertificateIssued { chain, join_counter: state.counter }
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened long ago")
}

impl FakeSession {
    pub(crate) async fn send(&self, message: CoordinatorMessage) {
        within(self.to_agent.send(Ok(message.into()))).await.unwrap();
    }

    pub(crate) async fn welcome(&self, stale: Vec<AttemptRef>) {
        let welcome = Welcome {
            session: self.session,
            epoch: 1,
            protocol: 1,
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            labels: Labels::new(),
            max_rank: Rank::S,
            stale,
            warning: String::new(),
            prefetch: 100,
            draining: false,
        };
        self.send(CoordinatorMessage::Welcome(Box::new(welcome))).await;
    }

    /// The next message `wanted` picks something out of. What has started and ended meanwhile is kept.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(AgentMessage) -> Option<T>) -> T {
        within(async {
            loop {
                let message = self.from_agent.recv().await.expect("the agent closed the stream");
                if let AgentMessage::Events(events) = &message {
                    self.begun.extend(events.started.iter().map(|started| started.attempt));
                    self.ended.extend(events.finished.iter().cloned());
                }
                if let Some(found) = wanted(message) {
                    return found;
                }
            }
        })
        .await
    }

    /// The next `count` reports.
    pub(crate) async fn reports(&mut self, count: usize) -> Vec<Report> {
        while self.ended.len() < count {
            self.until(|message| matches!(message, AgentMessage::Events(_)).then_some(())).await;
        }
        self.ended.drain(..count).collect()
    }

    /// The next attempt that has begun.
    pub(crate) async fn started(&mut self) -> AttemptRef {
        loop {
            if let Some(begun) = self.begun.pop_front() {
                return begun;
            }
            self.until(|message| matches!(message, AgentMessage::Events(_)).then_some(())).await;
        }
    }

    /// Breaks the line.
    pub(crate) fn cut(self) {
        drop(self);
    }
}

#[tonic::async_trait]
impl Enrollment for Fake {
    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::JoinResponse>, Status> {
        let peer = request.extensions().get::<Peer>().unwrap().clone();
        let join = JoinRequest::try_from(request.into_inner())?;
        let proof = JoinProof {
            csr: &join.csr,
            identity_key: &join.identity_key,
            sealing_key: &join.sealing_key,
            exporter: &peer.exporters().join,
        };
        let fresh = !self.state().used.contains(&join.invite);
        if !fresh || !proof.verify(&invite_key(&SECRET, join.invite), &join.mac) {
            return Err(Status::unauthenticated("no"));
        }
        let agent = AgentId::from_bits(join.invite.to_bits());
        self.state().used.push(join.invite);
        self.state().identities.insert(agent, join.identity_key);
        let certificate = self.issue(&join.csr, agent);
        let response = JoinResponse {
            agent,
            name: "nas".parse().unwrap(),
            organism: self.0.authority.organism(),
            certificate,
            labels: Labels::from([("region".to_owned(), "home".to_owned())]),
            max_rank: Rank::S,
            owner_key: [0; 32],
            log_key: String::new(),
            checkpoint: String::new(),
        };
        Ok(Response::new(response.into()))
    }

    async fn challenge(
        &self,
        _request: Request<proto::ChallengeRequest>,
    ) -> Result<Response<proto::ChallengeResponse>, Status> {
        Ok(Response::new(ChallengeResponse { challenge: [9; 32] }.into()))
    }

    async fn renew(
        &self,
        request: Request<proto::RenewRequest>,
    ) -> Result<Response<proto::CertificateIssued>, Status> {
        let peer = request.extensions().get::<Peer>().unwrap().clone();
        let renew = RenewRequest::try_from(request.into_inner())?;
        let message = renew_message(&[9; 32], &renew.csr, renew.join_counter, &peer.exporters().renew);
        let key = self.state().identities[&renew.agent];
        if !verify_identity_signature(&key, &message, &renew.signature) {
            return Err(Status::unauthenticated("no"));
        }
        let issued = self.issue(&renew.csr, renew.agent);
        let key = nexusmon_shared::pki::spki_digest(&issued.chain[0].to_vec().into()).unwrap();
        let mut state = self.state();
        state.renewals.push((renew.join_counter, key));
        if state.lose > 0 {
            state.lose -= 1;
            return Err(Status::unavailable("the answer got lost"));
        }
        Ok(Response::new(issued.into()))
    }
}

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Session for Fake {
    type OpenStream = ReceiverStream<Result<proto::CoordinatorMessage, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<proto::AgentMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let peer = request.extensions().get::<Peer>().unwrap().clone();
        let agent = peer.certificate().ok_or_else(|| Status::unauthenticated("no certificate"))?.agent();
        assert!(self.state().identities.contains_key(&agent));
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.ok_or_else(|| Status::cancelled("no hello"))?;
        let AgentMessage::Hello(hello) = AgentMessage::try_from(first)? else {
            return Err(Status::internal("the first message is no hello"));
        };
        let (to_agent, outgoing) = mpsc::channel(64);
        let (heard, from_agent) = mpsc::channel(4096);
        let session = {
            let mut state = self.state();
            state.counter += 1;
            state.counter
        };
        let opened = FakeSession {
            hello: *hello,
            to_agent,
            from_agent,
            begun: VecDeque::new(),
            ended: VecDeque::new(),
            session,
        };
        let fake = self.clone();
        self.0.lifecycle.spawn_quiet("session", async move {
            while let Some(message) = incoming.message().await? {
                if heard.send(AgentMessage::try_from(message)?).await.is_err() {
                    break;
                }
            }
            drop(fake);
            Ok::<(), Status>(())
        });
        let _ = self.0.opened.send(opened).await;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

#[tonic::async_trait]
impl Transfer for Fake {
    type AppendLogStream = Outgoing<proto::LogAck>;
    type DownloadStream = Outgoing<proto::DownloadChunk>;

    async fn append_log(
        &self,
        request: Request<Streaming<proto::LogChunk>>,
    ) -> Result<Response<Self::AppendLogStream>, Status> {
        let fake = self.clone();
        let acks = request.into_inner().map(move |chunk| {
            let chunk = LogChunk::try_from(chunk?)?;
            let mut state = fake.state();
            if let Some(left) = &mut state.break_after {
                if *left == 0 {
                    state.break_after = None;
                    return Err(Status::unavailable("the line broke"));
                }
                *left -= 1;
            }
            let log = state.logs.entry(chunk.attempt).or_default();
            if chunk.offset == log.bytes.len() as u64 {
                log.bytes.extend_from_slice(&chunk.data);
                log.sealed |= chunk.last;
            }
            let stored = log.bytes.len() as u64;
            let ack = LogAck {
                attempt: chunk.attempt,
                received: stored,
                stored,
                sealed: log.sealed,
                refused: None,
            };
            Ok(ack.into())
        });
        Ok(Response::new(Box::pin(acks)))
    }

    async fn offer(
        &self,
        request: Request<proto::OfferRequest>,
    ) -> Result<Response<proto::OfferResponse>, Status> {
        let offer = Offer::try_from(request.into_inner())?;
        let state = self.state();
        let answers: Vec<OfferAnswer> = offer
            .items
            .iter()
            .map(|item| {
                if state.blobs.contains_key(&item.digest) {
                    OfferAnswer::Present
                } else {
                    OfferAnswer::Send { offset: state.partial.get(&item.digest).map_or(0, Vec::len) as u64 }
                }
            })
            .collect();
        Ok(Response::new(answers.into()))
    }

    async fn upload(
        &self,
        request: Request<Streaming<proto::UploadMessage>>,
    ) -> Result<Response<proto::UploadDone>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.ok_or_else(|| Status::cancelled("no start"))?;
        let UploadMessage::Start(start) = UploadMessage::try_from(first)? else {
            return Err(Status::invalid_argument("no start"));
        };
        let mut bytes = self.state().partial.remove(&start.digest).unwrap_or_default();
        assert_eq!(bytes.len() as u64, start.offset);
        while let Some(message) = incoming.message().await? {
            let UploadMessage::Data(data) = UploadMessage::try_from(message)? else {
                return Err(Status::invalid_argument("a second start"));
            };
            bytes.extend_from_slice(&data);
            let mut state = self.state();
            state.uploaded_bytes += data.len();
            if state.cut_upload.is_some_and(|limit| bytes.len() >= limit) {
                state.cut_upload = None;
                state.partial.insert(start.digest, bytes);
                return Err(Status::unavailable("the line broke"));
            }
        }
        assert_eq!(Digest::of(&bytes), start.digest);
        let done = UploadDone { digest: start.digest, size: start.size };
        self.state().blobs.insert(start.digest, bytes);
        Ok(Response::new(done.into()))
    }

    async fn download(
        &self,
        request: Request<proto::DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let request = DownloadRequest::try_from(request.into_inner())?;
        let bytes = self.state().blobs.get(&request.digest).cloned();
        let bytes = bytes.ok_or_else(|| Status::not_found("no such blob"))?;
        let offset = usize::try_from(request.offset).unwrap();
        let chunks: Vec<_> = bytes[offset..]
            .chunks(1000)
            .map(|chunk| Ok(proto::DownloadChunk { data: Bytes::copy_from_slice(chunk) }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
}

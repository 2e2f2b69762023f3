//! An agent that does exactly what a test tells it, over the generated client and real TLS.

use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{AgentId, JournalId};
use nexusmon_shared::join_token::{Address, JoinToken};
use nexusmon_shared::message::{
    AgentMessage, CoordinatorMessage, Events, Facts, Goodbye, Heartbeat, HeldAttempt, Hello, JoinRequest,
    JoinResponse, LocalPolicy, Order, ProtocolRange, Welcome,
};
use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::pki::{IdentityKey, SealingKey, TlsKey};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::{SystemClock, Timestamp};
use nexusmon_shared::tls::{ClientCredential, Connection, Connector, Trust};
use nexusmon_shared::trust::enrollment::JoinProof;
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::enrollment_client::EnrollmentClient;
use nexusmon_shared::wire::proto::session_client::SessionClient;
use nexusmon_shared::wire::proto::transfer_client::TransferClient;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// No wait of a test is longer; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails the test if `work` takes forever.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// A machine that has keys, but is no agent yet.
pub(crate) struct Machine {
    pub(crate) tls: TlsKey,
    pub(crate) identity: IdentityKey,
    sealing: SealingKey,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            tls: TlsKey::generate().unwrap(),
            identity: IdentityKey::generate(&mut rng),
            sealing: SealingKey::generate(&mut rng),
        }
    }

    /// Joins with a token, or with one whose secret somebody has changed.
    pub(crate) async fn join(&self, token: &JoinToken) -> Result<JoinResponse, Status> {
        let line = connect(token.address(), Trust::Pin(token.authority()), None).await;
        let csr = self.tls.signing_request().unwrap();
        let (identity, sealing) = (self.identity.public(), self.sealing.public());
        let proof = JoinProof {
            csr: &csr,
            identity_key: &identity,
            sealing_key: &sealing,
            exporter: &line.exporters.join,
        };
        let request = JoinRequest {
            protocol: ProtocolRange::OURS,
            invite: token.invite(),
            mac: proof.mac(&token.key()),
            csr: csr.into(),
            identity_key: identity,
            sealing_key: sealing,
            sealing_key_signature: self.identity.sign_sealing_key(&self.sealing),
            facts: Facts { hostname: "scripted".to_owned(), build: "0.0.0".to_owned(), ..Facts::default() },
        };
        let joined = EnrollmentClient::new(line.channel).join(proto::JoinRequest::from(request)).await?;
        Ok(joined.into_inner().try_into().unwrap())
    }

    /// Joins and is an agent.
    pub(crate) async fn enroll(self, token: &JoinToken) -> Scripted {
        let joined = self.join(token).await.unwrap();
        let authority = joined.certificate.chain.last().unwrap().to_vec();
        Scripted {
            machine: self,
            address: token.address().clone(),
            authority,
            joined,
            journal: JournalId::from_bits(7),
        }
    }
}

pub(crate) async fn connect(
    address: &Address,
    trust: Trust,
    credential: Option<ClientCredential>,
) -> Connection {
    let clock = Arc::new(SystemClock);
    Connector::new(address.clone(), trust, credential, clock).unwrap().connect().await.unwrap()
}

/// An enrolled agent.
pub(crate) struct Scripted {
    pub(crate) machine: Machine,
    pub(crate) address: Address,
    pub(crate) authority: Vec<u8>,
    pub(crate) joined: JoinResponse,
    pub(crate) journal: JournalId,
}

impl Scripted {
    pub(crate) fn id(&self) -> AgentId {
        self.joined.agent
    }

    pub(crate) async fn channel(&self) -> Channel {
        let credential = ClientCredential::new(&self.joined.certificate.chain, &self.machine.tls);
        let trust = Trust::Authorities(vec![self.authority.clone().into()]);
        connect(&self.address, trust, Some(credential)).await.channel
    }

    pub(crate) async fn transfer(&self) -> TransferClient<Channel> {
        TransferClient::new(self.channel().await)
    }

    pub(crate) fn hello(&self) -> Hello {
        let manifest = serde_json::json!({
            "name": "scripted", "version": "1.0.0",
            "capabilities": [{"name": "test.work", "idempotent": true}],
        });
        Hello {
            protocol: ProtocolRange::OURS,
            build: "0.0.0".to_owned(),
            manifests: vec![serde_json::from_value(manifest).unwrap()],
            labels: Labels::default(),
            slots: 4,
            sandbox_levels: [Level::L0, Level::L1, Level::L3Lite, Level::L3].into(),
            journal: self.journal,
            held: Vec::new(),
            local_policy: LocalPolicy {
                max_rank: Rank::S,
                capabilities: Vec::new(),
                unsigned_consent: false,
            },
            paused: false,
            facts: Facts::default(),
            checkpoint_size: 0,
            authority: None,
            authorities: 0,
            spawns: true,
            sandbox_missing: std::collections::BTreeMap::new(),
            roster: 0,
        }
    }

    /// Opens the stream and says `first`.
    pub(crate) async fn stream(&self, first: proto::AgentMessage) -> Session {
        let (out, messages) = mpsc::channel(64);
        out.send(first).await.unwrap();
        let opened =
            SessionClient::new(self.channel().await).open(ReceiverStream::new(messages)).await.unwrap();
        Session { out, inbound: opened.into_inner(), welcome: None, orders: Vec::new() }
    }

    pub(crate) async fn session(&self) -> Session {
        self.session_holding(Vec::new()).await
    }

    pub(crate) async fn session_holding(&self, held: Vec<HeldAttempt>) -> Session {
        let hello = AgentMessage::Hello(Box::new(Hello { held, ..self.hello() }));
        let mut session = self.stream(hello.into()).await;
        match session.next().await {
            Ok(Some(CoordinatorMessage::Welcome(welcome))) => session.welcome = Some(*welcome),
            other => panic!("expected Welcome, got {other:?}"),
        }
        session
    }
}

/// An open session.
pub(crate) struct Session {
    pub(crate) out: mpsc::Sender<proto::AgentMessage>,
    inbound: Streaming<proto::CoordinatorMessage>,
    pub(crate) welcome: Option<Welcome>,
    orders: Vec<Order>,
}

impl Session {
    pub(crate) fn number(&self) -> u64 {
        self.welcome.as_ref().map_or(0, |welcome| welcome.session)
    }

    pub(crate) async fn say(&self, message: AgentMessage) {
        self.out.send(message.into()).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Option<CoordinatorMessage>, Status> {
        let message = within("a message", self.inbound.message()).await?;
        Ok(message.map(|message| message.try_into().unwrap()))
    }

    /// Tells how many orders it can take; they come soon.
    pub(crate) async fn offer_credit(&self, credit: u32) {
        self.say(AgentMessage::Heartbeat(Heartbeat { number: 1, credit, ..Heartbeat::default() })).await;
    }

    /// Waits for the next order, skipping what else is said.
    pub(crate) async fn order(&mut self) -> Order {
        loop {
            if !self.orders.is_empty() {
                return self.orders.remove(0);
            }
            match self.next().await.unwrap() {
                Some(CoordinatorMessage::Orders(orders)) => {
                    assert_eq!(orders.session, self.number());
                    self.orders.extend(orders.orders);
                }
                Some(CoordinatorMessage::Goodbye(goodbye)) => panic!("expected an order, got {goodbye:?}"),
                Some(_) => {}
                None => panic!("the stream ended before an order came"),
            }
        }
    }

    pub(crate) async fn finish(&self, attempt: AttemptRef, ending: Ending) {
        let report = Report {
            attempt,
            ending,
            started_at: Some(Timestamp::from_micros(1)),
            finished_at: Timestamp::from_micros(2),
            artifacts: Vec::new(),
            log_bytes: 0,
            sandbox_level: None,
            provenance: None,
        };
        let events = Events { finished: vec![report], credit: 4, ..Events::default() };
        self.say(AgentMessage::Events(events)).await;
    }

    /// Waits until this attempt is acknowledged.
    pub(crate) async fn acknowledged(&mut self, attempt: AttemptRef) {
        loop {
            match self.next().await.unwrap() {
                Some(CoordinatorMessage::Ack(attempts)) if attempts.contains(&attempt) => return,
                Some(CoordinatorMessage::Orders(orders)) => self.orders.extend(orders.orders),
                Some(CoordinatorMessage::Goodbye(goodbye)) => panic!("expected an ack, got {goodbye:?}"),
                Some(_) => {}
                None => panic!("the stream ended before the ack came"),
            }
        }
    }

    /// Waits for the goodbye and the end of the stream behind it.
    pub(crate) async fn farewell(&mut self) -> Goodbye {
        loop {
            match self.next().await.unwrap() {
                Some(CoordinatorMessage::Goodbye(goodbye)) => {
                    // Whether the stream or the whole connection ends, nothing follows.
                    assert!(matches!(self.next().await, Ok(None) | Err(_)));
                    return goodbye;
                }
                Some(_) => {}
                None => panic!("the stream ended without a goodbye"),
            }
        }
    }
}

pub(crate) fn succeeded() -> Ending {
    Ending::Succeeded { outputs: serde_json::Map::new() }
}

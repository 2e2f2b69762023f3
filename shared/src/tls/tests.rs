//! Real handshakes on loopback, with the enrollment service behind them: it tells what it saw of its peer.

use std::convert::Infallible;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::*;
use crate::digest::Digest;
use crate::id::{AgentId, OrganismId};
use crate::join_token::Address;
use crate::lifecycle::Lifecycle;
use crate::pki::{Authority, SERVER_CERTIFICATE_LIFE, ServerCredential, TlsKey};
use crate::time::{ManualClock, Timestamp};
use crate::wire::proto;
use crate::wire::proto::enrollment_client::EnrollmentClient;
use crate::wire::proto::enrollment_server::{Enrollment, EnrollmentServer};

const NOW: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);
const ORGANISM: OrganismId = OrganismId::from_bits(77);
const AGENT: AgentId = AgentId::from_bits(5);

/// Answers a challenge with the exporter of the connection it came on.
struct Mirror(mpsc::UnboundedSender<Peer>);

#[tonic::async_trait]
impl Enrollment for Mirror {
    async fn join(&self, _: Request<proto::JoinRequest>) -> Result<Response<proto::JoinResponse>, Status> {
        Err(Status::unimplemented("not part of these tests"))
    }

    async fn challenge(
        &self,
        request: Request<proto::ChallengeRequest>,
    ) -> Result<Response<proto::ChallengeResponse>, Status> {
        let peer = request.extensions().get::<Peer>().expect("every request has a peer").clone();
        let challenge = peer.exporters().join.to_vec().into();
        self.0.send(peer).expect("the test still listens");
        Ok(Response::new(proto::ChallengeResponse { challenge }))
    }

    async fn renew(
        &self,
        _: Request<proto::RenewRequest>,
    ) -> Result<Response<proto::CertificateIssued>, Status> {
        Err(Status::unimplemented("not part of these tests"))
    }
}

struct Port {
    authority: Authority,
    trusted: Arc<TrustedAuthorities>,
    identity: Arc<ServerIdentity>,
    clock: ManualClock,
    address: Address,
    peers: mpsc::UnboundedReceiver<Peer>,
    lifecycle: Lifecycle,
}

impl Port {
    async fn open() -> Self {
        let authority = Authority::generate(ORGANISM, NOW).unwrap();
        let credential = authority.issue_server(NOW).unwrap();
        Self::open_with(authority, &credential).await
    }

    async fn open_with(authority: Authority, credential: &ServerCredential) -> Self {
        let identity = ServerIdentity::new(credential).unwrap();
        let clock = ManualClock::new(NOW);
        let limits = AgentPortLimits { handshakes: 64, ..AgentPortLimits::default() };
        let trusted = TrustedAuthorities::new(&[authority.certificate().clone()]).unwrap();
        let port =
            AgentPort::new(ORGANISM, Arc::clone(&trusted), identity.clone(), Arc::new(clock.clone()), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let lifecycle = Lifecycle::new();
        let incoming = port.unwrap().serve(listener, &lifecycle);
        let (seen, peers) = mpsc::unbounded_channel();
        lifecycle.spawn("server", async move {
            let service = EnrollmentServer::new(Mirror(seen));
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
        Self { authority, trusted, identity, clock, address, peers, lifecycle }
    }

    fn trust(&self) -> Trust {
        Trust::Authorities(vec![self.authority.certificate().clone()])
    }

    fn connector(&self, trust: Trust, credential: Option<ClientCredential>) -> Connector {
        Connector::new(self.address.clone(), trust, credential, Arc::new(ManualClock::new(NOW))).unwrap()
    }

    /// What the server saw of this connection, after checking that both sides export the same.
    async fn seen(&mut self, connection: Connection) -> Peer {
        let mut client = EnrollmentClient::new(connection.channel);
        let agent_id = AGENT.to_bits().to_be_bytes().to_vec().into();
        let answer = client.challenge(proto::ChallengeRequest { agent_id }).await.unwrap().into_inner();
        assert_eq!(answer.challenge.as_ref(), connection.exporters.join);
        let peer = self.peers.recv().await.unwrap();
        assert_eq!(*peer.exporters(), connection.exporters);
        assert_ne!(peer.exporters().join, peer.exporters().renew);
        peer
    }
}

/// A certificate for [`AGENT`], and its credential.
fn enrolled(authority: &Authority) -> (crate::pki::Issued, ClientCredential) {
    let key = TlsKey::generate().unwrap();
    let issued = authority.issue_agent(&key.signing_request().unwrap(), AGENT, NOW).unwrap();
    let credential = ClientCredential::new(&issued.chain, &key);
    (issued, credential)
}

#[tokio::test]
async fn the_right_pin_joins_without_a_certificate() {
    let mut port = Port::open().await;
    let connection = port.connector(Trust::Pin(port.authority.pin()), None).connect().await.unwrap();
    assert_eq!(connection.authority, *port.authority.certificate());
    let peer = port.seen(connection).await;
    assert!(peer.certificate().is_none());
    assert!(peer.remote().ip().is_loopback());

    let again = port.connector(Trust::Pin(port.authority.pin()), None).connect().await.unwrap();
    let other = port.seen(again).await;
    assert_ne!(other.exporters().join, peer.exporters().join, "exporters are the connection's");
}

#[tokio::test]
async fn a_wrong_pin_is_refused_and_named() {
    let port = Port::open().await;
    let wrong = Digest::of(b"another authority");
    let error = port.connector(Trust::Pin(wrong), None).connect().await.unwrap_err();
    match error {
        ConnectError::WrongPin { expected, found, .. } => {
            assert_eq!((expected, found), (wrong, port.authority.pin()));
        }
        other => panic!("{other:?}"),
    }
}

/// The pinned certificate alone proves nothing: anybody can show it behind a leaf of their own.
#[tokio::test]
async fn the_pinned_authority_must_have_signed_the_leaf() {
    let real = Authority::generate(ORGANISM, NOW).unwrap();
    let impostor = Authority::generate(ORGANISM, NOW).unwrap();
    let mut credential = impostor.issue_server(NOW).unwrap();
    credential.issued.chain[1] = real.certificate().clone();
    let pin = real.pin();
    let port = Port::open_with(real, &credential).await;
    for trust in [Trust::Pin(pin), port.trust()] {
        let error = port.connector(trust, None).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Untrusted { .. }), "{error:?}");
    }
}

/// An agent's own certificate is of the same authority, yet it cannot play the coordinator with it.
#[tokio::test]
async fn an_agent_cannot_play_the_coordinator() {
    let authority = Authority::generate(ORGANISM, NOW).unwrap();
    let key = TlsKey::generate().unwrap();
    let issued = authority.issue_agent(&key.signing_request().unwrap(), AGENT, NOW).unwrap();
    let port = Port::open_with(authority, &ServerCredential { key: key.to_pkcs8(), issued }).await;
    for trust in [Trust::Pin(port.authority.pin()), port.trust()] {
        let error = port.connector(trust, None).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Untrusted { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_session_is_of_the_agent_its_certificate_names() {
    let mut port = Port::open().await;
    let (issued, credential) = enrolled(&port.authority);
    let connection = port.connector(port.trust(), Some(credential)).connect().await.unwrap();
    let peer = port.seen(connection).await;
    let certificate = peer.certificate().expect("it showed one");
    assert_eq!((certificate.agent(), certificate.organism()), (AGENT, ORGANISM));
    assert_eq!(certificate.not_after(), issued.not_after);
    assert_eq!(certificate.serial(), issued.serial);
    assert_eq!(*certificate.der(), issued.chain[0]);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_the_ports_clock() {
    let mut port = Port::open().await;
    let (_, credential) = enrolled(&port.authority);
    let connector = port.connector(port.trust(), Some(credential));
    port.clock.advance(Duration::from_hours(4) - Duration::from_secs(1));
    let connection = connector.connect().await.unwrap();
    assert!(port.seen(connection).await.certificate().is_some());

    port.clock.advance(Duration::from_secs(2));
    let error = connector.connect().await.unwrap_err();
    assert!(error.needs_new_certificate(), "{error:?}");
    assert!(error.to_string().contains("Expired"), "{error}");

    let without = port.connector(port.trust(), None).connect().await.unwrap();
    assert!(port.seen(without).await.certificate().is_none(), "renewing needs none");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let port = Port::open().await;
    let (_, credential) = enrolled(&Authority::generate(ORGANISM, NOW).unwrap());
    let error = port.connector(port.trust(), Some(credential)).connect().await.unwrap_err();
    assert!(error.needs_new_certificate(), "{error:?}");
}

#[tokio::test]
async fn an_authority_is_replaced_while_the_port_serves() {
    let mut port = Port::open().await;
    let next = Authority::generate(ORGANISM, NOW).unwrap();
    let connector = |authority: &Authority| port.connector(port.trust(), Some(enrolled(authority).1));
    let (with_old, with_new) = (connector(&port.authority), connector(&next));
    with_new.connect().await.unwrap_err();

    // Both are taken.
    port.trusted.replace(&[next.certificate().clone(), port.authority.certificate().clone()]).unwrap();
    let mut lines = Vec::new();
    for connector in [&with_old, &with_new] {
        let connection = connector.connect().await.unwrap();
        lines.push(connection.channel.clone());
        assert!(port.seen(connection).await.certificate().is_some());
    }
    let without = port.connector(port.trust(), None).connect().await.unwrap();
    lines.push(without.channel.clone());
    port.seen(without).await;

    // The old one goes: what rests on it is cut, what does not goes on.
    port.trusted.replace(&[next.certificate().clone()]).unwrap();
    let mut answered = Vec::new();
    for line in lines {
        let request = proto::ChallengeRequest { agent_id: vec![0; 16].into() };
        answered.push(EnrollmentClient::new(line).challenge(request).await.is_ok());
    }
    assert_eq!(answered, [false, true, true]);
    let error = with_old.connect().await.unwrap_err();
    assert!(error.needs_new_certificate(), "{error:?}");
    with_new.connect().await.unwrap();
}

#[tokio::test]
async fn an_agent_may_trust_two_authorities() {
    let port = Port::open().await;
    let next = Authority::generate(ORGANISM, NOW).unwrap();
    let both = Trust::Authorities(vec![next.certificate().clone(), port.authority.certificate().clone()]);
    let connector = port.connector(both, None);
    assert_eq!(connector.connect().await.unwrap().authority, *port.authority.certificate());
    port.identity.replace(&next.issue_server(NOW).unwrap()).unwrap();
    assert_eq!(connector.connect().await.unwrap().authority, *next.certificate());
    let error = port.connector(port.trust(), None).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_another_organism_is_refused() {
    let port = Port::open().await;
    let key = port.authority.key();
    let elsewhere =
        Authority::from_der(OrganismId::from_bits(78), &key, port.authority.certificate()).unwrap();
    let (_, credential) = enrolled(&elsewhere);
    port.connector(port.trust(), Some(credential)).connect().await.expect_err("the line is closed");
}

#[tokio::test]
async fn the_coordinators_certificate_is_judged_by_the_agents_clock_and_may_be_replaced() {
    let port = Port::open().await;
    let clock = ManualClock::new(NOW);
    let connector =
        Connector::new(port.address.clone(), port.trust(), None, Arc::new(clock.clone())).unwrap();
    clock.set_wall(NOW - Duration::from_hours(1));
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::NotYetValid(_)), "{error:?}");

    let later = NOW + SERVER_CERTIFICATE_LIFE + Duration::from_secs(1);
    clock.set_wall(later);
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Expired(_)), "{error:?}");

    port.identity.replace(&port.authority.issue_server(later).unwrap()).unwrap();
    connector.connect().await.unwrap();
}

#[tokio::test]
async fn nobody_there_and_somebody_else_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let clock = Arc::new(ManualClock::new(NOW));
    let connector = Connector::new(address, Trust::Pin(Digest::of(b"")), None, clock).unwrap();

    let web_server = async {
        let (mut line, _) = listener.accept().await.unwrap();
        line.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        line
    };
    let (_line, outcome) = tokio::join!(web_server, connector.connect());
    let error = outcome.unwrap_err();
    assert!(matches!(error, ConnectError::NotTls(_)), "{error:?}");

    drop(listener);
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn silent_connections_hold_up_nobody() {
    let mut port = Port::open().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect((port.address.host(), port.address.port())).await.unwrap());
    }
    let (_, credential) = enrolled(&port.authority);
    let connection = port.connector(port.trust(), Some(credential)).connect().await.unwrap();
    assert!(port.seen(connection).await.certificate().is_some());
    drop(silent);
}

#[tokio::test]
async fn a_channel_never_moves_to_another_connection() {
    let mut port = Port::open().await;
    let connection = port.connector(port.trust(), None).connect().await.unwrap();
    let channel = connection.channel.clone();
    port.seen(connection).await;

    // Ends the server and cuts its connections; another one takes the same address.
    port.lifecycle.shutdown(Duration::ZERO).await;
    let listener = TcpListener::bind((port.address.host(), port.address.port())).await.unwrap();
    let other = Lifecycle::new();
    let identity = ServerIdentity::new(&port.authority.issue_server(NOW).unwrap()).unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let limits = AgentPortLimits::default();
    let trusted = TrustedAuthorities::new(&[port.authority.certificate().clone()]).unwrap();
    let incoming =
        AgentPort::new(ORGANISM, trusted, identity, clock, limits).unwrap().serve(listener, &other);
    let (seen, mut peers) = mpsc::unbounded_channel();
    other.spawn("server", async move {
        let service = EnrollmentServer::new(Mirror(seen));
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
    });
    let request = proto::ChallengeRequest { agent_id: vec![0; 16].into() };
    EnrollmentClient::new(channel).challenge(request).await.unwrap_err();
    assert!(peers.try_recv().is_err());
}

#[tokio::test]
async fn bytes_that_are_no_handshake_end_only_their_own_connection() {
    let mut port = Port::open().await;
    let mut line = TcpStream::connect((port.address.host(), port.address.port())).await.unwrap();
    line.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // The port closes the line, with an alert before it.
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut line, &mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    let connection = port.connector(port.trust(), None).connect().await.unwrap();
    port.seen(connection).await;
    assert!(port.lifecycle.failure().is_none());
}

#[tokio::test]
async fn the_port_closes_with_the_lifecycle() {
    let port = Port::open().await;
    port.lifecycle.begin_shutdown();
    // The accept task ends, which ends the stream of connections, which ends the server.
    port.lifecycle.spawn("after", async { Ok::<_, Infallible>(()) });
    assert_eq!(port.lifecycle.shutdown(Duration::from_secs(30)).await, crate::lifecycle::Shutdown::Clean);
}

#[test]
fn hybrid_post_quantum_key_exchange_is_preferred() {
    let first = provider().kx_groups[0].name();
    assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
}

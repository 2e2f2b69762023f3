//! The agent port: accepts connections, shakes hands with many at once, and says who each peer is.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::{Exporters, Peer, PeerCertificate, TlsError, TrustedAuthorities, Wall, provider};
use crate::id::OrganismId;
use crate::lifecycle::{Lifecycle, TaskError};
use crate::pki::ServerCredential;
use crate::time::SharedClock;
use crate::wire::ALPN;

/// Connections that have shaken hands and wait to be served.
const READY_CONNECTIONS: usize = 64;
/// After the machine refused a connection (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the port presents; may be replaced while it serves.
#[derive(Debug)]
pub struct ServerIdentity(RwLock<Arc<CertifiedKey>>);

impl ServerIdentity {
    pub fn new(credential: &ServerCredential) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(certified(credential)?))))
    }

    /// New connections get the new certificate; living ones go on.
    pub fn replace(&self, credential: &ServerCredential) -> Result<(), TlsError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified(credential)?;
        Ok(())
    }
}

fn certified(credential: &ServerCredential) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = PrivatePkcs8KeyDer::from(credential.key.to_vec());
    CertifiedKey::from_der(credential.issued.chain.clone(), key.into(), &provider())
        .map(Arc::new)
        .map_err(TlsError::Configuration)
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Bounds on connections that have not shaken hands yet.
#[derive(Clone, Copy, Debug)]
pub struct AgentPortLimits {
    pub handshakes: usize,
    pub handshake_timeout: Duration,
}

impl Default for AgentPortLimits {
    fn default() -> Self {
        Self { handshakes: 512, handshake_timeout: Duration::from_secs(10) }
    }
}

/// The server side of TLS.
#[derive(Clone)]
pub struct AgentPort {
    acceptor: TlsAcceptor,
    authorities: Arc<TrustedAuthorities>,
    organism: OrganismId,
    limits: AgentPortLimits,
}

impl AgentPort {
    /// Client certificates are optional, and verified against `authorities` by `clock` where there is one.
    pub fn new(
        organism: OrganismId,
        authorities: Arc<TrustedAuthorities>,
        identity: Arc<ServerIdentity>,
        clock: SharedClock,
        limits: AgentPortLimits,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(Wall(clock)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Configuration)?
            .with_client_cert_verifier(authorities.clone())
            .with_cert_resolver(identity);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: Arc::new(config).into(), authorities, organism, limits })
    }

    /// Accepts until the shutdown begins or the stream is dropped. One slow handshake holds up no other.
    pub fn serve(self, listener: TcpListener, lifecycle: &Lifecycle) -> Incoming {
        let (ready, connections) = mpsc::channel(READY_CONNECTIONS);
        let accepting = self.accept(listener, ready, lifecycle.clone());
        lifecycle.spawn("agent_port.accept", accepting);
        Incoming(connections)
    }

    async fn accept(
        self,
        listener: TcpListener,
        ready: mpsc::Sender<AgentConnection>,
        lifecycle: Lifecycle,
    ) -> Result<(), TaskError> {
        let soft = lifecycle.soft();
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes));
        loop {
            let next = async {
                let permit = handshakes.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = ready.closed() => return Ok(()),
                next = next => next,
            };
            let (tcp, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections from agents");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (port, ready, hard) = (self.clone(), ready.clone(), lifecycle.hard());
            lifecycle.spawn_quiet("agent_port.handshake", async move {
                let shaken =
                    tokio::time::timeout(port.limits.handshake_timeout, port.handshake(tcp, remote, hard));
                let connection = shaken.await.unwrap_or(Err(TlsError::Slow));
                drop(permit);
                match connection {
                    // The receiver is gone only when the port is being closed.
                    Ok(connection) => drop(ready.send(connection).await),
                    Err(error) => {
                        let error = crate::lifecycle::chain(&error);
                        tracing::info!(%remote, error, "a connection to the agent port came to nothing");
                    }
                }
                Ok::<_, TlsError>(())
            });
        }
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
        hard: CancellationToken,
    ) -> Result<AgentConnection, TlsError> {
        tcp.set_nodelay(true).map_err(TlsError::Handshake)?;
        let theirs = remote.ip().to_canonical();
        let ours = tcp.local_addr().map(|local| local.ip().to_canonical());
        let same_host = theirs.is_loopback() || ours.is_ok_and(|ours| ours == theirs);
        let stream = self.acceptor.accept(tcp).await.map_err(TlsError::Handshake)?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(TlsError::NotHttp2);
        }
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let retired = match certificate {
            Some(leaf) => Some(self.authorities.end_of(leaf).ok_or(TlsError::Retired)?),
            None => None,
        };
        let certificate = certificate.map(|leaf| PeerCertificate::new(leaf, self.organism)).transpose()?;
        let exporters = Exporters::of(session).map_err(TlsError::Configuration)?;
        let peer = Peer::new(remote, same_host, certificate, exporters);
        let retired = retired.map(|end| Box::pin(end.cancelled_owned()));
        Ok(AgentConnection { stream, peer, cut: Box::pin(hard.cancelled_owned()), retired })
    }
}

impl fmt::Debug for AgentPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentPort")
            .field("organism", &self.organism)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Errors that say something about one caller, not about this machine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Connections that have shaken hands, for tonic's `serve_with_incoming`.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<AgentConnection>);

impl Stream for Incoming {
    type Item = io::Result<AgentConnection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

/// One connection; tonic puts its [`Peer`] among the extensions of every request.
#[derive(Debug)]
pub struct AgentConnection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// tonic spawns a task per connection that our lifecycle does not see; this ends them with it.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The authority behind the peer's certificate was taken away.
    retired: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl AgentConnection {
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Connected for AgentConnection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for AgentConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let retired = self.retired.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready());
        if retired || self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for AgentConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

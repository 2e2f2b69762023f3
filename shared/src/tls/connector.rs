//! Connecting to the coordinator: one connection, with what ties messages to it.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::replay::Replay;
use super::verify::{CoordinatorVerifier, pinned};
use super::{ConnectError, Exporters, TlsError, Wall, provider};
use crate::digest::Digest;
use crate::join_token::Address;
use crate::pki::{SERVER_NAME, TlsKey, signed};
use crate::time::SharedClock;
use crate::wire::ALPN;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Enough for a batch in flight on each of several streams over a line with some delay.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// What makes a coordinator the right one.
#[derive(Clone, Debug)]
pub enum Trust {
    /// SHA-256 of its authority's public key, as in a join token.
    Pin(Digest),
    /// Its authority's certificate, kept from joining; two while one takes the place of the other.
    Authorities(Vec<CertificateDer<'static>>),
}

/// An agent's certificate with its key.
pub struct ClientCredential {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientCredential {
    /// `chain`: DER, leaf first; what follows it is not sent.
    pub fn new(chain: &[impl AsRef<[u8]>], key: &TlsKey) -> Self {
        let leaf = chain.iter().take(1).map(|leaf| CertificateDer::from(leaf.as_ref().to_vec())).collect();
        let key = PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec());
        Self { chain: leaf, key: key.into() }
    }
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCredential(..)")
    }
}

/// Makes connections to one address.
#[derive(Clone)]
pub struct Connector {
    address: Address,
    trust: Trust,
    config: Arc<ClientConfig>,
    has_credential: bool,
}

/// One established connection. The channel never reconnects by itself: when the line is cut its calls fail, and the
/// exporters of a new line are other ones.
#[derive(Debug)]
pub struct Connection {
    pub channel: Channel,
    pub exporters: Exporters,
    /// The authority that vouches for the coordinator: what to keep after joining.
    pub authority: CertificateDer<'static>,
}

impl Connector {
    /// Without a credential only enrollment is served.
    pub fn new(
        address: Address,
        trust: Trust,
        credential: Option<ClientCredential>,
        clock: SharedClock,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = CoordinatorVerifier::new(trust.clone(), provider.signature_verification_algorithms);
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Wall(clock)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Configuration)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let has_credential = credential.is_some();
        let mut config = match credential {
            Some(ClientCredential { chain, key }) => {
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Configuration)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { address, trust, config: Arc::new(config), has_credential })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connects, shakes hands, and waits until the coordinator has accepted the certificate, if there is one.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.establish());
        let (stream, exporters, authority) =
            connecting.await.map_err(|_| ConnectError::Slow(self.address.clone()))??;
        let not_http2 =
            |source| ConnectError::NotHttp2 { address: self.address.clone(), source: Some(source) };
        // Not `https`: tonic would look for a TLS of its own.
        let endpoint = Endpoint::from_shared(format!("http://{SERVER_NAME}"))
            .map_err(not_http2)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let channel = endpoint.connect_with_connector(Once(Some(stream))).await.map_err(not_http2)?;
        Ok(Connection { channel, exporters, authority })
    }

    async fn establish(
        &self,
    ) -> Result<(Replay<TlsStream<TcpStream>>, Exporters, CertificateDer<'static>), ConnectError> {
        let address = &self.address;
        let unreachable = |source| ConnectError::Unreachable { address: address.clone(), source };
        let failed = |source| ConnectError::of_handshake(address, source);
        let tcp = TcpStream::connect((address.host(), address.port())).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let name = ServerName::try_from(SERVER_NAME).expect("the coordinator's name is a DNS name");
        let connector = TlsConnector::from(self.config.clone());
        let mut stream = connector.connect(name, tcp).await.map_err(failed)?;

        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(ConnectError::NotHttp2 { address: address.clone(), source: None });
        }
        let exporters = Exporters::of(session).map_err(|error| failed(io::Error::other(error)))?;
        let chain = session.peer_certificates().unwrap_or_default();
        let authority = self.authority(chain).map_err(|error| failed(io::Error::other(error)))?;
        let first =
            if self.has_credential { first_bytes(&mut stream).await.map_err(failed)? } else { Bytes::new() };
        Ok((Replay::new(first, stream), exporters, authority))
    }

    fn authority(&self, chain: &[CertificateDer<'_>]) -> Result<CertificateDer<'static>, rustls::Error> {
        match (&self.trust, chain) {
            (Trust::Authorities(kept), [leaf, ..]) => {
                let found = kept.iter().find(|authority| signed(authority, leaf));
                found.cloned().ok_or_else(|| CertificateError::UnknownIssuer.into())
            }
            (Trust::Pin(pin), [leaf, behind @ ..]) => Ok(pinned(*pin, leaf, behind)?.clone().into_owned()),
            (_, []) => Err(rustls::Error::NoCertificatesPresented),
        }
    }
}

/// In TLS 1.3 the client's handshake ends before the server has looked at its certificate. An HTTP/2 server speaks
/// first (its settings), so what comes first is either that or the refusal.
async fn first_bytes(stream: &mut TlsStream<TcpStream>) -> io::Result<Bytes> {
    let mut first = [0_u8; 1024];
    match stream.read(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(Bytes::copy_from_slice(&first[..length])),
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("address", &self.address)
            .field("trust", &self.trust)
            .field("has_credential", &self.has_credential)
            .finish_non_exhaustive()
    }
}

/// Gives tonic the one stream there is.
struct Once<S>(Option<S>);

impl<S> tower::Service<http::Uri> for Once<S> {
    type Response = TokioIo<S>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

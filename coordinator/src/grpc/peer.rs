//! Who called: only what the TLS layer has verified, never what a message says.

use nexusmon_shared::id::AgentId;
use nexusmon_shared::tls;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

/// The connection a request came on.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    peer: tls::Peer,
    closed: CancellationToken,
}

impl Connection {
    pub(super) fn new(peer: tls::Peer, closed: CancellationToken) -> Self {
        Self { peer, closed }
    }

    pub(super) fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        let found = request.extensions().get::<Self>();
        found.ok_or_else(|| Status::internal("the request came without its connection"))
    }

    /// Ends the connection, and with it every stream on it.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn is_on_this_host(&self) -> bool {
        self.peer.is_on_this_host()
    }

    pub(super) fn join_exporter(&self) -> [u8; 32] {
        self.peer.exporters().join
    }

    pub(super) fn renew_exporter(&self) -> [u8; 32] {
        self.peer.exporters().renew
    }
}

/// An agent, known by its certificate. Whether it may still speak is asked of `service` on every call.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    agent: AgentId,
    connection: Connection,
}

impl Peer {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let connection = Connection::of(request)?.clone();
        let certificate = connection.peer.certificate().ok_or_else(|| {
            Status::unauthenticated("this needs an agent's certificate; join with an invite first")
        })?;
        Ok(Self { agent: certificate.agent(), connection })
    }

    pub(super) fn agent(&self) -> AgentId {
        self.agent
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

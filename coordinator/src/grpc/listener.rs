//! The agent port itself: TLS connections in, services behind them, a certificate that renews itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use nexusmon_shared::message::MAX_MESSAGE_BYTES;
use nexusmon_shared::tls::{AgentConnection, AgentPort, AgentPortLimits, ServerIdentity, TrustedAuthorities};
use nexusmon_shared::wire::proto::enrollment_server::EnrollmentServer;
use nexusmon_shared::wire::proto::session_server::SessionServer;
use nexusmon_shared::wire::proto::transfer_server::TransferServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::enroll::Enroll;
use super::peer::Connection;
use super::session::Sessions;
use super::transfer::Transfers;
use crate::app::App;
use crate::error::{Error, Result};

/// Finds connections whose other end has gone without a word.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// What one stream and one connection may send ahead of being read: a few batches, a window of log.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// One session, one log stream, and uploads and downloads of as many attempts as run at once.
const STREAMS_PER_CONNECTION: u32 = 512;
/// A signing request, three keys and facts.
const MAX_ENROLLMENT_BYTES: usize = 64 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// What the port shows to agents; renewing it concerns new connections only.
#[derive(Clone)]
pub struct PortCertificate {
    app: App,
    identity: Arc<ServerIdentity>,
}

impl PortCertificate {
    /// Issues and shows a new one.
    pub fn renew(&self) -> Result<()> {
        let now = self.app.clock.now();
        let credential =
            self.app.keyring.authorities.get().current.issue_server(now).map_err(Error::internal)?;
        self.identity.replace(&credential).map_err(Error::internal)
    }
}

/// Serves agents on `listener` until the lifecycle's soft shutdown.
pub fn serve(app: &App, listener: TcpListener) -> Result<PortCertificate> {
    let in_force = app.keyring.authorities.get();
    let credential = in_force.current.issue_server(app.clock.now()).map_err(Error::internal)?;
    let identity = ServerIdentity::new(&credential).map_err(Error::internal)?;
    let trusted = TrustedAuthorities::new(&in_force.certificates()).map_err(Error::internal)?;
    let port = AgentPort::new(
        app.organism,
        Arc::clone(&trusted),
        Arc::clone(&identity),
        Arc::clone(&app.clock),
        AgentPortLimits::default(),
    )
    .map_err(Error::internal)?;
    let lines = port.serve(listener, &app.lifecycle).map(|line| line.map(Line::new));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .add_service(
            EnrollmentServer::new(Enroll::new(app.clone())).max_decoding_message_size(MAX_ENROLLMENT_BYTES),
        )
        .add_service(
            SessionServer::new(Sessions::new(app.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            TransferServer::new(Transfers::new(app.clone()))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
    let stopping = app.lifecycle.soft().cancelled_owned();
    app.lifecycle
        .spawn("agent port", async move { server.serve_with_incoming_shutdown(lines, stopping).await });
    let certificate = PortCertificate { app: app.clone(), identity };
    app.lifecycle.spawn("agent port's authorities", follow(certificate.clone(), trusted));
    Ok(certificate)
}

/// Another authority is in force: it is shown and taken from now on, and one that is not any more no longer.
async fn follow(certificate: PortCertificate, trusted: Arc<TrustedAuthorities>) -> Result<()> {
    let mut watched = certificate.app.keyring.authorities.watch();
    // It may have changed since the port was opened.
    watched.mark_changed();
    let soft = certificate.app.lifecycle.soft();
    loop {
        let changed = tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = watched.changed() => changed,
        };
        if changed.is_err() {
            return Ok(());
        }
        let certificates = watched.borrow_and_update().certificates();
        // Shown before the old one is refused: who comes again at once finds what it trusts.
        certificate.renew()?;
        // Going on would mean to trust one that is retired.
        trusted.replace(&certificates).map_err(Error::internal)?;
    }
}

/// A connection that can be ended from this side, whatever the other side reads or writes.
struct Line {
    /// Boxed: what serves a connection keeps room for it in more than one place.
    inner: Box<AgentConnection>,
    token: CancellationToken,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Line {
    fn new(inner: AgentConnection) -> Self {
        let token = CancellationToken::new();
        Self { inner: Box::new(inner), closed: Box::pin(token.clone().cancelled_owned()), token }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for Line {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        Connection::new(self.inner.peer().clone(), self.token.clone())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut *self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.token.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut *self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.token.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut *self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(context)
    }
}

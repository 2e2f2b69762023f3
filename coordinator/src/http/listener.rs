//! The port: accepts connections, ends TLS where configured, and stops gracefully.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::router;
use crate::app::App;
use crate::error::{Error, Result};

/// Connections at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 4096;
/// A client that has not sent its request head or finished its handshake by then is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves the API and the pages on `listener` until the application's shutdown begins; what is under way finishes.
pub fn serve(app: &App, listener: TcpListener) -> Result<()> {
    let tls = app.config.tls.as_ref().map(|files| acceptor(&files.certificate, &files.key)).transpose()?;
    let server = Server { app: app.clone(), router: router(app), tls };
    app.lifecycle.spawn("http", accept(server, listener));
    Ok(())
}

#[derive(Clone)]
struct Server {
    app: App,
    router: axum::Router,
    tls: Option<TlsAcceptor>,
}

async fn accept(server: Server, listener: TcpListener) -> Result<(), std::io::Error> {
    let stopping = server.app.lifecycle.soft();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            permit = Arc::clone(&room).acquire_owned() => permit.map_err(std::io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let server = server.clone();
                let lifecycle = server.app.lifecycle.clone();
                lifecycle.spawn_quiet("http.connection", async move {
                    let _permit = permit;
                    connection(server, stream, peer).await
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: let some connections end first.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection(server: Server, stream: TcpStream, peer: SocketAddr) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    match &server.tls {
        None => exchange(&server, stream, peer).await,
        Some(tls) => {
            let stream = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await??;
            exchange(&server, stream, peer).await
        }
    }
}

async fn exchange<S>(server: &Server, stream: S, peer: SocketAddr) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = server.router.clone().map_request(move |mut request: Request<_>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let stopping = server.app.lifecycle.soft();
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let refused = |what: &str, error: &dyn std::fmt::Display| {
        Error::unavailable(format!("the TLS {what} cannot be used: {error}"))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refused("certificate", &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refused("key", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| refused("certificate and key", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

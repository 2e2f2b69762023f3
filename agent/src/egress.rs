//! The way out of a sandbox that has no network: a proxy that speaks to the hosts a task lists, and to nothing else.
//!
//! Every name is resolved once, every address judged, and the judged address is the one connected to. Knows nothing of
//! processes: it is given a listener. What a request may reach is decided in `gate`, how it is read in `request`.

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gate;
mod relay;
mod request;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub use gate::{EgressConfig, Gate};
use relay::Budget;
use request::{Ask, Refusal};

/// Connections of one task at once; more wait until one ends.
const MOST_CONNECTIONS: usize = 64;
/// For a request's head to arrive.
const PATIENCE: Duration = Duration::from_secs(15);
/// For a name to be resolved, and for a connection to be made.
const REACHING: Duration = Duration::from_secs(15);

/// Serves until it is dropped, and with it every connection.
pub async fn serve(listener: TcpListener, gate: Arc<Gate>) {
    let budget = Arc::new(Budget::default());
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => connections.push(handle(stream, Arc::clone(&gate), Arc::clone(&budget))),
                Err(error) => {
                    tracing::debug!(%error, "a sandbox's connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(ended) = connections.next() => if let Err(error) = ended {
                tracing::debug!(%error, "a connection out of a sandbox ended");
            },
        }
    }
}

async fn handle(mut inner: TcpStream, gate: Arc<Gate>, budget: Arc<Budget>) -> io::Result<()> {
    let read = tokio::time::timeout(PATIENCE, read_ask(&mut inner)).await;
    let (ask, rest) = match read.unwrap_or_else(|_| Err(Refusal::new(408, "no request came").into())) {
        Ok(read) => read,
        Err(Unread::Refused(refusal)) => return answer(&mut inner, &refusal).await,
        Err(Unread::Broken(error)) => return Err(error),
    };
    let (host, port) = ask.target();
    let reached = tokio::time::timeout(REACHING, gate.connect(host, port)).await;
    let slow = || Err(Refusal::new(504, format!("{host}:{port} does not answer")));
    let mut outer = match reached.unwrap_or_else(|_| slow()) {
        Ok(outer) => outer,
        Err(refusal) => {
            tracing::info!(%host, port, reason = refusal.reason(), "a sandboxed task was kept from a host");
            return answer(&mut inner, &refusal).await;
        }
    };
    match ask {
        Ask::Tunnel { .. } => {
            inner.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            budget.pass(&rest)?;
            outer.write_all(&rest).await?;
            relay::both(inner, outer, &budget).await
        }
        Ask::Fetch { head, body, .. } => {
            budget.pass(&head)?;
            outer.write_all(&head).await?;
            relay::exchange(inner, outer, &rest, body, &budget).await
        }
    }
}

enum Unread {
    Refused(Refusal),
    Broken(io::Error),
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A request's head, and what has arrived behind it.
async fn read_ask(inner: &mut TcpStream) -> Result<(Ask, Vec<u8>), Unread> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some((ask, length)) = request::read(&bytes)? {
            return Ok((ask, bytes.split_off(length)));
        }
        match inner.read_buf(&mut bytes).await {
            Ok(0) => return Err(Unread::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) => return Err(Unread::Broken(error)),
        }
    }
}

async fn answer(inner: &mut TcpStream, refusal: &Refusal) -> io::Result<()> {
    inner.write_all(refusal.response().as_bytes()).await?;
    inner.shutdown().await
}

#[cfg(test)]
mod tests;

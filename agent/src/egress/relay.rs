//! Bytes from one connection to another, as many as one task may move.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Both ways together, of one task.
const MOST_BYTES: u64 = 64 * 1024 * 1024 * 1024;
const BLOCK: usize = 16 * 1024;

/// What one task has moved.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicU64);

impl Budget {
    pub(super) fn pass(&self, bytes: &[u8]) -> io::Result<()> {
        let before = self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before.saturating_add(bytes.len() as u64) > MOST_BYTES {
            return Err(io::Error::other("the task has moved all it may"));
        }
        Ok(())
    }
}

async fn pipe(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    most: u64,
    budget: &Budget,
) -> io::Result<()> {
    let (mut block, mut left) = (vec![0_u8; BLOCK], most);
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let read = from.read(&mut block[..room]).await?;
        if read == 0 {
            break;
        }
        budget.pass(&block[..read])?;
        to.write_all(&block[..read]).await?;
        left -= read as u64;
    }
    Ok(())
}

/// A tunnel: until both ends have said all they had to say.
pub(super) async fn both(inner: TcpStream, outer: TcpStream, budget: &Budget) -> io::Result<()> {
    let (inner_read, mut inner_write) = inner.into_split();
    let (outer_read, mut outer_write) = outer.into_split();
    let out = async {
        pipe(inner_read, &mut outer_write, u64::MAX, budget).await?;
        outer_write.shutdown().await
    };
    let back = async {
        pipe(outer_read, &mut inner_write, u64::MAX, budget).await?;
        inner_write.shutdown().await
    };
    tokio::try_join!(out, back).map(drop)
}

/// One request with a body of known length, and its response to the end. What comes behind the body is not sent: it
/// could be a request that nobody has judged.
pub(super) async fn exchange(
    inner: TcpStream,
    outer: TcpStream,
    begun: &[u8],
    body: u64,
    budget: &Budget,
) -> io::Result<()> {
    let (inner_read, mut inner_write) = inner.into_split();
    let (outer_read, mut outer_write) = outer.into_split();
    let first = &begun[..begun.len().min(usize::try_from(body).unwrap_or(usize::MAX))];
    let out = async {
        budget.pass(first)?;
        outer_write.write_all(first).await?;
        pipe(inner_read, &mut outer_write, body - first.len() as u64, budget).await
    };
    let back = async {
        pipe(outer_read, &mut inner_write, u64::MAX, budget).await?;
        inner_write.shutdown().await
    };
    tokio::pin!(out, back);
    tokio::select! {
        // An answer may come before the body has been sent.
        answered = &mut back => answered,
        sent = &mut out => {
            sent?;
            back.await
        }
    }
}

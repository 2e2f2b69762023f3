//! Sending logs: one stream for all attempts, resumed at the offset the coordinator names.
//!
//! What was sent and not stored stays in the spool; a broken stream loses nothing and doubles nothing.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::message::{LogAck, LogChunk, MAX_MESSAGE_BYTES};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::transfer_client::TransferClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::worker::{Later, LogPiece, LogSpool};

/// Bytes of one log that may be on the way: enough for a fast line with some delay, too little to fill a memory.
const WINDOW: u64 = 4 * 1024 * 1024;
/// Chunks handed to the stream and not yet taken by it.
const QUEUED: usize = 4;
/// Less than this is not worth compressing.
const COMPRESS_BEYOND: usize = 512;

/// Every log that is not sealed, across sessions.
pub(super) struct Logs {
    spool: Arc<dyn LogSpool>,
    begun: mpsc::UnboundedReceiver<AttemptRef>,
    open: HashMap<AttemptRef, Position>,
}

/// Where one log stands on the current stream.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// The next byte to send; absent until the coordinator has said where to go on.
    next: Option<u64>,
    received: u64,
    /// A read of the spool is under way.
    reading: bool,
    /// The coordinator has answered on this stream.
    answered: bool,
    /// The end was sent.
    ended: bool,
}

type Read = (AttemptRef, u64, std::io::Result<Option<LogChunk>>);

/// Reads of the spool under way.
struct Reads<'a> {
    under_way: FuturesUnordered<Later<'a, Read>>,
    spool: &'a dyn LogSpool,
    /// Whether compressing helps.
    compress: bool,
}

impl Logs {
    pub(super) fn new(spool: Arc<dyn LogSpool>) -> Self {
        let begun = spool.begun();
        Self { spool, begun, open: HashMap::new() }
    }

    /// Sends until the stream breaks, which it says; `host` decides whether compressing helps.
    pub(super) async fn run(&mut self, channel: Channel, host: &str) -> Status {
        match self.stream(channel, !is_local(host)).await {
            Ok(()) => Status::unavailable("the log stream ended"),
            Err(status) => status,
        }
    }

    async fn stream(&mut self, channel: Channel, compress: bool) -> Result<(), Status> {
        // Nothing to send: no stream. Thousands of agents that log nothing cost nothing.
        if self.open.is_empty() {
            match self.begun.recv().await {
                Some(attempt) => self.open.insert(attempt, Position::fresh()),
                None => return std::future::pending().await,
            };
        }
        let (sender, receiver) = mpsc::channel(QUEUED);
        let mut client = TransferClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let spool = Arc::clone(&self.spool);
        let mut reads = Reads { under_way: FuturesUnordered::new(), spool: &*spool, compress };
        let mut questions = Vec::new();
        for (attempt, position) in &mut self.open {
            if position.next.is_none() || position.answered || position.received > 0 {
                *position = Position::default();
                questions.push(*attempt);
            } else {
                *position = Position::fresh();
                reads.begin(*attempt, position);
            }
        }
        let mut asking = questions.into_iter();
        let mut waiting: Option<proto::LogChunk> = asking.next().map(question);
        // The response begins only when the coordinator has seen something on some servers; so both at once.
        let opening = client.append_log(ReceiverStream::new(receiver));
        tokio::pin!(opening);
        let mut acks: Option<Streaming<proto::LogAck>> = None;
        loop {
            tokio::select! {
                biased;
                opened = &mut opening, if acks.is_none() => acks = Some(opened?.into_inner()),
                ack = next_ack(&mut acks) => {
                    let ack = ack?.ok_or_else(|| Status::unavailable("the coordinator ended the log stream"))?;
                    self.acknowledged(&ack, &mut reads);
                }
                permit = sender.reserve(), if waiting.is_some() => {
                    let permit = permit.map_err(|_| Status::unavailable("the log stream is closed"))?;
                    if let Some(chunk) = waiting.take() {
                        permit.send(chunk);
                    }
                    waiting = asking.next().map(question);
                }
                Some((attempt, offset, piece)) = reads.under_way.next(), if waiting.is_none() => {
                    waiting = self.piece(attempt, offset, piece, &mut reads);
                }
                Some(attempt) = self.begun.recv() => {
                    let position = self.open.entry(attempt).or_insert_with(Position::fresh);
                    reads.begin(attempt, position);
                }
            }
        }
    }

    /// A piece from the spool becomes a chunk, unless the log is gone or the reading is out of date.
    fn piece(
        &mut self,
        attempt: AttemptRef,
        offset: u64,
        piece: std::io::Result<Option<LogChunk>>,
        reads: &mut Reads<'_>,
    ) -> Option<proto::LogChunk> {
        let position = self.open.get_mut(&attempt)?;
        position.reading = false;
        if position.next != Some(offset) {
            reads.begin(attempt, position);
            return None;
        }
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                self.open.remove(&attempt);
                return None;
            }
            Err(error) => {
                tracing::error!(task = %attempt.task, %error, "a log cannot be read from the spool; it is given up");
                self.spool.forget(attempt);
                self.open.remove(&attempt);
                return None;
            }
        };
        position.next = Some(offset + u64::from(piece.size));
        position.ended = piece.last;
        reads.begin(attempt, position);
        Some(piece.into())
    }

    fn acknowledged(&mut self, ack: &proto::LogAck, reads: &mut Reads<'_>) {
        let ack = match LogAck::try_from(ack.clone()) {
            Ok(ack) => ack,
            Err(error) => {
                tracing::warn!(%error, "an unreadable log acknowledgement");
                return;
            }
        };
        let Some(position) = self.open.get_mut(&ack.attempt) else { return };
        if let Some(reason) = &ack.refused {
            tracing::warn!(task = %ack.attempt.task, %reason, "the coordinator does not take this log");
        }
        if ack.sealed || ack.refused.is_some() {
            self.spool.forget(ack.attempt);
            self.open.remove(&ack.attempt);
            return;
        }
        self.spool.stored(ack.attempt, ack.stored);
        position.received = position.received.max(ack.received);
        // The first answer on a stream says where to go on; it may know more than was sent, never less than was asked.
        let first = !std::mem::replace(&mut position.answered, true);
        if first && position.next.is_none_or(|next| next < ack.received) {
            position.next = Some(ack.received);
            position.ended = false;
        }
        reads.begin(ack.attempt, position);
    }
}

impl Position {
    /// A log the coordinator has never seen begins at 0 without asking.
    fn fresh() -> Self {
        Self { next: Some(0), ..Self::default() }
    }
}

impl Reads<'_> {
    /// Begins a read if none is under way, there is something to read, and the window is open.
    fn begin(&mut self, attempt: AttemptRef, position: &mut Position) {
        let Some(offset) = position.next else { return };
        let open = offset.saturating_sub(position.received) < WINDOW;
        if position.reading || position.ended || !open {
            return;
        }
        position.reading = true;
        let (next, compress) = (self.spool.next(attempt, offset), self.compress);
        self.under_way.push(Box::pin(async move {
            let piece = match next.await {
                Ok(Some(piece)) => Ok(Some(chunk(attempt, piece, compress).await)),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            (attempt, offset, piece)
        }));
    }
}

fn question(attempt: AttemptRef) -> proto::LogChunk {
    LogChunk {
        attempt,
        offset: 0,
        data: Bytes::new(),
        compressed: false,
        size: 0,
        at: Timestamp::from_micros(0),
        runs: Vec::new(),
        last: false,
    }
    .into()
}

async fn chunk(attempt: AttemptRef, piece: LogPiece, compress: bool) -> LogChunk {
    let LogPiece { offset, data, runs, at, last } = piece;
    let size = u32::try_from(data.len()).expect("a piece is at most 256 KiB");
    let worth = compress && data.len() > COMPRESS_BEYOND;
    let (data, compressed) = if worth { packed(data).await } else { (data, false) };
    LogChunk { attempt, offset, data, compressed, size, at, runs, last }
}

/// Compressed if that helps. Other threads do it: this one has the stream to keep full.
async fn packed(data: Bytes) -> (Bytes, bool) {
    let source = data.clone();
    let smaller = tokio::task::spawn_blocking(move || {
        zstd::bulk::compress(&source, 1).ok().filter(|packed| packed.len() < source.len() / 10 * 9)
    });
    match smaller.await {
        Ok(Some(packed)) => (packed.into(), true),
        Ok(None) | Err(_) => (data, false),
    }
}

async fn next_ack(acks: &mut Option<Streaming<proto::LogAck>>) -> Result<Option<proto::LogAck>, Status> {
    match acks {
        Some(acks) => acks.message().await,
        None => std::future::pending().await,
    }
}

/// On the same machine bytes are cheaper than cycles.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

//! Logs and artifacts: streams of bytes to and from agents, each chunk counted only while the agent may speak.

use std::collections::HashMap;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::message::{
    DownloadRequest, LogAck, LogChunk, MAX_BLOB_CHUNK_BYTES, Offer, UploadMessage,
};
use nexusmon_shared::wire::proto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::peer::Peer;
use crate::app::App;
use crate::error::Error;
use crate::service::{agents, logs, vault};

/// Acknowledgements handed to the transport that it has not written yet.
const UNWRITTEN: usize = 64;
/// Chunks after which the window moves even while more are waiting.
const CHUNKS_PER_ACK: usize = 8;

pub(super) struct Transfers {
    app: App,
}

impl Transfers {
    pub(super) fn new(app: App) -> Self {
        Self { app }
    }

    async fn admitted<T>(&self, request: &Request<T>) -> Result<Peer, Status> {
        let peer = Peer::of(request)?;
        agents::admit(&self.app, peer.agent()).await?;
        Ok(peer)
    }
}

#[tonic::async_trait]
impl proto::transfer_server::Transfer for Transfers {
    type AppendLogStream = ReceiverStream<Result<proto::LogAck, Status>>;
    type DownloadStream = BoxStream<'static, Result<proto::DownloadChunk, Status>>;

    #[tracing::instrument(name = "grpc.transfer.append_log", skip_all)]
    async fn append_log(
        &self,
        request: Request<Streaming<proto::LogChunk>>,
    ) -> Result<Response<Self::AppendLogStream>, Status> {
        let peer = self.admitted(&request).await?;
        let (out, receiver) = mpsc::channel(UNWRITTEN);
        let pump = LogPump { app: self.app.clone(), peer, out, received: HashMap::new() };
        self.app.lifecycle.spawn_quiet("log stream", pump.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    #[tracing::instrument(name = "grpc.transfer.offer", skip_all)]
    async fn offer(
        &self,
        request: Request<proto::OfferRequest>,
    ) -> Result<Response<proto::OfferResponse>, Status> {
        let peer = self.admitted(&request).await?;
        let offer: Offer = request.into_inner().try_into()?;
        let answers = vault::offer(&self.app, peer.agent(), offer).await?;
        Ok(Response::new(answers.into()))
    }

    #[tracing::instrument(name = "grpc.transfer.upload", skip_all)]
    async fn upload(
        &self,
        request: Request<Streaming<proto::UploadMessage>>,
    ) -> Result<Response<proto::UploadDone>, Status> {
        let peer = self.admitted(&request).await?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("the upload ended before its start"))?;
        let UploadMessage::Start(start) = UploadMessage::try_from(first)? else {
            return Err(Status::invalid_argument("an upload begins with its start message"));
        };
        let agent = peer.agent();
        let mut receiving = vault::receive(&self.app, agent, start).await?;
        while let Some(message) = inbound.message().await? {
            agents::admit(&self.app, agent).await?;
            match UploadMessage::try_from(message)? {
                UploadMessage::Data(bytes) => receiving.write(bytes).await?,
                UploadMessage::Start(_) => {
                    return Err(Status::invalid_argument("an upload's start comes once, first"));
                }
            }
        }
        let done = receiving.finish().await?;
        Ok(Response::new(done.into()))
    }

    #[tracing::instrument(name = "grpc.transfer.download", skip_all)]
    async fn download(
        &self,
        request: Request<proto::DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let peer = self.admitted(&request).await?;
        let agent = peer.agent();
        let DownloadRequest { attempt, digest, offset } = request.into_inner().try_into()?;
        let (_, body) = vault::download(&self.app, agent, attempt, digest, offset).await?;
        let app = self.app.clone();
        let chunks = body
            .then(move |piece| {
                let app = app.clone();
                async move {
                    agents::admit(&app, agent).await?;
                    Ok::<_, Status>(chunks_of(piece?))
                }
            })
            .flat_map(|piece| match piece {
                Ok(chunks) => futures::stream::iter(chunks.into_iter().map(Ok)).left_stream(),
                Err(status) => futures::stream::once(std::future::ready(Err(status))).right_stream(),
            });
        Ok(Response::new(chunks.boxed()))
    }
}

fn chunks_of(mut piece: Bytes) -> Vec<proto::DownloadChunk> {
    let mut chunks = Vec::with_capacity(1);
    while !piece.is_empty() {
        let data = piece.split_to(piece.len().min(MAX_BLOB_CHUNK_BYTES));
        chunks.push(proto::DownloadChunk { data });
    }
    chunks
}

/// One log stream: all attempts of one agent.
struct LogPump {
    app: App,
    peer: Peer,
    out: mpsc::Sender<Result<proto::LogAck, Status>>,
    /// The newest answer per attempt, not sent yet.
    received: HashMap<AttemptRef, LogAck>,
}

impl LogPump {
    async fn run(mut self, mut inbound: Streaming<proto::LogChunk>) -> Result<(), Error> {
        let mut stored = logs::stored(&self.app, self.peer.agent());
        let stopping = self.app.lifecycle.soft();
        loop {
            let step = tokio::select! {
                () = stopping.cancelled() => {
                    Err(Some(Status::unavailable("the coordinator stops; connect again and go on")))
                }
                Some(ack) = stored.next() => self.send(ack).await,
                chunk = inbound.message() => match chunk {
                    Ok(Some(chunk)) => self.take(chunk, &mut inbound).await,
                    Ok(None) | Err(_) => Err(None),
                },
            };
            match step {
                Ok(()) => {}
                Err(None) => return Ok(()),
                Err(Some(status)) => {
                    let _ = self.out.send(Err(status)).await;
                    return Ok(());
                }
            }
        }
    }

    /// Takes a chunk and those that have arrived behind it, then answers once per attempt.
    async fn take(
        &mut self,
        first: proto::LogChunk,
        inbound: &mut Streaming<proto::LogChunk>,
    ) -> Result<(), Option<Status>> {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(chunk) = next.take() {
            let ack = self.append(chunk).await.map_err(Some)?;
            self.received.insert(ack.attempt, ack);
            taken += 1;
            if taken < CHUNKS_PER_ACK
                && let Some(Ok(Some(chunk))) = inbound.message().now_or_never()
            {
                next = Some(chunk);
            }
        }
        for (_, ack) in std::mem::take(&mut self.received) {
            self.send(ack).await?;
        }
        Ok(())
    }

    async fn append(&self, chunk: proto::LogChunk) -> Result<LogAck, Status> {
        let agent = self.peer.agent();
        agents::admit(&self.app, agent).await?;
        let chunk: LogChunk = chunk.try_into()?;
        Ok(logs::append(&self.app, agent, chunk).await?)
    }

    async fn send(&self, ack: LogAck) -> Result<(), Option<Status>> {
        self.out.send(Ok(ack.into())).await.map_err(|_| None)
    }
}

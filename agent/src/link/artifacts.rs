//! Artifacts between this machine and the vault: offered by digest, uploaded and downloaded with resume.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{
    DownloadRequest, MAX_MESSAGE_BYTES, Offer, OfferAnswer, OfferItem, OrderInput, UploadMessage, UploadStart,
};
use nexusmon_shared::outcome::ProducedArtifact;
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::transfer_client::TransferClient;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::cache::Cache;
use crate::attempts::Courier;
use crate::run::{Collected, JobInput};
use crate::worker::Later;

/// Bytes per message of an upload.
const BLOCK: usize = 512 * 1024;
/// Transfers at once, each way.
const AT_ONCE: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Carries artifacts over whatever connection there is.
#[derive(Clone)]
pub struct Artifacts(Arc<Shared>);

struct Shared {
    channel: watch::Sender<Option<Channel>>,
    cache: Cache,
    uploads: Semaphore,
    downloads: Semaphore,
}

/// What went wrong with one try.
enum Trouble {
    /// Trying again helps nobody.
    Final(String),
    /// The line, or the coordinator's moment.
    Passing,
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss => Self::Final(format!("{:?}: {}", status.code(), status.message())),
            _ => {
                tracing::debug!(%status, "a transfer was interrupted");
                Self::Passing
            }
        }
    }
}

impl Artifacts {
    /// `limit`: bytes the cache may hold beyond what running attempts need.
    pub fn open(folder: &Path, limit: u64) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            channel: watch::channel(None).0,
            cache: Cache::open(folder, limit)?,
            uploads: Semaphore::new(AT_ONCE),
            downloads: Semaphore::new(AT_ONCE),
        })))
    }

    pub(super) fn connected(&self, channel: Channel) {
        self.0.channel.send_replace(Some(channel));
    }

    pub(super) fn cut(&self) {
        self.0.channel.send_replace(None);
    }
}

impl Courier for Artifacts {
    fn fetch(
        &self,
        attempt: AttemptRef,
        inputs: Vec<OrderInput>,
    ) -> Later<'static, Result<Vec<JobInput>, String>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let mut fetched = Vec::with_capacity(inputs.len());
            for input in inputs {
                let path = shared.cache.path(input.digest);
                shared.fetch(attempt, input.digest, input.size).await?;
                fetched.push(JobInput { name: input.name, path });
            }
            Ok(fetched)
        })
    }

    fn deliver(
        &self,
        attempt: AttemptRef,
        files: Vec<Collected>,
    ) -> Later<'static, Result<Vec<ProducedArtifact>, String>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.deliver(attempt, files).await })
    }

    fn done(&self, attempt: AttemptRef) {
        self.0.cache.unpin(attempt);
    }
}

impl Shared {
    async fn client(&self) -> TransferClient<Channel> {
        let mut watched = self.channel.subscribe();
        loop {
            let channel = watched.borrow_and_update().clone();
            if let Some(channel) = channel {
                return TransferClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
            }
            if watched.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn fetch(&self, attempt: AttemptRef, digest: Digest, size: u64) -> Result<(), String> {
        let turn = self.cache.turn(digest);
        let _turn = turn.lock().await;
        let mut pause = FIRST_PAUSE;
        while !self.cache.pin(digest, attempt) {
            let _room = self.downloads.acquire().await.map_err(|error| error.to_string())?;
            match self.download(attempt, digest, size).await {
                Ok(()) => {}
                Err(Trouble::Final(detail)) => return Err(format!("input {digest}: {detail}")),
                Err(Trouble::Passing) => wait(&mut pause).await,
            }
        }
        Ok(())
    }

    async fn download(&self, attempt: AttemptRef, digest: Digest, size: u64) -> Result<(), Trouble> {
        let mut client = self.client().await;
        let path = self.cache.partial(digest);
        let local =
            |error: std::io::Error| Trouble::Final(format!("cannot write {}: {error}", path.display()));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).open(&path).await.map_err(local)?;
        let mut offset = file.metadata().await.map_err(local)?.len();
        if offset > size {
            file.set_len(0).await.map_err(local)?;
            offset = 0;
        }
        if offset < size {
            let request = proto::DownloadRequest::from(DownloadRequest { attempt, digest, offset });
            let mut chunks = client.download(request).await?.into_inner();
            while let Some(chunk) = chunks.message().await? {
                offset += chunk.data.len() as u64;
                if offset > size {
                    let _ = tokio::fs::remove_file(&path).await;
                    return Err(Trouble::Final("it is longer than the order says".to_owned()));
                }
                file.write_all(&chunk.data).await.map_err(local)?;
            }
            file.flush().await.map_err(local)?;
        }
        if offset < size {
            return Err(Trouble::Passing);
        }
        drop(file);
        let hashed = path.clone();
        let found = tokio::task::spawn_blocking(move || hash(&hashed)).await;
        let found = found.map_err(|error| Trouble::Final(error.to_string()))?.map_err(local)?;
        if found != digest {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(Trouble::Final(format!("what arrived hashes to {found}")));
        }
        self.cache.complete(digest, size).map_err(local)
    }

    async fn deliver(
        &self,
        attempt: AttemptRef,
        files: Vec<Collected>,
    ) -> Result<Vec<ProducedArtifact>, String> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_deliver(attempt, &files).await {
                Ok(()) => break,
                Err(Trouble::Final(detail)) => return Err(detail),
                Err(Trouble::Passing) => wait(&mut pause).await,
            }
        }
        let produced = |Collected { name, digest, size, media_type, path: _ }| ProducedArtifact {
            name,
            digest,
            size,
            media_type,
        };
        Ok(files.into_iter().map(produced).collect())
    }

    /// Offers everything, sends what is missing.
    async fn try_deliver(&self, attempt: AttemptRef, files: &[Collected]) -> Result<(), Trouble> {
        let mut client = self.client().await;
        let items =
            files.iter().map(|file| OfferItem { digest: file.digest, size: file.size }).collect::<Vec<_>>();
        let offer = proto::OfferRequest::from(Offer { attempt, items });
        let answers = client.offer(offer).await?.into_inner();
        let answers =
            Vec::<OfferAnswer>::try_from(answers).map_err(|error| Trouble::Final(error.to_string()))?;
        if answers.len() != files.len() {
            return Err(Trouble::Final("the vault did not answer for each artifact".to_owned()));
        }
        for (file, answer) in files.iter().zip(answers) {
            match answer {
                OfferAnswer::Present => {}
                OfferAnswer::Refused { reason } => {
                    return Err(Trouble::Final(format!("the vault refused `{}`: {reason}", file.name)));
                }
                OfferAnswer::Send { offset } => {
                    let room = self.uploads.acquire().await;
                    let _room = room.map_err(|error| Trouble::Final(error.to_string()))?;
                    self.upload(&mut client, attempt, file, offset).await?;
                }
            }
        }
        Ok(())
    }

    async fn upload(
        &self,
        client: &mut TransferClient<Channel>,
        attempt: AttemptRef,
        file: &Collected,
        offset: u64,
    ) -> Result<(), Trouble> {
        let Collected { digest, size, .. } = *file;
        let (sender, receiver) = mpsc::channel(2);
        let start = UploadMessage::Start(UploadStart { attempt, digest, size, offset });
        let reading = async {
            let mut source = tokio::fs::File::open(&file.path).await?;
            source.seek(std::io::SeekFrom::Start(offset)).await?;
            if sender.send(start.into()).await.is_err() {
                return Ok(());
            }
            let mut left = size.saturating_sub(offset);
            while left > 0 {
                let room = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
                let mut block = vec![0; room];
                source.read_exact(&mut block).await?;
                left -= room as u64;
                if sender.send(UploadMessage::Data(Bytes::from(block)).into()).await.is_err() {
                    return Ok(());
                }
            }
            drop(sender);
            Ok::<(), std::io::Error>(())
        };
        let sending = client.upload(ReceiverStream::new(receiver));
        let (read, sent) = tokio::join!(reading, sending);
        read.map_err(|error| Trouble::Final(format!("cannot read `{}`: {error}", file.name)))?;
        sent?;
        Ok(())
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

fn hash(path: &Path) -> std::io::Result<Digest> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            length => hasher.update(&block[..length]),
        }
    }
}

//! Artifacts between this machine and the vault: offered by digest, uploaded and downloaded with resume.

use std::collections::HashSet;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::{
    DownloadRequest, MAX_MESSAGE_BYTES, Offer, OfferAnswer, OfferItem, OrderInput, UploadMessage, UploadStart,
};
use nexusmon_shared::outcome::ProducedArtifact;
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::transfer_client::TransferClient;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::cache::Cache;
use super::intake::{self, Intake};
use crate::attempts::Courier;
use crate::run::{Collected, JobInput};
use crate::worker::Later;

/// Bytes per message of an upload.
const BLOCK: usize = 512 * 1024;
/// Transfers at once, each way: so many small ones, and so many larger ones.
const AT_ONCE: u32 = 16;
const LARGE_AT_ONCE: u32 = 4;
const SMALL: u64 = 1024 * 1024;
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
            uploads: Semaphore::new(AT_ONCE as usize),
            downloads: Semaphore::new(AT_ONCE as usize),
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
        if self.cache.is_doubtful(digest) {
            let path = self.cache.path(digest);
            let found = tokio::task::spawn_blocking(move || intake::digest(&path)).await;
            self.cache.judge(digest, found.is_ok_and(|found| found.is_ok_and(|found| found == digest)));
        }
        let mut pause = FIRST_PAUSE;
        while !self.cache.pin(digest, attempt) {
            let weight = if size > SMALL { AT_ONCE / LARGE_AT_ONCE } else { 1 };
            let _room = self.downloads.acquire_many(weight).await.map_err(|error| error.to_string())?;
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
        let file = std::fs::File::options().create(true).append(true).open(&path).map_err(local)?;
        let mut offset = file.metadata().map_err(local)?.len();
        if offset > size {
            file.set_len(0).map_err(local)?;
            offset = 0;
        }
        let intake = Intake::begin(file, &path).map_err(local)?;
        let received = receive(&mut client, attempt, digest, offset, size, &intake).await;
        // Also when the line was cut: the next try must not find a file that still grows.
        let found = intake.finish().await.map_err(local)?;
        match received? {
            end if end < size => return Err(Trouble::Passing),
            end if end > size => {
                let _ = tokio::fs::remove_file(&path).await;
                return Err(Trouble::Final("it is longer than the order says".to_owned()));
            }
            _ => {}
        }
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
        let produced = |Collected { name, digest, size, media_type, withheld, path: _ }| ProducedArtifact {
            name,
            digest,
            size,
            media_type,
            withheld,
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
        let (mut missing, mut sent) = (Vec::new(), HashSet::new());
        for (file, answer) in files.iter().zip(answers) {
            match answer {
                OfferAnswer::Present => {}
                OfferAnswer::Refused { reason } => {
                    return Err(Trouble::Final(format!("the vault refused `{}`: {reason}", file.name)));
                }
                // Files of the same bytes go once.
                OfferAnswer::Send { offset } => {
                    if sent.insert(file.digest) {
                        missing.push((file, offset));
                    }
                }
            }
        }
        let uploads = missing.into_iter().map(|(file, offset)| {
            let mut client = client.clone();
            let uploading: Later<'_, Result<(), Trouble>> = Box::pin(async move {
                // Another attempt may have made the same bytes at the same moment.
                let turn = self.cache.turn(file.digest);
                let _turn = turn.lock().await;
                // Small ones wait for the disk there, large ones for processor and line: that many more may go at once.
                let weight = if file.size > SMALL { AT_ONCE / LARGE_AT_ONCE } else { 1 };
                let room = self.uploads.acquire_many(weight).await;
                let _room = room.map_err(|error| Trouble::Final(error.to_string()))?;
                self.upload(&mut client, attempt, file, offset).await
            });
            uploading
        });
        let mut uploads =
            futures::stream::iter(uploads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE as usize);
        while let Some(uploaded) = uploads.next().await {
            uploaded?;
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
        let source = file.path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let source = std::fs::File::open(source)?;
            if sender.blocking_send(start.into()).is_err() {
                return Ok(());
            }
            let mut at = offset;
            while at < size {
                let room = usize::try_from(size - at).unwrap_or(BLOCK).min(BLOCK);
                let mut block = vec![0; room];
                source.read_exact_at(&mut block, at)?;
                at += room as u64;
                if sender.blocking_send(UploadMessage::Data(Bytes::from(block)).into()).is_err() {
                    return Ok(());
                }
            }
            Ok::<(), std::io::Error>(())
        });
        let sending = client.upload(ReceiverStream::new(receiver));
        let (read, sent) = tokio::join!(reading, sending);
        let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        read.map_err(|error| Trouble::Final(format!("cannot read `{}`: {error}", file.name)))?;
        sent?;
        Ok(())
    }
}

/// Takes what the coordinator sends; gives where it ended.
async fn receive(
    client: &mut TransferClient<Channel>,
    attempt: AttemptRef,
    digest: Digest,
    mut offset: u64,
    size: u64,
    intake: &Intake,
) -> Result<u64, Trouble> {
    if offset < size {
        let request = proto::DownloadRequest::from(DownloadRequest { attempt, digest, offset });
        let mut chunks = client.download(request).await?.into_inner();
        while let Some(chunk) = chunks.message().await? {
            offset += chunk.data.len() as u64;
            if offset > size {
                break;
            }
            intake.take(chunk.data).await;
        }
    }
    Ok(offset)
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

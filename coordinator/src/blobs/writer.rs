//! A blob on its way in: hashed and written in large blocks on blocking threads while the next block arrives.
//!
//! A resumable upload writes to a staging file that outlives its stream; the stream that comes last owns it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::error::BlobError;
use super::{Blobs, Stored, local};

/// Bytes gathered before they are handed to blocking threads.
const BLOCK: usize = 1024 * 1024;
/// Blocks of one upload that wait for those threads or are in their hands; further ones wait in the connection.
const BLOCKS: usize = 4;
/// Bytes after which the disk is set to work, so that the last sync does not find all of them unwritten.
const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// Who may write to a staging file: the newest of the streams that asked.
#[derive(Debug, Default)]
pub(super) struct Slot {
    newest: AtomicU64,
    file: Mutex<()>,
}

/// One stream's claim on a staging file.
#[derive(Debug, Clone)]
struct Claim {
    slot: Arc<Slot>,
    number: u64,
}

impl Claim {
    fn new(slot: Arc<Slot>) -> Self {
        let number = slot.newest.fetch_add(1, Ordering::SeqCst) + 1;
        Self { slot, number }
    }

    /// Runs `work` while nothing else touches the file, unless a newer stream has taken over.
    fn hold<T>(&self, work: impl FnOnce() -> Result<T, BlobError>) -> Result<T, BlobError> {
        let _held = self.slot.file.lock().expect("no holder panics");
        if self.slot.newest.load(Ordering::SeqCst) != self.number {
            return Err(BlobError::Superseded);
        }
        work()
    }
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    written: u64,
}

impl Open {
    fn append(&mut self, path: &Path, blocks: &[Bytes]) -> Result<(), BlobError> {
        for block in blocks {
            nexusmon_shared::planted::failure("blob.write")
                .and_then(|()| (&*self.file).write_all(block))
                .map_err(|e| BlobError::io("write", path, e))?;
            self.written += block.len() as u64;
        }
        Ok(())
    }
}

fn hash(hasher: &mut Sha256, blocks: &[Bytes]) {
    for block in blocks {
        hasher.update(block);
    }
}

/// Bytes on their way to both threads; their room is free again when both are done.
#[derive(Debug)]
struct Block {
    bytes: Vec<Bytes>,
    _room: OwnedSemaphorePermit,
}

/// Blocks that wait for one thread, in order.
#[derive(Debug, Default)]
struct Waiting {
    blocks: VecDeque<Arc<Block>>,
    /// Somebody takes them; once nobody does, the state is on its way back.
    served: bool,
}

/// What works on blocks one after another, on a blocking thread for as long as there are any: a slow upload holds none.
#[derive(Debug)]
struct Lane<T> {
    here: Option<T>,
    job: Option<JoinHandle<Result<T, BlobError>>>,
    waiting: Arc<Mutex<Waiting>>,
}

impl<T: Send + 'static> Lane<T> {
    fn new(here: T) -> Self {
        Self { here: Some(here), job: None, waiting: Arc::default() }
    }

    /// Hands over a block. `work` is what a lane always does; an error of an earlier block comes here or from `settle`.
    async fn push(
        &mut self,
        block: Arc<Block>,
        work: impl Fn(&mut T, &[Bytes]) -> Result<(), BlobError> + Send + 'static,
    ) -> Result<(), BlobError> {
        let served = {
            let mut waiting = self.waiting.lock().expect("no holder panics");
            waiting.blocks.push_back(block);
            std::mem::replace(&mut waiting.served, true)
        };
        if served {
            return Ok(());
        }
        let mut state = self.settle().await?;
        let waiting = Arc::clone(&self.waiting);
        self.job = Some(tokio::task::spawn_blocking(move || {
            loop {
                let next = {
                    let mut waiting = waiting.lock().expect("no holder panics");
                    let next = waiting.blocks.pop_front();
                    waiting.served = next.is_some();
                    next
                };
                let Some(block) = next else { return Ok(state) };
                if let Err(error) = work(&mut state, &block.bytes) {
                    let mut waiting = waiting.lock().expect("no holder panics");
                    *waiting = Waiting::default();
                    return Err(error);
                }
            }
        }));
        Ok(())
    }

    /// Waits until nothing is under way.
    async fn settle(&mut self) -> Result<T, BlobError> {
        if let Some(job) = &mut self.job {
            let done = job.await;
            self.job = None;
            self.here = Some(done.map_err(|_| BlobError::Lost)??);
        }
        self.here.take().ok_or(BlobError::Lost)
    }
}

/// Takes chunks in order; [`BlobWriter::finish`] makes them a blob. Dropped before that, a one-off leaves nothing and
/// a resumable upload keeps what was written.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    path: PathBuf,
    claim: Claim,
    declared: Option<(Digest, u64)>,
    limit: u64,
    received: u64,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    room: Arc<Semaphore>,
    /// Writing and hashing go on at once, each at its own pace.
    open: Lane<Open>,
    hasher: Lane<Sha256>,
    /// The file once more, for syncing while the other is being written.
    file: Arc<File>,
    /// Bytes handed to the lane that writes; those before the newest few are in the file.
    handed: u64,
    /// Writes to the disk what has been written so far.
    syncing: Option<JoinHandle<Result<(), BlobError>>>,
    synced: u64,
    keep: bool,
}

impl BlobWriter {
    /// A one-off of at most `limit` bytes.
    pub(super) async fn create(blobs: Blobs, limit: u64) -> Result<Self, BlobError> {
        let path = blobs.temporary();
        let claim = Claim::new(Arc::default());
        let place = path.clone();
        let open = blocking(move || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&place)
                .map_err(|e| BlobError::io("create", &place, e))?;
            Ok((Open { file: Arc::new(file), written: 0 }, Sha256::new()))
        })
        .await?;
        Ok(Self::over(blobs, path, claim, open, None, limit, false))
    }

    /// Goes on with the staging file at `path`, from `offset`; what lies behind is hashed again.
    pub(super) async fn resume(
        blobs: Blobs,
        path: PathBuf,
        slot: Arc<Slot>,
        declared: (Digest, u64),
        offset: u64,
    ) -> Result<Self, BlobError> {
        let claim = Claim::new(slot);
        let (held, place) = (claim.clone(), path.clone());
        let open = blocking(move || held.hold(|| reopen(&place, offset))).await?;
        Ok(Self::over(blobs, path, claim, open, Some(declared), declared.1, true))
    }

    fn over(
        blobs: Blobs,
        path: PathBuf,
        claim: Claim,
        (open, hasher): (Open, Sha256),
        declared: Option<(Digest, u64)>,
        limit: u64,
        keep: bool,
    ) -> Self {
        let received = open.written;
        Self {
            blobs,
            path,
            claim,
            declared,
            limit,
            received,
            waiting: Vec::new(),
            waiting_bytes: 0,
            room: Arc::new(Semaphore::new(BLOCKS)),
            file: Arc::clone(&open.file),
            handed: received,
            synced: received,
            open: Lane::new(open),
            hasher: Lane::new(hasher),
            syncing: None,
            keep,
        }
    }

    /// Bytes taken so far, those of earlier streams included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next chunk; returns when there is room for more.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        if self.received + chunk.len() as u64 > self.limit {
            return Err(BlobError::TooLarge { limit: self.limit });
        }
        self.received += chunk.len() as u64;
        self.waiting_bytes += chunk.len();
        self.waiting.push(chunk);
        if self.waiting_bytes >= BLOCK { self.flush().await } else { Ok(()) }
    }

    /// Hands what waits to blocking threads, once there is room for it.
    async fn flush(&mut self) -> Result<(), BlobError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| BlobError::Lost)?;
        self.sync_early().await?;
        let block = Arc::new(Block { bytes: std::mem::take(&mut self.waiting), _room: room });
        self.handed += std::mem::take(&mut self.waiting_bytes) as u64;
        let (claim, path) = (self.claim.clone(), self.path.clone());
        let append = move |open: &mut Open, blocks: &[Bytes]| claim.hold(|| open.append(&path, blocks));
        self.open.push(Arc::clone(&block), append).await?;
        self.hasher
            .push(block, |hasher, blocks| {
                hash(hasher, blocks);
                Ok(())
            })
            .await
    }

    async fn sync_early(&mut self) -> Result<(), BlobError> {
        if self.handed < self.synced + SYNC_EVERY {
            return Ok(());
        }
        // What it says must not be lost: the kernel tells of a failed write only once.
        if self.syncing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.synced().await?;
        }
        if self.syncing.is_none() {
            let (path, file) = (self.path.clone(), Arc::clone(&self.file));
            self.synced = self.handed;
            self.syncing = Some(tokio::task::spawn_blocking(move || {
                file.sync_data().map_err(|e| BlobError::io("sync", path, e))
            }));
        }
        Ok(())
    }

    /// Waits for an early sync. After an error what was staged cannot be trusted any more: the kernel takes it for written.
    async fn synced(&mut self) -> Result<(), BlobError> {
        let Some(syncing) = self.syncing.take() else { return Ok(()) };
        let synced = syncing.await.map_err(|_| BlobError::Lost).flatten();
        self.keep &= synced.is_ok();
        synced
    }

    /// Checks size and digest and makes the blob durable. Bytes that do not hash to what was declared are dropped.
    pub async fn finish(mut self) -> Result<Stored, BlobError> {
        let (mut open, mut hasher) = (self.open.settle().await?, self.hasher.settle().await?);
        self.synced().await?;
        let blocks = std::mem::take(&mut self.waiting);
        let (claim, path, declared) = (self.claim.clone(), self.path.clone(), self.declared);
        let blobs = self.blobs.clone();
        let (open, stored, published) = blocking(move || {
            claim.hold(|| {
                hash(&mut hasher, &blocks);
                open.append(&path, &blocks)?;
                let stored =
                    Stored { digest: Digest::from_bytes(hasher.finalize().into()), size: open.written };
                match declared {
                    Some((_, size)) if size != stored.size => {
                        Err(BlobError::Incomplete { have: stored.size, declared: size })
                    }
                    Some((expected, _)) if expected != stored.digest => {
                        let _ = fs::remove_file(&path);
                        Err(BlobError::Mismatch { expected, actual: stored.digest })
                    }
                    _ => {
                        // After a failed sync the same bytes would pass as written the next time.
                        let published = blobs.publish_here(&path, &open.file, stored);
                        if published.is_err() {
                            let _ = fs::remove_file(&path);
                        }
                        Ok((open, stored, published?))
                    }
                }
            })
        })
        .await?;
        if !published {
            self.blobs.publish(self.path.clone(), open.file, stored).await?;
        }
        self.keep = false;
        Ok(stored)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.keep {
            // Unlinking is quick enough for any thread; after `finish` the file is gone already.
            let _ = fs::remove_file(&self.path);
        } else if let (None, Some(mut open)) = (&self.open.job, self.open.here.take()) {
            let (claim, path, blocks) =
                (self.claim.clone(), self.path.clone(), std::mem::take(&mut self.waiting));
            let _ = claim.hold(|| open.append(&path, &blocks));
        }
    }
}

fn reopen(path: &Path, offset: u64) -> Result<(Open, Sha256), BlobError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| BlobError::io("open", path, e))?;
    let have = file.metadata().map_err(|e| BlobError::io("look at", path, e))?.len();
    if offset > have {
        return Err(BlobError::Offset { have, got: offset });
    }
    file.set_len(offset).map_err(|e| BlobError::io("shorten", path, e))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BLOCK.min(usize::try_from(offset).unwrap_or(BLOCK))];
    let mut left = offset;
    while left > 0 {
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..length]).map_err(|e| BlobError::io("read", path, e))?;
        hasher.update(&buffer[..length]);
        left -= length as u64;
    }
    file.seek(SeekFrom::Start(offset)).map_err(|e| BlobError::io("seek in", path, e))?;
    Ok((Open { file: Arc::new(file), written: offset }, hasher))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BlobError::Lost)?
}

/// Staging files nobody has touched since `before` (microseconds since the epoch); returns how many went.
pub(super) fn sweep(staging: &Path, before: i64) -> Result<u64, BlobError> {
    let entries = fs::read_dir(staging).map_err(|e| BlobError::io("list", staging, e))?;
    let mut swept = 0;
    for entry in entries.flatten() {
        let Ok(touched) = entry.metadata().and_then(|meta| meta.modified()) else { continue };
        let since = touched.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if i64::try_from(since.as_micros()).unwrap_or(i64::MAX) < before
            && entry.file_name().to_string_lossy().starts_with("up-")
            && fs::remove_file(entry.path()).is_ok()
        {
            swept += 1;
        }
    }
    if swept > 0 {
        local::sync_folder(staging)?;
    }
    Ok(swept)
}

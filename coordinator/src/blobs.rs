//! Content-addressed bytes and log segments: in a folder of this machine (`file://`) or an S3-compatible store
//! (`s3://`). When a write returns, its bytes are durable, so rows may refer to them.
//!
//! Knows nothing of missions, artifacts or rows; who may read what is decided above.

mod access;
mod error;
mod local;
mod remote;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::time::Timestamp;

pub use access::ObjectStoreConfig;
pub use error::BlobError;
use local::{Local, Place};
use remote::Remote;
pub use writer::BlobWriter;
use writer::{Slot, blocking};

/// Bytes of one piece of a stream that is read.
const PIECE: u64 = 512 * 1024;

/// Where bytes are kept.
#[derive(Debug, Clone)]
pub struct BlobsConfig {
    /// `file:///absolute/folder` or `s3://bucket/prefix`.
    pub url: String,
    /// Interrupted uploads, when the bytes themselves go elsewhere (`file://` keeps its own beside them).
    pub staging: PathBuf,
    /// More than one coordinator shares the database; they cannot share a folder.
    pub several_nodes: bool,
    /// For `s3://`.
    pub object_store: ObjectStoreConfig,
}

/// A finished blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    pub digest: Digest,
    pub size: u64,
}

/// Names one interrupted upload: whose, and of what.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StagingKey(String);

impl StagingKey {
    /// `owner` keeps two agents that upload the same bytes at once out of each other's file.
    pub fn new(owner: &str, digest: &Digest) -> Self {
        Self(format!("up-{}-{digest}", owner.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_")))
    }
}

pub type ByteStream = BoxStream<'static, Result<Bytes, BlobError>>;

#[derive(Debug)]
enum Backend {
    Local(Local),
    Remote(Remote),
}

#[derive(Debug)]
struct Inner {
    backend: Backend,
    slots: Mutex<HashMap<StagingKey, Arc<Slot>>>,
}

/// The handle; cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs(Arc<Inner>);

impl Blobs {
    pub async fn open(config: &BlobsConfig) -> Result<Self, BlobError> {
        let refused = |reason: &str| BlobError::Config { url: config.url.clone(), reason: reason.to_owned() };
        let backend = if let Some(folder) = config.url.strip_prefix("file://") {
            if config.several_nodes {
                return Err(refused("several coordinators cannot share a folder; use an s3:// URL"));
            }
            let folder = PathBuf::from(folder);
            if !folder.is_absolute() {
                return Err(refused("write an absolute folder, as in file:///var/lib/nexusmon/blobs"));
            }
            Backend::Local(blocking(move || Local::open(folder)).await?)
        } else if config.url.starts_with("s3://") {
            Backend::Remote(Remote::open(&config.url, &config.object_store, config.staging.clone()).await?)
        } else {
            return Err(refused("the scheme must be file:// or s3://"));
        };
        Ok(Self(Arc::new(Inner { backend, slots: Mutex::default() })))
    }

    /// Whether the bytes lie in a folder of this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.0.backend, Backend::Local(_))
    }

    /// Stores `bytes` under their digest; a blob already there is not written again.
    pub async fn put(&self, bytes: Bytes) -> Result<Stored, BlobError> {
        let this = self.clone();
        let (stored, bytes) = blocking(move || {
            let stored = Stored { digest: Digest::of(&bytes), size: bytes.len() as u64 };
            if let Backend::Local(local) = &this.0.backend {
                local.write(&Place::blob(&stored.digest), std::slice::from_ref(&bytes), true)?;
            }
            Ok((stored, bytes))
        })
        .await?;
        if let Backend::Remote(remote) = &self.0.backend {
            remote.write_once(&remote.blob(&stored.digest), bytes).await?;
        }
        Ok(stored)
    }

    /// Begins a blob of at most `limit` bytes whose digest is not known yet.
    pub async fn writer(&self, limit: u64) -> Result<BlobWriter, BlobError> {
        BlobWriter::create(self.clone(), limit).await
    }

    /// Stores a whole stream of at most `limit` bytes. Its own errors come back as they are.
    pub async fn put_stream<S, E>(&self, limit: u64, stream: S) -> Result<Stored, E>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: From<BlobError>,
    {
        let mut writer = self.writer(limit).await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(chunk) = stream.try_next().await? {
            writer.write(chunk).await?;
        }
        Ok(writer.finish().await?)
    }

    /// The size, if the blob is there (and then it is durable).
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        match &self.0.backend {
            Backend::Local(_) => {
                let place = Place::blob(digest);
                self.on_local(move |local| local.size(&place)).await
            }
            Backend::Remote(remote) => remote.size(&remote.blob(digest)).await,
        }
    }

    /// The bytes of `range` (all when `None`; its end is clamped to the size) in pieces of at most about 512 KiB, and
    /// the size of the whole.
    pub async fn stream(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<(u64, ByteStream), BlobError> {
        match &self.0.backend {
            Backend::Local(_) => self.stream_local(Place::blob(digest), range).await,
            Backend::Remote(remote) => remote.stream(&remote.blob(digest), range).await,
        }
    }

    /// As [`Self::stream`], in one piece; for ranges the caller knows to be small.
    pub async fn read(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<Bytes, BlobError> {
        collect(self.stream(digest, range).await?.1).await
    }

    /// Gone afterwards, whether or not it was there. The caller has made sure that nothing refers to it.
    pub async fn delete(&self, digest: &Digest) -> Result<(), BlobError> {
        match &self.0.backend {
            Backend::Local(_) => {
                let place = Place::blob(digest);
                self.on_local(move |local| local.delete(&place)).await
            }
            Backend::Remote(remote) => remote.delete(&remote.blob(digest)).await,
        }
    }

    /// Stores a log segment under `key`, replacing what is there. A key that names attempt, offset and length always
    /// names the same bytes, whoever writes it.
    pub async fn put_segment(&self, key: &str, parts: Vec<Bytes>) -> Result<(), BlobError> {
        check_key(key)?;
        match &self.0.backend {
            Backend::Local(_) => {
                let place = Place::segment(key);
                self.on_local(move |local| local.write(&place, &parts, false)).await
            }
            Backend::Remote(remote) => remote.write(&remote.segment(key), parts.concat().into()).await,
        }
    }

    pub async fn segment_stream(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<(u64, ByteStream), BlobError> {
        check_key(key)?;
        match &self.0.backend {
            Backend::Local(_) => self.stream_local(Place::segment(key), range).await,
            Backend::Remote(remote) => remote.stream(&remote.segment(key), range).await,
        }
    }

    pub async fn read_segment(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, BlobError> {
        collect(self.segment_stream(key, range).await?.1).await
    }

    pub async fn delete_segment(&self, key: &str) -> Result<(), BlobError> {
        check_key(key)?;
        match &self.0.backend {
            Backend::Local(_) => {
                let place = Place::segment(key);
                self.on_local(move |local| local.delete(&place)).await
            }
            Backend::Remote(remote) => remote.delete(&remote.segment(key)).await,
        }
    }

    /// Bytes of an interrupted upload that are here; 0 if there is none.
    pub async fn staged(&self, key: &StagingKey) -> Result<u64, BlobError> {
        let path = self.staging().join(&key.0);
        blocking(move || match std::fs::metadata(&path) {
            Ok(found) => Ok(found.len()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(BlobError::io("look at", path, e)),
        })
        .await
    }

    /// Goes on with an upload at `offset`, which must not lie beyond what is staged. A stream that still writes to it
    /// is superseded.
    pub async fn resume(
        &self,
        key: &StagingKey,
        declared: Stored,
        offset: u64,
    ) -> Result<BlobWriter, BlobError> {
        if offset > declared.size {
            return Err(BlobError::TooLarge { limit: declared.size });
        }
        let slot = {
            let mut slots = self.0.slots.lock().expect("no holder panics");
            // A slot that only this map holds belongs to no stream.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
            Arc::clone(slots.entry(key.clone()).or_default())
        };
        let path = self.staging().join(&key.0);
        BlobWriter::resume(self.clone(), path, slot, (declared.digest, declared.size), offset).await
    }

    /// Removes interrupted uploads that nobody has touched since `before`; returns how many.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, BlobError> {
        let staging = self.staging();
        blocking(move || writer::sweep(&staging, before.as_micros())).await
    }

    fn staging(&self) -> PathBuf {
        match &self.0.backend {
            Backend::Local(local) => local.staging().to_owned(),
            Backend::Remote(remote) => remote.staging().to_owned(),
        }
    }

    fn temporary(&self) -> PathBuf {
        match &self.0.backend {
            Backend::Local(local) => local.temporary(),
            Backend::Remote(remote) => remote.temporary(),
        }
    }

    /// Makes a staged file a blob, if blobs lie on this machine. Blocks.
    fn publish_here(&self, staged: &Path, file: &File, stored: Stored) -> Result<bool, BlobError> {
        let Backend::Local(local) = &self.0.backend else { return Ok(false) };
        let place = Place::blob(&stored.digest);
        if local.size(&place)? == Some(stored.size) {
            std::fs::remove_file(staged).map_err(|e| BlobError::io("remove", staged, e))?;
        } else {
            local.publish(staged, file, &place)?;
        }
        Ok(true)
    }

    /// Makes a staged file a blob elsewhere.
    async fn publish(&self, staged: PathBuf, file: Arc<File>, stored: Stored) -> Result<(), BlobError> {
        let Backend::Remote(remote) = &self.0.backend else { return Err(BlobError::Lost) };
        remote.publish(file, stored.size, &remote.blob(&stored.digest)).await?;
        blocking(move || std::fs::remove_file(&staged).map_err(|e| BlobError::io("remove", staged, e))).await
    }

    async fn on_local<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Local) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let this = self.clone();
        blocking(move || match &this.0.backend {
            Backend::Local(local) => work(local),
            Backend::Remote(_) => Err(BlobError::Lost),
        })
        .await
    }

    async fn stream_local(
        &self,
        place: Place,
        range: Option<Range<u64>>,
    ) -> Result<(u64, ByteStream), BlobError> {
        let (file, size, range, first) = self
            .on_local(move |local| {
                let (file, size) = local.open_file(&place)?;
                let range = range.unwrap_or(0..size);
                let range = range.start..range.end.min(size);
                if range.start > size {
                    return Err(BlobError::Range { size });
                }
                let first = local::read_at(&file, range.start, piece(&range))?;
                Ok((file, size, range.start + first.len() as u64..range.end, first))
            })
            .await?;
        let (file, end) = (Arc::new(file), range.end);
        let pieces = (range.start..end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
        let rest = futures::stream::iter(pieces).map(move |at| {
            let file = Arc::clone(&file);
            blocking(move || local::read_at(&file, at, piece(&(at..end))))
        });
        let first = futures::stream::iter((!first.is_empty()).then_some(Ok(first)));
        // The next piece is read while one is sent.
        Ok((size, first.chain(rest.buffered(2)).boxed()))
    }
}

fn piece(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start).min(PIECE)).unwrap_or(0)
}

async fn collect(mut stream: ByteStream) -> Result<Bytes, BlobError> {
    let first = stream.try_next().await?.unwrap_or_default();
    let Some(second) = stream.try_next().await? else { return Ok(first) };
    let mut all = BytesMut::from(&first[..]);
    all.extend_from_slice(&second);
    while let Some(piece) = stream.try_next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

fn check_key(key: &str) -> Result<(), BlobError> {
    let good = (1..=200).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
        && key.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    if good {
        Ok(())
    } else {
        Err(BlobError::NotFound(format!("`{}` is not a segment key", key.escape_debug())))
    }
}

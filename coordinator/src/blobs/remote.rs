//! Bytes in an S3-compatible store, by URL.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use nexusmon_shared::digest::Digest;
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart,
};

use super::access::{self, ObjectStoreConfig};
use super::error::BlobError;
use super::local::{self, read_at};

/// Parts of a multipart upload; S3 wants at least 5 MiB.
const PART: u64 = 8 * 1024 * 1024;
const PARTS_IN_FLIGHT: usize = 4;

#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    staging: PathBuf,
    temporaries: AtomicU64,
    /// The store refuses to overwrite when asked to.
    conditional: bool,
}

impl Remote {
    /// `url` is `s3://bucket/prefix`. Finds out now whether bucket and credentials are good.
    pub(super) async fn open(
        url: &str,
        config: &ObjectStoreConfig,
        staging: PathBuf,
    ) -> Result<Self, BlobError> {
        let refused = |reason: String| BlobError::Config { url: url.to_owned(), reason };
        let rest = url.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refused("the bucket is missing; write s3://bucket/prefix".to_owned()));
        }
        let store = access::client(bucket, config, &refused)?;
        std::fs::create_dir_all(&staging)
            .map_err(|e| BlobError::io("create the folder", staging.clone(), e))?;
        local::remove_temporaries(&staging);
        let mut this = Self::over(Arc::new(store), prefix, staging);
        let mut name = [0_u8; 16];
        getrandom::fill(&mut name).map_err(|e| refused(format!("the machine gives no randomness: {e}")))?;
        let probe = this.key(&format!("probe/{}", hex::encode(name)));
        this.conditional = access::probe(&*this.store, &probe, &refused).await?;
        if !this.conditional {
            tracing::info!(
                url,
                "the object store knows no conditional writes; equal blobs may be written twice"
            );
        }
        Ok(this)
    }

    pub(super) fn over(store: Arc<dyn ObjectStore>, prefix: &str, staging: PathBuf) -> Self {
        let prefix = prefix.trim_matches('/').to_owned();
        Self { store, prefix, staging, temporaries: AtomicU64::new(0), conditional: false }
    }

    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    pub(super) fn temporary(&self) -> PathBuf {
        local::temporary(&self.staging, &self.temporaries)
    }

    pub(super) fn blob(&self, digest: &Digest) -> Key {
        let name = digest.to_string();
        self.key(&format!("objects/{}/{name}", &name[..2]))
    }

    pub(super) fn segment(&self, key: &str) -> Key {
        self.key(&format!("segments/{key}"))
    }

    fn key(&self, rest: &str) -> Key {
        if self.prefix.is_empty() { Key::from(rest) } else { Key::from(format!("{}/{rest}", self.prefix)) }
    }

    pub(super) async fn size(&self, key: &Key) -> Result<Option<u64>, BlobError> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(BlobError::remote("look", source)),
        }
    }

    pub(super) async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), BlobError> {
        self.store.put(key, PutPayload::from(bytes)).await.map_err(|e| BlobError::remote("write", e))?;
        Ok(())
    }

    /// Stores a blob under the name of its digest: what is there already is the same bytes and stays.
    pub(super) async fn write_once(&self, key: &Key, bytes: Bytes) -> Result<(), BlobError> {
        if !self.conditional {
            if self.size(key).await? == Some(bytes.len() as u64) {
                return Ok(());
            }
            return self.write(key, bytes).await;
        }
        match self.store.put_opts(key, PutPayload::from(bytes), PutMode::Create.into()).await {
            Ok(_)
            | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(())
            }
            Err(source) => Err(BlobError::remote("write", source)),
        }
    }

    /// Sends a staged file, in parts when it is large.
    pub(super) async fn publish(&self, staged: Arc<File>, size: u64, key: &Key) -> Result<(), BlobError> {
        if size <= PART {
            let bytes = read_part(&staged, 0, size).await?;
            return self.write_once(key, bytes).await;
        }
        if self.size(key).await? == Some(size) {
            return Ok(());
        }
        let upload = self.store.put_multipart(key).await.map_err(|e| BlobError::remote("begin", e))?;
        let mut parts =
            WriteMultipart::new_with_chunk_size(upload, usize::try_from(PART).unwrap_or(usize::MAX));
        let mut offset = 0;
        while offset < size {
            let sent = async {
                let bytes = read_part(&staged, offset, PART.min(size - offset)).await?;
                let ready = parts.wait_for_capacity(PARTS_IN_FLIGHT).await;
                ready.map(|()| bytes).map_err(|e| BlobError::remote("write a part", e))
            };
            match sent.await {
                Ok(bytes) => {
                    offset += bytes.len() as u64;
                    parts.put(bytes);
                }
                Err(error) => {
                    let _ = parts.abort().await;
                    return Err(error);
                }
            }
        }
        parts.finish().await.map_err(|e| BlobError::remote("finish", e))?;
        Ok(())
    }

    pub(super) async fn stream(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, BlobError>>), BlobError> {
        if let Some(range) = &range
            && range.is_empty()
        {
            let size = self.size(key).await?.ok_or_else(|| BlobError::NotFound(key.to_string()))?;
            return Ok((size, futures::stream::empty().boxed()));
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let got = self.store.get_opts(key, options).await.map_err(|e| BlobError::remote("read", e))?;
        let size = got.meta.size;
        let bytes = got.into_stream().map(|part| part.map_err(|e| BlobError::remote("read", e)));
        Ok((size, bytes.boxed()))
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), BlobError> {
        match self.store.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(BlobError::remote("delete", source)),
        }
    }
}

async fn read_part(file: &Arc<File>, offset: u64, length: u64) -> Result<Bytes, BlobError> {
    let file = Arc::clone(file);
    let length = usize::try_from(length).map_err(|_| BlobError::Lost)?;
    tokio::task::spawn_blocking(move || read_at(&file, offset, length)).await.map_err(|_| BlobError::Lost)?
}

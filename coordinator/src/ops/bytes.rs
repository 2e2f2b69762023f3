//! Blobs and log segments from one store to another, each checked against its digest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _};
use nexusmon_shared::digest::Digest;
use nexusmon_store::Archive;

use super::Tell;
use super::error::OpsError;
use crate::blobs::{BlobError, Blobs};

/// Copies under way at once.
const AT_ONCE: usize = 8;
/// Keys read from the database at once.
const PAGE: u32 = 5_000;
const TOLD_EVERY: u64 = 5_000;

/// What was copied, and what lay there already.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) blobs: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) gone: u64,
    /// SHA-256 of each segment as it lies at the target.
    pub(super) digests: BTreeMap<String, Digest>,
}

/// Everything the rows of `archive` refer to. `known` are digests of segments that must come out the same; `may_be_gone`:
/// a coordinator is at work, and its retention may remove logs meanwhile.
pub(super) async fn copy(
    archive: &mut Archive,
    from: &Blobs,
    to: &Blobs,
    known: Option<&BTreeMap<String, Digest>>,
    may_be_gone: bool,
    tell: Tell<'_>,
) -> Result<Copied, OpsError> {
    let mut copied = Copied::default();
    let bytes = AtomicU64::new(0);
    let mut after = None;
    loop {
        let page = archive.referred_blobs(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.0);
        let mut work = futures::stream::iter(page.into_iter().map(|(digest, size)| {
            let bytes = &bytes;
            async move {
                if to.size(&digest).await? != Some(size) {
                    copy_blob(from, to, digest).await?;
                }
                bytes.fetch_add(size, Ordering::Relaxed);
                Ok::<_, OpsError>(())
            }
        }))
        .buffer_unordered(AT_ONCE);
        while let Some(()) = work.try_next().await? {
            copied.blobs += 1;
            if copied.blobs.is_multiple_of(TOLD_EVERY) {
                tell(&format!("{} blobs", copied.blobs));
            }
        }
    }
    let mut after = None;
    loop {
        let page = archive.segments(after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        let mut work = futures::stream::iter(page.into_iter().map(|key| async move {
            let copied = copy_segment(from, to, &key).await?;
            Ok::<_, OpsError>((key, copied))
        }))
        .buffer_unordered(AT_ONCE);
        while let Some((key, found)) = work.try_next().await? {
            let Some((digest, size)) = found else {
                if !may_be_gone {
                    return Err(OpsError::Differs(format!("the log segment {key} is missing")));
                }
                copied.gone += 1;
                continue;
            };
            if known.is_some_and(|known| known.get(&key).is_some_and(|known| *known != digest)) {
                return Err(OpsError::Differs(format!("the log segment {key} is not what was backed up")));
            }
            bytes.fetch_add(size, Ordering::Relaxed);
            copied.segments += 1;
            if copied.segments.is_multiple_of(TOLD_EVERY) {
                tell(&format!("{} log segments", copied.segments));
            }
            copied.digests.insert(key, digest);
        }
    }
    copied.bytes = bytes.into_inner();
    Ok(copied)
}

async fn copy_blob(from: &Blobs, to: &Blobs, digest: Digest) -> Result<(), OpsError> {
    let (size, stream) = from.stream(&digest, None).await?;
    let stored = to.put_stream::<_, BlobError>(size, stream).await?;
    if stored.digest == digest {
        return Ok(());
    }
    Err(OpsError::Differs(format!("the blob {digest} is damaged: its bytes hash to {}", stored.digest)))
}

/// `None`: it is not there (any more).
async fn copy_segment(from: &Blobs, to: &Blobs, key: &str) -> Result<Option<(Digest, u64)>, OpsError> {
    let bytes = match from.read_segment(key, None).await {
        Ok(bytes) => bytes,
        Err(BlobError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
    to.put_segment(key, vec![bytes]).await?;
    Ok(Some((digest, size)))
}

/// The list of segments beside a backup: a digest and a key per line.
pub(super) fn write_list(path: &Path, digests: &BTreeMap<String, Digest>) -> Result<(), OpsError> {
    let mut text = String::new();
    for (key, digest) in digests {
        text.push_str(&format!("{digest} {key}\n"));
    }
    let written =
        std::fs::write(path, text).and_then(|()| std::fs::File::open(path)).and_then(|file| file.sync_all());
    written.map_err(|source| OpsError::io("write", path, source))
}

pub(super) fn read_list(path: &Path) -> Result<BTreeMap<String, Digest>, OpsError> {
    let text = std::fs::read_to_string(path).map_err(|source| OpsError::io("read", path, source))?;
    text.lines()
        .map(|line| {
            let parsed =
                line.split_once(' ').and_then(|(digest, key)| Some((key.to_owned(), digest.parse().ok()?)));
            parsed.ok_or_else(|| OpsError::Refused(format!("{} is damaged: `{line}`", path.display())))
        })
        .collect()
}

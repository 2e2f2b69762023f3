//! A bounded cache of fetched inputs, by digest. Blocking; what attempts hold is never thrown out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;

#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    blobs: HashMap<Digest, Blob>,
    pins: HashMap<AttemptRef, Vec<Digest>>,
    bytes: u64,
    uses: u64,
    /// One download per digest at a time.
    fetching: HashMap<Digest, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug)]
struct Blob {
    size: u64,
    used: u64,
    pins: u32,
    /// Found at start: nothing here is synced, so after a power cut it may be another thing than its name says.
    doubtful: bool,
}

impl Cache {
    /// Takes up what is there; half-fetched files stay and are resumed.
    pub(super) fn open(folder: &Path, limit: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut content = Content::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let size = entry.metadata()?.len();
            if let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                content.bytes += size;
                content.blobs.insert(digest, Blob { size, used: 0, pins: 0, doubtful: true });
            }
        }
        Ok(Self { folder: folder.to_owned(), limit, content: Mutex::new(content) })
    }

    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Where a blob is written before it is whole.
    pub(super) fn partial(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.part"))
    }

    /// To be held while bytes of this digest are on their way, here or from here.
    pub(super) fn turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut content = self.lock();
        content.fetching.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(content.fetching.entry(digest).or_default())
    }

    /// Whether it has to be hashed before it is used; to be asked within its turn.
    pub(super) fn is_doubtful(&self, digest: Digest) -> bool {
        self.lock().blobs.get(&digest).is_some_and(|blob| blob.doubtful)
    }

    /// What hashing a doubtful blob said.
    pub(super) fn judge(&self, digest: Digest, good: bool) {
        let mut content = self.lock();
        if good {
            if let Some(blob) = content.blobs.get_mut(&digest) {
                blob.doubtful = false;
            }
        } else if let Some(blob) = content.blobs.remove(&digest) {
            tracing::warn!(%digest, "a cached input was damaged; it is fetched again");
            content.bytes -= blob.size;
            let _ = std::fs::remove_file(self.path(digest));
        }
    }

    /// Holds a blob for an attempt, if it is here and not doubtful.
    pub(super) fn pin(&self, digest: Digest, attempt: AttemptRef) -> bool {
        let mut content = self.lock();
        content.uses += 1;
        let used = content.uses;
        let Some(blob) = content.blobs.get_mut(&digest).filter(|blob| !blob.doubtful) else { return false };
        blob.used = used;
        blob.pins += 1;
        content.pins.entry(attempt).or_default().push(digest);
        true
    }

    /// A partial file has become whole and verified: gives it its name and makes room for it.
    pub(super) fn complete(&self, digest: Digest, size: u64) -> std::io::Result<()> {
        std::fs::rename(self.partial(digest), self.path(digest))?;
        let mut content = self.lock();
        content.uses += 1;
        let used = content.uses;
        content.bytes += size;
        content.blobs.insert(digest, Blob { size, used, pins: 0, doubtful: false });
        self.evict(&mut content, Some(digest));
        Ok(())
    }

    /// The attempt needs its inputs no more.
    pub(super) fn unpin(&self, attempt: AttemptRef) {
        let mut content = self.lock();
        for digest in content.pins.remove(&attempt).unwrap_or_default() {
            if let Some(blob) = content.blobs.get_mut(&digest) {
                blob.pins = blob.pins.saturating_sub(1);
            }
        }
        self.evict(&mut content, None);
    }

    fn evict(&self, content: &mut Content, keep: Option<Digest>) {
        while content.bytes > self.limit {
            let oldest = content
                .blobs
                .iter()
                .filter(|(digest, blob)| blob.pins == 0 && Some(**digest) != keep)
                .min_by_key(|(_, blob)| blob.used)
                .map(|(digest, blob)| (*digest, blob.size));
            let Some((digest, size)) = oldest else { return };
            content.blobs.remove(&digest);
            content.bytes -= size;
            let _ = std::fs::remove_file(self.path(digest));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexusmon_shared::attempt::Fence;
    use nexusmon_shared::id::TaskId;

    fn attempt(number: u64) -> AttemptRef {
        AttemptRef { task: TaskId::from_bits(1), fence: Fence { epoch: 1, number } }
    }

    fn put(cache: &Cache, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        std::fs::write(cache.partial(digest), content).unwrap();
        cache.complete(digest, content.len() as u64).unwrap();
        digest
    }

    #[test]
    fn the_least_used_goes_first_and_what_is_held_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 25).unwrap();
        let first = put(&cache, b"0123456789");
        assert!(cache.pin(first, attempt(1)));
        let second = put(&cache, b"abcdefghij");
        let third = put(&cache, b"ABCDEFGHIJ");
        assert!(cache.path(first).exists(), "held");
        assert!(!cache.path(second).exists(), "the least used");
        assert!(cache.path(third).exists(), "just fetched");
        assert!(!cache.pin(second, attempt(2)));

        cache.unpin(attempt(1));
        let again = Cache::open(folder.path(), 25).unwrap();
        assert!(again.is_doubtful(first) && !again.pin(first, attempt(3)), "not looked at yet");
        again.judge(first, true);
        again.judge(third, false);
        assert!(again.pin(first, attempt(3)) && !again.is_doubtful(third) && !again.path(third).exists());
    }
}

//! A file on its way in: written and hashed on two threads of their own while the next bytes arrive.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pieces on their way to each of the threads.
const WAITING: usize = 8;
/// Bytes of a read.
const BLOCK: usize = 1024 * 1024;

/// See the module.
pub(super) struct Intake {
    to_file: mpsc::Sender<Bytes>,
    to_hash: mpsc::Sender<Bytes>,
    written: JoinHandle<io::Result<()>>,
    hashed: JoinHandle<Digest>,
}

impl Intake {
    /// Goes on behind what `file` holds, which is hashed first. Must be called where there is a runtime.
    pub(super) fn begin(mut file: File, path: &Path) -> io::Result<Self> {
        let (to_file, mut writes) = mpsc::channel::<Bytes>(WAITING);
        let (to_hash, mut hashes) = mpsc::channel::<Bytes>(WAITING);
        let mut hasher = Sha256::new();
        let mut before = File::open(path)?;
        let known = before.metadata()?.len();
        let hashed = tokio::task::spawn_blocking(move || {
            // What cannot be read gives another hash than the one expected.
            let _ = update(&mut hasher, &mut before, known);
            while let Some(piece) = hashes.blocking_recv() {
                hasher.update(&piece);
            }
            Digest::from_bytes(hasher.finalize().into())
        });
        let written = tokio::task::spawn_blocking(move || {
            while let Some(piece) = writes.blocking_recv() {
                file.write_all(&piece)?;
            }
            Ok(())
        });
        Ok(Self { to_file, to_hash, written, hashed })
    }

    /// The next bytes, in order. An error of the disk is told at the end; until then bytes may be thrown away.
    pub(super) async fn take(&self, piece: Bytes) {
        let _ = self.to_file.send(piece.clone()).await;
        let _ = self.to_hash.send(piece).await;
    }

    /// All bytes have come: gives their digest once they are written.
    pub(super) async fn finish(self) -> io::Result<Digest> {
        drop((self.to_file, self.to_hash));
        self.written.await.map_err(io::Error::other)??;
        self.hashed.await.map_err(io::Error::other)
    }
}

/// The digest of a file. Blocks.
pub(super) fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    update(&mut hasher, &mut File::open(path)?, u64::MAX)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

fn update(hasher: &mut Sha256, file: &mut File, mut left: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        match file.read(&mut block[..most])? {
            0 => break,
            length => {
                hasher.update(&block[..length]);
                left -= length as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_there_and_what_comes_make_one_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, b"one ").unwrap();
        let intake = Intake::begin(File::options().append(true).open(&path).unwrap(), &path).unwrap();
        for piece in ["two ", "three"] {
            intake.take(Bytes::from(piece)).await;
        }
        assert_eq!(intake.finish().await.unwrap(), Digest::of(b"one two three"));
        assert_eq!(std::fs::read(&path).unwrap(), b"one two three");
        assert_eq!(digest(&path).unwrap(), Digest::of(b"one two three"));
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, b"").unwrap();
        // Opened for reading only: every write fails.
        let intake = Intake::begin(File::open(&path).unwrap(), &path).unwrap();
        for _ in 0..4 * WAITING {
            intake.take(Bytes::from_static(b"more")).await;
        }
        assert!(intake.finish().await.is_err());
    }
}

//! Space beside the database that nobody else can take. When the disk is full it goes, bit by bit, to the write-ahead
//! log, for units of work that are pressing; from then on others are refused until it is whole again.
//!
//! A bit is cut off the reserve and claimed for the log at once, as blocks behind its end: blobs, logs and whatever else
//! fills the disk would take free space away before the unit that needs it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Some hundred acts at least.
pub(crate) const SIZE: u64 = 8 << 20;
/// Cut off at a time; the largest act that is pressing fits.
const STEP: u64 = 1 << 20;
/// Left free of each step, for the log's index.
const INDEX: u64 = 64 << 10;
/// Free beside what is missing before the reserve is made whole: else it would itself fill the disk.
const ROOM: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    log: PathBuf,
    held: u64,
    /// Part of it was given away, so what there is is for pressing work alone.
    spent: bool,
}

/// The reserve of a database.
pub(crate) fn path(database: &Path) -> PathBuf {
    beside(database, "-reserve")
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Reserve {
    /// Looks what there is, and makes it whole where there is room.
    pub(super) fn open(database: &Path) -> Self {
        let (path, log) = (path(database), beside(database, "-wal"));
        let known = std::fs::metadata(&path).map(|found| found.len());
        let held = known.as_ref().map_or(0, |length| (*length).min(SIZE));
        // One that was never made, for want of room, holds nobody up.
        let spent = known.is_ok() && held < SIZE;
        let mut reserve = Self { path, log, held, spent };
        if held < SIZE && !reserve.refill() {
            tracing::warn!(
                path = %reserve.path.display(),
                held,
                "no room to keep {SIZE} bytes back: on a full disk the kill switch may fail to be written"
            );
        }
        reserve
    }

    /// Whether ordinary work may be written. Makes the reserve whole as soon as there is room again.
    pub(super) fn admits(&mut self) -> bool {
        if self.spent && self.refill() {
            tracing::info!("the disk has room again; work is written as before");
        }
        !self.spent
    }

    /// Hands a bit to the log. False if there is none left.
    pub(super) fn give(&mut self) -> bool {
        let step = self.held.min(STEP);
        if step == 0 {
            return false;
        }
        self.held -= step;
        if !self.spent {
            tracing::warn!("the disk is full: from now on only what stops or denies is written");
        }
        self.spent = true;
        let cut = File::options().write(true).open(&self.path).and_then(|file| file.set_len(self.held));
        if let Err(error) = cut.and_then(|()| claim(&self.log, step.saturating_sub(INDEX))) {
            // Then it is free for whoever is first, which may well be the unit that waits for it.
            tracing::debug!(%error, "the reserve's blocks could not be claimed for the write-ahead log");
        }
        true
    }

    fn refill(&mut self) -> bool {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let missing = SIZE - self.held;
        let free = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if !free.is_ok_and(|free| free >= missing + ROOM) {
            return false;
        }
        match fill(&self.path, self.held) {
            Ok(()) => {
                (self.held, self.spent) = (SIZE, false);
                true
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "space could not be kept back");
                false
            }
        }
    }
}

/// Blocks behind the end of the log: writing there needs no new ones. SQLite holds no lock on this file, so opening and
/// closing it again takes none away.
fn claim(log: &Path, bytes: u64) -> io::Result<()> {
    let log = File::options().write(true).open(log)?;
    let end = log.metadata()?.len();
    Ok(rustix::fs::fallocate(&log, FallocateFlags::KEEP_SIZE, end, bytes)?)
}

/// Makes a file of [`SIZE`] whose blocks are really there.
fn fill(path: &Path, held: u64) -> io::Result<()> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        Ok(()) => {}
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let mut file = &file;
            io::Seek::seek(&mut file, io::SeekFrom::Start(held))?;
            io::copy(&mut io::Read::take(io::repeat(0), SIZE - held), &mut file)?;
        }
        Err(error) => {
            // Nothing half-made stays: it would look like one that was given away.
            let _ = if held == 0 { std::fs::remove_file(path) } else { file.set_len(held) };
            return Err(error.into());
        }
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_to_the_log_bit_by_bit_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("some.db");
        std::fs::write(beside(&database, "-wal"), b"the log").unwrap();
        let mut reserve = Reserve::open(&database);
        let length = || std::fs::metadata(path(&database)).unwrap().len();
        assert_eq!(length(), SIZE);
        assert!(reserve.admits());
        assert!(reserve.give());
        assert_eq!(length(), SIZE - STEP);
        let log = std::fs::metadata(beside(&database, "-wal")).unwrap();
        assert_eq!(log.len(), 7, "the log is as long as it was");
        assert!(std::os::unix::fs::MetadataExt::blocks(&log) * 512 >= STEP - INDEX, "but holds the blocks");
        while reserve.give() {}
        assert_eq!(length(), 0);
        // This disk has room: the next who looks makes it whole.
        assert!(reserve.admits());
        assert_eq!(length(), SIZE);
        // Another program sees what this one left.
        reserve.give();
        assert!(Reserve::open(&database).admits());
    }
}

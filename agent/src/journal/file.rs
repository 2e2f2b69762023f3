//! The journal's file: opened whole, appended to, replaced by a compact copy. Blocking; knows no runtime.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use nexusmon_shared::id::JournalId;
use nexusmon_shared::planted::failure;

use super::JournalError;
use super::frame::{self, Frames, Tail};
use super::memory::Memory;
use super::record::{Record, RecordError};

const FILE: &str = "journal";

/// An open journal file.
#[derive(Debug)]
pub(crate) struct JournalFile {
    folder: PathBuf,
    file: File,
    length: u64,
}

/// What was on disk.
pub(crate) struct Opened {
    pub(crate) file: JournalFile,
    pub(crate) memory: Memory,
    pub(crate) journal: JournalId,
    /// Entries may have been lost: the id is a new one, so that the coordinator takes nothing for "never started".
    pub(crate) damaged: bool,
}

impl JournalFile {
    /// Reads the journal in `folder`, or begins one under the id `fresh`.
    ///
    /// The file is rewritten at once: a torn tail is gone before anything is appended behind it.
    pub(crate) fn open(folder: &Path, fresh: JournalId) -> Result<Opened, JournalError> {
        let path = folder.join(FILE);
        let bytes = match File::open(&path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|error| JournalError::io("read", &path, error))?;
                Some(bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(JournalError::io("open", &path, error)),
        };
        let (memory, known, damaged) = match &bytes {
            Some(bytes) => replay(bytes, &path)?,
            None => (Memory::default(), None, false),
        };
        let journal = known
            .filter(|_| !damaged || nexusmon_shared::planted::planted("damaged-journal-believed"))
            .unwrap_or(fresh);
        let file = Self::write_compact(folder, journal, &memory)?;
        Ok(Opened { file, memory, journal, damaged: damaged || (bytes.is_some() && known.is_none()) })
    }

    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        failure("journal.write")
            .and_then(|()| self.file.write_all(bytes))
            .map_err(|error| self.failed("write", error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        failure("journal.sync")
            .and_then(|()| self.file.sync_data())
            .map_err(|error| self.failed("sync", error))
    }

    /// Replaces the file by the fewest records that say the same; durable when it returns.
    pub(crate) fn replace(&mut self, content: &[u8]) -> Result<(), JournalError> {
        *self = Self::write(&self.folder, content)?;
        Ok(())
    }

    fn write_compact(folder: &Path, journal: JournalId, memory: &Memory) -> Result<Self, JournalError> {
        Self::write(folder, &compact(journal, memory))
    }

    fn write(folder: &Path, content: &[u8]) -> Result<Self, JournalError> {
        let path = folder.join(FILE);
        let fresh = folder.join("journal.new");
        let write = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
            file.write_all(content)?;
            file.sync_all()?;
            failure("journal.rename")?;
            std::fs::rename(&fresh, &path)?;
            File::open(folder)?.sync_all()?;
            Ok(file)
        };
        let file = write().map_err(|error| JournalError::io("write", &path, error))?;
        Ok(Self { folder: folder.to_owned(), file, length: content.len() as u64 })
    }

    fn failed(&self, what: &'static str, error: std::io::Error) -> JournalError {
        JournalError::io(what, &self.folder.join(FILE), error)
    }
}

/// The bytes of a compact journal.
pub(crate) fn compact(journal: JournalId, memory: &Memory) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, |buffer| Record::Header { journal }.encode(buffer));
    for record in memory.snapshot() {
        frame::append(&mut bytes, |buffer| record.encode(buffer));
    }
    bytes
}

pub(super) fn replay(bytes: &[u8], path: &Path) -> Result<(Memory, Option<JournalId>, bool), JournalError> {
    let mut memory = Memory::default();
    let mut journal = None;
    let mut frames = Frames::new(bytes);
    for payload in frames.by_ref() {
        match Record::decode(payload) {
            Ok(Record::Header { journal: id }) => journal = Some(id),
            Ok(record) => memory.apply(record),
            // Its checksum holds, so a newer program wrote it: guessing would risk doing work twice.
            Err(source @ (RecordError::Format(_) | RecordError::Kind(_))) => {
                return Err(JournalError::Newer { path: path.to_owned(), source });
            }
            Err(_) => return Ok((memory, journal, true)),
        }
    }
    Ok((memory, journal, frames.tail() == Tail::Damaged))
}

//! What must survive a crash: which attempts were received, started and ended, reports until they are acknowledged, the
//! newest fence of each task. One append-only file of checksummed frames.
//!
//! Appending costs a copy into memory; a writer task carries what has gathered to the file, and syncs once for all who
//! wait. On an error of the disk the writer ends with it, and the process with the writer: what the kernel has thrown
//! away cannot be written again by trying. Knows nothing of the link or of execution.

mod file;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod memory;
mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{JournalId, TaskId};
use tokio::sync::{Notify, watch};

use file::JournalFile;
use memory::Memory;
pub use memory::Stage;
pub use record::Kept;
use record::Record;
pub use record::RecordError;

/// A file beyond this size, and four times what it has to say, is rewritten.
const COMPACT_BEYOND: u64 = 16 * 1024 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {what} the journal at {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the journal at {path} was written by a newer agent; run that one")]
    Newer {
        path: PathBuf,
        #[source]
        source: RecordError,
    },
    #[error("the journal's writer has ended")]
    Closed,
}

impl JournalError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}

/// The handle; clones share one journal.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Shared>);

/// Carries what is appended to the file; to be run as one task.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    file: JournalFile,
    durable: watch::Sender<u64>,
}

/// Everything appended up to here; see [`Journal::synced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

#[derive(Debug)]
struct Shared {
    id: JournalId,
    state: Mutex<State>,
    work: Notify,
    durable: watch::Receiver<u64>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    buffer: Vec<u8>,
    /// Records appended so far, counted from the opening.
    appended: u64,
    /// The newest record somebody wants synced.
    wanted: u64,
}

/// An opened journal: the handle, its writer, and whether entries may have been lost.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    pub writer: Writer,
    pub damaged: bool,
}

impl Journal {
    /// Opens the journal in `folder`, or begins one under the id `fresh`. Blocking.
    pub fn open(folder: &Path, fresh: JournalId) -> Result<Opened, JournalError> {
        let file::Opened { file, memory, journal, damaged } = JournalFile::open(folder, fresh)?;
        let (durable, watched) = watch::channel(0);
        let shared = Arc::new(Shared {
            id: journal,
            state: Mutex::new(State { memory, ..State::default() }),
            work: Notify::new(),
            durable: watched,
        });
        let writer = Writer { shared: Arc::clone(&shared), file, durable };
        Ok(Opened { journal: Self(shared), writer, damaged })
    }

    pub fn id(&self) -> JournalId {
        self.0.id
    }

    /// Every attempt that is not acknowledged.
    pub fn held(&self) -> BTreeMap<AttemptRef, Stage> {
        self.lock().memory.held().clone()
    }

    /// The newest fence seen of `task`.
    pub fn fence(&self, task: TaskId) -> Option<Fence> {
        self.lock().memory.fence(task)
    }

    /// How often an instance of A or S work was started here.
    pub fn starts(&self, instance: &Digest) -> u32 {
        self.lock().memory.starts(instance)
    }

    /// Remembers these fences in memory only: enough for idempotent work, which a replay cannot harm.
    pub fn see(&self, attempts: impl IntoIterator<Item = AttemptRef>) {
        let mut state = self.lock();
        for attempt in attempts {
            state.memory.see(attempt);
        }
    }

    /// An order of non-idempotent work was taken.
    pub fn received(&self, attempt: AttemptRef) {
        self.append(Record::Received { attempt }, false);
    }

    /// The process is about to exist; for non-idempotent work, and for work whose starts are counted, wait for [`Self::synced`] before it does.
    pub fn starting(&self, attempt: AttemptRef, idempotent: bool, instance: Option<Digest>) -> Mark {
        if nexusmon_shared::planted::planted("start-not-written-down") {
            let mut state = self.lock();
            state.memory.apply(Record::Starting { attempt, idempotent, instance });
            return Mark(state.appended);
        }
        let sync = !idempotent || instance.is_some();
        self.append(Record::Starting { attempt, idempotent, instance }, sync)
    }

    /// The attempt ended. A report of non-idempotent work is synced soon; nobody has to wait for it.
    pub fn exited(&self, kept: Arc<Kept>) -> Mark {
        let sync = !kept.idempotent;
        let mut state = self.lock();
        if nexusmon_shared::planted::planted("exit-not-written-down") {
            state.memory.exited(kept);
            return Mark(state.appended);
        }
        frame::append(&mut state.buffer, |buffer| record::encode_exited(buffer, &kept));
        state.memory.exited(kept);
        self.appended(state, sync)
    }

    /// What attempts have added that is not answered, in that order.
    pub fn spawns(&self) -> Vec<(TaskId, AttemptRef, Bytes)> {
        self.lock().memory.spawns().to_vec()
    }

    /// An attempt adds a task; wait for [`Self::synced`] before it is sent.
    pub fn spawned(&self, attempt: AttemptRef, task: TaskId, signed: Bytes) -> Mark {
        self.append(Record::Spawned { attempt, task, signed }, true)
    }

    /// The coordinator has answered; forgotten, the answer would only be asked for again.
    pub fn spawn_answered(&self, task: TaskId) {
        self.append(Record::SpawnAnswered { task }, false);
    }

    /// The coordinator has these reports; attempts that were never written down cost nothing.
    pub fn acknowledged(&self, attempts: impl IntoIterator<Item = AttemptRef>) {
        let mut state = self.lock();
        let before = state.buffer.len();
        for attempt in attempts {
            if state.memory.held().contains_key(&attempt) {
                let record = Record::Acknowledged { attempt };
                if nexusmon_shared::planted::planted("acknowledged-not-written-down") {
                    state.memory.apply(record);
                    continue;
                }
                frame::append(&mut state.buffer, |buffer| record.encode(buffer));
                state.memory.apply(record);
            }
        }
        if state.buffer.len() > before {
            self.appended(state, false);
        }
    }

    /// Returns once everything up to `mark` is on the disk.
    pub async fn synced(&self, mark: Mark) -> Result<(), JournalError> {
        let mut durable = self.0.durable.clone();
        durable.wait_for(|done| *done >= mark.0).await.map_err(|_| JournalError::Closed)?;
        Ok(())
    }

    /// Returns once everything appended so far is on the disk.
    pub async fn flush(&self) -> Result<(), JournalError> {
        let mark = {
            let mut state = self.lock();
            state.wanted = state.appended;
            Mark(state.appended)
        };
        self.0.work.notify_one();
        self.synced(mark).await
    }

    fn append(&self, record: Record, sync: bool) -> Mark {
        let mut state = self.lock();
        frame::append(&mut state.buffer, |buffer| record.encode(buffer));
        state.memory.apply(record);
        self.appended(state, sync)
    }

    fn appended(&self, mut state: MutexGuard<'_, State>, sync: bool) -> Mark {
        state.appended += 1;
        if sync {
            state.wanted = state.appended;
        }
        let mark = Mark(state.appended);
        drop(state);
        self.0.work.notify_one();
        mark
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Writer {
    /// Writes until `stop` resolves, then what is left, synced. Ends early only with an error, after which the process
    /// must not go on.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), JournalError> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let shared = Arc::clone(&self.shared);
            let stopping = tokio::select! {
                biased;
                () = shared.work.notified() => false,
                () = &mut stop => true,
            };
            if stopping {
                let mut state = shared.lock();
                state.wanted = state.appended;
            }
            self = self.step().await?;
            if stopping {
                return Ok(());
            }
        }
    }

    async fn step(mut self) -> Result<Self, JournalError> {
        let (content, appended, sync, compact) = {
            let mut state = self.shared.lock();
            let live = state.memory.held().len() as u64;
            let sync = state.wanted > *self.durable.borrow();
            let buffered = std::mem::take(&mut state.buffer);
            // A held attempt is about a kilobyte, a fence 40 bytes; the guess only decides when to look.
            if self.file.len() > COMPACT_BEYOND.max(4 * (live * 1024 + 8 * 1024 * 1024)) {
                (file::compact(self.shared.id, &state.memory), state.appended, true, true)
            } else {
                (buffered, state.appended, sync, false)
            }
        };
        if sync {
            // Off the async threads: a busy disk takes tens of milliseconds.
            let done = tokio::task::spawn_blocking(move || {
                if compact {
                    self.file.replace(&content)?;
                } else {
                    self.file.append(&content)?;
                }
                self.file.sync()?;
                Ok(self)
            });
            self = done.await.map_err(|_| JournalError::Closed)??;
            self.durable.send_replace(appended);
        } else if !content.is_empty() {
            self.file.append(&content)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;

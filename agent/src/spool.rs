//! Logs between the pump that fills them and the link that sends them: on disk, so that neither a slow line nor a crash
//! of the agent loses a byte, and bounded, so that a chatty task waits instead of filling the disk.
//!
//! A log is a row of segments, each a file of frames (`frame.rs`). Nothing exists for an attempt that wrote nothing.

mod frame;
mod log;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::{SharedClock, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};

use crate::worker::{Later, LogPiece, LogSpool};
use log::Log;

/// All logs of this agent.
pub struct Spool {
    folder: PathBuf,
    limit: u64,
    clock: SharedClock,
    logs: Mutex<HashMap<AttemptRef, Arc<Held>>>,
    begun: mpsc::UnboundedSender<AttemptRef>,
    /// Taken once, by the link.
    listener: Mutex<Option<mpsc::UnboundedReceiver<AttemptRef>>>,
    used: Mutex<u64>,
    room: Condvar,
    /// Bytes that are kept in memory too, until they are sent.
    recent: Arc<AtomicUsize>,
}

struct Held {
    log: Mutex<Log>,
    /// Counts changes, for whoever waits for more.
    changed: watch::Sender<u64>,
}

impl Held {
    fn new(log: Log) -> Arc<Self> {
        Arc::new(Self { log: Mutex::new(log), changed: watch::Sender::new(0) })
    }

    fn append(&self, source: LogSource, bytes: Bytes, at: Timestamp) -> io::Result<()> {
        self.lock().append(source, bytes, at)?;
        self.tell();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder panics")
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }
}

/// Writes one attempt's log.
pub struct LogWriter {
    spool: Arc<Spool>,
    attempt: AttemptRef,
    /// Once something was written.
    held: Option<Arc<Held>>,
    written: u64,
    hasher: Option<Sha256>,
}

impl Spool {
    /// Opens the folder with the logs an earlier life left.
    pub fn open(folder: &Path, limit: u64, clock: SharedClock) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        let (begun, listener) = mpsc::unbounded_channel();
        let (mut logs, mut used) = (HashMap::new(), 0);
        let recent = Arc::default();
        for (attempt, starts) in segments(folder)? {
            let log = Log::reopen(folder.join(name(attempt)), starts, Arc::clone(&recent))?;
            used += log.bytes_on_disk();
            logs.insert(attempt, Held::new(log));
            let _ = begun.send(attempt);
        }
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            limit,
            clock,
            logs: Mutex::new(logs),
            begun,
            listener: Mutex::new(Some(listener)),
            used: Mutex::new(used),
            room: Condvar::new(),
            recent,
        }))
    }

    pub fn writer(self: &Arc<Self>, attempt: AttemptRef) -> LogWriter {
        LogWriter { spool: Arc::clone(self), attempt, held: None, written: 0, hasher: None }
    }

    /// Marks every log of an earlier life as ended where it ends: nobody writes them any more.
    pub fn close_leftovers(&self) {
        let logs = self.logs.lock().expect("no holder panics");
        for held in logs.values() {
            let mut log = held.lock();
            if log.is_left_over() {
                log.end();
                held.tell();
            }
        }
    }

    fn held(&self, attempt: AttemptRef) -> Option<Arc<Held>> {
        self.logs.lock().expect("no holder panics").get(&attempt).cloned()
    }

    fn begin(&self, attempt: AttemptRef) -> Arc<Held> {
        let held = Held::new(Log::new(self.folder.join(name(attempt)), Arc::clone(&self.recent)));
        self.logs.lock().expect("no holder panics").insert(attempt, Arc::clone(&held));
        let _ = self.begun.send(attempt);
        held
    }

    /// Waits until there is room; this is where a task comes to wait for the coordinator. False if the log is unwanted.
    fn take_room(&self, held: Option<&Held>, bytes: u64) -> bool {
        let mut used = self.used.lock().expect("no holder panics");
        loop {
            if held.is_some_and(|held| held.lock().is_unwanted()) {
                return false;
            }
            if *used == 0 || *used + bytes <= self.limit {
                *used += bytes;
                return true;
            }
            used = self.room.wait(used).expect("no holder panics");
        }
    }

    fn give_room(&self, bytes: u64) {
        let mut used = self.used.lock().expect("no holder panics");
        *used = used.saturating_sub(bytes);
        self.room.notify_all();
    }
}

impl LogWriter {
    /// Appends; waits while the spool is full.
    pub fn write(&mut self, source: LogSource, mut bytes: Bytes, at: Timestamp) -> io::Result<()> {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(frame::MOST));
            let length = part.len() as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&part);
            }
            if self.spool.take_room(self.held.as_deref(), length) {
                let held = self.held.get_or_insert_with(|| self.spool.begin(self.attempt));
                held.append(source, part, at)?;
            }
            self.written += length;
        }
        Ok(())
    }

    /// The digest of everything will be asked for.
    #[must_use]
    pub fn hashed(mut self) -> Self {
        self.hasher = Some(Sha256::new());
        self
    }

    /// Of all that was written; `None` where that is nothing, or nobody said that it would be asked for.
    pub fn digest(&self) -> Option<Digest> {
        let hasher = self.hasher.as_ref().filter(|_| self.written > 0)?;
        Some(Digest::from_bytes(hasher.clone().finalize().into()))
    }

    /// A line of the agent's own.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        let now = self.spool.clock.now();
        self.write(LogSource::Agent, format!("{text}\n").into(), now)
    }

    /// Ends the log, if there is one; gives its length.
    pub fn finish(self) -> u64 {
        if let Some(held) = self.held {
            held.lock().end();
            held.tell();
        }
        self.written
    }
}

impl LogSpool for Spool {
    fn begun(&self) -> mpsc::UnboundedReceiver<AttemptRef> {
        let listener = self.listener.lock().expect("no holder panics").take();
        listener.unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    fn next(&self, attempt: AttemptRef, offset: u64) -> Later<'_, io::Result<Option<LogPiece>>> {
        Box::pin(async move {
            loop {
                let Some(held) = self.held(attempt) else { return Ok(None) };
                let mut changed = held.changed.subscribe();
                // At most 256 KiB, nearly always from memory or the page cache.
                let piece = held.lock().read(offset)?;
                if piece.is_some() {
                    return Ok(piece);
                }
                drop(held);
                if changed.changed().await.is_err() {
                    return Ok(None);
                }
            }
        })
    }

    fn stored(&self, attempt: AttemptRef, offset: u64) {
        if let Some(held) = self.held(attempt) {
            let freed = held.lock().free(offset);
            self.give_room(freed);
        }
    }

    fn forget(&self, attempt: AttemptRef) {
        let Some(held) = self.held(attempt) else { return };
        let (freed, ended) = {
            let mut log = held.lock();
            (log.discard(), log.has_ended())
        };
        if ended {
            self.logs.lock().expect("no holder panics").remove(&attempt);
        }
        self.give_room(freed);
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn name(attempt: AttemptRef) -> String {
    format!("{}.{}", attempt.task, attempt.fence)
}

/// Where the segments of each log begin.
fn segments(folder: &Path) -> io::Result<BTreeMap<AttemptRef, Vec<u64>>> {
    let mut found = BTreeMap::<_, Vec<u64>>::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        let Some((attempt, start)) = file.to_str().and_then(|file| file.split_once('@')) else {
            continue;
        };
        if let (Some(attempt), Ok(start)) = (parse(attempt), start.parse()) {
            found.entry(attempt).or_default().push(start);
        }
    }
    Ok(found)
}

fn parse(name: &str) -> Option<AttemptRef> {
    let mut parts = name.splitn(3, '.');
    let task = parts.next()?.parse().ok()?;
    let fence = Fence { epoch: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? };
    Some(AttemptRef { task, fence })
}

#[cfg(test)]
mod tests;

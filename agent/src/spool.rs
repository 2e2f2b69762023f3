//! Logs between the pump that fills them and the link that sends them: on disk, so that neither a slow line nor a crash
//! of the agent loses a byte, and bounded, so that a chatty task waits instead of filling the disk.
//!
//! A log is a folder of segments, each a file of frames (`frame.rs`). Nothing exists for an attempt that wrote nothing.

mod frame;
mod log;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::{SharedClock, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::worker::{Later, LogPiece, LogSpool};
use log::Log;

/// All logs of this agent.
pub struct Spool {
    folder: PathBuf,
    limit: u64,
    clock: SharedClock,
    logs: Mutex<HashMap<AttemptRef, Held>>,
    begun: mpsc::UnboundedSender<AttemptRef>,
    /// Taken once, by the link.
    listener: Mutex<Option<mpsc::UnboundedReceiver<AttemptRef>>>,
    used: Mutex<u64>,
    room: Condvar,
}

struct Held {
    log: Arc<Mutex<Log>>,
    /// Counts changes, for whoever waits for more.
    changed: watch::Sender<u64>,
}

/// Writes one attempt's log.
pub struct LogWriter {
    spool: Arc<Spool>,
    attempt: AttemptRef,
    written: u64,
}

impl Spool {
    /// Opens the folder with the logs an earlier life left.
    pub fn open(folder: &Path, limit: u64, clock: SharedClock) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        let (begun, listener) = mpsc::unbounded_channel();
        let (mut logs, mut used) = (HashMap::new(), 0);
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Some(attempt) = entry.file_name().to_str().and_then(parse) else { continue };
            let log = Log::reopen(entry.path())?;
            used += log.bytes_on_disk();
            logs.insert(attempt, Held { log: Arc::new(Mutex::new(log)), changed: watch::Sender::new(0) });
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
        }))
    }

    pub fn writer(self: &Arc<Self>, attempt: AttemptRef) -> LogWriter {
        LogWriter { spool: Arc::clone(self), attempt, written: 0 }
    }

    /// Marks every log of an earlier life as ended where it ends: nobody writes them any more.
    pub fn close_leftovers(&self) {
        let logs = self.logs.lock().expect("no holder panics");
        for held in logs.values() {
            let mut log = held.log.lock().expect("no holder panics");
            if log.is_left_over() {
                log.end();
                held.changed.send_modify(|changes| *changes += 1);
            }
        }
    }

    fn held(&self, attempt: AttemptRef) -> Option<(Arc<Mutex<Log>>, watch::Receiver<u64>)> {
        let logs = self.logs.lock().expect("no holder panics");
        logs.get(&attempt).map(|held| (Arc::clone(&held.log), held.changed.subscribe()))
    }

    fn append(&self, attempt: AttemptRef, source: LogSource, bytes: &[u8], at: Timestamp) -> io::Result<()> {
        if !self.take_room(attempt, bytes.len() as u64) {
            return Ok(());
        }
        let log = match self.held(attempt) {
            Some((log, _)) => log,
            None => self.begin(attempt)?,
        };
        log.lock().expect("no holder panics").append(source, bytes, at)?;
        self.tell(attempt);
        Ok(())
    }

    fn begin(&self, attempt: AttemptRef) -> io::Result<Arc<Mutex<Log>>> {
        let log = Arc::new(Mutex::new(Log::create(self.folder.join(name(attempt)))?));
        let held = Held { log: Arc::clone(&log), changed: watch::Sender::new(0) };
        self.logs.lock().expect("no holder panics").insert(attempt, held);
        let _ = self.begun.send(attempt);
        Ok(log)
    }

    fn tell(&self, attempt: AttemptRef) {
        let logs = self.logs.lock().expect("no holder panics");
        if let Some(held) = logs.get(&attempt) {
            held.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// Waits until there is room; this is where a task comes to wait for the coordinator. False if the log is unwanted.
    fn take_room(&self, attempt: AttemptRef, bytes: u64) -> bool {
        let mut used = self.used.lock().expect("no holder panics");
        loop {
            if self.held(attempt).is_some_and(|(log, _)| log.lock().expect("no holder panics").is_unwanted())
            {
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
    pub fn write(&mut self, source: LogSource, bytes: &[u8], at: Timestamp) -> io::Result<()> {
        for part in bytes.chunks(frame::MOST) {
            self.spool.append(self.attempt, source, part, at)?;
            self.written += part.len() as u64;
        }
        Ok(())
    }

    /// A line of the agent's own.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        let now = self.spool.clock.now();
        self.write(LogSource::Agent, format!("{text}\n").as_bytes(), now)
    }

    /// Ends the log, if there is one; gives its length.
    pub fn finish(self) -> u64 {
        if let Some((log, _)) = self.spool.held(self.attempt) {
            log.lock().expect("no holder panics").end();
            self.spool.tell(self.attempt);
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
                let Some((log, mut changed)) = self.held(attempt) else { return Ok(None) };
                changed.mark_unchanged();
                // At most 256 KiB, nearly always from the page cache.
                if let Some(piece) = log.lock().expect("no holder panics").read(offset)? {
                    return Ok(Some(piece));
                }
                drop(log);
                if changed.changed().await.is_err() {
                    return Ok(None);
                }
            }
        })
    }

    fn stored(&self, attempt: AttemptRef, offset: u64) {
        if let Some((log, _)) = self.held(attempt) {
            let freed = log.lock().expect("no holder panics").free(offset);
            self.give_room(freed);
        }
    }

    fn forget(&self, attempt: AttemptRef) {
        let held =
            self.logs.lock().expect("no holder panics").get(&attempt).map(|held| Arc::clone(&held.log));
        let Some(log) = held else { return };
        let (freed, ended) = {
            let mut log = log.lock().expect("no holder panics");
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

fn parse(name: &str) -> Option<AttemptRef> {
    let mut parts = name.splitn(3, '.');
    let task = parts.next()?.parse().ok()?;
    let fence = Fence { epoch: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? };
    Some(AttemptRef { task, fence })
}

#[cfg(test)]
mod tests;

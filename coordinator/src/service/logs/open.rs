//! Logs that grow: what is in memory and not stored yet, and who waits for news of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{LogAck, LogChunk, MAX_LOG_CHUNK_BYTES};
use nexusmon_store::LogRow;
use sha2::Sha256;
use tokio::sync::{Notify, oneshot, watch};

use super::SEGMENT_BYTES;
use super::segment::Mark;
use crate::error::{Error, Result};

/// All logs that grow on this node.
#[derive(Debug, Default)]
pub(crate) struct OpenLogs {
    logs: Mutex<BTreeMap<AttemptRef, Arc<OpenLog>>>,
    mailboxes: Mutex<HashMap<AgentId, Arc<Mailbox>>>,
    /// Bytes in memory over all logs.
    pub(super) buffered: Arc<AtomicUsize>,
    spare: Arc<Spare>,
    /// Boot clock, in seconds, of the last look for logs nobody writes any more.
    pub(super) looked: AtomicU64,
}

/// Memory of stored segments, to be filled again: a fast log would otherwise touch new pages all the time.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    const MOST: usize = 4;

    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().expect("no holder panics").pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SEGMENT_BYTES + MAX_LOG_CHUNK_BYTES))
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.lock().expect("no holder panics");
        if buffer.capacity() > SEGMENT_BYTES && spare.len() < Self::MOST {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// The bytes of a cut segment.
struct Filled {
    bytes: Vec<u8>,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.bytes));
    }
}

/// News for one agent's log stream, the newest per attempt.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    acks: Mutex<HashMap<AttemptRef, LogAck>>,
    news: Notify,
}

impl Mailbox {
    pub(super) async fn take(&self) -> Vec<LogAck> {
        loop {
            let acks: Vec<_> =
                self.acks.lock().expect("no holder panics").drain().map(|(_, ack)| ack).collect();
            if !acks.is_empty() {
                return acks;
            }
            self.news.notified().await;
        }
    }
}

impl OpenLogs {
    /// Bytes in memory over all logs.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, attempt: &AttemptRef) -> Option<Arc<OpenLog>> {
        self.logs.lock().expect("no holder panics").get(attempt).cloned()
    }

    /// Keeps `log` unless one is open already; gives the one that counts.
    pub(super) fn keep(&self, log: Arc<OpenLog>) -> Arc<OpenLog> {
        Arc::clone(self.logs.lock().expect("no holder panics").entry(log.attempt()).or_insert(log))
    }

    pub(super) fn spare(&self) -> Arc<Spare> {
        Arc::clone(&self.spare)
    }

    /// Gives memory back that no log has a use for now.
    pub(super) fn shrink(&self) {
        if self.buffered.load(Ordering::Relaxed) < SEGMENT_BYTES {
            self.spare.0.lock().expect("no holder panics").clear();
        }
    }

    pub(super) fn drop_log(&self, log: &Arc<OpenLog>) {
        let mut logs = self.logs.lock().expect("no holder panics");
        if logs.get(&log.attempt()).is_some_and(|known| Arc::ptr_eq(known, log)) {
            logs.remove(&log.attempt());
        }
        log.grown.send_modify(|_| {});
    }

    pub(super) fn all(&self) -> Vec<Arc<OpenLog>> {
        self.logs.lock().expect("no holder panics").values().cloned().collect()
    }

    /// The open logs of a task, oldest attempt first.
    pub(super) fn of_task(&self, task: TaskId) -> Vec<Arc<OpenLog>> {
        let first = AttemptRef { task, fence: Fence::default() };
        let last = AttemptRef { task, fence: Fence { epoch: u32::MAX, number: u64::MAX } };
        self.logs
            .lock()
            .expect("no holder panics")
            .range(first..=last)
            .map(|(_, log)| Arc::clone(log))
            .collect()
    }

    /// A mailbox of its own for an agent's newest stream.
    pub(super) fn listen(&self, agent: AgentId) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        self.mailboxes.lock().expect("no holder panics").insert(agent, Arc::clone(&mailbox));
        mailbox
    }

    pub(super) fn tell(&self, agent: AgentId, ack: LogAck) {
        let mailbox = self.mailboxes.lock().expect("no holder panics").get(&agent).cloned();
        if let Some(mailbox) = mailbox {
            mailbox.acks.lock().expect("no holder panics").insert(ack.attempt, ack);
            mailbox.news.notify_one();
        }
    }
}

/// One log that grows.
#[derive(Debug)]
pub(super) struct OpenLog {
    /// As it is in the database, or will be with the first segment; its counters are those at opening.
    pub(super) row: LogRow,
    /// The task's id in the plan, and the log's name among its artifacts.
    pub(super) task_key: String,
    pub(super) name: String,
    /// More is refused.
    pub(super) limit: u64,
    pub(super) growing: tokio::sync::Mutex<Growing>,
    pub(super) stored: Mutex<Stored>,
    /// Bumped whenever there is more to see, or the log is over.
    pub(super) grown: watch::Sender<u64>,
    /// Who watches it live.
    pub(super) watchers: AtomicU32,
    buffered: Arc<AtomicUsize>,
}

/// What is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) segments: i64,
    pub(super) sealed: bool,
}

/// What is in memory. The lock is held while a chunk is taken or a segment is cut, never while one is stored.
#[derive(Debug)]
pub(super) struct Growing {
    /// Where `buffer` begins in the log; before it lies what is stored or being stored.
    pub(super) start: u64,
    /// Line ends before `start`.
    pub(super) lines: u64,
    pub(super) segments: i64,
    /// `start` lies within a line.
    pub(super) continues: bool,
    pub(super) buffer: Vec<u8>,
    /// Offsets behind line ends in `buffer`.
    pub(super) ends: Vec<u32>,
    pub(super) marks: Vec<Mark>,
    /// Boot clock of the first byte in `buffer`.
    pub(super) since: Duration,
    /// Boot clock of the newest chunk.
    pub(super) touched: Duration,
    /// The segments under way, oldest first, which may be read from here until they are stored.
    pub(super) storing: VecDeque<Storing>,
    /// The agent has said that this is all.
    pub(super) ended: bool,
    /// Over all bytes before `start`, perhaps only in a moment.
    pub(super) hasher: Hashing,
    spare: Arc<Spare>,
}

/// The hash over the beginning of a log.
#[derive(Debug)]
pub(super) enum Hashing {
    /// Boxed for its size.
    Known(Box<Sha256>),
    /// From the segment before.
    Coming(oneshot::Receiver<Box<Sha256>>),
    /// After a restart: it is made from the segments, if it is ever needed.
    Unknown,
}

/// How storing a segment ended.
pub(super) type Done = std::result::Result<(), Arc<Error>>;

/// A cut segment on its way to the object store.
#[derive(Debug, Clone)]
pub(super) struct Storing {
    pub(super) cut: Arc<Cut>,
    pub(super) done: watch::Receiver<Option<Done>>,
}

/// A segment's content.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) number: i64,
    pub(super) start: u64,
    pub(super) first_line: u64,
    pub(super) continues: bool,
    pub(super) bytes: Bytes,
    pub(super) ends: Vec<u32>,
    pub(super) marks: Vec<Mark>,
    /// Nothing follows.
    pub(super) last: bool,
}

impl OpenLog {
    pub(super) fn new(
        row: LogRow,
        (task_key, name): (String, String),
        limit: u64,
        boot: Duration,
        buffered: Arc<AtomicUsize>,
        spare: Arc<Spare>,
    ) -> Self {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let stored = Stored {
            bytes: count(row.stored),
            lines: count(row.lines),
            segments: row.segments,
            sealed: row.sealed,
        };
        let growing = Growing {
            start: stored.bytes,
            lines: stored.lines,
            segments: stored.segments,
            // Only a line too long for a segment makes the next one begin within it; the reader copes with both.
            continues: false,
            buffer: Vec::new(),
            ends: Vec::new(),
            marks: Vec::new(),
            since: boot,
            touched: boot,
            storing: VecDeque::new(),
            ended: false,
            hasher: if stored.bytes == 0 { Hashing::Known(Box::default()) } else { Hashing::Unknown },
            spare,
        };
        Self {
            row,
            task_key,
            name,
            limit,
            growing: tokio::sync::Mutex::new(growing),
            stored: Mutex::new(stored),
            grown: watch::Sender::new(0),
            watchers: AtomicU32::new(0),
            buffered,
        }
    }

    pub(super) const fn attempt(&self) -> AttemptRef {
        let fence = Fence { epoch: self.row.fence_epoch, number: self.row.fence_number };
        AttemptRef { task: self.row.task, fence }
    }

    pub(super) fn stored(&self) -> Stored {
        *self.stored.lock().expect("no holder panics")
    }

    pub(super) fn ack(&self, received: u64) -> LogAck {
        let stored = self.stored();
        LogAck {
            attempt: self.attempt(),
            received: received.max(stored.bytes),
            stored: stored.bytes,
            sealed: stored.sealed,
            refused: None,
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        let left = self.growing.get_mut();
        let storing = left.storing.iter().filter(|storing| storing.done.borrow().is_none());
        let bytes = left.buffer.len() + storing.map(|storing| storing.cut.bytes.len()).sum::<usize>();
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Growing {
    pub(super) fn received(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Adds what is new in `chunk`: nothing when it lies before the end, everything when it begins there. False if there
    /// is a gap before it: the sender has to go back.
    pub(super) fn take(&mut self, log: &OpenLog, chunk: &LogChunk, boot: Duration) -> Result<bool> {
        let received = self.received();
        if chunk.offset > received {
            return Ok(false);
        }
        let end = chunk.offset + u64::from(chunk.size);
        self.touched = boot;
        if end > received {
            let bytes = inflate(chunk)?;
            let known = usize::try_from(received - chunk.offset).unwrap_or(usize::MAX);
            self.append(log, chunk, &bytes[known..], known, boot);
        }
        // An end that lies before what is here already would contradict it.
        self.ended |= chunk.last && end == self.received();
        Ok(true)
    }

    fn append(&mut self, log: &OpenLog, chunk: &LogChunk, new: &[u8], known: usize, boot: Duration) {
        if self.buffer.is_empty() {
            self.since = boot;
        }
        let base = self.buffer.len();
        let mut run_start = 0_usize;
        for run in &chunk.runs {
            let run_end = run_start + run.length as usize;
            if run_end > known {
                let offset = base + run_start.max(known) - known;
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                self.marks.push(Mark { offset, at: chunk.at, source: run.source });
            }
            run_start = run_end;
        }
        let ends = memchr::memchr_iter(b'\n', new);
        self.ends.extend(ends.map(|at| u32::try_from(base + at + 1).unwrap_or(u32::MAX)));
        self.buffer.extend_from_slice(new);
        log.buffered.fetch_add(new.len(), Ordering::Relaxed);
    }

    /// Takes a segment out of the buffer: to the last line end, or all of it when `all`. `None` if there is nothing to
    /// take (and it is not the end).
    pub(super) fn cut(&mut self, all: bool) -> Option<Cut> {
        let length = match self.ends.last() {
            _ if all || self.ended => self.buffer.len(),
            Some(end) => *end as usize,
            None => 0,
        };
        let last = self.ended && length == self.buffer.len();
        if length == 0 && !last {
            return None;
        }
        // A log that has filled a segment is likely to fill the next.
        let mut rest = if length >= SEGMENT_BYTES && !last { self.spare.take() } else { Vec::new() };
        rest.extend_from_slice(&self.buffer[length..]);
        self.buffer.truncate(length);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let bytes = Bytes::from_owner(Filled { bytes, home: Arc::clone(&self.spare) });
        let ends = std::mem::take(&mut self.ends);
        self.ends.reserve(if self.buffer.capacity() > SEGMENT_BYTES { ends.len() } else { 0 });
        let limit = u32::try_from(length).unwrap_or(u32::MAX);
        let split = self.marks.partition_point(|mark| mark.offset < limit);
        let mut behind: Vec<Mark> = self.marks.split_off(split);
        for mark in &mut behind {
            mark.offset -= limit;
        }
        let marks = std::mem::replace(&mut self.marks, behind);
        if let (Some(mark), false) = (marks.last(), self.buffer.is_empty())
            && self.marks.first().is_none_or(|first| first.offset > 0)
        {
            self.marks.insert(0, Mark { offset: 0, ..*mark });
        }
        let cut = Cut {
            number: self.segments,
            start: self.start,
            first_line: self.lines,
            continues: self.continues,
            last,
            ends,
            marks,
            bytes,
        };
        self.start += length as u64;
        self.lines += cut.ends.len() as u64;
        self.segments += i64::from(!cut.bytes.is_empty());
        self.continues = cut.bytes.last().map_or(self.continues, |byte| *byte != b'\n');
        Some(cut)
    }
}

fn inflate(chunk: &LogChunk) -> Result<std::borrow::Cow<'_, [u8]>> {
    let size = chunk.size as usize;
    let wrong = |reason: &str| Error::field("/data", "invalid", reason);
    if size > MAX_LOG_CHUNK_BYTES {
        return Err(Error::TooLarge { what: "a log chunk", limit: MAX_LOG_CHUNK_BYTES as u64 });
    }
    let bytes = if chunk.compressed {
        let inflated = zstd::bulk::decompress(&chunk.data, size);
        inflated.map_err(|_| wrong("is not zstd of the size it says"))?.into()
    } else {
        std::borrow::Cow::Borrowed(&chunk.data[..])
    };
    let covered: u64 = chunk.runs.iter().map(|run| u64::from(run.length)).sum();
    if bytes.len() != size || covered != size as u64 {
        return Err(wrong("is not of the size it says"));
    }
    Ok(bytes)
}

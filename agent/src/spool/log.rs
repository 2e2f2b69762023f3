//! One log: segments on disk, the oldest of which go as they are stored elsewhere.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use nexusmon_shared::message::{LogRun, LogSource};
use nexusmon_shared::time::Timestamp;

use super::frame::{Frame, HEADER, MOST};
use crate::worker::LogPiece;

/// A segment is closed once it holds this much.
const SEGMENT: u64 = 4 * 1024 * 1024;
/// Bytes of all logs together that are kept in memory until they are sent, to save reading them back.
const RECENT: usize = 8 * 1024 * 1024;

/// See the module.
pub(super) struct Log {
    /// Of its segments' paths; what each adds is where it begins.
    prefix: PathBuf,
    segments: VecDeque<Segment>,
    /// Bytes of log so far.
    length: u64,
    ended: bool,
    unwanted: bool,
    left_over: bool,
    /// Where the next read most likely begins: (offset, segment's first offset, place in its file).
    cursor: (u64, u64, u64),
    /// The newest frames once more, without a hole to the end of the log.
    recent: VecDeque<Recent>,
    /// Bytes of those, over all logs.
    recent_bytes: Arc<AtomicUsize>,
}

/// A frame in memory.
struct Recent {
    offset: u64,
    bytes: Bytes,
    source: LogSource,
    at: Timestamp,
}

struct Segment {
    /// Of its first byte in the log.
    start: u64,
    /// Bytes of log in it.
    length: u64,
    /// Bytes of its file.
    size: u64,
    file: File,
    path: PathBuf,
}

impl Log {
    /// Nothing is on disk before something is appended. `recent_bytes` is shared by all logs.
    pub(super) const fn new(prefix: PathBuf, recent_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            prefix,
            segments: VecDeque::new(),
            length: 0,
            ended: false,
            unwanted: false,
            left_over: false,
            cursor: (0, 0, 0),
            recent: VecDeque::new(),
            recent_bytes,
        }
    }

    /// What an earlier life left in segments that begin at `starts`; a torn frame at the end is cut off.
    pub(super) fn reopen(
        prefix: PathBuf,
        mut starts: Vec<u64>,
        recent_bytes: Arc<AtomicUsize>,
    ) -> io::Result<Self> {
        starts.sort_unstable();
        let mut log = Self::new(prefix, recent_bytes);
        log.left_over = true;
        log.length = starts.first().copied().unwrap_or(0);
        for start in starts {
            if start != log.length {
                // A hole: what lies behind it belongs to nothing.
                let _ = fs::remove_file(path(&log.prefix, start));
                continue;
            }
            let segment = Segment::reopen(&log.prefix, start)?;
            log.length += segment.length;
            log.segments.push_back(segment);
        }
        Ok(log)
    }

    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    pub(super) const fn is_unwanted(&self) -> bool {
        self.unwanted
    }

    pub(super) const fn is_left_over(&self) -> bool {
        self.left_over
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn append(&mut self, source: LogSource, bytes: Bytes, at: Timestamp) -> io::Result<()> {
        if self.segments.back().is_none_or(|segment| segment.length >= SEGMENT) {
            let segment = Segment::create(&self.prefix, self.length)?;
            self.segments.push_back(segment);
        }
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let segment = self.segments.back_mut().expect("one was just put there");
        let header = Frame { source, length, at }.bytes();
        write_both(&mut segment.file, &header, &bytes).inspect_err(|_| {
            // Half a frame would hide all that comes after it.
            let _ = segment.file.set_len(segment.size);
        })?;
        segment.size += (HEADER + bytes.len()) as u64;
        segment.length += bytes.len() as u64;
        let offset = self.length;
        self.length += bytes.len() as u64;
        if self.recent_bytes.fetch_add(bytes.len(), Ordering::Relaxed) < RECENT {
            self.recent.push_back(Recent { offset, bytes, source, at });
        } else {
            self.recent_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            self.forget_recent(u64::MAX);
        }
        Ok(())
    }

    /// Drops frames that begin before `offset`.
    fn forget_recent(&mut self, offset: u64) {
        while let Some(first) = self.recent.front().filter(|first| first.offset < offset) {
            self.recent_bytes.fetch_sub(first.bytes.len(), Ordering::Relaxed);
            self.recent.pop_front();
        }
    }

    /// What begins at `offset`, if it is in memory; it leaves it.
    fn take_recent(&mut self, offset: u64) -> Option<LogPiece> {
        self.forget_recent(offset);
        let first = self.recent.front().filter(|first| first.offset == offset)?;
        let (at, mut length, mut runs) = (first.at, 0, Vec::new());
        let mut taken: Vec<Bytes> = Vec::new();
        while let Some(next) = self.recent.front()
            && (taken.is_empty() || length + next.bytes.len() <= MOST)
        {
            length += next.bytes.len();
            add_run(&mut runs, next.source, u32::try_from(next.bytes.len()).ok()?);
            taken.push(next.bytes.clone());
            self.forget_recent(next.offset + 1);
        }
        let data = if let [one] = taken.as_slice() { one.clone() } else { taken.concat().into() };
        let end = offset + length as u64;
        Some(LogPiece { offset, data, runs, at, last: self.ended && end >= self.length })
    }

    /// What lies at `offset`: whole frames up to 256 KiB. `None` if it is not written yet.
    pub(super) fn read(&mut self, offset: u64) -> io::Result<Option<LogPiece>> {
        if self.unwanted || offset >= self.length {
            let over = self.unwanted || self.ended;
            let at = Timestamp::from_micros(0);
            return Ok(over.then(|| LogPiece {
                offset,
                data: Bytes::new(),
                runs: Vec::new(),
                at,
                last: true,
            }));
        }
        if let Some(piece) = self.take_recent(offset) {
            return Ok(Some(piece));
        }
        let Some(segment) = self.segments.iter().rev().find(|segment| segment.start <= offset) else {
            return Err(io::Error::other(format!("byte {offset} of this log was freed already")));
        };
        let (mut at_offset, mut place) = match self.cursor {
            (known, start, place) if known == offset && start == segment.start => (known, place),
            _ => (segment.start, 0),
        };
        let mut piece = Piece::default();
        while place < segment.size {
            let frame = segment.frame(place)?;
            let length = u64::from(frame.length);
            if at_offset + length > offset {
                let skip = offset.saturating_sub(at_offset);
                if !piece.takes(length - skip) {
                    break;
                }
                piece.add(segment, place + HEADER as u64 + skip, length - skip, frame)?;
            }
            at_offset += length;
            place += HEADER as u64 + length;
        }
        self.cursor = (at_offset, segment.start, place);
        let last = self.ended && at_offset >= self.length;
        Ok(Some(piece.finish(offset, last)))
    }

    /// Bytes before `offset` are stored elsewhere: whole segments of them go. Gives how many bytes of room came back.
    pub(super) fn free(&mut self, offset: u64) -> u64 {
        let mut freed = 0;
        while let Some(first) = self.segments.front() {
            let end = first.start + first.length;
            let closed = self.segments.len() > 1 || self.ended;
            if !closed || end > offset || (end == self.length && !self.ended) {
                break;
            }
            freed += first.length;
            let _ = fs::remove_file(&first.path);
            self.segments.pop_front();
        }
        freed
    }

    /// Nothing of it is needed any more, nor of what may still come.
    pub(super) fn discard(&mut self) -> u64 {
        self.unwanted = true;
        let freed = self.bytes_on_disk();
        self.forget_recent(u64::MAX);
        for segment in self.segments.drain(..) {
            let _ = fs::remove_file(&segment.path);
        }
        freed
    }
}

#[derive(Default)]
struct Piece {
    data: Vec<u8>,
    runs: Vec<LogRun>,
    at: Option<Timestamp>,
}

impl Piece {
    fn takes(&self, more: u64) -> bool {
        self.data.is_empty() || self.data.len() as u64 + more <= MOST as u64
    }

    fn add(&mut self, segment: &Segment, place: u64, length: u64, frame: Frame) -> io::Result<()> {
        let from = self.data.len();
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.data.resize(from + length, 0);
        segment.file.read_exact_at(&mut self.data[from..], place)?;
        self.at.get_or_insert(frame.at);
        add_run(&mut self.runs, frame.source, u32::try_from(length).map_err(io::Error::other)?);
        Ok(())
    }

    fn finish(self, offset: u64, last: bool) -> LogPiece {
        let at = self.at.unwrap_or_else(|| Timestamp::from_micros(0));
        LogPiece { offset, data: Bytes::from(self.data), runs: self.runs, at, last }
    }
}

fn add_run(runs: &mut Vec<LogRun>, source: LogSource, length: u32) {
    match runs.last_mut() {
        Some(run) if run.source == source => run.length += length,
        _ => runs.push(LogRun { source, length }),
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.forget_recent(u64::MAX);
    }
}

impl Segment {
    fn create(prefix: &Path, start: u64) -> io::Result<Self> {
        let path = path(prefix, start);
        let file = OpenOptions::new().create_new(true).read(true).append(true).open(&path)?;
        Ok(Self { start, length: 0, size: 0, file, path })
    }

    fn reopen(prefix: &Path, start: u64) -> io::Result<Self> {
        let path = path(prefix, start);
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let whole = file.metadata()?.len();
        let mut segment = Self { start, length: 0, size: 0, file, path };
        while segment.size + HEADER as u64 <= whole {
            let Ok(frame) = segment.frame(segment.size) else { break };
            let next = segment.size + HEADER as u64 + u64::from(frame.length);
            if next > whole {
                break;
            }
            segment.size = next;
            segment.length += u64::from(frame.length);
        }
        segment.file.set_len(segment.size)?;
        Ok(segment)
    }

    fn frame(&self, place: u64) -> io::Result<Frame> {
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, place)?;
        Frame::read(&header)
            .ok_or_else(|| io::Error::other(format!("{} is damaged at {place}", self.path.display())))
    }
}

fn path(prefix: &Path, start: u64) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(format!("@{start}"));
    path.into()
}

fn write_both(file: &mut File, header: &[u8], bytes: &[u8]) -> io::Result<()> {
    let slices = [io::IoSlice::new(header), io::IoSlice::new(bytes)];
    let written = file.write_vectored(&slices)?;
    if written < header.len() {
        file.write_all(&header[written..])?;
        return file.write_all(bytes);
    }
    file.write_all(&bytes[written - header.len()..])
}

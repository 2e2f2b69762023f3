//! Reading logs: stored segments first, then what is still in memory, as one.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::TaskId;
use nexusmon_store::{LogRow, SegmentRow};

use super::open::{Cut, Growing, OpenLog, Stored};
use super::scan::Scanner;
use super::segment::{LineIndex, Mark, decode_marks};
use super::{LogLine, attempt_of, elsewhere};
use crate::app::App;
use crate::error::{Error, Result};

/// Segment rows read at once.
const ROWS: u32 = 32;

/// One log, wherever its parts are.
pub(super) struct Source {
    pub(super) key: AttemptRef,
    pub(super) open: Option<Arc<OpenLog>>,
    row: LogRow,
}

/// A log at one moment.
pub(super) struct Moment {
    pub(super) stored: Stored,
    /// Parts in memory, in order, behind what is stored.
    parts: Vec<Memory>,
    pub(super) total_bytes: u64,
    /// Line ends.
    pub(super) ends: u64,
    /// The last line has no end yet.
    pub(super) unended: bool,
}

struct Memory {
    start: u64,
    /// Line ends before `start`.
    first_line: u64,
    /// What was wanted of it: from here on, behind this many line ends.
    begin: usize,
    skipped: u64,
    bytes: Bytes,
    marks: Vec<Mark>,
}

/// What of a log in memory somebody wants; the rest is not even copied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// How much there is.
    Sizes,
    /// Lines behind so many line ends; a few more may come.
    Lines { skip: u64, most: usize },
    /// From here to there.
    Bytes { start: u64, end: u64 },
}

impl Wanted {
    /// Begin and end within a part, and line ends before the begin. `None`: nothing of it.
    fn within(
        self,
        start: u64,
        first_line: u64,
        length: usize,
        ends: &[u32],
    ) -> Option<(usize, usize, usize)> {
        let behind = |line: usize| line.checked_sub(1).map_or(0, |line| ends[line] as usize);
        match self {
            Self::Sizes => None,
            Self::Lines { skip, most } => {
                let skipped = usize::try_from(skip.saturating_sub(first_line)).unwrap_or(usize::MAX);
                let skipped = skipped.min(ends.len());
                let last = skipped.saturating_add(most).saturating_add(1);
                let end = if last <= ends.len() { behind(last) } else { length };
                Some((behind(skipped), end, skipped))
            }
            Self::Bytes { start: from, end } => {
                let place =
                    |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(length);
                let (from, end) = (place(from), place(end));
                (from < end).then_some((from, end, 0))
            }
        }
    }
}

impl Moment {
    pub(super) fn total_lines(&self) -> u64 {
        self.ends + u64::from(self.unended)
    }
}

/// Lines of one look.
pub(super) struct Looked {
    pub(super) lines: Vec<LogLine>,
    /// The first line not looked at.
    pub(super) next: u64,
    /// The end was reached.
    pub(super) all: bool,
}

/// The log of an attempt by number, or of the newest that has one.
pub(super) async fn find(app: &App, task: TaskId, attempt: Option<u32>) -> Result<Option<Source>> {
    let rows = app.store.read().await?.logs(task).await?;
    let open = app.logs.of_task(task);
    let wanted = |row: &LogRow| attempt.is_none_or(|number| row.attempt == number);
    let mut newest_open = open.into_iter().rfind(|log| wanted(&log.row));
    let newest_row = rows.into_iter().rfind(|row| wanted(row));
    if let (Some(log), Some(row)) = (&newest_open, &newest_row)
        && attempt_of(row) == log.attempt()
        && elsewhere::is_behind(app, log, row).await
    {
        app.logs.drop_log(log);
        newest_open = None;
    }
    Ok(match (newest_open, newest_row) {
        (Some(open), Some(row)) if attempt_of(&row).fence > open.attempt().fence => {
            Some(Source { key: attempt_of(&row), open: None, row })
        }
        (Some(open), _) => Some(Source { key: open.attempt(), row: open.row.clone(), open: Some(open) }),
        (None, Some(row)) => Some(Source { key: attempt_of(&row), open: None, row }),
        (None, None) => None,
    })
}

impl Source {
    pub(super) async fn moment(&self, wanted: Wanted) -> Moment {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let Some(log) = &self.open else {
            let row = &self.row;
            let stored = Stored {
                bytes: count(row.stored),
                lines: count(row.lines),
                segments: row.segments,
                sealed: row.sealed,
            };
            // Only a log that is over can end without a line end and be whole.
            return Moment {
                stored,
                parts: Vec::new(),
                total_bytes: stored.bytes,
                ends: stored.lines,
                unended: false,
            };
        };
        let growing = log.growing.lock().await;
        let stored = log.stored();
        let mut parts = Vec::new();
        let mut add = |start: u64,
                       first_line: u64,
                       length: usize,
                       ends: &[u32],
                       marks: &[Mark],
                       of: &dyn Fn(Range<usize>) -> Bytes| {
            if let Some((begin, end, skipped)) = wanted.within(start, first_line, length, ends) {
                let (skipped, bytes) = (skipped as u64, of(begin..end));
                parts.push(Memory { start, first_line, begin, skipped, bytes, marks: marks.to_vec() });
            }
        };
        for storing in growing.storing.iter().filter(|storing| storing.cut.start >= stored.bytes) {
            let Cut { start, first_line, bytes, ends, marks, .. } = &*storing.cut;
            add(*start, *first_line, bytes.len(), ends, marks, &|range| bytes.slice(range));
        }
        let Growing { start, lines, buffer, ends, marks, .. } = &*growing;
        add(*start, *lines, buffer.len(), ends, marks, &|range| Bytes::copy_from_slice(&buffer[range]));
        // Parts before what is wanted; the last one says where the log goes on.
        while parts.len() > 1 && parts[0].bytes.is_empty() {
            parts.remove(0);
        }
        let unended = match growing.buffer.last() {
            Some(byte) => *byte != b'\n',
            None => growing.continues,
        };
        let ends = growing.lines + growing.ends.len() as u64;
        Moment { stored, parts, total_bytes: growing.received(), ends, unended }
    }
}

/// Lines from number `from` on, at most `most`, those that hold `search`.
pub(super) async fn lines(
    app: &App,
    key: AttemptRef,
    moment: &Moment,
    from: u64,
    most: usize,
    search: Option<&str>,
) -> Result<Looked> {
    let skip = from.saturating_sub(1);
    let mut queue = VecDeque::new();
    let mut scanner = None;
    if skip < moment.stored.lines || moment.parts.first().is_none_or(|part| part.first_line >= skip) {
        queue = segments_from(app, key, skip).await?;
        // One row more than the first decides nothing, so an unsealed row written meanwhile does no harm.
        if let Some(first) = queue.front() {
            let (skipped, _) = index(first)?.before(skip.saturating_sub(line(first.first_line)));
            scanner = Some(Scanner::new(line(first.first_line) + skipped + 1, from, most, search));
        }
    }
    let begin = moment.parts.first().map_or(1, |part| part.first_line + part.skipped + 1);
    let mut scanner = scanner.unwrap_or_else(|| Scanner::new(begin, from, most, search));
    let mut first = true;
    while let Some(row) = queue.pop_front() {
        if line(row.start_byte) >= moment.stored.bytes || scanner.is_full() {
            break;
        }
        let index = index(&row)?;
        let offset = if first { index.before(skip.saturating_sub(line(row.first_line))).1 } else { 0 };
        first = false;
        let length = line(row.length);
        let blob =
            app.blobs.read_segment(&row.blob, Some(u64::from(offset)..length + index.marks_bytes())).await?;
        let bytes = usize::try_from(length - u64::from(offset)).map_err(Error::internal)?;
        let bytes = bytes.min(blob.len());
        scanner.feed(&blob[..bytes], &decode_marks(&blob[bytes..]), offset);
        if queue.is_empty() && line(row.start_byte + row.length) < moment.stored.bytes && !scanner.is_full() {
            queue = rows_from_byte(app, key, row.start_byte + row.length).await?;
        }
    }
    for part in &moment.parts {
        scanner.feed(&part.bytes, &part.marks, u32::try_from(part.begin).unwrap_or(u32::MAX));
    }
    if moment.stored.sealed {
        scanner.finish();
    }
    let all = !scanner.is_full();
    Ok(Looked { next: scanner.next_line(), lines: scanner.lines, all })
}

/// Segments from the one on in which the line behind `skip` line ends begins.
async fn segments_from(app: &App, key: AttemptRef, skip: u64) -> Result<VecDeque<SegmentRow>> {
    let from = i64::try_from(skip).unwrap_or(i64::MAX);
    let rows = app.store.read().await?.segments_from_line(key, from, ROWS).await?;
    let mut rows = VecDeque::from(rows);
    // A line too long for a segment begins in an earlier one.
    while let Some(first) = rows.front()
        && first.first_line == from
        && first.start_byte > 0
        && index(first)?.continues
    {
        let before = app.store.read().await?.segments_from_byte(key, first.start_byte - 1, 1).await?;
        match before.into_iter().next() {
            Some(before) => rows.push_front(before),
            None => break,
        }
    }
    Ok(rows)
}

async fn rows_from_byte(app: &App, key: AttemptRef, from: i64) -> Result<VecDeque<SegmentRow>> {
    Ok(app.store.read().await?.segments_from_byte(key, from, ROWS).await?.into())
}

fn index(row: &SegmentRow) -> Result<LineIndex> {
    serde_json::from_str(&row.line_index).map_err(Error::internal)
}

fn line(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Bytes `start..end`, all of which are stored.
pub(super) fn stored_bytes(
    app: &App,
    key: AttemptRef,
    start: u64,
    end: u64,
) -> BoxStream<'static, Result<Bytes>> {
    let state = (app.clone(), start, VecDeque::<SegmentRow>::new());
    futures::stream::try_unfold(state, move |(app, at, mut queue)| async move {
        if at >= end {
            return Ok(None);
        }
        if queue.is_empty() {
            queue = rows_from_byte(&app, key, i64::try_from(at).unwrap_or(i64::MAX)).await?;
        }
        let row = queue.pop_front().ok_or_else(|| Error::not_found("log segment", key.task))?;
        let begin = line(row.start_byte);
        let range = at.saturating_sub(begin)..end.min(begin + line(row.length)) - begin;
        let bytes = app.blobs.read_segment(&row.blob, Some(range)).await?;
        if bytes.is_empty() {
            return Err(Error::not_found("log segment", row.blob));
        }
        let at = at + bytes.len() as u64;
        Ok(Some((bytes, (app, at, queue))))
    })
    .boxed()
}

/// Bytes `start..end` of a log at a moment.
pub(super) fn bytes_at(
    app: &App,
    key: AttemptRef,
    moment: &Moment,
    start: u64,
    end: u64,
) -> BoxStream<'static, Result<Bytes>> {
    let stored = stored_bytes(app, key, start, end.min(moment.stored.bytes));
    let memory: Vec<_> = moment
        .parts
        .iter()
        .filter_map(|part| {
            let begin = part.start + part.begin as u64;
            let (from, to) = (start.max(begin), end.min(begin + part.bytes.len() as u64));
            let place = |at: u64| usize::try_from(at - begin).unwrap_or(usize::MAX);
            (from < to).then(|| Ok(part.bytes.slice(place(from)..place(to))))
        })
        .collect();
    stored.chain(futures::stream::iter(memory)).boxed()
}

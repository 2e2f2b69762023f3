//! Logs: chunks from agents become segments in the object store with a line index, readable by range while they grow.

mod elsewhere;
mod keep;
mod open;
mod reader;
mod scan;
mod segment;
mod tail;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{LogAck, LogChunk, LogSource};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{LogRow, TaskRow};

use crate::app::App;
use crate::error::{Error, Result};
use open::OpenLog;
pub(crate) use open::OpenLogs;
use reader::Wanted;
pub use tail::tail;

/// A segment is stored when it is this large,
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// or this old,
const SEGMENT_AGE: Duration = Duration::from_secs(5);
/// or, while somebody watches, this old.
const WATCHED_AGE: Duration = Duration::from_secs(1);
/// A line without an end waits longer, for its end.
const LINE_AGE: Duration = Duration::from_mins(1);
/// Segments of one log on their way to the object store.
const AT_ONCE: usize = 3;
/// Bytes in memory over all logs of this node; beyond, each chunk waits for its segment.
const BUFFERED: usize = 48 * 1024 * 1024;
/// A log that has not grown for this long leaves memory, and is sealed if its attempt is over.
const IDLE: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// From 1.
    pub number: u64,
    pub source: LogSource,
    /// When the chunk that holds its first byte was read, by the agent's clock.
    pub at: Timestamp,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct LogPage {
    pub lines: Vec<LogLine>,
    /// First line not looked at yet; `None` when the log has ended and all was looked at.
    pub next_line: Option<u64>,
    pub total_lines: u64,
    pub total_bytes: u64,
    /// No more will come.
    pub sealed: bool,
}

#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Attempt number; the newest if absent.
    pub attempt: Option<u32>,
    /// From 1; negative counts from the end.
    pub from_line: Option<i64>,
    /// At most 10,000; 1,000 if absent.
    pub lines: Option<u32>,
    /// Only lines that hold this text.
    pub search: Option<String>,
}

/// Raw bytes of a log, as written.
pub struct LogBytes {
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub total: u64,
    pub sealed: bool,
    pub body: BoxStream<'static, Result<Bytes>>,
}

/// Lines as they come; `last` once the log is sealed.
#[derive(Debug, Clone)]
pub struct LogTail {
    pub lines: Vec<LogLine>,
    pub last: bool,
}

/// Takes one chunk; answers how far it is in memory. How far it is stored comes through [`stored`].
pub async fn append(app: &App, agent: AgentId, chunk: LogChunk) -> Result<LogAck> {
    let mut log = match opened(app, agent, chunk.attempt).await? {
        Opened::Open(log) => log,
        Opened::Answered(ack) => return Ok(ack),
    };
    // A gap: the agent may have gone on through another node and come back.
    let gap = chunk.offset > log.growing.lock().await.received();
    if gap && elsewhere::forget_if_behind(app, &log).await? {
        log = match opened(app, agent, chunk.attempt).await? {
            Opened::Open(log) => log,
            Opened::Answered(ack) => return Ok(ack),
        };
    }
    let mut growing = log.growing.lock().await;
    keep::settle(&mut growing, usize::MAX).await?;
    if growing.received() + u64::from(chunk.size) > log.limit {
        return Ok(refused(chunk.attempt, "the mission's budget for logs is spent"));
    }
    if !growing.take(&log, &chunk, app.clock.boot())? {
        return Ok(log.ack(growing.received()));
    }
    log.grown.send_modify(|turn| *turn += 1);
    let crowded = app.logs.buffered.load(Ordering::Relaxed) > BUFFERED;
    if growing.ended || growing.buffer.len() >= SEGMENT_BYTES || (crowded && !growing.buffer.is_empty()) {
        // While some segments are stored the next fills; one more waits here, and the agent with it.
        keep::settle(&mut growing, AT_ONCE - 1).await?;
        let one_line = growing.buffer.len() >= SEGMENT_BYTES && growing.ends.is_empty();
        if let Some(cut) = growing.cut(one_line) {
            keep::begin(app, &log, &mut growing, cut);
            if crowded {
                keep::settle(&mut growing, 0).await?;
            }
        }
    }
    Ok(log.ack(growing.received()))
}

enum Opened {
    Open(Arc<OpenLog>),
    Answered(LogAck),
}

/// The open log of an attempt of this agent, from memory or from the database.
async fn opened(app: &App, agent: AgentId, attempt: AttemptRef) -> Result<Opened> {
    if let Some(log) = app.logs.get(&attempt) {
        return Ok(if log.row.agent == agent {
            Opened::Open(log)
        } else {
            Opened::Answered(refused(attempt, "this attempt is another agent's"))
        });
    }
    let mut db = app.store.read().await?;
    let Some(task) = db.task(attempt.task).await? else {
        return Ok(Opened::Answered(refused(attempt, "there is no such task")));
    };
    let kept = db.log(attempt).await?;
    let number = if task.fence() == attempt.fence && task.agent == Some(agent) {
        task.attempt
    } else {
        let past = db.attempts(attempt.task).await?;
        let of = |fence: Fence| fence == attempt.fence;
        let past = past
            .iter()
            .find(|row| of(Fence { epoch: row.fence_epoch, number: row.fence_number }) && row.agent == agent);
        match past {
            Some(past) => past.attempt,
            None => return Ok(Opened::Answered(refused(attempt, "this attempt is not this agent's"))),
        }
    };
    if let Some(kept) = kept.as_ref().filter(|kept| kept.sealed) {
        let stored = u64::try_from(kept.stored).unwrap_or(0);
        return Ok(Opened::Answered(LogAck {
            attempt,
            received: stored,
            stored,
            sealed: true,
            refused: None,
        }));
    }
    let limit = db.mission(task.mission).await?.map_or(u64::MAX, |mission| mission.budget.0.log_bytes);
    drop(db);
    let row = kept.unwrap_or_else(|| new_row(app, &task, agent, attempt, number));
    let log = open_log(app, row, &task, limit);
    Ok(Opened::Open(app.logs.keep(log)))
}

fn open_log(app: &App, row: LogRow, task: &TaskRow, limit: u64) -> Arc<OpenLog> {
    let name = task.item_index.map_or_else(|| "log".to_owned(), |index| format!("log[{index}]"));
    let places = (task.key.to_string(), name);
    let buffered = Arc::clone(&app.logs.buffered);
    Arc::new(OpenLog::new(row, places, limit, app.clock.boot(), buffered, app.logs.spare()))
}

fn new_row(app: &App, task: &TaskRow, agent: AgentId, attempt: AttemptRef, number: u32) -> LogRow {
    let now = app.clock.now();
    LogRow {
        task: task.id,
        fence_epoch: attempt.fence.epoch,
        fence_number: attempt.fence.number,
        mission: task.mission,
        attempt: number,
        agent,
        stored: 0,
        lines: 0,
        segments: 0,
        sealed: false,
        version: None,
        created_at: now,
        updated_at: now,
    }
}

fn refused(attempt: AttemptRef, why: &str) -> LogAck {
    LogAck { attempt, received: 0, stored: 0, sealed: false, refused: Some(why.to_owned()) }
}

const fn attempt_of(row: &LogRow) -> AttemptRef {
    AttemptRef { task: row.task, fence: Fence { epoch: row.fence_epoch, number: row.fence_number } }
}

/// What was stored or sealed of this agent's logs, as it happens: one stream per agent, to be sent as acks.
pub fn stored(app: &App, agent: AgentId) -> BoxStream<'static, LogAck> {
    let mailbox = app.logs.listen(agent);
    futures::stream::unfold(mailbox, |mailbox| async move {
        let acks = mailbox.take().await;
        Some((futures::stream::iter(acks), mailbox))
    })
    .flatten()
    .boxed()
}

/// A page of lines.
pub async fn read(app: &App, task: TaskId, query: LogQuery) -> Result<LogPage> {
    let most = match query.lines.unwrap_or(1_000) {
        lines @ 1..=10_000 => lines as usize,
        _ => return Err(Error::field("?lines", "out_of_range", "must be from 1 to 10000")),
    };
    let Some(source) = reader::find(app, task, query.attempt).await? else {
        return no_log(app, task).await;
    };
    let sizes = source.moment(Wanted::Sizes).await;
    let from = match query.from_line.unwrap_or(1) {
        back @ ..0 => (sizes.total_lines() + 1).saturating_sub(back.unsigned_abs()).max(1),
        from => from.unsigned_abs().max(1),
    };
    let wanted = if query.search.is_some() { usize::MAX } else { most };
    let moment = source.moment(Wanted::Lines { skip: from - 1, most: wanted }).await;
    let total_lines = moment.total_lines();
    let looked = reader::lines(app, source.key, &moment, from, most, query.search.as_deref()).await?;
    let sealed = moment.stored.sealed;
    Ok(LogPage {
        lines: looked.lines,
        next_line: (!(looked.all && sealed)).then_some(looked.next),
        total_lines,
        total_bytes: moment.total_bytes,
        sealed,
    })
}

/// A task that has written nothing (yet).
async fn no_log(app: &App, task: TaskId) -> Result<LogPage> {
    let row = app.store.read().await?.task(task).await?.ok_or_else(|| Error::not_found("task", task))?;
    let sealed = row.state.is_terminal();
    let next_line = (!sealed).then_some(1);
    Ok(LogPage { lines: Vec::new(), next_line, total_lines: 0, total_bytes: 0, sealed })
}

/// `range` as asked for: `(start, end exclusive)`; `None` gives all.
pub async fn bytes(
    app: &App,
    task: TaskId,
    attempt: Option<u32>,
    range: Option<(u64, Option<u64>)>,
) -> Result<LogBytes> {
    let Some(source) = reader::find(app, task, attempt).await? else {
        let page = no_log(app, task).await?;
        let body = futures::stream::empty().boxed();
        return Ok(LogBytes { start: 0, end: 0, total: 0, sealed: page.sealed, body });
    };
    let (start, end) = range.unwrap_or((0, None));
    let moment = source.moment(Wanted::Bytes { start, end: end.unwrap_or(u64::MAX) }).await;
    let total = moment.total_bytes;
    let end = end.unwrap_or(total).min(total);
    if start > total || (start == total && range.is_some() && total > 0) {
        return Err(Error::RangeNotSatisfiable { start, size: total });
    }
    let body = reader::bytes_at(app, source.key, &moment, start, end);
    Ok(LogBytes { start, end, total, sealed: moment.stored.sealed, body })
}

/// Bytes `start..end` of a sealed log: the content of its version in the vault.
pub(super) fn version_body(
    app: &App,
    attempt: AttemptRef,
    start: u64,
    end: u64,
) -> BoxStream<'static, Result<Bytes>> {
    reader::stored_bytes(app, attempt, start, end)
}

/// Forgets a log's bytes (retention, erasure); true where there were any. What was interrupted goes on where it is called
/// again.
pub(super) async fn purge(app: &App, attempt: AttemptRef) -> Result<bool> {
    keep::purge(app, attempt).await
}

/// Goes on with what a crash interrupted: logs whose tombstone is there, and bytes of theirs, too.
pub(super) async fn purge_rest(app: &App) -> Result<()> {
    for row in app.store.read().await?.logs_to_purge(1000).await? {
        keep::purge(app, attempt_of(&row)).await?;
    }
    Ok(())
}

/// Stores what has been in memory for long enough; an idempotent activation.
pub async fn flush(app: &App) -> Result<usize> {
    let boot = app.clock.boot();
    let mut stored = 0;
    let logs = app.logs.all();
    let wishes = if logs.is_empty() { BTreeSet::new() } else { elsewhere::wishes(app).await? };
    for log in logs {
        // Whoever holds it is taking a chunk or storing: it does not need us.
        let Ok(mut growing) = log.growing.try_lock() else { continue };
        if keep::settle(&mut growing, usize::MAX).await.is_err() || !growing.storing.is_empty() {
            continue;
        }
        let age = boot.saturating_sub(growing.since);
        let watched = log.watchers.load(Ordering::Relaxed) > 0 || wishes.contains(&log.row.task);
        let ripe = if watched { WATCHED_AGE } else { SEGMENT_AGE };
        if growing.buffer.is_empty() {
            if boot.saturating_sub(growing.touched) > IDLE {
                app.logs.drop_log(&log);
            }
        } else if age >= ripe
            && let Some(cut) = growing.cut(age >= LINE_AGE)
        {
            keep::begin(app, &log, &mut growing, cut);
            stored += 1;
        }
    }
    app.logs.shrink();
    seal_abandoned(app, boot).await?;
    Ok(stored)
}

/// Logs whose agent never said that they are over, and never will: their attempt is.
async fn seal_abandoned(app: &App, boot: Duration) -> Result<()> {
    let looked = Duration::from_secs(app.logs.looked.load(Ordering::Relaxed));
    if boot.saturating_sub(looked) < LOOK_EVERY {
        return Ok(());
    }
    app.logs.looked.store(boot.as_secs(), Ordering::Relaxed);
    let idle = app.store.read().await?.idle_logs(app.clock.now() - IDLE, 100).await?;
    for row in idle {
        let attempt = attempt_of(&row);
        let Some(task) = app.store.read().await?.task(row.task).await? else { continue };
        let over = task.fence() != attempt.fence || task.state.is_terminal();
        if over && app.logs.get(&attempt).is_none() {
            keep::seal_abandoned(app, open_log(app, row, &task, u64::MAX)).await?;
        }
    }
    Ok(())
}

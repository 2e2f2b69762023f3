//! Logs: chunks from agents become segments in the object store with a line index, readable by range while they grow.

use bytes::Bytes;
use futures::stream::BoxStream;
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::message::{LogAck, LogChunk, LogSource};
use nexusmon_shared::time::Timestamp;

use crate::app::App;
use crate::error::Result;

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
    let _ = (app, agent, chunk);
    todo!()
}

/// What was stored or sealed of this agent's logs, as it happens: one stream per agent, to be sent as acks.
pub fn stored(app: &App, agent: AgentId) -> BoxStream<'static, LogAck> {
    let _ = (app, agent);
    todo!()
}

pub async fn read(app: &App, task: TaskId, query: LogQuery) -> Result<LogPage> {
    let _ = (app, task, query);
    todo!()
}

/// `range` as asked for: `(start, end exclusive)`; `None` gives all.
pub async fn bytes(
    app: &App,
    task: TaskId,
    attempt: Option<u32>,
    range: Option<(u64, Option<u64>)>,
) -> Result<LogBytes> {
    let _ = (app, task, attempt, range);
    todo!()
}

/// Lines from `from_line` on, then as they come.
pub async fn tail(app: &App, task: TaskId, from_line: u64) -> Result<BoxStream<'static, Result<LogTail>>> {
    let _ = (app, task, from_line);
    todo!()
}

/// Stores what has been in memory for long enough; an idempotent activation.
pub async fn flush(app: &App) -> Result<usize> {
    let _ = app;
    todo!()
}

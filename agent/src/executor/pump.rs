//! From a task's pipes into the spool, in blocks: lines are never looked at.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::SharedClock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::Timespec;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use crate::redact::{Redactor, Stream};
use crate::spool::LogWriter;

/// What a pipe holds at first, and what one holds that was once found full.
const USUAL_PIPE: usize = 64 * 1024;
const PIPE: usize = 1024 * 1024;
const BLOCK: usize = 256 * 1024;
/// Fewer bytes are copied out of a block rather than keeping all of it.
const SMALL: usize = 32 * 1024;
/// Read while there is no block.
const FIRST: usize = 1024;
/// After this long without a byte the thread goes.
const SILENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// The agent's ends.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) stdin: Option<OwnedFd>,
}

/// The process's ends.
#[derive(Debug)]
pub(crate) struct Outer {
    stdout: OwnedFd,
    stderr: OwnedFd,
    stdin: Option<OwnedFd>,
    /// Not a pipe, but it goes the same way.
    pub(crate) doorway: Option<OwnedFd>,
    pub(crate) secrets: Vec<OwnedFd>,
}

impl Outer {
    /// In the order the spawner takes them.
    pub(crate) fn descriptors(self) -> Vec<OwnedFd> {
        let pipes = [self.stdout, self.stderr].into_iter().chain(self.stdin);
        pipes.chain(self.doorway).chain(self.secrets).collect()
    }
}

/// Both.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) inner: Inner,
    pub(crate) outer: Outer,
}

impl Pipes {
    pub(crate) fn open() -> io::Result<Self> {
        let (stdout, outer_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, outer_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self {
            inner: Inner { stdout, stderr, stdin: None },
            outer: Outer {
                stdout: outer_stdout,
                stderr: outer_stderr,
                stdin: None,
                doorway: None,
                secrets: Vec::new(),
            },
        })
    }

    /// For processes that are spoken to; the agent's ends never block.
    pub(crate) fn open_with_input() -> io::Result<Self> {
        let mut pipes = Self::open()?;
        let (outer_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&pipes.inner.stdout, &pipes.inner.stderr, &stdin] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        pipes.inner.stdin = Some(stdin);
        pipes.outer.stdin = Some(outer_stdin);
        Ok(pipes)
    }
}

/// What a tree prints, on its way into the spool. As long as nothing comes no thread waits and no memory is held; most
/// tasks print nothing at all.
pub(crate) struct Output {
    state: State,
    /// The tree is gone: what the pipes hold is still taken, what they may get later is not. A task may have handed its
    /// output to a process outside the tree, which would keep them open for ever.
    gone: Arc<AtomicBool>,
}

enum State {
    Quiet(Box<Pump>),
    Busy(JoinHandle<Box<Pump>>),
    /// Only while it goes from one to another.
    Nothing,
}

struct Pump {
    open: Vec<Source>,
    log: LogWriter,
    clock: SharedClock,
    gone: Arc<AtomicBool>,
    blocks: Blocks,
    /// A spool that cannot be written costs the log, never the task.
    broken: bool,
    /// Where there are secrets to be kept out of the log: stdout and stderr on their way.
    redacting: Option<Box<[Stream; 2]>>,
}

/// What came of a log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) digest: Option<Digest>,
}

struct Source {
    name: LogSource,
    pipe: pipe::Receiver,
    /// It was found full once and holds more now.
    widened: bool,
}

impl Output {
    /// Takes over the agent's ends of the pipes.
    pub(crate) fn new(
        inner: Inner,
        log: LogWriter,
        redactor: Option<&Redactor>,
        clock: SharedClock,
    ) -> io::Result<Self> {
        let mut open = Vec::with_capacity(2);
        for (name, pipe) in [(LogSource::Stdout, inner.stdout), (LogSource::Stderr, inner.stderr)] {
            rustix::io::ioctl_fionbio(&pipe, true)?;
            // It is a pipe: it was made here.
            let pipe = pipe::Receiver::from_owned_fd_unchecked(pipe)?;
            open.push(Source { name, pipe, widened: false });
        }
        let gone = Arc::new(AtomicBool::new(false));
        let blocks = Blocks::default();
        let redacting = redactor.map(|redactor| Box::new([redactor.stream(), redactor.stream()]));
        let pump = Pump { open, log, clock, gone: Arc::clone(&gone), blocks, broken: false, redacting };
        Ok(Self { state: State::Quiet(Box::new(pump)), gone })
    }

    /// Waits for the next thing to do, and does it. Never returns once both pipes are closed. May be dropped at any await.
    pub(crate) async fn turn(&mut self) {
        match &mut self.state {
            State::Quiet(pump) => {
                if let Some(first) = pump.first().await {
                    self.begin(first);
                }
            }
            State::Busy(handle) => {
                let pump = handle.await;
                self.state = pump.map_or(State::Nothing, State::Quiet);
            }
            State::Nothing => std::future::pending().await,
        }
    }

    /// The tree is gone. Gives what came.
    pub(crate) async fn finish(mut self) -> io::Result<Written> {
        self.gone.store(true, Ordering::Release);
        loop {
            match std::mem::replace(&mut self.state, State::Nothing) {
                State::Quiet(mut pump) => match pump.try_first() {
                    Some(first) => {
                        self.state = State::Quiet(pump);
                        self.begin(first);
                    }
                    None => return Ok(pump.finish()),
                },
                State::Busy(handle) => self.state = State::Quiet(handle.await.map_err(io::Error::other)?),
                State::Nothing => return Err(io::Error::other("reading its output failed")),
            }
        }
    }

    fn begin(&mut self, first: First) {
        if let State::Quiet(mut pump) = std::mem::replace(&mut self.state, State::Nothing) {
            self.state = State::Busy(tokio::task::spawn_blocking(move || {
                pump.run(first);
                pump
            }));
        }
    }
}

/// The first bytes after a silence.
type First = (LogSource, Bytes);

impl Pump {
    /// Waits until something happens on a pipe; gives the bytes, if it was that.
    async fn first(&mut self) -> Option<First> {
        let mut space = [0_u8; FIRST];
        let (at, outcome) = match self.open.as_slice() {
            [] => std::future::pending().await,
            [one] => (0, look(one, &mut space).await),
            [one, other, ..] => {
                let mut more = [0_u8; FIRST];
                tokio::select! {
                    outcome = look(one, &mut space) => (0, outcome),
                    outcome = look(other, &mut more) => {
                        space = more;
                        (1, outcome)
                    }
                }
            }
        };
        self.found(at, outcome, &space)
    }

    /// Bytes that are there.
    fn try_first(&mut self) -> Option<First> {
        let mut space = [0_u8; FIRST];
        let mut at = 0;
        while let Some(source) = self.open.get(at) {
            let outcome = rustix::io::read(&source.pipe, &mut space);
            let open = self.open.len();
            if let Some(first) = self.found(at, outcome, &space) {
                return Some(first);
            }
            at += usize::from(self.open.len() == open);
        }
        None
    }

    fn found(&mut self, at: usize, outcome: Result<usize, Errno>, space: &[u8]) -> Option<First> {
        match outcome {
            Err(Errno::AGAIN | Errno::INTR) => None,
            Ok(0) | Err(_) => {
                self.open.remove(at);
                None
            }
            Ok(read) => Some((self.open[at].name, Bytes::copy_from_slice(&space[..read]))),
        }
    }

    /// Takes what comes, until nothing has come for a while. Blocks.
    fn run(&mut self, (source, bytes): First) {
        self.write(source, bytes);
        loop {
            if self.take() {
                continue;
            }
            // First this, then the last look at the pipes: the other way round what came between would be lost.
            let gone = self.gone.load(Ordering::Acquire);
            if self.open.is_empty() || (gone && !self.take()) {
                break;
            }
            let mut waiting: Vec<PollFd<'_>> =
                self.open.iter().map(|source| PollFd::new(&source.pipe, PollFlags::IN)).collect();
            match poll(&mut waiting, Some(&SILENCE)) {
                Ok(0) if !self.gone.load(Ordering::Acquire) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.blocks = Blocks::default();
    }

    /// At most one block from each pipe. False if none had any.
    fn take(&mut self) -> bool {
        let mut any = false;
        let mut at = 0;
        while at < self.open.len() {
            let source = &mut self.open[at];
            match self.blocks.read(source.pipe.as_fd()) {
                Ok(bytes) if !bytes.is_empty() => {
                    if bytes.len() >= USUAL_PIPE && !source.widened {
                        source.widened = true;
                        // Refused beyond the user's share, which only costs speed.
                        let _ = rustix::pipe::fcntl_setpipe_size(&source.pipe, PIPE);
                    }
                    let name = source.name;
                    self.write(name, bytes);
                    any = true;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    self.open.remove(at);
                    continue;
                }
            }
            at += 1;
        }
        any
    }

    fn write(&mut self, source: LogSource, bytes: Bytes) {
        match &mut self.redacting {
            None => self.put(source, bytes),
            Some(streams) => {
                let settled = streams[usize::from(source == LogSource::Stderr)].push(&bytes);
                self.put(source, settled.into());
            }
        }
    }

    /// What waited for its rest gets none.
    fn finish(mut self) -> Written {
        if let Some(mut streams) = self.redacting.take() {
            for (source, stream) in [LogSource::Stdout, LogSource::Stderr].into_iter().zip(&mut *streams) {
                let rest = stream.finish();
                self.put(source, rest.into());
            }
        }
        let digest = self.log.digest();
        Written { bytes: self.log.finish(), digest }
    }

    fn put(&mut self, source: LogSource, bytes: Bytes) {
        if !self.broken
            && let Err(error) = self.log.write(source, bytes, self.clock.now())
        {
            tracing::warn!(%error, "the rest of a log is lost: the spool cannot be written");
            self.broken = true;
        }
    }
}

/// Waits for bytes or the end of a pipe.
async fn look(source: &Source, space: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match source.pipe.readable().await.and_then(|()| source.pipe.try_read(space)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(read) => return Ok(read),
            Err(_) => return Ok(0),
        }
    }
}

/// Memory that bytes are read into, used again once nobody needs them any more.
#[derive(Default)]
struct Blocks {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    empty: Option<Vec<u8>>,
}

/// A filled block; goes back when the last reader is done.
struct Filled {
    bytes: Vec<u8>,
    home: Weak<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.lock().expect("no holder panics").push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Blocks {
    /// What is there, empty at the end.
    fn read(&mut self, pipe: BorrowedFd<'_>) -> Result<Bytes, Errno> {
        let spare = || self.spare.lock().expect("no holder panics").pop();
        let mut block = self.empty.take().or_else(spare).unwrap_or_else(|| Vec::with_capacity(BLOCK));
        block.clear();
        let outcome = rustix::io::read(pipe, rustix::buffer::spare_capacity(&mut block));
        if outcome.is_err() || block.len() < SMALL {
            let bytes = Bytes::copy_from_slice(&block);
            self.empty = Some(block);
            return outcome.map(|_| bytes);
        }
        Ok(Bytes::from_owner(Filled { bytes: block, home: Arc::downgrade(&self.spare) }))
    }
}

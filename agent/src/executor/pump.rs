//! From a task's pipes into the spool, in blocks: lines are never looked at.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::Clock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::Timespec;

use crate::spool::LogWriter;

/// A pipe holds this much, so that reader and writer rarely wait for each other.
const PIPE: usize = 1024 * 1024;
const BLOCK: usize = 256 * 1024;

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
}

impl Outer {
    /// In the order the spawner takes them.
    pub(crate) fn descriptors(self) -> Vec<OwnedFd> {
        [self.stdout, self.stderr].into_iter().chain(self.stdin).collect()
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
        // Refused beyond the user's share; a smaller pipe only costs speed.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
        Ok(Self {
            inner: Inner { stdout, stderr, stdin: None },
            outer: Outer { stdout: outer_stdout, stderr: outer_stderr, stdin: None },
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

/// Tells a pump that the tree is gone, by being dropped: what the pipes hold is still read, what they may get later is
/// not. A task may have handed its output to a process outside the tree, which would keep them open for ever.
#[derive(Debug)]
pub(crate) struct Alive(#[expect(dead_code, reason = "closed by being dropped")] OwnedFd);

/// A pair: to hold while the tree lives, and to be watched by its pump.
pub(crate) fn alive() -> io::Result<(Alive, OwnedFd)> {
    let (watched, held) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Alive(held), watched))
}

/// Reads until both pipes are closed, or the tree is gone and they are empty. Gives the bytes that came. Blocks.
pub(crate) fn run(inner: Inner, tree: &OwnedFd, mut log: LogWriter, clock: &dyn Clock) -> u64 {
    let mut open =
        vec![(LogSource::Stdout, File::from(inner.stdout)), (LogSource::Stderr, File::from(inner.stderr))];
    let mut block = Vec::new();
    let mut broken = false;
    let mut gone = false;
    while !open.is_empty() {
        let mut waiting: Vec<PollFd<'_>> =
            open.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)).collect();
        // Once the tree is gone, what is there is taken at once.
        let patience = gone.then(Timespec::default);
        if !gone {
            waiting.push(PollFd::new(tree, PollFlags::IN));
        }
        match poll(&mut waiting, patience.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
            Ok(0) if gone => break,
            Ok(_) => {}
        }
        gone = gone || waiting.pop().is_some_and(|tree| !tree.revents().is_empty());
        let ready: Vec<bool> = waiting.iter().map(|each| !each.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        open.retain_mut(|(source, pipe)| {
            if !ready.next().unwrap_or(false) {
                return true;
            }
            // Most tasks print nothing: no block for them.
            if block.is_empty() {
                block.resize(BLOCK, 0);
            }
            match pipe.read(&mut block) {
                Ok(0) => false,
                Ok(read) => {
                    // A spool that cannot be written costs the log, never the task.
                    if !broken && let Err(error) = log.write(*source, &block[..read], clock.now()) {
                        tracing::warn!(%error, "the rest of a log is lost: the spool cannot be written");
                        broken = true;
                    }
                    true
                }
                Err(error) => error.kind() == io::ErrorKind::Interrupted,
            }
        });
    }
    log.finish()
}

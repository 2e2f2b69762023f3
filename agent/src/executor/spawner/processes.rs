//! The process table as `/proc` shows it: who descends from whom, and ending them. Knows nothing of trees and leases.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use rustix::process::{Pid, Signal, WaitOptions, kill_process};

/// Environments are read no further than this to find the marker; the agent puts it near the front.
const ENVIRONMENT_LIMIT: u64 = 256 * 1024;

/// The living and unreaped children of `pid`, over all its threads.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        if let Ok(text) = fs::read_to_string(thread.path().join("children")) {
            found.extend(text.split_ascii_whitespace().filter_map(parse));
        }
    }
    found
}

/// The children of the calling process's main thread, which are also the orphans it has inherited. Exact as long as
/// only the caller reaps.
#[derive(Debug)]
pub(crate) struct OwnChildren {
    own: Pid,
    /// The kernel's list, kept open: it is looked at each time a tree ends.
    list: Option<fs::File>,
}

impl OwnChildren {
    pub(crate) fn open() -> Self {
        let own = rustix::process::getpid();
        let list = fs::File::open(format!("/proc/{0}/task/{0}/children", own.as_raw_nonzero())).ok();
        Self { own, list }
    }

    pub(crate) fn now(&self) -> Vec<Pid> {
        let Some(list) = &self.list else { return children_by_parent(self.own) };
        let (mut text, mut length) = (vec![0_u8; 256], 0);
        loop {
            match list.read_at(&mut text[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return children_by_parent(self.own),
            }
            if length == text.len() {
                text.resize(2 * length, 0);
            }
        }
        String::from_utf8_lossy(&text[..length]).split_ascii_whitespace().filter_map(parse).collect()
    }
}

/// For kernels built without the list of children.
fn children_by_parent(parent: Pid) -> Vec<Pid> {
    all().into_iter().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == Some(parent))).collect()
}

/// Every process this `/proc` shows.
pub(crate) fn all() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| parse(entry.file_name().to_str()?)).collect()
}

fn parse(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: Option<Pid>,
    /// Clock ticks after boot; with the pid it names one process for good.
    pub(crate) started: u64,
    pub(crate) dead: bool,
    pub(crate) threads: usize,
}

pub(crate) fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name is in parentheses and may hold anything, so count from the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        dead: matches!(*fields.first()?, "Z" | "X"),
        parent: parse(fields.get(1)?),
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The value of `name` in the environment `pid` was started with.
pub(crate) fn variable(pid: Pid, name: &str) -> Option<String> {
    let file = fs::File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut bytes = Vec::new();
    file.take(ENVIRONMENT_LIMIT).read_to_end(&mut bytes).ok()?;
    bytes.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// Threads of all these together.
pub(crate) fn threads(pids: &[Pid]) -> usize {
    pids.iter().filter_map(|pid| Some(stat(*pid)?.threads)).sum()
}

/// All below `root`, nearest first, without `root` itself.
pub(crate) fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = children(root);
    let mut seen: HashSet<Pid> = found.iter().copied().collect();
    let mut next = 0;
    while next < found.len() {
        let more: Vec<Pid> = children(found[next]).into_iter().filter(|pid| seen.insert(*pid)).collect();
        found.extend(more);
        next += 1;
    }
    found
}

/// Ends `root` and all below it. Stopping them first keeps one that forks quickly from staying ahead.
pub(crate) fn kill_all(root: Pid) {
    let mut stopped = HashSet::new();
    for _ in 0..64 {
        let found = descendants(root);
        let fresh: Vec<Pid> = found.into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            let _ = kill_process(pid, Signal::STOP);
        }
    }
    let _ = kill_process(root, Signal::KILL);
    for pid in stopped {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Ends all of `roots` with what is below them. All are stopped before the first is killed: a killed one would make room
/// for another where their number is what keeps them from growing.
pub(crate) fn kill_crowd(roots: impl Fn() -> Vec<Pid>) {
    let mut stopped = HashSet::new();
    for _ in 0..64 {
        let mut fresh = Vec::new();
        for root in roots() {
            let below = descendants(root);
            fresh.extend([root].into_iter().chain(below).filter(|pid| stopped.insert(*pid)));
        }
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            let _ = kill_process(pid, Signal::STOP);
        }
    }
    for pid in stopped {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Reaps a child if it has ended.
pub(crate) fn reap(pid: Pid) -> Option<rustix::process::WaitStatus> {
    match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(Some((_, status))) => Some(status),
        _ => None,
    }
}

/// Waits until the process is gone; at once if it is.
pub(crate) fn wait_gone(pid: Pid, started: u64) {
    use rustix::event::{PollFd, PollFlags, poll};
    let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    if stat(pid).is_none_or(|stat| stat.started != started || stat.dead) {
        return;
    }
    let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], None);
}

//! Starting one process under its confinement.
//!
//! Landlock and seccomp belong to threads and are inherited, so each start gets a thread of its own that confines
//! itself and then uses the fast path of `posix_spawn`: no fork of a heap, no helper program. The seccomp filter is
//! loaded once, by the thread those threads come from. bubblewrap dies with the *thread* that started it and is
//! therefore started by the spawner's main thread.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::fs::MemfdFlags;
use rustix::process::Pid;
use seccompiler::BpfProgram;

use crate::executor::descriptor;
use crate::executor::protocol::{Confinement, Start, TreeId};
use crate::executor::ruleset::{self, Opened};
use crate::executor::seccomp;

/// Enough for `Command`, which builds its arguments on the heap.
const STACK: usize = 128 * 1024;

/// Descriptors for a process: stdout, stderr and perhaps stdin.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) stdin: Option<OwnedFd>,
}

/// What came of one start.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) id: TreeId,
    pub(crate) result: Result<Pid, String>,
}

struct Job {
    start: Box<Start>,
    streams: Streams,
    shared: Arc<Opened>,
}

impl Reply {
    fn send(&self, id: TreeId, result: Result<Pid, String>) {
        let _ = self.results.send(Launched { id, result });
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

/// Starts processes and reports through a channel and an event descriptor.
pub(crate) struct Launcher {
    shared: Arc<Opened>,
    filter: BpfProgram,
    free: Lane,
    with_sockets: Lane,
    without_sockets: Lane,
    results: Receiver<Launched>,
}

/// A thread whose children start processes; all of them carry its filter.
struct Lane(Sender<Job>);

#[derive(Clone)]
struct Reply {
    results: Sender<Launched>,
    wake: Arc<OwnedFd>,
}

impl Launcher {
    /// `wake` becomes readable when there are results.
    pub(crate) fn new(wake: Arc<OwnedFd>) -> io::Result<Self> {
        let (sender, results) = channel();
        let reply = Reply { results: sender, wake };
        let build = |sockets| seccomp::filter(sockets).map_err(io::Error::other);
        Ok(Self {
            shared: Arc::default(),
            filter: build(true)?,
            free: Lane::open("free", None, reply.clone())?,
            with_sockets: Lane::open("user", Some(build(true)?), reply.clone())?,
            without_sockets: Lane::open("lite", Some(build(false)?), reply)?,
            results,
        })
    }

    pub(crate) fn configure(&mut self, shared: Opened) {
        self.shared = Arc::new(shared);
    }

    /// Starts at once and answers, or answers later through [`Launcher::results`].
    pub(crate) fn launch(&self, start: Box<Start>, streams: Streams) -> Option<Launched> {
        let lane = match &start.confinement {
            Confinement::Free => &self.free,
            Confinement::Landlock { sockets: true, .. } => &self.with_sockets,
            Confinement::Landlock { sockets: false, .. } => &self.without_sockets,
            Confinement::Bubblewrap { arguments } => {
                let result = bubblewrap(&start, arguments, &self.filter, &streams).map_err(|e| e.to_string());
                return Some(Launched { id: start.id, result });
            }
        };
        let job = Job { start, streams, shared: self.shared.clone() };
        lane.0.send(job).err().map(|failed| Launched {
            id: failed.0.start.id,
            result: Err("the confinement of this profile could not be set up".to_owned()),
        })
    }

    pub(crate) fn results(&self) -> impl Iterator<Item = Launched> {
        self.results.try_iter()
    }
}

impl Lane {
    fn open(name: &str, filter: Option<BpfProgram>, reply: Reply) -> io::Result<Self> {
        let (sender, jobs) = channel::<Job>();
        let serve = move || {
            if let Some(filter) = filter
                && seccompiler::apply_filter(&filter).is_err()
            {
                // The lane closes; every start on it is answered with that.
                return;
            }
            for job in jobs {
                let id = job.start.id;
                let answer = reply.clone();
                let once = move || {
                    let result = confined(&job).map_err(|error| error.to_string());
                    drop(job);
                    answer.send(id, result);
                };
                if let Err(error) = std::thread::Builder::new().stack_size(STACK).spawn(once) {
                    reply.send(id, Err(format!("no thread to start a process: {error}")));
                }
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(serve)?;
        Ok(Self(sender))
    }
}

fn confined(job: &Job) -> io::Result<Pid> {
    if let Confinement::Landlock { sockets, visible } = &job.start.confinement {
        ruleset::restrict(&job.shared, visible, *sockets).map_err(io::Error::other)?;
    }
    let mut command = Command::new(&job.start.program);
    command.args(&job.start.args).env_clear().envs(&job.start.env).current_dir(&job.start.cwd);
    spawn(command, &job.streams)
}

fn bubblewrap(
    start: &Start,
    arguments: &[String],
    filter: &BpfProgram,
    streams: &Streams,
) -> io::Result<Pid> {
    let filter = memory_file("nexusmon-filter", &seccomp::bytes(filter))?;
    let arguments = memory_file("nexusmon-arguments", &nul_separated(arguments))?;
    let mut command = Command::new(&start.program);
    command
        .args(["--seccomp", &filter.as_raw_fd().to_string(), "--args", &arguments.as_raw_fd().to_string()])
        .args(&start.args)
        .env_clear()
        .env("NEXUSMON_ATTEMPT", &start.key)
        .current_dir("/");
    descriptor::inherit(&mut command, vec![filter, arguments]);
    spawn(command, streams)
}

fn spawn(mut command: Command, streams: &Streams) -> io::Result<Pid> {
    command.process_group(0).stdout(streams.stdout.try_clone()?).stderr(streams.stderr.try_clone()?);
    command.stdin(match &streams.stdin {
        Some(stdin) => Stdio::from(stdin.try_clone()?),
        None => Stdio::null(),
    });
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("a pid out of range"))
}

fn nul_separated(arguments: &[String]) -> Vec<u8> {
    arguments.iter().flat_map(|argument| argument.bytes().chain([0])).collect()
}

fn memory_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file)
}

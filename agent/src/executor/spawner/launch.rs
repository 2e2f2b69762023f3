//! Starting one process under its confinement.
//!
//! A seccomp filter is costly to load, belongs to threads and is inherited: so each kind of confinement has a few threads
//! that carry its filter, and whose children add the Landlock ruleset of their own before they become the program.
//! bubblewrap dies with the *thread* that started it and is therefore started by the spawner's main thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::MemfdFlags;
use rustix::process::Pid;
use seccompiler::BpfProgram;

use crate::executor::birth::{Cradle, Image};
use crate::executor::doorway;
use crate::executor::protocol::{Confinement, Limits, Start, TreeId};
use crate::executor::ruleset::{self, Opened};
use crate::executor::seccomp::{self, Surroundings};

/// Threads per confinement: a thread sleeps until its child is the program, which is most of the work of starting it.
const LANE: usize = 2;
/// What a thread needs to prepare a start.
const STACK: usize = 128 * 1024;

/// Descriptors for a process: stdout, stderr, perhaps stdin, perhaps the socket of its doorway.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) doorway: Option<OwnedFd>,
    /// In the order of the start's `secrets`.
    pub(crate) secrets: Vec<OwnedFd>,
}

/// A first process, with a descriptor that becomes readable when it ends.
pub(crate) type Born = (Pid, OwnedFd);

/// What came of one start.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) id: TreeId,
    pub(crate) result: Result<Born, String>,
}

struct Job {
    start: Box<Start>,
    streams: Streams,
    shared: Arc<Opened>,
    limits: Option<Limits>,
}

/// Starts processes and reports through a channel and an event descriptor.
pub(crate) struct Launcher {
    shared: Arc<Opened>,
    limits: Option<Limits>,
    filter: BpfProgram,
    cradle: Cradle,
    null: File,
    free: Lane,
    with_sockets: Lane,
    without_sockets: Lane,
    reply: Reply,
    results: Receiver<Launched>,
}

/// Threads that start processes of one confinement; they exist once they were needed.
#[derive(Default)]
struct Lane(OnceLock<Option<Sender<Job>>>);

#[derive(Clone)]
struct Reply {
    results: Sender<Launched>,
    wake: Arc<OwnedFd>,
}

impl Reply {
    fn send(&self, id: TreeId, result: Result<Born, String>) {
        let _ = self.results.send(Launched { id, result });
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Launcher {
    /// `wake` becomes readable when there are results.
    pub(crate) fn new(wake: Arc<OwnedFd>) -> io::Result<Self> {
        let (sender, results) = channel();
        Ok(Self {
            shared: Arc::default(),
            limits: None,
            filter: filter(Surroundings::Namespaces)?,
            cradle: Cradle::new(),
            null: null()?,
            free: Lane::default(),
            with_sockets: Lane::default(),
            without_sockets: Lane::default(),
            reply: Reply { results: sender, wake },
            results,
        })
    }

    pub(crate) fn configure(&mut self, shared: Opened, limits: Limits) {
        self.shared = Arc::new(shared);
        self.limits = Some(limits);
    }

    /// Starts at once and answers, or answers later through [`Launcher::results`].
    pub(crate) fn launch(&mut self, start: Box<Start>, streams: Streams) -> Option<Launched> {
        let reply = &self.reply;
        let lane = match &start.confinement {
            Confinement::Free => self.free.get("free", reply, || Ok(None)),
            Confinement::Landlock { sockets: true, .. } => {
                self.with_sockets.get("user", reply, || filter(Surroundings::Network).map(Some))
            }
            Confinement::Landlock { sockets: false, .. } => {
                self.without_sockets.get("lite", reply, || filter(Surroundings::Lite).map(Some))
            }
            Confinement::Bubblewrap { arguments } => {
                let result = bubblewrap(
                    &mut self.cradle,
                    &self.null,
                    &start,
                    arguments,
                    &self.filter,
                    &streams,
                    self.limits,
                );
                return Some(Launched { id: start.id, result: result.map_err(|error| error.to_string()) });
            }
        };
        let id = start.id;
        let refused =
            || Launched { id, result: Err("the confinement of this profile could not be set up".to_owned()) };
        let Some(lane) = lane else { return Some(refused()) };
        let job = Job { start, streams, shared: Arc::clone(&self.shared), limits: self.limits };
        lane.send(job).is_err().then(refused)
    }

    pub(crate) fn results(&self) -> impl Iterator<Item = Launched> {
        self.results.try_iter()
    }
}

impl Lane {
    fn get(
        &self,
        name: &str,
        reply: &Reply,
        filter: impl FnOnce() -> io::Result<Option<BpfProgram>>,
    ) -> Option<&Sender<Job>> {
        self.0.get_or_init(|| open(name, filter().ok()?, reply).ok()).as_ref()
    }
}

fn open(name: &str, filter: Option<BpfProgram>, reply: &Reply) -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let (jobs, filter) = (Arc::new(Mutex::new(jobs)), Arc::new(filter));
    for _ in 0..LANE {
        let (jobs, filter, reply) = (Arc::clone(&jobs), Arc::clone(&filter), reply.clone());
        let serve = move || {
            if let Some(filter) = &*filter
                && seccompiler::apply_filter(filter).is_err()
            {
                // The lane closes; every start on it is answered with that.
                return;
            }
            serve(&jobs, &reply);
        };
        std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(serve)?;
    }
    Ok(sender)
}

fn serve(jobs: &Mutex<Receiver<Job>>, reply: &Reply) {
    let Ok(null) = null() else { return };
    let mut cradle = Cradle::new();
    loop {
        let next = jobs.lock().expect("no holder panics").recv();
        let Ok(job) = next else { return };
        let result = confined(&mut cradle, &null, &job).map_err(|error| error.to_string());
        let id = job.start.id;
        // Its pipes must not stay open here.
        drop(job);
        reply.send(id, result);
    }
}

fn confined(cradle: &mut Cradle, null: &File, job: &Job) -> io::Result<Born> {
    let ruleset = match &job.start.confinement {
        Confinement::Landlock { sockets, visible } => {
            Some(ruleset::build(&job.shared, visible, *sockets).map_err(io::Error::other)?)
        }
        _ => None,
    };
    let Start { program, args, env, cwd, secrets, .. } = &*job.start;
    // The process inherits them under the numbers they have here, and so does whatever it starts.
    for (link, held) in secrets.iter().zip(&job.streams.secrets) {
        std::os::unix::fs::symlink(format!("/proc/self/fd/{}", held.as_raw_fd()), link)?;
    }
    let inherited: Vec<BorrowedFd<'_>> = job.streams.secrets.iter().map(|held| held.as_fd()).collect();
    cradle.bear(&Image {
        program,
        arguments: args,
        environment: env,
        cwd,
        streams: job.streams.in_order(null),
        inherited: &inherited,
        ruleset: ruleset.as_ref().map(|ruleset| ruleset.as_fd()),
        limits: job.limits.filter(|_| ruleset.is_some()),
    })
}

fn bubblewrap(
    cradle: &mut Cradle,
    null: &File,
    start: &Start,
    arguments: &[String],
    filter: &BpfProgram,
    streams: &Streams,
    limits: Option<Limits>,
) -> io::Result<Born> {
    let filter = memory_file("nexusmon-filter", &seccomp::bytes(filter))?;
    let number = |file: &OwnedFd| file.as_raw_fd().to_string();
    let mut arguments = arguments.to_vec();
    for (path, held) in start.secrets.iter().zip(&streams.secrets) {
        // Copied into the confinement's own memory; bubblewrap closes the descriptor.
        arguments.extend(["--ro-bind-data".to_owned(), number(held), path.clone()]);
    }
    if let Some((folder, _)) = start.secrets.first().and_then(|path| path.rsplit_once('/')) {
        arguments.extend(["--remount-ro".to_owned(), folder.to_owned()]);
    }
    let listed = memory_file("nexusmon-arguments", &nul_separated(&arguments))?;
    let mut all = ["--seccomp".to_owned(), number(&filter), "--args".to_owned(), number(&listed)].to_vec();
    let mut inherited: Vec<BorrowedFd<'_>> =
        [&filter, &listed].into_iter().chain(&streams.secrets).map(|file| file.as_fd()).collect();
    if let (Some(doorway), Some((end_of_options, command))) = (&streams.doorway, start.args.split_first()) {
        inherited.push(doorway.as_fd());
        let words = [end_of_options, doorway::PROGRAM, doorway::COMMAND, &number(doorway)];
        all.extend(words.map(str::to_owned));
        all.extend(command.iter().cloned());
    } else {
        all.extend(start.args.iter().cloned());
    }
    let environment = [("NEXUSMON_ATTEMPT".to_owned(), start.key.clone())].into();
    cradle.bear(&Image {
        program: &start.program,
        arguments: &all,
        environment: &environment,
        cwd: "/",
        streams: streams.in_order(null),
        inherited: &inherited,
        ruleset: None,
        limits,
    })
}

impl Streams {
    fn in_order<'a>(&'a self, null: &'a File) -> [BorrowedFd<'a>; 3] {
        let stdin = self.stdin.as_ref().map_or_else(|| null.as_fd(), |stdin| stdin.as_fd());
        [stdin, self.stdout.as_fd(), self.stderr.as_fd()]
    }
}

fn filter(around: Surroundings) -> io::Result<BpfProgram> {
    seccomp::filter(around).map_err(io::Error::other)
}

fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
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

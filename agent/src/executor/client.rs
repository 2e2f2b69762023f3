//! The agent's end of the spawner: starts it, asks it for trees, hears how they end.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::lifecycle::Lifecycle;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;
use tokio::io::{AsyncBufReadExt as _, BufReader, Interest};
use tokio::net::UnixDatagram;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::confine::Host;
use super::protocol::{self, Event, Packet, Request, Start, TreeId};
use super::pump::{Inner, Outer};
use super::spawner::processes;
use super::spawner::{Born, COMMAND};
use super::{ExecutorConfig, ExecutorError, millis};

/// How long a spawner may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel, or the guardian, may take to end what a dead spawner has left.
const DYING: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
/// Who waits for which tree.
type Trees = Arc<Mutex<HashMap<TreeId, mpsc::UnboundedSender<Event>>>>;

const MARK: &str = "spawner.json";

/// Who to end if this agent is killed: the spawner with its start time, against reuse of numbers.
#[derive(serde::Serialize, serde::Deserialize)]
struct Mark {
    processes: Vec<(i32, u64)>,
}

/// One running spawner; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client(Arc<Shared>);

struct Shared {
    requests: mpsc::UnboundedSender<Message>,
    trees: Trees,
    next: AtomicU64,
    gone: Arc<AtomicBool>,
}

struct Message {
    packet: Packet,
    descriptors: Vec<OwnedFd>,
}

/// A tree as the agent sees it.
pub(crate) struct Tree {
    id: TreeId,
    events: mpsc::UnboundedReceiver<Event>,
    client: Client,
    /// The grace it was last asked to end with.
    pub(crate) asked: Option<Duration>,
}

impl Tree {
    /// `None` once the spawner is gone.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    pub(crate) fn end(&self, grace: Duration) {
        self.client.send(&Request::End { id: self.id, grace: millis(grace) }, Vec::new());
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.client.0.trees.lock().expect("no holder panics").remove(&self.id);
    }
}

/// A long-lived process with its pipes.
pub struct Process {
    tree: Tree,
    pub stdin: pipe::Sender,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

impl Process {
    pub(crate) fn new(tree: Tree, inner: Inner) -> io::Result<Self> {
        let stdin = inner.stdin.ok_or_else(|| io::Error::other("it was started without standard input"))?;
        Ok(Self {
            tree,
            stdin: pipe::Sender::from_owned_fd(stdin)?,
            stdout: pipe::Receiver::from_owned_fd(inner.stdout)?,
            stderr: pipe::Receiver::from_owned_fd(inner.stderr)?,
        })
    }

    /// The pipes, and what to wait on for the end.
    pub fn split(self) -> (pipe::Sender, pipe::Receiver, pipe::Receiver, Ended) {
        (self.stdin, self.stdout, self.stderr, Ended(self.tree))
    }
}

/// Waits for a process; dropping it does not end the process.
pub struct Ended(Tree);

impl Ended {
    /// How it ended, in words.
    pub async fn wait(&mut self) -> String {
        loop {
            match self.0.next().await {
                Some(Event::Ended { status: protocol::Status::Exited(code), .. }) => {
                    return format!("exit status {code}");
                }
                Some(Event::Ended { status: protocol::Status::Signalled(signal), .. }) => {
                    return format!("signal {signal}");
                }
                Some(Event::Failed { detail, .. }) => return detail,
                Some(Event::Ready | Event::Started { .. }) => {}
                None => return "the spawner ended".to_owned(),
            }
        }
    }

    /// SIGTERM to the tree now, SIGKILL after the grace.
    pub fn end(&self, grace: Duration) {
        self.0.end(grace);
    }
}

impl Client {
    /// Starts a spawner: with a process table of its own where the kernel allows it.
    pub(crate) async fn start(
        config: &ExecutorConfig,
        host: &Host,
        lifecycle: &Lifecycle,
    ) -> Result<Self, ExecutorError> {
        let mut failures = Vec::new();
        for mode in ["isolated", "guarded"].into_iter().skip(usize::from(!config.isolated)) {
            match Self::try_mode(config, lifecycle, mode).await {
                Ok(client) => {
                    let visible = host.visible.clone();
                    client.send(&Request::Configure { visible, limits: config.limits() }, Vec::new());
                    return Ok(client);
                }
                Err(error) => failures.push(format!("{mode}: {error}")),
            }
        }
        Err(ExecutorError::Spawner(failures.join("; ")))
    }

    async fn try_mode(config: &ExecutorConfig, lifecycle: &Lifecycle, mode: &str) -> io::Result<Self> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (born, guardian) = first_stage(&config.program, mode, far).await?;
        mark(&config.data_dir, &born)?;
        let remains = Remains::of(&born, guardian)?;
        rustix::io::ioctl_fionbio(&near, true)?;
        // The kernel knows it as a sequenced packet socket; for waiting, one with datagrams is the same.
        let socket = Arc::new(UnixDatagram::from_std(near.into())?);
        let (requests, queue) = mpsc::unbounded_channel();
        let trees = Trees::default();
        let gone = Arc::new(AtomicBool::new(false));
        let mut buffer = vec![0; protocol::PACKET];
        let first = tokio::time::timeout(PATIENCE, receive(&socket, &mut buffer)).await;
        match first {
            Ok(Ok(Some(events))) if events.contains(&Event::Ready) => {}
            Ok(Ok(_)) => return Err(io::Error::other("it ended before it was ready")),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::Error::other("it does not answer")),
        }
        lifecycle.spawn_quiet(
            "spawner.events",
            listen(Arc::clone(&socket), Arc::clone(&trees), Arc::clone(&gone), remains, lifecycle.soft()),
        );
        lifecycle
            .spawn_quiet("spawner.requests", send_all(socket, queue, Arc::clone(&trees), lifecycle.soft()));
        Ok(Self(Arc::new(Shared { requests, trees, next: AtomicU64::new(1), gone })))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// Starts a tree; its pipes' far ends go with the request.
    pub(crate) fn start_tree(&self, mut start: Start, outer: Outer) -> io::Result<Tree> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        start.id = id;
        let (sender, events) = mpsc::unbounded_channel();
        self.0.trees.lock().expect("no holder panics").insert(id, sender);
        let tree = Tree { id, events, client: self.clone(), asked: None };
        let packet = Packet::of(&Request::Start(Box::new(start)))?;
        self.queue(Message { packet, descriptors: outer.descriptors() });
        if self.is_gone() {
            // It may have taken the request before it went: whoever waits hears of its end.
            self.0.trees.lock().expect("no holder panics").remove(&id);
        }
        Ok(tree)
    }

    pub(crate) fn renew(&self, live_until: u64) {
        if live_until > 0 {
            self.send(&Request::Renew { live_until }, Vec::new());
        }
    }

    fn send(&self, request: &Request, descriptors: Vec<OwnedFd>) {
        match Packet::of(request) {
            Ok(packet) => self.queue(Message { packet, descriptors }),
            Err(error) => tracing::error!(%error, "a request to the spawner could not be written"),
        }
    }

    fn queue(&self, message: Message) {
        // A closed queue is a spawner that is gone; whoever waits for events learns it there.
        let _ = self.0.requests.send(message);
    }
}

/// Runs the first stage to its word about who was born. The guardian stays; the other one has ended by then.
async fn first_stage(program: &Path, mode: &str, socket: OwnedFd) -> io::Result<(Born, Option<Child>)> {
    let mut child = Command::new(program)
        .args([COMMAND, mode])
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let word = match child.stdout.take() {
        Some(stdout) => tokio::time::timeout(PATIENCE, word(stdout.into())).await,
        None => Ok(Err(io::Error::other("its output is a pipe"))),
    };
    let born = word.unwrap_or_else(|_| Err(io::Error::other("its first stage does not answer")));
    if matches!(born, Ok(Born { guardian: Some(_), .. })) {
        return Ok((born?, Some(child)));
    }
    if born.is_err() {
        let _ = child.kill();
    }
    tokio::task::spawn_blocking(move || child.wait()).await.map_err(io::Error::other)??;
    Ok((born?, None))
}

async fn word(stdout: OwnedFd) -> io::Result<Born> {
    let mut line = String::new();
    BufReader::new(pipe::Receiver::from_owned_fd(stdout)?).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(|_| io::Error::other("refused by this kernel or container"))
}

/// What ends after the connection to a spawner has: only when these are gone is nothing left of its trees.
struct Remains {
    processes: Vec<OwnedFd>,
    guardian: Option<Child>,
}

impl Remains {
    fn of(born: &Born, guardian: Option<Child>) -> io::Result<Self> {
        let mut processes = Vec::new();
        for pid in born.guardian.into_iter().chain([born.spawner]) {
            let Some(pid) = Pid::from_raw(pid) else { continue };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(handle) => processes.push(handle),
                Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { processes, guardian })
    }

    /// Waits until they are gone. Blocks.
    fn wait(mut self) {
        for process in &self.processes {
            if let Ok(0) = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&DYING)) {
                tracing::error!("what a dead spawner had started does not end");
            }
        }
        if let Some(guardian) = &mut self.guardian {
            let _ = guardian.try_wait();
        }
    }
}

fn mark(data_dir: &Path, born: &Born) -> io::Result<()> {
    let started = |pid: i32| {
        let pid = Pid::from_raw(pid)?;
        Some((pid.as_raw_nonzero().get(), processes::stat(pid)?.started))
    };
    let processes = born.guardian.into_iter().chain([born.spawner]).filter_map(started).collect();
    let fresh = data_dir.join("spawner.new");
    std::fs::write(&fresh, serde_json::to_vec(&Mark { processes })?)?;
    std::fs::rename(fresh, data_dir.join(MARK))
}

/// Ends the spawner of an earlier life with all it started, and waits until it is gone.
pub(crate) fn end_earlier(data_dir: &Path) {
    if nexusmon_shared::planted::planted("trees-left-running") {
        return;
    }
    let mark = std::fs::read(data_dir.join(MARK)).ok();
    let mark = mark.and_then(|text| serde_json::from_slice::<Mark>(&text).ok());
    for (pid, started) in mark.map(|mark| mark.processes).unwrap_or_default() {
        let Some(pid) = Pid::from_raw(pid) else { continue };
        if processes::stat(pid).is_some_and(|stat| stat.started == started) {
            processes::kill_all(pid);
            processes::wait_gone(pid, started);
        }
    }
    end_strays(data_dir);
}

/// Ends trees that nobody holds any more: agent, spawner and guardian were all killed at once. They are known by where
/// their parameters lie.
fn end_strays(data_dir: &Path) {
    let mut prefixes = vec![data_dir.join("work")];
    prefixes.extend(prefixes[0].canonicalize());
    let own = rustix::process::getpid();
    let is_stray = |pid: &Pid| {
        *pid != own
            && processes::variable(*pid, "NEXUSMON_PARAMS").is_some_and(|parameters| {
                prefixes.iter().any(|prefix| Path::new(&parameters).starts_with(prefix))
            })
    };
    // Each look may find what one was just starting.
    for _ in 0..64 {
        let strays: Vec<Pid> = processes::all().into_iter().filter(is_stray).collect();
        if strays.is_empty() {
            return;
        }
        tracing::warn!(count = strays.len(), "ending processes of an earlier life that nobody held any more");
        let strays = strays.into_iter().filter_map(|pid| Some((pid, processes::stat(pid)?.started)));
        for (pid, started) in strays.collect::<Vec<_>>() {
            processes::kill_all(pid);
            processes::wait_gone(pid, started);
        }
    }
}

async fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<Option<Vec<Event>>> {
    let received =
        socket.async_io(Interest::READABLE, || protocol::receive::<Vec<Event>>(socket, buffer)).await?;
    Ok(received.map(|(events, _)| events))
}

async fn listen(
    socket: Arc<UnixDatagram>,
    trees: Trees,
    gone: Arc<AtomicBool>,
    remains: Remains,
    soft: CancellationToken,
) -> io::Result<()> {
    let mut buffer = vec![0; protocol::PACKET];
    let ended = loop {
        let received = tokio::select! {
            received = receive(&socket, &mut buffer) => received,
            // Nothing runs and nothing will: the agent is stopping.
            () = idle(&soft, &trees) => {
                gone.store(true, Ordering::Release);
                return Ok(());
            }
        };
        match received {
            Ok(Some(events)) => {
                let trees = trees.lock().expect("no holder panics");
                for event in events {
                    let id = match &event {
                        Event::Ready => continue,
                        Event::Started { id } | Event::Failed { id, .. } | Event::Ended { id, .. } => *id,
                    };
                    if let Some(tree) = trees.get(&id) {
                        let _ = tree.send(event);
                    }
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    gone.store(true, Ordering::Release);
    // The connection ends before the trees do: whoever asks for them must not hear of their end too soon.
    let _ = tokio::task::spawn_blocking(move || remains.wait()).await;
    // Dropping the senders tells whoever waits.
    trees.lock().expect("no holder panics").clear();
    ended
}

/// Waits for the soft end, and then until no tree is left.
async fn idle(soft: &CancellationToken, trees: &Trees) {
    soft.cancelled().await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    while !trees.lock().expect("no holder panics").is_empty() {
        pace.tick().await;
    }
}

async fn send_all(
    socket: Arc<UnixDatagram>,
    mut queue: mpsc::UnboundedReceiver<Message>,
    trees: Trees,
    soft: CancellationToken,
) -> io::Result<()> {
    loop {
        let message = tokio::select! {
            message = queue.recv() => message,
            () = idle(&soft, &trees) => None,
        };
        let Some(message) = message else { break };
        let descriptors: Vec<BorrowedFd<'_>> = message.descriptors.iter().map(|each| each.as_fd()).collect();
        socket.async_io(Interest::WRITABLE, || message.packet.send(&*socket, &descriptors)).await?;
    }
    // Nobody has a use for it any more; its end is what the other task here waits for.
    Ok(rustix::net::shutdown(&*socket, Shutdown::Write)?)
}

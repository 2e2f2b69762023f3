//! The spawner's loop: starts trees, holds their deadlines on the boot-time clock, ends them, and says so only when
//! the whole tree is gone. Survives the agent for as long as something may go on without it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use nexusmon_shared::time::{Clock as _, SystemClock};
use rustix::event::{EventfdFlags, epoll};
use rustix::process::{Pid, Signal, WaitStatus, kill_process};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::launch::{Launched, Launcher, Streams};
use super::processes::{self, OwnChildren};
use super::tree::{Due, Tree};
use crate::executor::protocol::{self, Event, Limits, Packet, Reason, Request, Start, Status, TreeId};
use crate::executor::ruleset::Opened;

const SOCKET: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const WAKE: u64 = u64::MAX - 2;

/// Milliseconds between two looks at something that should be gone.
const RETRY: u64 = 2;
/// Milliseconds between two looks for ended orphans of trees that go on.
const SWEEP: u64 = 1_000;
/// Milliseconds between two looks for trees with too many processes.
const WATCH: u64 = 250;
/// `/proc/<pid>/stat` counts in hundredths of a second on every Linux.
const MILLISECONDS_PER_TICK: u64 = 10;

pub(crate) struct Supervisor {
    socket: OwnedFd,
    epoll: OwnedFd,
    timer: OwnedFd,
    wake: Arc<OwnedFd>,
    launcher: Launcher,
    children: OwnChildren,
    trees: HashMap<TreeId, Tree>,
    /// Trees by first process; a group has its leader's number.
    mains: HashMap<Pid, TreeId>,
    /// Becomes readable when the first process has ended.
    handles: HashMap<TreeId, OwnedFd>,
    live_until: Option<u64>,
    agent_gone: bool,
    events: Vec<Event>,
    unsent: VecDeque<Packet>,
    waits_to_send: bool,
    armed: Option<u64>,
    retry_at: Option<u64>,
    sweep_at: u64,
    limits: Option<Limits>,
    watch_at: u64,
    buffer: Vec<u8>,
}

impl Supervisor {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let wake = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let watched = [(&socket, SOCKET), (&timer, TIMER), (&*wake, WAKE)];
        for (descriptor, token) in watched {
            epoll::add(&epoll, descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            launcher: Launcher::new(wake.clone())?,
            children: OwnChildren::open(),
            socket,
            epoll,
            timer,
            wake,
            trees: HashMap::new(),
            mains: HashMap::new(),
            handles: HashMap::new(),
            live_until: None,
            agent_gone: false,
            events: vec![Event::Ready],
            unsent: VecDeque::new(),
            waits_to_send: false,
            armed: None,
            retry_at: None,
            sweep_at: 0,
            limits: None,
            watch_at: 0,
            buffer: vec![0; protocol::PACKET],
        })
    }

    /// Serves until the agent is gone and nothing is left that may outlive it.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::with_capacity(64);
        loop {
            self.flush()?;
            if self.agent_gone && self.trees.is_empty() {
                return Ok(());
            }
            self.arm()?;
            ready.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), None) {
                Err(rustix::io::Errno::INTR) | Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &ready {
                match event.data.u64() {
                    SOCKET => self.requests(),
                    TIMER => drain(&self.timer),
                    WAKE => {
                        drain(&self.wake);
                        self.launched();
                    }
                    id => self.main_ended(id),
                }
            }
            self.watch();
            self.deadlines();
            self.settle();
        }
    }

    fn requests(&mut self) {
        loop {
            match protocol::receive::<Request>(&self.socket, &mut self.buffer) {
                Ok(Some((request, descriptors))) => self.handle(request, descriptors),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) | Err(_) => return self.agent_ended(),
            }
        }
    }

    fn handle(&mut self, request: Request, descriptors: Vec<OwnedFd>) {
        match request {
            Request::Configure { visible, limits } => {
                self.limits = Some(limits);
                self.launcher.configure(Opened::of(&visible), limits);
            }
            Request::Start(start) => self.start(start, descriptors),
            Request::Renew { live_until } => {
                self.live_until = self.live_until.max(Some(live_until));
            }
            Request::End { id, grace } => {
                if self.trees.get_mut(&id).is_some_and(|tree| tree.ask(Reason::Asked, grace, now())) {
                    self.terminate(id);
                }
            }
        }
    }

    fn start(&mut self, start: Box<Start>, descriptors: Vec<OwnedFd>) {
        let id = start.id;
        let mut descriptors = descriptors.into_iter();
        let (Some(stdout), Some(stderr)) = (descriptors.next(), descriptors.next()) else {
            self.events.push(Event::Failed { id, detail: "its output pipes did not arrive".to_owned() });
            return;
        };
        let stdin = if start.stdin { descriptors.next() } else { None };
        let doorway = if start.doorway { descriptors.next() } else { None };
        let streams = Streams { stdout, stderr, stdin, doorway, secrets: descriptors.collect() };
        self.trees.insert(id, Tree::new(&start, now()));
        if let Some(launched) = self.launcher.launch(start, streams) {
            self.begun(launched);
        }
    }

    fn launched(&mut self) {
        let results: Vec<Launched> = self.launcher.results().collect();
        for launched in results {
            self.begun(launched);
        }
    }

    fn begun(&mut self, Launched { id, result }: Launched) {
        let (pid, handle) = match result {
            Ok(born) => born,
            Err(detail) => {
                self.trees.remove(&id);
                self.events.push(Event::Failed { id, detail });
                return;
            }
        };
        let Some(tree) = self.trees.get_mut(&id) else { return };
        let ending = tree.begin(pid, now());
        self.mains.insert(pid, id);
        self.events.push(Event::Started { id });
        let data = epoll::EventData::new_u64(id);
        if epoll::add(&self.epoll, &handle, data, epoll::EventFlags::IN).is_ok() {
            self.handles.insert(id, handle);
        } else {
            self.retry_soon();
        }
        if ending {
            self.terminate(id);
        }
    }

    fn main_ended(&mut self, id: TreeId) {
        let Some(tree) = self.trees.get_mut(&id) else { return };
        if tree.status.is_none()
            && let Some(status) = tree.main.and_then(processes::reap)
        {
            tree.status = Some(ending(status));
            self.handles.remove(&id);
        }
    }

    /// SIGTERM to every process of the tree but those that only hold its sandbox.
    fn terminate(&self, id: TreeId) {
        let Some(Tree { main: Some(main), shielded, .. }) = self.trees.get(&id) else { return };
        let mut targets = vec![*main];
        if *shielded == 0 {
            targets.extend(processes::descendants(*main));
        } else {
            targets = processes::children(*main).into_iter().flat_map(processes::descendants).collect();
        }
        let orphans = self.children.now().into_iter().filter(|pid| !self.mains.contains_key(pid));
        for orphan in orphans.filter(|pid| self.owner(*pid) == Some(id)).collect::<Vec<_>>() {
            targets.push(orphan);
            targets.extend(processes::descendants(orphan));
        }
        for pid in targets {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn deadlines(&mut self) {
        let now = now();
        let due: Vec<(TreeId, Due)> =
            self.trees.iter_mut().map(|(id, tree)| (*id, tree.due(self.live_until, now))).collect();
        for (id, due) in due {
            match due {
                Due::Nothing => {}
                Due::Terminate => self.terminate(id),
                Due::Kill => {
                    if let Some(Tree { main: Some(main), shielded, .. }) = self.trees.get(&id) {
                        if *shielded > 0 {
                            // The first process of its namespace: the kernel ends the rest with it, at once.
                            for child in processes::children(*main) {
                                let _ = kill_process(child, Signal::KILL);
                            }
                        }
                        processes::kill_all(*main);
                    }
                    self.main_ended(id);
                    self.retry_soon();
                }
            }
        }
    }

    /// Ends trees that have grown too large. Counting costs, so it waits until the whole machine has that many.
    fn watch(&mut self) {
        let now = now();
        if now < self.watch_at {
            return;
        }
        self.watch_at = now + WATCH;
        let Some(limits) = self.limits else { return };
        if u64::from(rustix::system::sysinfo().procs) <= limits.processes {
            return;
        }
        let orphans: Vec<Pid> =
            self.children.now().into_iter().filter(|pid| !self.mains.contains_key(pid)).collect();
        let mut counts: HashMap<TreeId, usize> = HashMap::new();
        for (id, tree) in self.trees.iter().filter(|(_, tree)| tree.is_confined) {
            counts.insert(*id, tree.main.map_or(0, crowd));
        }
        for orphan in orphans {
            if let Some(count) = self.owner(orphan).and_then(|id| counts.get_mut(&id)) {
                *count += crowd(orphan);
            }
        }
        for (id, count) in counts {
            if count as u64 > limits.processes
                && let Some(tree) = self.trees.get_mut(&id)
            {
                tree.ask(Reason::Processes, 0, now);
            }
        }
    }

    /// Ends what trees whose first process is gone left behind, and reports those of which nothing is left.
    fn settle(&mut self) {
        if self.retry_at.is_some_and(|at| now() >= at) {
            self.retry_at = None;
            for id in self.trees.keys().copied().collect::<Vec<_>>() {
                if !self.handles.contains_key(&id) {
                    self.main_ended(id);
                }
            }
        }
        let dead: Vec<TreeId> =
            self.trees.iter().filter(|(_, tree)| tree.status.is_some()).map(|(id, _)| *id).collect();
        if dead.is_empty() && now() < self.sweep_at {
            return;
        }
        self.sweep_at = now() + SWEEP;
        let strangers: Vec<Pid> =
            self.children.now().into_iter().filter(|pid| !self.mains.contains_key(pid)).collect();
        let mut doomed = HashSet::new();
        let remains: Vec<TreeId> =
            strangers.into_iter().flat_map(|pid| self.judge(pid, &dead, &mut doomed)).collect();
        if !doomed.is_empty() {
            processes::kill_crowd(|| {
                let strangers = self.children.now().into_iter().filter(|pid| !self.mains.contains_key(pid));
                let more = |pid: &Pid| self.owner(*pid).is_some_and(|id| dead.contains(&id));
                strangers.filter(|pid| doomed.contains(pid) || more(pid)).collect()
            });
        }
        for id in dead {
            if !remains.contains(&id) {
                self.gone(id);
            }
        }
        if !remains.is_empty() {
            self.retry_soon();
        }
    }

    /// Deals with an orphan; gives the dead trees that are not gone because of it.
    fn judge(&self, pid: Pid, dead: &[TreeId], doomed: &mut HashSet<Pid>) -> Vec<TreeId> {
        match self.owner(pid) {
            // Not an orphan: its thread has not said yet that it has started this one.
            Some(id) if self.trees[&id].main.is_none() => Vec::new(),
            Some(_) if processes::reap(pid).is_some() => Vec::new(),
            Some(id) if dead.contains(&id) => {
                doomed.insert(pid);
                vec![id]
            }
            Some(_) => Vec::new(),
            None => self.judge_nameless(pid, dead, doomed),
        }
    }

    /// An orphan that hid where it comes from can be of any tree that was there before it.
    fn judge_nameless(&self, pid: Pid, dead: &[TreeId], doomed: &mut HashSet<Pid>) -> Vec<TreeId> {
        let Some(stat) = processes::stat(pid) else { return Vec::new() };
        let since = stat.started.saturating_add(1) * MILLISECONDS_PER_TICK;
        if self.trees.values().any(|tree| tree.main.is_none() && tree.ordered <= since) {
            // Perhaps it is only being started; that is known in a moment.
            return dead.to_vec();
        }
        if processes::reap(pid).is_some() {
            return Vec::new();
        }
        let suspects: Vec<TreeId> =
            dead.iter().copied().filter(|id| self.trees[id].ordered <= since).collect();
        if !suspects.is_empty() {
            doomed.insert(pid);
        }
        suspects
    }

    /// Whose an orphan is: by its process group, or by the marker in its environment.
    fn owner(&self, pid: Pid) -> Option<TreeId> {
        if let Ok(group) = rustix::process::getpgid(Some(pid))
            && let Some(id) = self.mains.get(&group)
        {
            return Some(*id);
        }
        let key = processes::variable(pid, "NEXUSMON_ATTEMPT")?;
        self.trees.iter().find(|(_, tree)| tree.key == key).map(|(id, _)| *id)
    }

    fn gone(&mut self, id: TreeId) {
        let Some(tree) = self.trees.remove(&id) else { return };
        if let Some(main) = tree.main
            && self.mains.get(&main) == Some(&id)
        {
            self.mains.remove(&main);
        }
        if let Some(status) = tree.status {
            self.events.push(Event::Ended { id, status, reason: tree.reason() });
        }
    }

    fn agent_ended(&mut self) {
        self.agent_gone = true;
        let _ = epoll::delete(&self.epoll, &self.socket);
        let now = now();
        let mut ended = Vec::new();
        for (id, tree) in &mut self.trees {
            // Its result could reach nobody, and running it again is free.
            if !tree.outlives_agent() && tree.ask(Reason::Asked, 1_000, now) {
                ended.push(*id);
            }
        }
        for id in ended {
            self.terminate(id);
        }
    }

    fn retry_soon(&mut self) {
        self.retry_at = Some(now() + RETRY);
    }

    fn arm(&mut self) -> io::Result<()> {
        let next = self.trees.values().filter_map(|tree| tree.next(self.live_until)).chain(self.retry_at);
        let next = next.chain((!self.trees.is_empty()).then_some(self.sweep_at.min(self.watch_at))).min();
        // A timer that rings too early costs one look; so it is only ever brought forward.
        if next.is_none_or(|next| self.armed.is_some_and(|armed| armed <= next && armed > now())) {
            return Ok(());
        }
        self.armed = next;
        let at = next.unwrap_or(0);
        let value = Timespec {
            tv_sec: i64::try_from(at / 1_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at % 1_000).expect("below a thousand") * 1_000_000,
        };
        let timer = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &timer)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.events.is_empty() {
            self.unsent.push_back(Packet::of(&self.events)?);
            self.events.clear();
        }
        while let Some(packet) = self.unsent.front() {
            if self.agent_gone {
                self.unsent.clear();
                return Ok(());
            }
            match packet.send(&self.socket, &[]) {
                Ok(()) => drop(self.unsent.pop_front()),
                // A stopped agent must not stop the deadlines.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.agent_ended(),
            }
        }
        let waits = !self.unsent.is_empty();
        if waits != self.waits_to_send && !self.agent_gone {
            self.waits_to_send = waits;
            let mut interest = epoll::EventFlags::IN;
            interest.set(epoll::EventFlags::OUT, waits);
            epoll::modify(&self.epoll, &self.socket, epoll::EventData::new_u64(SOCKET), interest)?;
        }
        Ok(())
    }
}

/// Threads of a process and of all below it.
fn crowd(root: Pid) -> usize {
    processes::threads(&[root]) + processes::threads(&processes::descendants(root))
}

fn now() -> u64 {
    u64::try_from(SystemClock.boot().as_millis()).unwrap_or(u64::MAX)
}

fn drain(descriptor: &OwnedFd) {
    let _ = rustix::io::read(descriptor.as_fd(), &mut [0_u8; 8]);
}

fn ending(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exited(code),
        (None, signal) => Status::Signalled(signal.unwrap_or(0)),
    }
}

//! The agent sessions that are open on this node, and the bounded queues their listeners drain.
//!
//! A cache and a set of mailboxes: everything here can be lost at any time and is made again by the next Hello.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, JournalId};
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::message::{CoordinatorMessage, Goodbye, GoodbyeCode, LocalPolicy};
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::selector::Labels;
use tokio::sync::{mpsc, watch};

/// Messages one session may have waiting. An agent that lets it fill is cut off: reconnecting costs less than guessing
/// which message may be dropped.
const QUEUE: usize = 4096;

/// What the scheduler needs to know of a connected agent.
#[derive(Debug, Clone)]
pub struct Profile {
    pub name: Name,
    pub labels: Labels,
    pub max_rank: Rank,
    pub slots: u32,
    pub prefetch: u32,
    pub manifests: Arc<Vec<Manifest>>,
    pub levels: BTreeSet<Level>,
    pub policy: LocalPolicy,
    /// Draining or paused, by the coordinator or by the machine's own admin: nothing new.
    pub closed: bool,
    /// Of the agent's row that it was made from.
    pub version: i64,
}

/// Most orders sent ahead of free slots.
pub const MOST_PREFETCH: u32 = 1024;
/// What is sent ahead covers this much of an agent's pace: about a round trip with two commits.
const AHEAD: f64 = 0.05;

/// How fast an agent finishes.
#[derive(Debug, Default)]
struct Pace {
    since: Duration,
    count: u32,
    per_second: f64,
}

/// One open session.
#[derive(Debug)]
pub struct AgentLive {
    pub agent: AgentId,
    pub session: u64,
    pub journal: JournalId,
    profile: RwLock<Arc<Profile>>,
    /// Orders the agent can take beyond what it holds, as it last told, less what was sent since.
    credit: AtomicU32,
    heartbeat: AtomicU64,
    load: AtomicU32,
    /// Boot clock of the last sign of life, in milliseconds.
    seen: AtomicU64,
    /// Attempts leased to this session and not reported yet.
    held: Mutex<HashSet<AttemptRef>>,
    plans_sent: Mutex<HashSet<Digest>>,
    pace: Mutex<Pace>,
    queue: mpsc::Sender<CoordinatorMessage>,
    farewell: watch::Sender<Option<Goodbye>>,
    over: AtomicBool,
}

impl AgentLive {
    pub fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.read().expect("no holder panics"))
    }

    pub fn change_profile(&self, change: impl FnOnce(&mut Profile)) {
        let mut place = self.profile.write().expect("no holder panics");
        change(Arc::make_mut(&mut place));
    }

    pub fn credit(&self) -> u32 {
        self.credit.load(Ordering::Relaxed)
    }

    pub fn set_credit(&self, credit: u32) {
        self.credit.store(credit, Ordering::Relaxed);
    }

    pub fn spend_credit(&self, orders: u32) {
        let _ = self
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(orders)));
    }

    /// The newest heartbeat that has been handled.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Ordering::Relaxed)
    }

    pub fn beat(&self, number: u64, load: u32, boot: Duration) {
        self.heartbeat.fetch_max(number, Ordering::Relaxed);
        self.load.store(load, Ordering::Relaxed);
        self.touch(boot);
    }

    pub fn touch(&self, boot: Duration) {
        self.seen.fetch_max(u64::try_from(boot.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn load_percent(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }

    /// Boot clock of the last sign of life.
    pub fn seen(&self) -> Duration {
        Duration::from_millis(self.seen.load(Ordering::Relaxed))
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub fn held(&self) -> usize {
        self.held.lock().expect("no holder panics").len()
    }

    pub fn hold(&self, attempts: impl IntoIterator<Item = AttemptRef>) {
        self.held.lock().expect("no holder panics").extend(attempts);
    }

    pub fn release<'a>(&self, attempts: impl IntoIterator<Item = &'a AttemptRef>) {
        let mut held = self.held.lock().expect("no holder panics");
        for attempt in attempts {
            held.remove(attempt);
        }
    }

    /// Counts attempts that ended, for the pace.
    pub fn finished(&self, count: u32, boot: Duration) {
        let mut pace = self.pace.lock().expect("no holder panics");
        pace.count = pace.count.saturating_add(count);
        let passed = boot.saturating_sub(pace.since);
        if passed >= Duration::from_millis(20) {
            let rate = f64::from(pace.count) / passed.as_secs_f64();
            pace.per_second =
                if passed > Duration::from_secs(1) { rate } else { pace.per_second.mul_add(0.5, rate * 0.5) };
            pace.since = boot;
            pace.count = 0;
        }
    }

    /// Orders worth sending ahead of free slots: what the agent finishes in a round trip.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    pub fn prefetch(&self, boot: Duration) -> u32 {
        let pace = self.pace.lock().expect("no holder panics");
        let idle = boot.saturating_sub(pace.since);
        if idle > Duration::from_secs(2) {
            return 0;
        }
        (pace.per_second * AHEAD).clamp(0.0, f64::from(MOST_PREFETCH)) as u32
    }

    /// Whether the plan must be announced first; marks it as announced.
    pub fn must_announce(&self, plan: Digest) -> bool {
        self.plans_sent.lock().expect("no holder panics").insert(plan)
    }

    /// Queues a message. False if the session is over; a full queue ends it.
    pub fn offer(&self, message: CoordinatorMessage) -> bool {
        if self.is_over() {
            return false;
        }
        match self.queue.try_send(message) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.over.store(true, Ordering::Relaxed);
                false
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.cut(GoodbyeCode::Other("slow".to_owned()), "the agent does not read its messages");
                false
            }
        }
    }

    /// Ends the session: the listener sends this goodbye at once, ahead of what is queued.
    pub fn cut(&self, code: GoodbyeCode, detail: impl Into<String>) {
        self.over.store(true, Ordering::Relaxed);
        let goodbye = Goodbye { code, detail: detail.into() };
        self.farewell.send_if_modified(|said| {
            let first = said.is_none();
            if first {
                *said = Some(goodbye);
            }
            first
        });
    }
}

/// What the listener holds for as long as the stream is open; dropping it ends the registration.
#[derive(Debug)]
pub struct Live {
    live: Arc<AgentLive>,
    registry: SessionRegistry,
}

impl Live {
    pub fn agent(&self) -> AgentId {
        self.live.agent
    }

    pub fn session(&self) -> u64 {
        self.live.session
    }
}

impl std::ops::Deref for Live {
    type Target = AgentLive;

    fn deref(&self) -> &AgentLive {
        &self.live
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.live.over.store(true, Ordering::Relaxed);
        self.registry.remove(&self.live);
    }
}

/// What is to be sent to one agent.
#[derive(Debug)]
pub struct Outgoing {
    queue: mpsc::Receiver<CoordinatorMessage>,
    farewell: watch::Receiver<Option<Goodbye>>,
    ended: bool,
}

impl Outgoing {
    /// The next message; after a goodbye, nothing. Cancellation-safe.
    pub async fn next(&mut self) -> Option<CoordinatorMessage> {
        if self.ended {
            return None;
        }
        let goodbye = tokio::select! {
            biased;
            said = self.farewell.wait_for(Option::is_some) => said.ok().and_then(|said| said.clone()),
            message = self.queue.recv() => {
                self.ended = message.is_none();
                return message;
            }
        };
        self.ended = true;
        goodbye.map(CoordinatorMessage::Goodbye)
    }

    /// A further message that is already waiting; for writing several at once.
    pub fn try_next(&mut self) -> Option<CoordinatorMessage> {
        if self.ended || self.farewell.borrow().is_some() { None } else { self.queue.try_recv().ok() }
    }
}

/// What a session begins with.
#[derive(Debug)]
pub struct Opened {
    pub agent: AgentId,
    pub session: u64,
    pub journal: JournalId,
    pub profile: Profile,
    pub boot: Duration,
}

/// All sessions of this node; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SessionRegistry(Arc<RwLock<HashMap<AgentId, Arc<AgentLive>>>>);

impl SessionRegistry {
    /// Adds a session; an older one of the same agent is told that it is superseded.
    pub fn register(&self, opened: Opened) -> (Live, Outgoing) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let (farewell, said) = watch::channel(None);
        let live = Arc::new(AgentLive {
            agent: opened.agent,
            session: opened.session,
            journal: opened.journal,
            profile: RwLock::new(Arc::new(opened.profile)),
            credit: AtomicU32::new(0),
            heartbeat: AtomicU64::new(0),
            load: AtomicU32::new(0),
            seen: AtomicU64::new(u64::try_from(opened.boot.as_millis()).unwrap_or(u64::MAX)),
            held: Mutex::default(),
            plans_sent: Mutex::default(),
            pace: Mutex::default(),
            queue,
            farewell,
            over: AtomicBool::new(false),
        });
        let older = self.0.write().expect("no holder panics").insert(opened.agent, Arc::clone(&live));
        if let Some(older) = older {
            older.cut(GoodbyeCode::Superseded, "the same agent has opened a newer session");
        }
        let outgoing = Outgoing { queue: receiver, farewell: said, ended: false };
        (Live { live, registry: self.clone() }, outgoing)
    }

    pub fn get(&self, agent: AgentId) -> Option<Arc<AgentLive>> {
        self.0.read().expect("no holder panics").get(&agent).filter(|live| !live.is_over()).cloned()
    }

    pub fn all(&self) -> Vec<Arc<AgentLive>> {
        let map = self.0.read().expect("no holder panics");
        map.values().filter(|live| !live.is_over()).cloned().collect()
    }

    /// Queues a message to an agent of this node; false if it has no session here.
    pub fn offer(&self, agent: AgentId, message: CoordinatorMessage) -> bool {
        self.get(agent).is_some_and(|live| live.offer(message))
    }

    pub fn cut(&self, agent: AgentId, code: GoodbyeCode, detail: &str) {
        if let Some(live) = self.get(agent) {
            live.cut(code, detail);
        }
    }

    fn remove(&self, live: &Arc<AgentLive>) {
        let mut map = self.0.write().expect("no holder panics");
        if map.get(&live.agent).is_some_and(|known| Arc::ptr_eq(known, live)) {
            map.remove(&live.agent);
        }
    }
}

//! The agent sessions that are open on this node, and the bounded queues their listeners drain.
//!
//! A cache and a set of mailboxes: everything here can be lost at any time and is made again by the next Hello.

mod queue;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use nexusmon_core::schedule::Offer;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, JournalId};
use nexusmon_shared::message::{CoordinatorMessage, Goodbye, GoodbyeCode};
use tokio::sync::watch;

pub use queue::Outgoing;
use queue::{Queue, Refused};

/// What the scheduler needs to know of a connected agent.
#[derive(Debug, Clone)]
pub struct Profile {
    pub offer: Arc<Offer>,
    pub slots: u32,
    pub prefetch: u32,
    /// Draining or paused, by the coordinator or by the machine's own admin: nothing new.
    pub closed: bool,
    /// Of the agent's row that it was made from.
    pub version: i64,
}

/// Most orders sent ahead of free slots.
pub const MOST_PREFETCH: u32 = 1024;
/// What is sent ahead keeps every slot busy for this long: about a round trip with two commits on a busy disk.
const AHEAD: Duration = Duration::from_millis(100);

/// Plans remembered as announced; then all are announced anew. An agent keeps at least twice as many.
const PLANS: usize = 10_000;

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
    /// What it was last told that flags switch off.
    flagged: Mutex<BTreeSet<Capability>>,
    /// How long an attempt runs, in nanoseconds; 0: not known yet.
    each: AtomicU64,
    queue: Queue,
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

    /// Attempts ended that ran this long together. Longer ones count at once, shorter ones little by little: what is
    /// sent ahead of a slow task waits behind it.
    pub fn worked(&self, count: u32, together: Duration) {
        let newest = u64::try_from(together.as_nanos() / u128::from(count.max(1))).unwrap_or(u64::MAX).max(1);
        let _ = self.each.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
            Some(if newest >= known { newest } else { known / 4 + newest / 4 * 3 + 1 })
        });
    }

    /// Orders worth sending ahead of free slots: what the slots get through until the next ones can be there.
    pub fn prefetch(&self, slots: u32) -> u32 {
        let each = self.each.load(Ordering::Relaxed);
        if each == 0 {
            return 0;
        }
        let ahead = u64::try_from(AHEAD.as_nanos()).unwrap_or(u64::MAX) / each * u64::from(slots);
        u32::try_from(ahead).unwrap_or(u32::MAX).min(MOST_PREFETCH)
    }

    /// Undoes [`Self::spend_credit`].
    pub fn give_back(&self, orders: u32) {
        let _ = self
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_add(orders)));
    }

    /// Whether the plan must be announced first; marks it as announced.
    pub fn must_announce(&self, plan: Digest) -> bool {
        let mut sent = self.plans_sent.lock().expect("no holder panics");
        if sent.len() >= PLANS {
            sent.clear();
        }
        sent.insert(plan)
    }

    /// Whether this is news to it; remembers that it is told.
    pub fn flagged(&self, disabled: &BTreeSet<Capability>) -> bool {
        let mut known = self.flagged.lock().expect("no holder panics");
        let news = *known != *disabled;
        if news {
            known.clone_from(disabled);
        }
        news
    }

    /// Queues a message. False if the session is over; a full queue ends it.
    pub fn offer(&self, message: CoordinatorMessage) -> bool {
        if self.is_over() {
            return false;
        }
        match self.queue.offer(message) {
            Ok(()) => true,
            Err(Refused::Closed) => {
                self.over.store(true, Ordering::Relaxed);
                false
            }
            Err(Refused::Full) => {
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
pub struct SessionRegistry {
    open: Arc<RwLock<HashMap<AgentId, Arc<AgentLive>>>>,
    bytes: Arc<AtomicUsize>,
}

impl SessionRegistry {
    /// Adds a session; an older one of the same agent is told that it is superseded.
    pub fn register(&self, opened: Opened) -> (Live, Outgoing) {
        let (farewell, said) = watch::channel(None);
        let (queue, outgoing) = queue::queue(queue::BOUNDS, &self.bytes, said);
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
            flagged: Mutex::default(),
            each: AtomicU64::new(0),
            queue,
            farewell,
            over: AtomicBool::new(false),
        });
        let older = self.open.write().expect("no holder panics").insert(opened.agent, Arc::clone(&live));
        if let Some(older) = older {
            older.cut(GoodbyeCode::Superseded, "the same agent has opened a newer session");
        }
        (Live { live, registry: self.clone() }, outgoing)
    }

    pub fn get(&self, agent: AgentId) -> Option<Arc<AgentLive>> {
        self.open.read().expect("no holder panics").get(&agent).filter(|live| !live.is_over()).cloned()
    }

    pub fn all(&self) -> Vec<Arc<AgentLive>> {
        let map = self.open.read().expect("no holder panics");
        map.values().filter(|live| !live.is_over()).cloned().collect()
    }

    /// Bytes of messages that wait for agents to read.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn count(&self) -> usize {
        self.open.read().expect("no holder panics").len()
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
        let mut map = self.open.write().expect("no holder panics");
        if map.get(&live.agent).is_some_and(|known| Arc::ptr_eq(known, live)) {
            map.remove(&live.agent);
        }
    }
}

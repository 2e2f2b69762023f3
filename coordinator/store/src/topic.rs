//! Wake-ups: hints after a commit that something may be worth a look. Losing one costs a poll, never truth.

use tokio::sync::watch;

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// Tasks became ready, or slots free: dispatch.
    Ready,
    /// A backoff, deadline or start time was set: the timer should look again.
    Timers,
    /// Agents' sessions, labels, states.
    Fleet,
    /// Missions changed state.
    Missions,
    /// Approvals, reviews, halt, flags.
    Governance,
    /// Artifacts and logs.
    Vault,
    /// Something was left for agents of other nodes.
    Notices,
}

impl Topic {
    const COUNT: usize = 7;

    pub const ALL: [Self; Self::COUNT] = [
        Self::Ready,
        Self::Timers,
        Self::Fleet,
        Self::Missions,
        Self::Governance,
        Self::Vault,
        Self::Notices,
    ];

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Topics(pub(crate) u32);

impl Topics {
    /// Every topic: something may have been missed.
    pub(crate) const ALL: Self = Self((1 << Topic::COUNT) - 1);

    pub(crate) fn add(&mut self, topic: Topic) {
        self.0 |= topic.bit();
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Topic> {
        Topic::ALL.into_iter().filter(move |topic| self.0 & topic.bit() != 0)
    }
}

/// A counter per topic, one more for what other nodes said of it, and the newest audit sequence number.
#[derive(Debug)]
pub(crate) struct Signals {
    topics: [watch::Sender<u64>; Topic::COUNT],
    heard: [watch::Sender<u64>; Topic::COUNT],
    seq: watch::Sender<i64>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let counters = || std::array::from_fn(|_| watch::Sender::new(0));
        Self { topics: counters(), heard: counters(), seq: watch::Sender::new(0) }
    }

    /// Another node committed this.
    pub(crate) fn hear(&self, topics: Topics) {
        self.fire(topics);
        for topic in topics.iter() {
            self.heard[topic as usize].send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn fire(&self, topics: Topics) {
        for topic in topics.iter() {
            self.topics[topic as usize].send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn raise_seq(&self, newest: i64) {
        self.seq.send_if_modified(|seq| {
            let higher = newest > *seq;
            if higher {
                *seq = newest;
            }
            higher
        });
    }

    pub(crate) fn watch(&self, topic: Topic) -> watch::Receiver<u64> {
        self.topics[topic as usize].subscribe()
    }

    pub(crate) fn watch_heard(&self, topic: Topic) -> watch::Receiver<u64> {
        self.heard[topic as usize].subscribe()
    }

    pub(crate) fn watch_seq(&self) -> watch::Receiver<i64> {
        self.seq.subscribe()
    }

    pub(crate) fn seq(&self) -> i64 {
        *self.seq.borrow()
    }
}

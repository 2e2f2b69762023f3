//! What happens, told to whoever watches: durable events by their place in the audit trail, others as they come.
//!
//! The database is the truth: a subscriber that falls behind reads again from there, so nothing is missed.

use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;
use tokio::sync::broadcast;

/// Events held for subscribers that are slow; who falls further behind reads from the store.
const KEPT: usize = 8192;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Place in the audit trail; none for what is not kept (`task.started`, `task.progress`, `agent.online`, …).
    pub seq: Option<i64>,
    /// For example `mission.created`, `task.settled`.
    pub kind: String,
    pub actor: String,
    pub subject_kind: String,
    pub subject: String,
    pub mission: Option<MissionId>,
    pub at: Timestamp,
    pub body: Value,
    /// Places in the body (RFC 6901) of words that were erased.
    pub erased: Vec<String>,
}

/// Which events a subscriber wants.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub mission: Option<MissionId>,
    /// Kinds that begin with this, for example `task.`.
    pub kind_prefix: Option<String>,
}

impl EventFilter {
    pub fn accepts(&self, event: &Event) -> bool {
        self.mission.is_none_or(|mission| event.mission == Some(mission))
            && self.kind_prefix.as_ref().is_none_or(|prefix| event.kind.starts_with(prefix.as_str()))
    }
}

/// Where events are published; cheap to clone.
#[derive(Debug, Clone)]
pub struct EventHub(broadcast::Sender<std::sync::Arc<Event>>);

impl Default for EventHub {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl EventHub {
    /// Tells everybody who listens now; costs nothing when nobody does.
    pub fn publish(&self, event: Event) {
        if self.0.receiver_count() > 0 {
            let _ = self.0.send(std::sync::Arc::new(event));
        }
    }

    pub(crate) fn receiver(&self) -> broadcast::Receiver<std::sync::Arc<Event>> {
        self.0.subscribe()
    }

    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }
}

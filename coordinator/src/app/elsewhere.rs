//! Agents whose sessions other coordinators hold, as last read: for what people see, never for what is decided.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use nexusmon_shared::id::AgentId;
use nexusmon_shared::time::Timestamp;

/// When each was heard of last.
#[derive(Debug, Default)]
pub struct Elsewhere(RwLock<Arc<HashMap<AgentId, Timestamp>>>);

impl Elsewhere {
    pub fn get(&self, agent: AgentId) -> Option<Timestamp> {
        self.0.read().expect("no holder panics").get(&agent).copied()
    }

    pub fn set(&self, agents: HashMap<AgentId, Timestamp>) {
        *self.0.write().expect("no holder panics") = Arc::new(agents);
    }
}

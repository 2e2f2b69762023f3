//! Which agent refused which demand class, in memory; the rows are in the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use nexusmon_core::schedule::ClassId;
use nexusmon_shared::id::AgentId;

/// By agent.
#[derive(Debug, Default)]
pub struct Bars(Mutex<HashMap<AgentId, BTreeSet<ClassId>>>);

impl Bars {
    pub fn of(&self, agent: AgentId) -> BTreeSet<ClassId> {
        self.0.lock().expect("no holder panics").get(&agent).cloned().unwrap_or_default()
    }

    pub fn extend(&self, bars: impl IntoIterator<Item = (AgentId, ClassId)>) {
        let mut known = self.0.lock().expect("no holder panics");
        for (agent, class) in bars {
            known.entry(agent).or_default().insert(class);
        }
    }

    pub fn clear(&self, agent: AgentId) {
        self.0.lock().expect("no holder panics").remove(&agent);
    }
}

//! What is known of all enrolled agents, in memory: names, capabilities, labels. Read anew when the fleet changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use nexusmon_core::planning::Catalog;
use nexusmon_core::schedule::AgentView;
use nexusmon_shared::id::AgentId;

/// One reading of the fleet.
#[derive(Debug, Default)]
pub struct Fleet {
    /// Everything agents advertise, and what is built in.
    pub catalog: Catalog,
    /// Enrolled, not revoked.
    pub by_name: BTreeMap<String, AgentId>,
    pub names: HashMap<AgentId, String>,
    /// Agents that may speak.
    pub admitted: std::collections::HashSet<AgentId>,
    /// As the scheduler sees them, without what sessions add: every one is offline here.
    pub views: HashMap<AgentId, AgentView>,
}

/// The newest reading.
#[derive(Debug, Default)]
pub struct FleetCache(RwLock<Arc<Fleet>>);

impl FleetCache {
    pub fn get(&self) -> Arc<Fleet> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    pub fn set(&self, fleet: Fleet) {
        *self.0.write().expect("no holder panics") = Arc::new(fleet);
    }
}

//! How each plugin stands, and what follows from it: the manifests advertised, the list the machine's admin reads.
//!
//! Knows nothing of processes: keepers post, whoever executes waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nexusmon_shared::capability::Capability;
use nexusmon_shared::manifest::Manifest;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Profile;
use tokio::sync::watch;

use super::instance::Instance;
use super::manifest::Admitted;

/// All plugins together may not fill a message to the coordinator.
const MOST_MANIFEST_BYTES: usize = 768 * 1024;

/// How one plugin stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// For the first time since its folder changed.
    Starting,
    Ready(Arc<Instance>),
    /// Comes back by itself; what it offered stays offered.
    Restarting {
        offered: Option<Arc<Admitted>>,
        reason: String,
    },
    Refused(String),
    Quarantined(String),
    /// Its folder changed or went, or the agent stops.
    Gone,
}

/// A plugin as the machine's admin sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PluginState {
    pub name: String,
    pub state: State,
    /// Why it is not offered, or why it restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub capabilities: Vec<OfferedCapability>,
}

/// One capability with its rank floor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OfferedCapability {
    pub name: Capability,
    pub risk_level: Rank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Starting,
    Offered,
    Restarting,
    Refused,
    Quarantined,
    /// No agent runs that could have started it.
    Unknown,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Offered => "offered",
            Self::Restarting => "restarting",
            Self::Refused => "refused",
            Self::Quarantined => "quarantined",
            Self::Unknown => "unknown",
        }
    }
}

/// See the module; shared by all of the host.
#[derive(Debug)]
pub(super) struct Board {
    built_in: Vec<Manifest>,
    plugins: Mutex<BTreeMap<String, Posted>>,
    manifests: watch::Sender<Arc<Vec<Manifest>>>,
    states: watch::Sender<Arc<Vec<PluginState>>>,
}

#[derive(Debug)]
struct Posted {
    /// Of the keeper that may post.
    generation: u64,
    standing: watch::Sender<Standing>,
}

impl Board {
    pub(super) fn new(built_in: Vec<Manifest>) -> Self {
        let manifests = watch::Sender::new(Arc::new(built_in.clone()));
        Self { built_in, plugins: Mutex::default(), manifests, states: watch::Sender::new(Arc::default()) }
    }

    pub(super) fn manifests(&self) -> watch::Receiver<Arc<Vec<Manifest>>> {
        self.manifests.subscribe()
    }

    pub(super) fn states(&self) -> watch::Receiver<Arc<Vec<PluginState>>> {
        self.states.subscribe()
    }

    pub(super) fn standing(&self, plugin: &str) -> Option<watch::Receiver<Standing>> {
        let plugins = self.plugins.lock().expect("no holder panics");
        plugins.get(plugin).map(|posted| posted.standing.subscribe())
    }

    /// A keeper begins; the one before it has nothing to post any more.
    pub(super) fn begin(&self, plugin: &str, generation: u64) {
        let mut plugins = self.plugins.lock().expect("no holder panics");
        let standing = watch::Sender::new(Standing::Starting);
        if let Some(before) = plugins.insert(plugin.to_owned(), Posted { generation, standing }) {
            before.standing.send_replace(Standing::Gone);
        }
        self.publish(&plugins);
    }

    pub(super) fn post(&self, plugin: &str, generation: u64, standing: Standing) {
        let plugins = self.plugins.lock().expect("no holder panics");
        let Some(posted) = plugins.get(plugin).filter(|posted| posted.generation == generation) else {
            return;
        };
        posted.standing.send_replace(standing);
        self.publish(&plugins);
    }

    pub(super) fn remove(&self, plugin: &str) {
        let mut plugins = self.plugins.lock().expect("no holder panics");
        if let Some(posted) = plugins.remove(plugin) {
            posted.standing.send_replace(Standing::Gone);
        }
        self.publish(&plugins);
    }

    fn publish(&self, plugins: &BTreeMap<String, Posted>) {
        let mut manifests = self.built_in.clone();
        let mut states = Vec::new();
        let mut room = MOST_MANIFEST_BYTES;
        for (name, posted) in plugins {
            let standing = posted.standing.borrow();
            if matches!(*standing, Standing::Gone) {
                continue;
            }
            let mut state = describe(name, &standing);
            if let Some(offered) = standing.offered() {
                let size = serde_json::to_vec(&offered.manifest).map_or(usize::MAX, |json| json.len());
                match room.checked_sub(size) {
                    Some(left) => {
                        room = left;
                        manifests.push(offered.manifest.clone());
                    }
                    None => {
                        state.state = State::Refused;
                        state.reason =
                            Some("the manifests of this machine together are too large".to_owned());
                    }
                }
            }
            states.push(state);
        }
        publish_if_new(&self.manifests, manifests);
        publish_if_new(&self.states, states);
    }
}

fn publish_if_new<T: PartialEq>(sender: &watch::Sender<Arc<Vec<T>>>, value: Vec<T>) {
    sender.send_if_modified(|current| {
        let new = **current != value;
        if new {
            *current = Arc::new(value);
        }
        new
    });
}

impl Standing {
    fn offered(&self) -> Option<&Admitted> {
        match self {
            Self::Ready(instance) => Some(instance.admitted()),
            Self::Restarting { offered, .. } => offered.as_deref(),
            Self::Starting | Self::Refused(_) | Self::Quarantined(_) | Self::Gone => None,
        }
    }
}

fn describe(name: &str, standing: &Standing) -> PluginState {
    let (state, reason) = match standing {
        Standing::Starting | Standing::Gone => (State::Starting, None),
        Standing::Ready(_) => (State::Offered, None),
        Standing::Restarting { reason, .. } => (State::Restarting, Some(reason)),
        Standing::Refused(reason) => (State::Refused, Some(reason)),
        Standing::Quarantined(reason) => (State::Quarantined, Some(reason)),
    };
    let manifest = standing.offered().map(|offered| &offered.manifest);
    let capabilities = manifest.iter().flat_map(|manifest| &manifest.capabilities);
    PluginState {
        name: name.to_owned(),
        state,
        reason: reason.cloned(),
        profile: manifest.and_then(|manifest| manifest.capabilities.first()?.sandbox),
        version: manifest.map(|manifest| manifest.version.clone()),
        capabilities: capabilities
            .map(|spec| OfferedCapability { name: spec.name.clone(), risk_level: spec.risk_level })
            .collect(),
    }
}

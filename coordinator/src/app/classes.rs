//! Demand classes in memory: their numbers, and which of them have ready tasks.
//!
//! A cache of interned rows that never change, and hints; the store has the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use nexusmon_core::schedule::{ClassId, DemandClass};

/// Classes kept; beyond it the cache starts anew.
const KEPT: usize = 100_000;

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<String, ClassId>,
    by_id: HashMap<ClassId, Arc<DemandClass>>,
    /// With how often each was activated: what came after a look at the store is not taken back by it.
    active: BTreeMap<ClassId, u64>,
    activations: u64,
}

/// The cache.
#[derive(Debug, Default)]
pub struct ClassCache(Mutex<Known>);

/// The interned form of a class: canonical JSON.
pub fn key(class: &DemandClass) -> String {
    // A class is made of text, numbers and maps only, which always have a canonical form.
    nexusmon_shared::trust::canonical::to_bytes(class)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .expect("a demand class is JSON")
}

impl ClassCache {
    pub fn id(&self, key: &str) -> Option<ClassId> {
        self.0.lock().expect("no holder panics").by_key.get(key).copied()
    }

    pub fn class(&self, id: ClassId) -> Option<Arc<DemandClass>> {
        self.0.lock().expect("no holder panics").by_id.get(&id).cloned()
    }

    /// Remembers a class that is committed.
    pub fn learn(&self, id: ClassId, key: &str) {
        let Ok(class) = serde_json::from_str::<DemandClass>(key) else {
            tracing::error!(class = id.0, "a demand class in the database cannot be read");
            return;
        };
        let mut known = self.0.lock().expect("no holder panics");
        if known.by_key.len() >= KEPT {
            known.by_key.clear();
            known.by_id.clear();
        }
        known.by_key.insert(key.to_owned(), id);
        known.by_id.insert(id, Arc::new(class));
    }

    /// Classes that may have ready tasks, each with the activation that said so last.
    pub fn active(&self) -> Vec<(ClassId, u64)> {
        self.0.lock().expect("no holder panics").active.iter().map(|(id, at)| (*id, *at)).collect()
    }

    pub fn activate(&self, ids: impl IntoIterator<Item = ClassId>) {
        let mut known = self.0.lock().expect("no holder panics");
        known.activations += 1;
        let now = known.activations;
        known.active.extend(ids.into_iter().map(|id| (id, now)));
    }

    /// Takes a class off the list, unless it was activated again since `seen`.
    pub fn deactivate(&self, id: ClassId, seen: u64) {
        let mut known = self.0.lock().expect("no holder panics");
        if known.active.get(&id).is_some_and(|at| *at <= seen) {
            known.active.remove(&id);
        }
    }
}

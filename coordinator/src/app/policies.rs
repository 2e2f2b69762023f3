//! The policies in force, as this node knows them.

use std::sync::{Arc, RwLock};

use nexusmon_core::policy::PolicySet;

/// A set with its version; 0 is what is shipped.
#[derive(Debug)]
pub struct Active {
    pub version: i64,
    pub set: PolicySet,
}

/// Loaded before any listener opens.
#[derive(Debug)]
pub struct Policies(RwLock<Arc<Active>>);

impl Default for Policies {
    fn default() -> Self {
        Self(RwLock::new(Arc::new(Active { version: 0, set: PolicySet::shipped() })))
    }
}

impl Policies {
    /// One decision takes the set once, so that digest and verdict belong together.
    pub fn get(&self) -> Arc<Active> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    /// Takes in a newer set.
    pub fn learn(&self, active: Active) {
        let mut known = self.0.write().expect("no holder panics");
        if active.version > known.version {
            *known = Arc::new(active);
        }
    }
}

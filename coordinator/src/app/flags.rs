//! Capability flags and rates as this node knows them: for what agents are told and people see. What is granted is
//! decided on the rows.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use nexusmon_core::flags::Flag;
use nexusmon_core::rates::Rate;

/// What operators switched off or slowed down.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rules {
    pub flags: Vec<Flag>,
    /// By key.
    pub rates: BTreeMap<String, Rate>,
}

#[derive(Debug, Default)]
pub struct Flags(RwLock<Arc<Rules>>);

impl Flags {
    pub fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    /// False if that was known.
    pub fn learn(&self, rules: Rules) -> bool {
        let mut known = self.0.write().expect("no holder panics");
        let news = **known != rules;
        if news {
            *known = Arc::new(rules);
        }
        news
    }
}

//! The secrets there are, by name, as this node knows them: for ranking plans. What may be handed over is decided on
//! the rows.

use std::sync::{Arc, RwLock};

use nexusmon_shared::binding::Bindings;

#[derive(Debug, Default)]
pub struct Secrets(RwLock<Arc<Bindings>>);

impl Secrets {
    pub fn get(&self) -> Arc<Bindings> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    pub fn learn(&self, bindings: Bindings) {
        *self.0.write().expect("no holder panics") = Arc::new(bindings);
    }
}

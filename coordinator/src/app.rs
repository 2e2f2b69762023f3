//! What the process is made of, built once and handed to everything: configuration, clock, store, keys, sessions.
//!
//! Holds no rules; those are `service`'s and `core`'s.

use std::ops::Deref;
use std::sync::Arc;

use nexusmon_shared::time::SharedClock;

pub mod events;
pub mod randomness;
pub mod sessions;

use crate::blobs::Blobs;
use crate::config::Config;
use events::EventHub;
use nexusmon_shared::lifecycle::Lifecycle;
use randomness::Randomness;
use sessions::SessionRegistry;

/// The handle; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What [`App`] gives access to.
pub struct Parts {
    pub config: Config,
    pub clock: SharedClock,
    pub rng: Randomness,
    pub lifecycle: Lifecycle,
    pub blobs: Blobs,
    pub sessions: SessionRegistry,
    pub events: EventHub,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

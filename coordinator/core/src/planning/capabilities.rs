//! The capabilities a plan may use: the built-in ones and what agents advertise.

use std::collections::BTreeMap;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::manifest::{CapabilitySpec, Manifest};

/// A capability with who provides it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub spec: CapabilitySpec,
    /// Name and version of its plugin; `None` for built-in ones.
    pub plugin: Option<(String, String)>,
}

/// Every capability known to the fleet.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    known: BTreeMap<Capability, Known>,
}

impl Catalog {
    /// The built-in capabilities and those of `manifests`; where versions of a plugin differ the newest is taken, and
    /// plans are pinned to it.
    pub fn new<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let _ = manifests.into_iter().count();
        todo!()
    }

    pub fn get(&self, capability: &Capability) -> Option<&Known> {
        self.known.get(capability)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Capability, &Known)> {
        self.known.iter()
    }
}

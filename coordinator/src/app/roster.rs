//! The roster in force, in memory: for invites, and for saying how many persons something needs. What is decided rests on
//! the one read in the deciding unit.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use nexusmon_shared::trust::key::KeyId;
use nexusmon_shared::trust::roster::{Roster, RosterSignature, SignedRoster};

/// A roster as agents are given it.
#[derive(Debug, Clone)]
pub struct KnownRoster {
    pub roster: Arc<Roster>,
    /// Canonical JSON of the signed one.
    pub signed: Bytes,
    /// The owner key that signed it: what new agents pin.
    pub pin: KeyId,
}

impl KnownRoster {
    /// `None`: not what was stored here.
    pub fn read(signed: &str) -> Option<Self> {
        let read = SignedRoster::read(signed.as_bytes()).ok()?;
        let owner = read.roster.owner()?.1;
        let pin = read.signatures.iter().find_map(|signature| match signature {
            RosterSignature::Person { key, .. } if owner.keys.iter().any(|held| held.id() == *key) => {
                Some(*key)
            }
            _ => None,
        })?;
        Some(Self { pin, signed: Bytes::copy_from_slice(signed.as_bytes()), roster: Arc::new(read.roster) })
    }
}

/// The newest one known.
#[derive(Debug, Default)]
pub struct RosterCache(RwLock<Option<Arc<KnownRoster>>>);

impl RosterCache {
    pub fn get(&self) -> Option<Arc<KnownRoster>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if it was another one before.
    pub fn put(&self, known: Option<KnownRoster>) -> bool {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let same = place.as_ref().map(|known| &known.signed) == known.as_ref().map(|known| &known.signed);
        *place = known.map(Arc::new);
        !same
    }
}

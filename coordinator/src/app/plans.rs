//! Plans in memory, so that an order's proof costs a few hashes and no read: bounded by leaves, oldest use first out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::trust::merkle::Tree;

/// Leaves held over all plans; about 70 bytes each.
const KEPT_LEAVES: usize = 500_000;

/// What an order needs of its plan.
#[derive(Debug)]
pub struct SealedPlan {
    pub digest: Digest,
    /// Canonical JSON.
    pub header: Bytes,
    pub tasks_root: Digest,
    pub tree: Tree,
}

#[derive(Debug, Default)]
struct Kept {
    plans: HashMap<Digest, (u64, Arc<SealedPlan>)>,
    leaves: usize,
    clock: u64,
}

/// The cache.
#[derive(Debug, Default)]
pub struct PlanCache(Mutex<Kept>);

impl PlanCache {
    pub fn get(&self, digest: &Digest) -> Option<Arc<SealedPlan>> {
        let mut kept = self.0.lock().expect("no holder panics");
        kept.clock += 1;
        let now = kept.clock;
        let (used, plan) = kept.plans.get_mut(digest)?;
        *used = now;
        Some(Arc::clone(plan))
    }

    pub fn insert(&self, plan: Arc<SealedPlan>) {
        let mut kept = self.0.lock().expect("no holder panics");
        kept.clock += 1;
        let now = kept.clock;
        kept.leaves += plan.tree.len();
        if let Some((_, old)) = kept.plans.insert(plan.digest, (now, plan)) {
            kept.leaves -= old.tree.len();
        }
        if kept.leaves <= KEPT_LEAVES {
            return;
        }
        // Frees a quarter at once, so that the sort is paid for rarely.
        let mut by_age: Vec<_> = kept.plans.iter().map(|(digest, (used, _))| (*used, *digest)).collect();
        by_age.sort_unstable();
        for (_, digest) in by_age {
            if kept.leaves <= KEPT_LEAVES / 4 * 3 || kept.plans.len() == 1 {
                break;
            }
            if let Some((_, old)) = kept.plans.remove(&digest) {
                kept.leaves -= old.tree.len();
            }
        }
    }
}

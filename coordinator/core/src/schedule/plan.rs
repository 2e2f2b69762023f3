//! The greedy assignment.

use super::{SchedulePlan, Snapshot};

/// Decides grants and reasons. Deterministic; greedy in candidate order; each task goes to the fitting agent with the
/// most free slots (ties by id).
pub fn plan(snapshot: &Snapshot) -> SchedulePlan {
    let _ = snapshot;
    todo!()
}

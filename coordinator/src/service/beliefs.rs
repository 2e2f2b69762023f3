//! Outcomes by (capability, plugin version, agent), and failures by cause: counted with the settlement itself. Beside them
//! what people and the system assert, with what it rests on.

mod asserted;
mod evidence;
mod observed;

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_core::schedule::ClassId;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{CauseCount, TrustCount, Tx};

use super::unit::Unit;
use crate::error::Result;

pub use nexusmon_store::BeliefState;

pub use asserted::{
    AssertedBelief, BeliefDetail, NewBelief, Revision, RevisionView, assert, beliefs, get, revise,
};
pub(super) use asserted::{assert_unasked, contradict_unasked};
pub use evidence::Evidence;
pub use observed::{Cache, ObservedBelief, observed, refresh};

/// A count of rows, which is never negative.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

/// Microseconds of a day.
const DAY: i64 = 24 * 3600 * 1_000_000;

/// Days since the epoch.
pub(super) const fn day(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY)
}

/// A day by its date: `2026-11-23`, UTC.
pub(super) fn date(day: i64) -> String {
    let at = Timestamp::from_micros(day.saturating_mul(DAY)).to_string();
    at.split('T').next().unwrap_or_default().to_owned()
}

/// What a plan counts under that nobody approved in time: it has no capability of its own.
pub(super) fn whole_plan() -> Capability {
    "core.approval".parse().expect("a constant name")
}

/// An attempt that came out one way or the other.
pub(super) struct Attempted {
    pub class: Option<ClassId>,
    pub agent: AgentId,
    pub succeeded: bool,
    /// How long it took, where it succeeded and says so.
    pub duration: Option<Duration>,
}

/// Counts a batch of outcomes.
pub(super) async fn record(unit: &mut Unit<'_>, outcomes: &[Attempted]) -> Result<()> {
    let mut trust = Vec::with_capacity(outcomes.len());
    for one in outcomes {
        let Some(class) = one.class else { continue };
        let (_, class) = super::classes::by_id(unit, class).await?;
        let took = one.duration.map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        trust.push(TrustCount {
            capability: class.capability.clone(),
            plugin_version: class.plugin.clone().unwrap_or_else(|| "built-in".to_owned()),
            agent: one.agent,
            successes: i64::from(one.succeeded),
            failures: i64::from(!one.succeeded),
            timed: i64::from(took.is_some()),
            duration_ms_sum: took.unwrap_or(0),
        });
    }
    if !trust.is_empty() {
        unit.tx.add_trust(&trust).await?;
    }
    Ok(())
}

/// Counts failures by cause.
pub(super) async fn count_causes(tx: &mut Tx, now: Timestamp, causes: &[(Cause, Capability)]) -> Result<()> {
    let mut counts = BTreeMap::<(&'static str, Capability), i64>::new();
    for (cause, capability) in causes {
        *counts.entry((cause.kind(), capability.clone())).or_default() += 1;
    }
    let day = day(now);
    let counts: Vec<_> = counts
        .into_iter()
        .map(|((cause, capability), count)| CauseCount { day, cause: cause.to_owned(), capability, count })
        .collect();
    if !counts.is_empty() {
        tx.add_causes(&counts).await?;
    }
    Ok(())
}

//! Outcomes by (capability, plugin version, agent), and failures by cause: counted with the settlement itself. Beside them
//! what people and the system assert, with what it rests on.

mod asserted;
mod observed;

use std::collections::BTreeMap;

use nexusmon_core::schedule::ClassId;
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{CauseCount, TrustCount};

use super::unit::Unit;
use crate::error::Result;

pub use nexusmon_store::BeliefState;

pub use asserted::{
    AssertedBelief, BeliefDetail, Evidence, NewBelief, Revision, RevisionView, assert, beliefs, get, revise,
};
pub(super) use asserted::{assert_unasked, contradict_unasked};
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

/// Counts a batch of outcomes: `(class, agent, succeeded)`, and the causes of failures.
pub(super) async fn record(
    unit: &mut Unit<'_>,
    outcomes: &[(Option<ClassId>, AgentId, bool)],
    causes: &[(Cause, Capability)],
) -> Result<()> {
    let mut trust = BTreeMap::<(Capability, String, AgentId), (i64, i64)>::new();
    for (class, agent, succeeded) in outcomes {
        let Some(class) = class else { continue };
        let (_, class) = super::classes::by_id(unit, *class).await?;
        let version = class.plugin.clone().unwrap_or_else(|| "built-in".to_owned());
        let counts = trust.entry((class.capability.clone(), version, *agent)).or_default();
        counts.0 += i64::from(*succeeded);
        counts.1 += i64::from(!*succeeded);
    }
    let trust: Vec<_> = trust
        .into_iter()
        .map(|((capability, plugin_version, agent), (successes, failures))| TrustCount {
            capability,
            plugin_version,
            agent,
            successes,
            failures,
        })
        .collect();
    if !trust.is_empty() {
        unit.tx.add_trust(&trust).await?;
    }
    let mut counts = BTreeMap::<(&'static str, Capability), i64>::new();
    for (cause, capability) in causes {
        *counts.entry((cause.kind(), capability.clone())).or_default() += 1;
    }
    let day = day(unit.now);
    let counts: Vec<_> = counts
        .into_iter()
        .map(|((cause, capability), count)| CauseCount { day, cause: cause.to_owned(), capability, count })
        .collect();
    if !counts.is_empty() {
        unit.tx.add_causes(&counts).await?;
    }
    Ok(())
}

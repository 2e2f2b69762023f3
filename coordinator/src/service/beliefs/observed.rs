//! Observed beliefs at work: which agents the scheduler prefers for what (`BELIEF_TRACK`), and how far predictions may be
//! trusted, for gates. Looked up in the background; the hot path reads memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nexusmon_core::beliefs::Beta;
use nexusmon_core::evolution::Trait;
use nexusmon_core::policy::Foresight;
use nexusmon_core::prediction::score;
use nexusmon_core::schedule::{AgentView, ClassId, DemandClass};
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::time::Timestamp;
use serde_json::json;

use super::super::cognition::outcome;
use super::super::evolution;
use super::super::unit::{SYSTEM, Unit};
use super::count;
use crate::app::App;
use crate::error::Result;

/// What the last change of use is kept under.
const IN_USE: &str = "beliefs.in_use";
/// Predictions are scored this far back, and so many of them.
const SCORED: Duration = Duration::from_hours(30 * 24);
const MOST_SCORED: u32 = 2_000;

/// Counts by capability, plugin version and agent.
type Counts = HashMap<(Capability, AgentId), BTreeMap<String, Beta>>;

#[derive(Debug, Default)]
struct Known {
    /// `BELIEF_TRACK` is held.
    tracking: bool,
    counts: Arc<Counts>,
    foresight: Foresight,
    /// Up to where the ledger was folded, and when.
    folded: Option<(i64, Timestamp)>,
}

/// What is believed, in memory.
#[derive(Debug, Default)]
pub struct Cache(RwLock<Known>);

impl Cache {
    pub fn tracking(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).tracking
    }

    /// How far predictions have come true, without that of one plan.
    pub(in crate::service) fn foresight(&self) -> Foresight {
        self.0.read().unwrap_or_else(PoisonError::into_inner).foresight
    }

    /// For each class the bands of those agents whose record speaks against them; empty without `BELIEF_TRACK`.
    pub(in crate::service) fn bands(
        &self,
        classes: &BTreeMap<ClassId, Arc<DemandClass>>,
        agents: &[AgentView],
    ) -> BTreeMap<ClassId, BTreeMap<AgentId, u8>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if !known.tracking {
            return BTreeMap::new();
        }
        let counts = Arc::clone(&known.counts);
        drop(known);
        let mut bands = BTreeMap::new();
        for (id, class) in classes {
            let of_class: BTreeMap<AgentId, u8> = agents
                .iter()
                .filter_map(|agent| {
                    let versions = counts.get(&(class.capability.clone(), agent.id))?;
                    // As outcomes are counted.
                    let record = versions.get(class.plugin.as_deref().unwrap_or("built-in"))?;
                    (record.band() < Beta::BEST_BAND).then_some((agent.id, record.band()))
                })
                .collect();
            if !of_class.is_empty() {
                bands.insert(*id, of_class);
            }
        }
        bands
    }
}

/// One activation; idempotent. Whether beliefs are used, and what they are, as the records say now.
pub async fn refresh(app: &App) -> Result<()> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let newest = read.newest_ledger().await?;
    let folded = app.beliefs.0.read().unwrap_or_else(PoisonError::into_inner).folded;
    // A grant ends, a suspension ends: without any entry.
    let stale = folded.is_none_or(|(number, at)| number != newest || now.since(at) >= Duration::from_mins(1));
    let tracking = if stale {
        evolution::may(app, &mut read, Trait::BeliefTrack, now).await?
    } else {
        app.beliefs.tracking()
    };
    let mut counts = Counts::new();
    if tracking {
        for row in read.trust_counts().await? {
            let record = Beta { successes: count(row.successes), failures: count(row.failures) };
            counts.entry((row.capability, row.agent)).or_default().insert(row.plugin_version, record);
        }
    }
    let foresight = if stale { Some(foresight(&mut read, now).await?) } else { None };
    let said = read.setting(IN_USE).await?.is_some_and(|row| row.value == "true");
    drop(read);
    {
        let mut known = app.beliefs.0.write().unwrap_or_else(PoisonError::into_inner);
        known.tracking = tracking;
        known.counts = Arc::new(counts);
        if let Some(foresight) = foresight {
            known.foresight = foresight;
            known.folded = Some((newest, now));
        }
    }
    if said != tracking {
        app.store.on_duty("beliefs", note(app, tracking)).await?.transpose()?;
    }
    Ok(())
}

async fn foresight(read: &mut nexusmon_store::Connection, now: Timestamp) -> Result<Foresight> {
    let scored = read.scored_predictions(now - SCORED, MOST_SCORED).await?;
    let outcomes: Vec<_> = scored.iter().filter_map(outcome).collect();
    let score = score(&outcomes);
    Ok(Foresight::of(score.count, score.brier))
}

/// The scheduler begins or ceases to use beliefs: written down once, by one node.
async fn note(app: &App, tracking: bool) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write("beliefs.in_use", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let said = unit.tx.setting(IN_USE).await?.is_some_and(|row| row.value == "true");
                if said != tracking {
                    let now = unit.now;
                    unit.tx.put_setting(IN_USE, &tracking.to_string(), now).await?;
                    let action = if tracking { "beliefs.in_use" } else { "beliefs.out_of_use" };
                    let body = json!({"trait": Trait::BeliefTrack.name(), "by": "scheduler"});
                    unit.audit(SYSTEM, action, ("organism", app.organism.to_string()), None, body);
                }
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// An observed belief, and what the scheduler makes of it.
#[derive(Debug, Clone)]
pub struct ObservedBelief {
    pub capability: String,
    pub plugin_version: String,
    pub agent: AgentId,
    /// Its name, where it is still enrolled.
    pub agent_name: Option<String>,
    pub successes: u64,
    pub failures: u64,
    /// Mean and standard deviation of Beta(successes + 1, failures + 1).
    pub mean: f64,
    pub deviation: f64,
    /// 0 (worst) to 3; agents of a higher band are preferred.
    pub band: u8,
    /// `none` where `BELIEF_TRACK` is not held, else `level`, or `after_others` where another agent's record is better.
    pub effect: &'static str,
}

/// Every observed belief, by capability.
pub async fn observed(app: &App) -> Result<Vec<ObservedBelief>> {
    let names = app.fleet.get();
    let rows = app.store.read().await?.trust_counts().await?;
    let tracking = app.beliefs.tracking();
    let mut best: BTreeMap<Capability, u8> = BTreeMap::new();
    for row in &rows {
        let record = Beta { successes: count(row.successes), failures: count(row.failures) };
        let held = best.entry(row.capability.clone()).or_default();
        *held = (*held).max(record.band());
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let record = Beta { successes: count(row.successes), failures: count(row.failures) };
            let band = record.band();
            let effect = match (tracking, best.get(&row.capability)) {
                (false, _) => "none",
                (true, Some(best)) if band < *best => "after_others",
                _ => "level",
            };
            ObservedBelief {
                capability: row.capability.to_string(),
                plugin_version: row.plugin_version,
                agent: row.agent,
                agent_name: names.names.get(&row.agent).cloned(),
                successes: record.successes,
                failures: record.failures,
                mean: record.mean(),
                deviation: record.deviation(),
                band,
                effect,
            }
        })
        .collect())
}

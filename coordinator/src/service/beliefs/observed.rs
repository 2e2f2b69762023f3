//! Observed beliefs at work: which agents the scheduler prefers for what (`BELIEF_TRACK`), and how far predictions may be
//! trusted, for gates. Looked up in the background; the hot path reads memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nexusmon_core::beliefs::Beta;
use nexusmon_core::evolution::Trait;
use nexusmon_core::policy::Foresight;
use nexusmon_core::prediction::score;
use nexusmon_core::schedule::{AgentView, Availability, ClassId, DemandClass};
use nexusmon_shared::capability::Capability;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::TrustCount;
use serde_json::json;

use super::super::cognition::outcome;
use super::super::evolution;
use super::super::unit::{SYSTEM, Unit};
use super::count;
use crate::app::App;
use crate::app::fleet::Fleet;
use crate::error::Result;

/// What the last change of use is kept under.
const IN_USE: &str = "beliefs.in_use";
/// Predictions are scored this far back, and so many of them.
const SCORED: Duration = Duration::from_hours(30 * 24);
const MOST_SCORED: u32 = 2_000;
/// What other coordinators settled is asked for this long again, for their units take their time; the first time so far
/// back.
const OVERLAP: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_hours(1);
/// Shapes that are learned of at once.
const MOST_SHAPES: u32 = 5_000;

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
    /// When others were last heard of.
    heard: Option<Timestamp>,
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
                    let record = versions.get(class.plugin.as_deref().unwrap_or(BUILT_IN))?;
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
    let (folded, heard) = {
        let known = app.beliefs.0.read().unwrap_or_else(PoisonError::into_inner);
        (known.folded, known.heard)
    };
    // A grant ends, a suspension ends: without any entry.
    let stale = folded.is_none_or(|(number, at)| number != newest || now.since(at) >= Duration::from_mins(1));
    let tracking = if stale {
        evolution::may(app, &mut read, Trait::BeliefTrack, now).await?
    } else {
        app.beliefs.tracking()
    };
    // A node of its own has moved its memory along with everything that is counted.
    let shared = !app.store.is_single_node();
    let trust = if tracking || shared { read.trust_counts().await? } else { Vec::new() };
    if shared {
        let since = heard.map_or(now - FIRST, |heard| heard - OVERLAP);
        let shapes = read.shape_records_since(since, MOST_SHAPES).await?;
        app.history.learn(&trust, &shapes);
    }
    let mut counts = Counts::new();
    if tracking {
        for row in trust {
            let record = beta(&row);
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
        known.heard = Some(now);
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
    /// `none` where `BELIEF_TRACK` is not held or the agent gets no such work now (it is not connected, or offers another
    /// version); else `level`, or `after_others` where an agent that it is compared with has a better record.
    pub effect: &'static str,
}

/// What a class counts under whose plan pins no plugin.
const BUILT_IN: &str = "built-in";

/// Agents as the scheduler compares them: those that offer a capability in one version at one coordinator. The best band
/// of each such group; whoever has no record yet is in the best there is.
fn best<'a>(
    rows: &'a [TrustCount],
    fleet: &Fleet,
    nodes: &'a HashMap<AgentId, String>,
) -> HashMap<(&'a Capability, &'a str, &'a str), u8> {
    let bands: HashMap<_, _> = rows
        .iter()
        .map(|row| ((&row.capability, row.plugin_version.as_str(), row.agent), beta(row).band()))
        .collect();
    let kinds: BTreeSet<_> = rows.iter().map(|row| (&row.capability, row.plugin_version.as_str())).collect();
    let mut best = HashMap::new();
    for (capability, version) in kinds {
        for (agent, node) in nodes.iter().filter(|(agent, _)| offers(fleet, **agent, capability, version)) {
            let band = bands.get(&(capability, version, *agent)).copied().unwrap_or(Beta::BEST_BAND);
            let held = best.entry((capability, version, node.as_str())).or_insert(0);
            *held = band.max(*held);
        }
    }
    best
}

fn offers(fleet: &Fleet, agent: AgentId, capability: &Capability, version: &str) -> bool {
    // All are offline in this view but those that would get nothing anyway.
    let view = fleet.views.get(&agent).filter(|view| view.availability == Availability::Offline);
    let offered = view.and_then(|view| view.offer.capabilities.get(capability));
    offered.is_some_and(|offered| version == BUILT_IN || version == offered)
}

fn beta(row: &TrustCount) -> Beta {
    Beta { successes: count(row.successes), failures: count(row.failures) }
}

/// Every observed belief, by capability.
pub async fn observed(app: &App) -> Result<Vec<ObservedBelief>> {
    let fleet = app.fleet.get();
    let mut read = app.store.read().await?;
    let rows = read.trust_counts().await?;
    let sessions = read.agent_sessions().await?;
    drop(read);
    let nodes: HashMap<AgentId, String> =
        sessions.into_iter().filter(|one| one.connected).map(|one| (one.agent, one.node)).collect();
    let best = best(&rows, &fleet, &nodes);
    let tracking = app.beliefs.tracking();
    Ok(rows
        .iter()
        .map(|row| {
            let record = beta(row);
            let band = record.band();
            let compared = nodes
                .get(&row.agent)
                .filter(|_| tracking && offers(&fleet, row.agent, &row.capability, &row.plugin_version))
                .and_then(|node| best.get(&(&row.capability, row.plugin_version.as_str(), node.as_str())));
            let effect = match compared {
                None => "none",
                Some(best) if band < *best => "after_others",
                Some(_) => "level",
            };
            ObservedBelief {
                capability: row.capability.to_string(),
                plugin_version: row.plugin_version.clone(),
                agent: row.agent,
                agent_name: fleet.names.get(&row.agent).cloned(),
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

//! Evolution: the ledger of verified work, the stage that follows from it, and the state of the whole organism.

mod judge;
mod known;
mod status;
mod traits;
mod uses;

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_core::evolution::{Entry, Organism, Stage, Trait, TraitState};
use nexusmon_shared::id::{MissionId, OrganismId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::LedgerRow;
use serde_json::{Value, json};

use super::audit::AuditView;
use super::{Page, PageRequest};
use crate::app::App;
use crate::error::{Error, Result};

pub use judge::{DUTY, settle};
pub(super) use judge::{judge_soon, left_something, take_back};
pub(crate) use known::Ledger;
pub(super) use known::organism;
pub use status::organism_status;
pub use traits::{TraitChange, change_trait};
pub(super) use traits::{carry_out, may};
pub use uses::watch;
pub(super) use uses::{Use, rejected, suspend, used};

#[derive(Debug, Clone)]
pub struct LedgerEntry {
    /// Place in the ledger.
    pub seq: i64,
    pub at: Timestamp,
    /// `verified`, `taken_back`.
    pub kind: String,
    /// None for entries about a trait.
    pub mission: Option<MissionId>,
    pub rank: Option<Rank>,
    /// Negative when taken back.
    pub xp: i64,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub struct StageView {
    /// `DORMANT`, `AWAKENING`, `FORGING`, `SOVEREIGN`, `APEX`.
    pub name: String,
    /// Verified missions it takes.
    pub at: u64,
    pub reached: bool,
    pub unlocks: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct TraitView {
    pub name: String,
    /// `locked`, `earned`, `suspended`, `disabled`, `granted`.
    pub state: String,
    /// What the state rests on.
    pub evidence: Value,
    pub unlocked_by: String,
}

#[derive(Debug, Clone)]
pub struct EvolutionView {
    pub stage: String,
    pub xp: i64,
    pub verified_missions: u64,
    pub next_stage: Option<StageView>,
    pub missions_to_next: Option<u64>,
    pub tree: Vec<StageView>,
    pub traits: Vec<TraitView>,
    pub ledger: Page<LedgerEntry>,
}

#[derive(Debug, Clone)]
pub struct OrganismStatus {
    pub organism: OrganismId,
    pub name: &'static str,
    pub version: &'static str,
    pub uptime: Duration,
    pub stage: String,
    pub xp: i64,
    pub verified_missions: u64,
    pub next_stage: Option<StageView>,
    pub missions_to_next: Option<u64>,
    pub traits: Vec<TraitView>,
    /// What waits for the operator: approvals, reviews, uncertain tasks, missions without a plan.
    pub operator_load: BTreeMap<String, u64>,
    /// Slots: total, busy, free.
    pub workers: BTreeMap<String, u64>,
    /// Agents by state and presence.
    pub fleet: BTreeMap<String, u64>,
    pub missions: BTreeMap<String, u64>,
    pub recent_events: Vec<AuditView>,
}

pub async fn evolution(app: &App, page: PageRequest) -> Result<EvolutionView> {
    let mut read = app.store.read().await?;
    let organism = organism(app, &mut read, app.clock.now()).await?;
    let request = nexusmon_store::PageRequest { limit: page.limit()?, cursor: page.cursor };
    let rows = read.ledger_list(&request).await?;
    let items = rows.items.into_iter().map(shown).collect::<Result<_>>()?;
    let mut held = traits(&organism);
    for view in &mut held {
        let tally = match Trait::parse(&view.name) {
            Some(wanted) => uses::tally(&mut read, wanted).await?,
            None => None,
        };
        if let Some(tally) = tally {
            view.evidence["uses"] = tally;
        }
    }
    Ok(EvolutionView {
        stage: organism.stage.name().to_owned(),
        xp: points(organism.xp),
        verified_missions: organism.verified,
        next_stage: organism.next_stage.map(|next| stage(next, organism.stage)),
        missions_to_next: organism.next_stage.map(|_| organism.missions_to_next),
        tree: Stage::ALL.into_iter().map(|each| stage(each, organism.stage)).collect(),
        traits: held,
        ledger: Page { items, next_cursor: rows.next_cursor },
    })
}

fn entry(row: &LedgerRow) -> Result<Entry> {
    serde_json::from_str(&row.body).map_err(Error::internal)
}

fn shown(row: LedgerRow) -> Result<LedgerEntry> {
    let reason = match entry(&row)? {
        Entry::Verified { .. } => "verified completion".to_owned(),
        Entry::TakenBack { reason, .. } => reason,
        Entry::Suspended { r#trait, evidence } => format!("{}: {evidence}", r#trait.name()),
        Entry::Disabled { r#trait, by } => format!("{} disabled by {by}", r#trait.name()),
        Entry::Enabled { r#trait, by } => format!("{} enabled by {by}", r#trait.name()),
        Entry::Granted { r#trait, by, until } => format!("{} granted by {by} until {until}", r#trait.name()),
    };
    let LedgerRow { number, kind, mission, rank, xp, at, .. } = row;
    Ok(LedgerEntry { seq: number, at, kind, mission, rank, xp, reason })
}

fn stage(each: Stage, reached: Stage) -> StageView {
    let unlocks = Trait::ALL.into_iter().filter(|held| held.stage() == each);
    StageView {
        name: each.name().to_owned(),
        at: each.threshold(),
        reached: each <= reached,
        unlocks: unlocks.map(|held| held.name().to_owned()).collect(),
    }
}

fn traits(organism: &Organism) -> Vec<TraitView> {
    organism
        .traits
        .iter()
        .map(|held| {
            let (state, mut evidence) = match &held.state {
                TraitState::Locked => ("locked", json!({})),
                TraitState::Earned => ("earned", json!({})),
                TraitState::Suspended { because, until, xp_needed } => {
                    ("suspended", json!({"because": because, "until": until, "xp_needed": xp_needed}))
                }
                TraitState::Disabled { by } => ("disabled", json!({"by": by})),
                TraitState::Granted { by, until } => ("granted", json!({"by": by, "until": until})),
            };
            evidence["text"] = Value::String(held.evidence.clone());
            TraitView {
                name: held.name.name().to_owned(),
                state: state.to_owned(),
                evidence,
                unlocked_by: held.stage.name().to_owned(),
            }
        })
        .collect()
}

fn points(xp: u64) -> i64 {
    i64::try_from(xp).unwrap_or(i64::MAX)
}

//! Evolution: the ledger of verified work, the stage that follows from it, and the state of the whole organism.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_shared::id::{MissionId, OrganismId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::audit::AuditView;
use super::{Page, PageRequest};
use crate::app::App;
use crate::error::Result;

#[derive(Debug, Clone)]
pub struct LedgerEntry {
    /// Of the audit trail.
    pub seq: i64,
    pub at: Timestamp,
    /// `verified`, `taken_back`.
    pub kind: String,
    pub mission: MissionId,
    pub rank: Rank,
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
    let _ = (app, page);
    todo!()
}

pub async fn organism_status(app: &App) -> Result<OrganismStatus> {
    let _ = app;
    todo!()
}

/// Awards what has become verified with time (A and S a day after, unrejected); an idempotent activation.
pub async fn settle(app: &App) -> Result<usize> {
    let _ = app;
    todo!()
}

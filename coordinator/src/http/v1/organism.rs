//! `/v1/nexusmon`: the state of the whole, and how it came to be.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::audit::AuditEntry;
use super::shape::{self, seconds, time};
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Page, Query, page};
use crate::service::evolution as service;

/// The organism as it is now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct OrganismStatus {
    id: String,
    name: &'static str,
    version: &'static str,
    uptime_seconds: f64,
    /// `dormant`, `awakening`, `forging`, `sovereign`, `apex`.
    stage: String,
    xp: i64,
    verified_missions: u64,
    next_stage: Option<NextStage>,
    traits: Vec<Trait>,
    /// What waits for the operator, by kind.
    operator_load: BTreeMap<String, u64>,
    /// Slots by use.
    workers: BTreeMap<String, u64>,
    /// Agents by state and presence.
    fleet: BTreeMap<String, u64>,
    /// Missions by status.
    missions: BTreeMap<String, u64>,
    recent_events: Vec<AuditEntry>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NextStage {
    stage: String,
    /// Verified missions it takes.
    at: u64,
    /// So far.
    verified_missions: u64,
    missing: u64,
    unlocks: Vec<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Stage {
    stage: String,
    /// Verified missions it takes.
    at: u64,
    reached: bool,
    unlocks: Vec<String>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Trait {
    r#trait: String,
    /// `locked`, `earned`, `suspended`, `disabled`, `granted`.
    state: String,
    /// What the state rests on.
    #[schema(value_type = Option<Object>)]
    evidence: Value,
    /// The stage that unlocks it.
    unlocked_by: String,
}

/// Stages and traits are enums, so lower-case here.
fn word(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn words(names: &[String]) -> Vec<String> {
    names.iter().map(|name| word(name)).collect()
}

impl From<service::TraitView> for Trait {
    fn from(view: service::TraitView) -> Self {
        let service::TraitView { name, state, evidence, unlocked_by } = view;
        Self { r#trait: word(&name), state, evidence, unlocked_by: word(&unlocked_by) }
    }
}

impl From<service::StageView> for Stage {
    fn from(view: service::StageView) -> Self {
        let service::StageView { name, at, reached, unlocks } = view;
        Self { stage: word(&name), at, reached, unlocks: words(&unlocks) }
    }
}

fn next_stage(next: Option<service::StageView>, verified: u64, missing: Option<u64>) -> Option<NextStage> {
    next.map(|service::StageView { name, at, reached: _, unlocks }| NextStage {
        stage: word(&name),
        at,
        verified_missions: verified,
        missing: missing.unwrap_or_else(|| at.saturating_sub(verified)),
        unlocks: words(&unlocks),
    })
}

/// The state of the whole
#[utoipa::path(
    get, path = "/v1/nexusmon/organism/status", tag = "nexusmon", operation_id = "organism_status",
    responses((status = 200, body = OrganismStatus)),
)]
pub(in crate::http) async fn status(State(web): State<Web>) -> Result<Answer<OrganismStatus>, Problem> {
    let service::OrganismStatus {
        organism,
        name,
        version,
        uptime,
        stage,
        xp,
        verified_missions,
        next_stage: next,
        missions_to_next,
        traits,
        operator_load,
        workers,
        fleet,
        missions,
        recent_events,
    } = service::organism_status(&web.app).await?;
    Ok(Answer(OrganismStatus {
        id: organism.to_string(),
        name,
        version,
        uptime_seconds: seconds(uptime),
        stage: word(&stage),
        xp,
        verified_missions,
        next_stage: next_stage(next, verified_missions, missions_to_next),
        traits: traits.into_iter().map(Into::into).collect(),
        operator_load,
        workers,
        fleet,
        missions,
        recent_events: recent_events.into_iter().map(Into::into).collect(),
    }))
}

/// How the organism grew.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Evolution {
    stage: String,
    xp: i64,
    verified_missions: u64,
    next_stage: Option<NextStage>,
    tree: Vec<Stage>,
    traits: Vec<Trait>,
    ledger: Page<LedgerEntry>,
}

/// One change of XP.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LedgerEntry {
    /// Of the audit trail.
    seq: i64,
    at: String,
    /// `verified`, `taken_back`.
    kind: String,
    mission: Option<String>,
    #[schema(value_type = Option<shape::Rank>)]
    rank: Option<nexusmon_shared::rank::Rank>,
    /// Negative when taken back.
    xp: i64,
    reason: String,
}

impl From<service::LedgerEntry> for LedgerEntry {
    fn from(entry: service::LedgerEntry) -> Self {
        let service::LedgerEntry { seq, at, kind, mission, rank, xp, reason } = entry;
        let mission = mission.map(|id| id.to_string());
        Self { seq, at: time(at), kind, mission, rank, xp, reason }
    }
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct LedgerListing {
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Stage, traits, and the ledger they follow from
#[utoipa::path(
    get, path = "/v1/nexusmon/evolution", tag = "nexusmon", params(LedgerListing),
    responses((status = 200, body = Evolution)),
)]
pub(in crate::http) async fn evolution(
    State(web): State<Web>,
    Query(LedgerListing { limit, cursor }): Query<LedgerListing>,
) -> Result<Answer<Evolution>, Problem> {
    let service::EvolutionView {
        stage,
        xp,
        verified_missions,
        next_stage: next,
        missions_to_next,
        tree,
        traits,
        ledger,
    } = service::evolution(&web.app, page(limit, cursor)?).await?;
    Ok(Answer(Evolution {
        stage: word(&stage),
        xp,
        verified_missions,
        next_stage: next_stage(next, verified_missions, missions_to_next),
        tree: tree.into_iter().map(Into::into).collect(),
        traits: traits.into_iter().map(Into::into).collect(),
        ledger: Page::of(ledger),
    }))
}

#[derive(Debug, Clone, Copy, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum TraitAction {
    Disable,
    /// Undoes `disable`.
    Reinstate,
    /// Until `until`, whether it is earned or not.
    Grant,
}

/// The operator's word on a trait.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TraitWish {
    action: TraitAction,
    /// Of `grant`: at most 366 days ahead.
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Why; goes into the audit log. Needed for `grant`.
    comment: Option<String>,
}

/// A trait after the operator's word.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TraitAnswer {
    r#trait: Trait,
    /// The approval that the grant waits for.
    pending_approval: Option<String>,
}

/// Disable, reinstate or grant a trait
///
/// A grant is a rank A act. Where there is a roster it is only asked for (202): `pending_approval` waits for those who
/// sign. Else it is the owner's, after a log-in of the last five minutes.
#[utoipa::path(
    put, path = "/v1/nexusmon/traits/{trait}", tag = "nexusmon", operation_id = "trait_change",
    params(("trait" = String, Path, description = "RECALL, COMPANION, …")), request_body = TraitWish,
    responses((status = 200, body = TraitAnswer), (status = 202, body = TraitAnswer)),
)]
pub(in crate::http) async fn change_trait(
    State(web): State<Web>,
    Known(caller): Known,
    Path(name): Path<String>,
    Json(TraitWish { action, until, comment }): Json<TraitWish>,
) -> Result<(StatusCode, Answer<TraitAnswer>), Problem> {
    let change = match (action, until) {
        (TraitAction::Disable, None) => service::TraitChange::Disable,
        (TraitAction::Reinstate, None) => service::TraitChange::Reinstate,
        (TraitAction::Grant, Some(until)) => service::TraitChange::Grant { until },
        (TraitAction::Grant, None) => {
            return Err(Problem::field("/until", "required", "say until when it is granted"));
        }
        (_, Some(_)) => return Err(Problem::field("/until", "unexpected", "only a grant ends")),
    };
    let comment = comment.unwrap_or_default();
    let (held, waits) = service::change_trait(&web.app, &caller, &name, change, comment).await?;
    let status = if waits.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let pending_approval = waits.map(|id| id.to_string());
    Ok((status, Answer(TraitAnswer { r#trait: held.into(), pending_approval })))
}

//! `/v1/cognition/status`: what the organism knows about its own thinking.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use nexusmon_shared::rank::Rank;

use super::shape::{self, time};
use crate::http::Web;
use crate::http::problem::Problem;
use crate::http::query::{Query, page};
use crate::service::cognition as service;

/// Every number from real records.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CognitionStatus {
    predictions: Predictions,
    beliefs: Vec<Belief>,
    /// Failures by cause: attempts that failed or were lost, tasks the coordinator ended itself, approvals that expired.
    errors: BTreeMap<String, u64>,
    /// Predicted against actual.
    decisions: Vec<Autopsy>,
    memory: Memory,
    planner: Vec<PlannerNumbers>,
    attention: Attention,
    /// How far back predictions, errors and uses of memory are looked at; the rest is of all time.
    window_days: u64,
    /// Which records each part is computed from.
    sources: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Predictions {
    /// Within the window, as `scored`.
    made: u64,
    scored: u64,
    /// Mean squared error of the probability; lower is better, 0.25 is a coin.
    brier: Option<f64>,
    calibration: Vec<CalibrationBin>,
    /// Median of |actual - predicted| / max(actual, 1 s).
    duration_error: Option<f64>,
}

/// One tenth of the probability scale.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CalibrationBin {
    from: f64,
    to: f64,
    predictions: u64,
    mean_predicted: Option<f64>,
    /// Share that came true.
    observed: Option<f64>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Belief {
    capability: String,
    plugin_version: String,
    agent: String,
    successes: u64,
    failures: u64,
    /// 0 to 1.
    trust: f64,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Autopsy {
    mission: String,
    goal: String,
    predicted_success: f64,
    succeeded: bool,
    predicted_seconds: f64,
    actual_seconds: f64,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Memory {
    missions: u64,
    artifacts: u64,
    documents_indexed: u64,
    /// Memories by kind: `mission` (a goal with its plan, however often it ran), `artifact`, `review`.
    remembered: BTreeMap<String, u64>,
    forgotten: u64,
    /// How memory was asked within the window, by purpose.
    asked: Vec<MemoryAsked>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MemoryAsked {
    /// `planning`, `answer` (both need RECALL), `search` (by people).
    purpose: String,
    asked: u64,
    /// Questions that something was found for.
    hits: u64,
    /// Answers that something was made of.
    used: u64,
    hit_rate: Option<f64>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PlannerNumbers {
    /// `playbook`, `memory`, `model`: in the order they are asked; `companion` where a model was asked what a question means.
    kind: String,
    /// Goals it was asked about, in the last 90 days.
    asked: u64,
    planned: u64,
    /// Asked a question back.
    questions: u64,
    /// Left to the next.
    fell_through: u64,
    /// By `planned`, `asked`, `passed`, `failed`, `barred`.
    outcomes: BTreeMap<String, u64>,
    /// Of a model's endpoint.
    calls: u64,
    tokens_in: u64,
    tokens_out: u64,
    cost_usd: f64,
    /// Answered from what was asked before.
    cached: u64,
    mean_seconds: Option<f64>,
    /// Oldest first; days on which it was not asked are not listed.
    by_day: Vec<PlannerDay>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PlannerDay {
    /// `2026-11-23`, UTC.
    day: String,
    asked: u64,
    planned: u64,
    calls: u64,
    /// Read and written.
    tokens: u64,
    cost_usd: f64,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Attention {
    approvals_waiting: u64,
    reviews_waiting: u64,
    uncertain_tasks: u64,
    needs_plan: u64,
    /// Of the newest hundred decided approvals.
    mean_seconds_to_decide: Option<f64>,
    /// Approvals, of all time.
    decided: u64,
}

/// What the organism knows about its own thinking
#[utoipa::path(
    get, path = "/v1/cognition/status", tag = "cognition", operation_id = "cognition_status",
    responses((status = 200, body = CognitionStatus)),
)]
pub(in crate::http) async fn status(State(web): State<Web>) -> Result<Answer<CognitionStatus>, Problem> {
    Ok(Answer(service::status(&web.app).await?.into()))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PredictionWindow {
    /// How far back: 1 to 365, 30 if absent.
    days: Option<u32>,
    /// Outcomes one by one: 1 to 200, 50 if absent.
    limit: Option<u32>,
}

/// Predictions scored within a window.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PredictionsAtLength {
    window_days: u32,
    since: String,
    /// False where more were scored in the window than are looked at (10000).
    complete: bool,
    #[serde(flatten)]
    summary: Predictions,
    /// Newest first: predicted against actual.
    outcomes: Vec<JudgedPrediction>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct JudgedPrediction {
    mission: String,
    goal: String,
    #[schema(value_type = shape::Rank)]
    rank: Rank,
    predicted_success: f64,
    succeeded: bool,
    /// Squared error of the probability: its share of the Brier score.
    error: f64,
    predicted_seconds: f64,
    actual_seconds: f64,
    /// What it rested on.
    basis: String,
    made_at: String,
    scored_at: String,
}

/// Predictions against what came of them
#[utoipa::path(
    get, path = "/v1/cognition/predictions", tag = "cognition", operation_id = "cognition_predictions",
    params(PredictionWindow), responses((status = 200, body = PredictionsAtLength)),
)]
pub(in crate::http) async fn predictions(
    State(web): State<Web>,
    Query(PredictionWindow { days, limit }): Query<PredictionWindow>,
) -> Result<Answer<PredictionsAtLength>, Problem> {
    let limit = page(limit, None)?.limit()?;
    let found = service::predictions(&web.app, days, limit).await?;
    let outcomes = found.outcomes.into_iter().map(|one| JudgedPrediction {
        mission: one.mission.to_string(),
        goal: one.goal,
        rank: one.rank,
        predicted_success: one.predicted_success,
        succeeded: one.succeeded,
        error: one.error,
        predicted_seconds: one.predicted_seconds,
        actual_seconds: one.actual_seconds,
        basis: one.basis,
        made_at: time(one.made_at),
        scored_at: time(one.scored_at),
    });
    Ok(Answer(PredictionsAtLength {
        window_days: found.days,
        since: time(found.since),
        complete: found.complete,
        outcomes: outcomes.collect(),
        summary: found.summary.into(),
    }))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ErrorWindow {
    /// How far back: 1 to 365, 30 if absent.
    days: Option<u32>,
}

/// Failures over time.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ErrorTaxonomy {
    window_days: u32,
    /// The first day, UTC.
    since: String,
    total: u64,
    /// Most frequent first.
    by_cause: Vec<NamedCount>,
    by_capability: Vec<NamedCount>,
    /// Oldest day first; days without failures are not listed.
    by_day: Vec<FailureCount>,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct NamedCount {
    name: String,
    count: u64,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct FailureCount {
    /// `2026-11-23`, UTC.
    day: String,
    cause: String,
    capability: String,
    count: u64,
}

/// Failures by cause over time
#[utoipa::path(
    get, path = "/v1/cognition/errors", tag = "cognition", operation_id = "cognition_errors", params(ErrorWindow),
    responses((status = 200, body = ErrorTaxonomy)),
)]
pub(in crate::http) async fn errors(
    State(web): State<Web>,
    Query(ErrorWindow { days }): Query<ErrorWindow>,
) -> Result<Answer<ErrorTaxonomy>, Problem> {
    let found = service::errors(&web.app, days).await?;
    let named = |counts: Vec<(String, u64)>| {
        counts.into_iter().map(|(name, count)| NamedCount { name, count }).collect()
    };
    Ok(Answer(ErrorTaxonomy {
        window_days: found.days,
        since: found.since,
        total: found.total,
        by_cause: named(found.by_cause),
        by_capability: named(found.by_capability),
        by_day: found.by_day.into_iter().map(Into::into).collect(),
    }))
}

impl From<service::CognitionStatus> for CognitionStatus {
    fn from(status: service::CognitionStatus) -> Self {
        let service::CognitionStatus {
            predictions,
            beliefs,
            errors,
            decisions,
            memory,
            planner,
            attention,
            window_days,
            sources,
        } = status;
        Self {
            predictions: predictions.into(),
            beliefs: beliefs.into_iter().map(Into::into).collect(),
            errors,
            decisions: decisions.into_iter().map(Into::into).collect(),
            memory: memory.into(),
            planner: planner.into_iter().map(Into::into).collect(),
            attention: attention.into(),
            window_days,
            sources: sources.into_iter().collect(),
        }
    }
}

impl From<service::Memory> for Memory {
    fn from(memory: service::Memory) -> Self {
        let service::Memory { missions, artifacts, documents_indexed, remembered, forgotten, asked } = memory;
        let asked = asked.into_iter().map(Into::into).collect();
        Self { missions, artifacts, documents_indexed, remembered, forgotten, asked }
    }
}

impl From<service::Predictions> for Predictions {
    fn from(predictions: service::Predictions) -> Self {
        let service::Predictions { made, scored, brier, calibration, duration_error } = predictions;
        let calibration = calibration.into_iter().map(Into::into).collect();
        Self { made, scored, brier, calibration, duration_error }
    }
}

impl From<service::PlannerNumbers> for PlannerNumbers {
    fn from(numbers: service::PlannerNumbers) -> Self {
        let service::PlannerNumbers {
            kind,
            asked,
            planned,
            questions,
            fell_through,
            outcomes,
            calls,
            tokens_in,
            tokens_out,
            cost_usd,
            cached,
            mean_seconds,
            by_day,
        } = numbers;
        let by_day = by_day.into_iter().map(Into::into).collect();
        Self {
            kind,
            asked,
            planned,
            questions,
            fell_through,
            outcomes,
            calls,
            tokens_in,
            tokens_out,
            cost_usd,
            cached,
            mean_seconds,
            by_day,
        }
    }
}

/// Views whose fields are those of the service's.
macro_rules! same_fields {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl From<service::$name> for $name {
            fn from(view: service::$name) -> Self {
                let service::$name { $($field),* } = view;
                Self { $($field),* }
            }
        }
    )*};
}

same_fields! {
    CalibrationBin { from, to, predictions, mean_predicted, observed }
    Belief { capability, plugin_version, agent, successes, failures, trust }
    Autopsy { mission, goal, predicted_success, succeeded, predicted_seconds, actual_seconds }
    MemoryAsked { purpose, asked, hits, used, hit_rate }
    FailureCount { day, cause, capability, count }
    PlannerDay { day, asked, planned, calls, tokens, cost_usd }
    Attention { approvals_waiting, reviews_waiting, uncertain_tasks, needs_plan, mean_seconds_to_decide, decided }
}

//! `/v1/cognition/status`: what the organism knows about its own thinking.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;

use crate::http::Web;
use crate::http::problem::Problem;
use crate::service::cognition as service;

/// Every number from real records.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CognitionStatus {
    predictions: Predictions,
    beliefs: Vec<Belief>,
    /// Failures by cause.
    errors: BTreeMap<String, u64>,
    /// Predicted against actual.
    decisions: Vec<Autopsy>,
    memory: Memory,
    planner: Vec<PlannerRecord>,
    attention: Attention,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Predictions {
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
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PlannerRecord {
    kind: String,
    calls: u64,
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Attention {
    approvals_waiting: u64,
    reviews_waiting: u64,
    uncertain_tasks: u64,
    needs_plan: u64,
    mean_seconds_to_decide: Option<f64>,
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

impl From<service::CognitionStatus> for CognitionStatus {
    fn from(status: service::CognitionStatus) -> Self {
        let service::CognitionStatus { predictions, beliefs, errors, decisions, memory, planner, attention } =
            status;
        Self {
            predictions: predictions.into(),
            beliefs: beliefs.into_iter().map(Into::into).collect(),
            errors,
            decisions: decisions.into_iter().map(Into::into).collect(),
            memory: memory.into(),
            planner: planner.into_iter().map(Into::into).collect(),
            attention: attention.into(),
        }
    }
}

impl From<service::Predictions> for Predictions {
    fn from(predictions: service::Predictions) -> Self {
        let service::Predictions { made, scored, brier, calibration, duration_error } = predictions;
        let calibration = calibration.into_iter().map(Into::into).collect();
        Self { made, scored, brier, calibration, duration_error }
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
    Memory { missions, artifacts, documents_indexed }
    PlannerRecord { kind, calls }
    Attention { approvals_waiting, reviews_waiting, uncertain_tasks, needs_plan, mean_seconds_to_decide, decided }
}

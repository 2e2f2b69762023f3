//! Cognition: what the organism knows about its own thinking, from real records.

use std::collections::BTreeMap;

use crate::app::App;
use crate::error::Result;

/// One tenth of the probability scale.
#[derive(Debug, Clone, Copy, Default)]
pub struct CalibrationBin {
    pub from: f64,
    pub to: f64,
    pub predictions: u64,
    pub mean_predicted: f64,
    pub observed: f64,
}

#[derive(Debug, Clone, Default)]
pub struct Predictions {
    pub made: u64,
    pub scored: u64,
    /// Mean squared error of the probability; lower is better, 0.25 is a coin.
    pub brier: Option<f64>,
    pub calibration: Vec<CalibrationBin>,
    /// Mean of |ln(actual / predicted)| of durations.
    pub duration_error: Option<f64>,
}

#[derive(Debug, Clone)]
pub struct Belief {
    pub capability: String,
    pub plugin_version: String,
    pub agent: String,
    pub successes: u64,
    pub failures: u64,
    /// Mean of Beta(successes + 1, failures + 1).
    pub trust: f64,
}

#[derive(Debug, Clone)]
pub struct Autopsy {
    pub mission: String,
    pub goal: String,
    pub predicted_success: f64,
    pub succeeded: bool,
    pub predicted_seconds: f64,
    pub actual_seconds: f64,
}

#[derive(Debug, Clone, Default)]
pub struct Attention {
    pub approvals_waiting: u64,
    pub reviews_waiting: u64,
    pub uncertain_tasks: u64,
    pub needs_plan: u64,
    /// Over decided approvals.
    pub mean_seconds_to_decide: Option<f64>,
    pub decided: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub missions: u64,
    pub artifacts: u64,
    pub documents_indexed: u64,
}

#[derive(Debug, Clone)]
pub struct PlannerRecord {
    /// `explicit`, `needs_plan`.
    pub kind: String,
    pub calls: u64,
}

#[derive(Debug, Clone, Default)]
pub struct CognitionStatus {
    pub predictions: Predictions,
    pub beliefs: Vec<Belief>,
    /// Failures by cause.
    pub errors: BTreeMap<String, u64>,
    pub decisions: Vec<Autopsy>,
    pub memory: Memory,
    pub planner: Vec<PlannerRecord>,
    pub attention: Attention,
}

pub async fn status(app: &App) -> Result<CognitionStatus> {
    let _ = app;
    todo!()
}

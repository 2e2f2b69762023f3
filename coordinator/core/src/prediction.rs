//! What the system expects of a plan, and how well it expected: probabilities from Beta counts, Brier, calibration.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::outcome::Cause;

use crate::beliefs::Beta;

/// What is known from the past about one capability.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct History {
    pub outcomes: Beta,
    /// Mean duration of its successful attempts.
    pub mean_duration: Option<Duration>,
}

/// A stated expectation.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Prediction {
    /// 0 to 1.
    pub success: f64,
    /// Seconds from start to end.
    pub duration_seconds: f64,
    /// What it rests on, in words: how many records, or that it is the prior.
    pub basis: String,
    /// Attempts on record behind it.
    pub records: u64,
}

/// A task as a prediction sees it.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    pub capability: &'a Capability,
    pub needs: &'a [u32],
    pub retries: u32,
}

/// Predicts a plan without cycles, in plan order.
pub fn predict(tasks: &[Expected<'_>], history: &BTreeMap<Capability, History>) -> Prediction {
    let _ = (tasks, history);
    todo!()
}

/// A prediction with what happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    pub predicted_success: f64,
    pub succeeded: bool,
    pub predicted_seconds: f64,
    pub actual_seconds: f64,
}

/// One of ten bins of predicted probability.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct CalibrationBin {
    pub from: f64,
    pub to: f64,
    pub count: u64,
    pub mean_predicted: Option<f64>,
    pub observed: Option<f64>,
}

/// How good the predictions were.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Score {
    pub count: u64,
    /// Mean squared error of the probability (Brier 1950); lower is better, 0.25 is a coin.
    pub brier: Option<f64>,
    pub calibration: Vec<CalibrationBin>,
    /// Median of |actual − predicted| / max(actual, 1 s).
    pub duration_error: Option<f64>,
}

/// Scores outcomes.
pub fn score(outcomes: &[Outcome]) -> Score {
    let _ = outcomes;
    todo!()
}

/// Counts failures by cause, gravest first.
pub fn taxonomy<'a>(causes: impl IntoIterator<Item = &'a Cause>) -> Vec<(&'static str, u64)> {
    let _ = causes.into_iter().count();
    todo!()
}

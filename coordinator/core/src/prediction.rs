//! What the system expects of a plan, and how well it expected: probabilities from Beta counts, Brier, calibration.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::outcome::Cause;

use crate::beliefs::Beta;

/// Expected duration of a task nobody has seen run. Its success is the mean of Beta(1, 1): one half.
pub const PRIOR_DURATION: Duration = Duration::from_secs(30);

/// What is known from the past about one capability.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct History {
    /// Attempts that succeeded and failed.
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
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub capability: &'a Capability,
    /// Places in the plan.
    pub needs: &'a [u32],
    /// `retry.max`.
    pub retries: u32,
}

/// Predicts a plan without cycles.
///
/// Success: tasks that use one capability share its belief, so a plan succeeds where each of its capabilities does
/// (not the product over tasks, which would call any long plan hopeless); retries raise it. Duration: the longest
/// chain of mean durations.
pub fn predict(tasks: &[Expected<'_>], history: &BTreeMap<Capability, History>) -> Prediction {
    let mut worst: BTreeMap<&Capability, f64> = BTreeMap::new();
    let mut records: BTreeMap<&Capability, u64> = BTreeMap::new();
    for task in tasks {
        let known = history.get(task.capability).copied().unwrap_or_default();
        let tries = f64::from(task.retries.saturating_add(1));
        let success = 1.0 - (1.0 - known.outcomes.mean()).powf(tries);
        let held = worst.entry(task.capability).or_insert(1.0);
        *held = held.min(success);
        records.insert(task.capability, known.outcomes.count());
    }
    let count = records.values().sum();
    let unseen = records.values().filter(|count| **count == 0).count();
    let basis = match (count, unseen) {
        (0, _) => "prior: no attempts of these capabilities are on record".to_owned(),
        (_, 0) => format!("{count} attempts of {} capabilities on record", records.len()),
        (_, unseen) => {
            format!("{count} attempts on record; {unseen} of {} capabilities by prior", records.len())
        }
    };
    Prediction {
        success: worst.values().product(),
        duration_seconds: longest_chain(tasks, history),
        basis,
        records: count,
    }
}

fn longest_chain(tasks: &[Expected<'_>], history: &BTreeMap<Capability, History>) -> f64 {
    let duration = |task: &Expected<'_>| {
        let known = history.get(task.capability).and_then(|known| known.mean_duration);
        known.unwrap_or(PRIOR_DURATION).as_secs_f64()
    };
    // Ends are settled depth first with a stack of our own; a need seen while it is open belongs to a cycle and is
    // passed over.
    let mut ends: HashMap<u32, f64> = HashMap::with_capacity(tasks.len());
    let mut opened = vec![false; tasks.len()];
    for start in 0..u32::try_from(tasks.len()).unwrap_or(u32::MAX) {
        let mut stack = vec![start];
        while let Some(at) = stack.last().copied() {
            let Some(task) = tasks.get(at as usize) else {
                stack.pop();
                continue;
            };
            let waiting: Vec<u32> = if opened[at as usize] {
                Vec::new()
            } else {
                let unsettled = |need: &&u32| opened.get(**need as usize) == Some(&false);
                task.needs.iter().filter(unsettled).copied().collect()
            };
            opened[at as usize] = true;
            if waiting.is_empty() {
                let before =
                    task.needs.iter().filter_map(|need| ends.get(need)).fold(0.0, |a: f64, b| a.max(*b));
                ends.insert(at, before + duration(task));
                stack.pop();
            } else {
                stack.extend(waiting);
            }
        }
    }
    ends.values().fold(0.0, |longest: f64, end| longest.max(*end))
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
    /// Share that succeeded.
    pub observed: Option<f64>,
}

/// How good the predictions were.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Score {
    pub count: u64,
    /// Mean squared error of the probability (Brier 1950); lower is better, 0.25 is a coin.
    pub brier: Option<f64>,
    /// Ten, from 0 to 1.
    pub calibration: Vec<CalibrationBin>,
    /// Median of |actual − predicted| / max(actual, 1 s).
    pub duration_error: Option<f64>,
}

/// Scores outcomes.
#[expect(clippy::cast_precision_loss, reason = "means of counts")]
pub fn score(outcomes: &[Outcome]) -> Score {
    let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
    let truth = |outcome: &Outcome| if outcome.succeeded { 1.0 } else { 0.0 };
    let count = outcomes.len() as u64;
    let squared = outcomes.iter().map(|outcome| (outcome.predicted_success - truth(outcome)).powi(2)).sum();
    let calibration = (0..10_u32)
        .map(|bin| {
            let held: Vec<&Outcome> =
                outcomes.iter().filter(|o| bin_of(o.predicted_success) == bin).collect();
            let count = held.len() as u64;
            CalibrationBin {
                from: f64::from(bin) / 10.0,
                to: f64::from(bin + 1) / 10.0,
                count,
                mean_predicted: mean(held.iter().map(|o| o.predicted_success).sum(), count),
                observed: mean(held.iter().map(|o| truth(o)).sum(), count),
            }
        })
        .collect();
    let mut errors: Vec<f64> = outcomes
        .iter()
        .map(|o| (o.actual_seconds - o.predicted_seconds).abs() / o.actual_seconds.max(1.0))
        .filter(|error| error.is_finite())
        .collect();
    errors.sort_by(f64::total_cmp);
    let duration_error = errors.get(errors.len() / 2).copied();
    Score { count, brier: mean(squared, count), calibration, duration_error }
}

/// 0 to 9; 1.0 lies in the last.
fn bin_of(probability: f64) -> u32 {
    (0..10_u32).rev().find(|bin| probability >= f64::from(*bin) / 10.0).unwrap_or(0)
}

/// Counts failures by cause, the most frequent first (ties by name).
pub fn taxonomy<'a>(causes: impl IntoIterator<Item = &'a Cause>) -> Vec<(&'static str, u64)> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for cause in causes {
        *counts.entry(cause.kind()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capability() -> Capability {
        "shell.run".parse().unwrap()
    }

    #[test]
    fn nothing_on_record_is_said_to_be_the_prior() {
        let capability = capability();
        let task = Expected { capability: &capability, needs: &[], retries: 0 };
        let prediction = predict(&[task, Expected { needs: &[0], ..task }], &BTreeMap::new());
        assert_eq!((prediction.success, prediction.duration_seconds, prediction.records), (0.5, 60.0, 0));
        assert!(prediction.basis.starts_with("prior"));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_fits_the_stack() {
        let capability = capability();
        let needs: Vec<[u32; 1]> = (0..100_000).map(|at| [at + 1]).collect();
        let tasks: Vec<_> =
            needs.iter().map(|needs| Expected { capability: &capability, needs, retries: 0 }).collect();
        assert!(predict(&tasks, &BTreeMap::new()).duration_seconds > 2_999_000.0);
    }

    proptest! {
        #[test]
        fn more_success_predicts_more(successes in 0_u64..1_000, failures in 0_u64..1_000, retries in 0_u32..5) {
            let capability = capability();
            let task = Expected { capability: &capability, needs: &[], retries };
            let with = |outcomes| {
                let history = History { outcomes, mean_duration: Some(Duration::from_secs(1)) };
                predict(&[task], &BTreeMap::from([(capability.clone(), history)]))
            };
            let outcomes = Beta { successes, failures };
            let prediction = with(outcomes);
            prop_assert!((0.0..=1.0).contains(&prediction.success));
            prop_assert!(with(outcomes.observe(true)).success >= prediction.success);
            prop_assert!((prediction.duration_seconds - 1.0).abs() < 1e-9);
        }

        #[test]
        fn scores_are_within_their_bounds(outcomes in prop::collection::vec((0.0_f64..=1.0, any::<bool>(), 0.0_f64..1e6, 0.0_f64..1e6), 0..50)) {
            let outcomes: Vec<Outcome> = outcomes
                .into_iter()
                .map(|(predicted_success, succeeded, predicted_seconds, actual_seconds)| Outcome {
                    predicted_success, succeeded, predicted_seconds, actual_seconds,
                })
                .collect();
            let score = score(&outcomes);
            prop_assert_eq!(score.calibration.len(), 10);
            prop_assert_eq!(score.calibration.iter().map(|bin| bin.count).sum::<u64>(), score.count);
            prop_assert_eq!(score.brier.is_some(), !outcomes.is_empty());
            if let Some(brier) = score.brier {
                prop_assert!((0.0..=1.0).contains(&brier));
            }
            for bin in score.calibration.iter().filter(|bin| bin.count > 0) {
                let mean = bin.mean_predicted.unwrap();
                prop_assert!(mean >= bin.from - 1e-9 && mean <= bin.to + 1e-9);
            }
        }
    }
}

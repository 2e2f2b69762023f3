//! Cognition: what the organism knows about its own thinking, from real records.

mod windows;

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_core::beliefs::Beta;
use nexusmon_core::prediction::{Outcome, score};
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::task::TaskStatus;
use nexusmon_store::{Connection, PredictionRow};

use crate::app::App;
use crate::error::{Error, Result};
pub use crate::service::planning::{PlannerDay, PlannerNumbers};

pub use windows::{Errors, FailureCount, Judged, MemoryAsked, PredictionsAtLength, errors, predictions};

/// Predictions and failures are looked at this far back.
const WINDOW: Duration = Duration::from_hours(2160);
/// Newest predictions that are scored.
const MOST_PREDICTIONS: u32 = 10_000;
/// Newest ones shown one by one.
const SHOWN: usize = 20;
/// Tasks that wait for a person, counted up to here.
const MOST_WAITING: u32 = 10_000;
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// One tenth of the probability scale.
#[derive(Debug, Clone, Copy, Default)]
pub struct CalibrationBin {
    pub from: f64,
    pub to: f64,
    pub predictions: u64,
    /// `None` where there are none.
    pub mean_predicted: Option<f64>,
    /// Share that succeeded.
    pub observed: Option<f64>,
}

#[derive(Debug, Clone, Default)]
pub struct Predictions {
    /// Within the window, as `scored`.
    pub made: u64,
    pub scored: u64,
    /// Mean squared error of the probability; lower is better, 0.25 is a coin.
    pub brier: Option<f64>,
    pub calibration: Vec<CalibrationBin>,
    /// Median of |actual − predicted| / max(actual, 1 s).
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
    /// Of the newest hundred decided approvals.
    pub mean_seconds_to_decide: Option<f64>,
    /// Of all time.
    pub decided: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub missions: u64,
    pub artifacts: u64,
    pub documents_indexed: u64,
    /// Memories by kind; a mission's counts once, however often it ran.
    pub remembered: BTreeMap<String, u64>,
    pub forgotten: u64,
    /// How it was asked within the window, by purpose.
    pub asked: Vec<MemoryAsked>,
}

#[derive(Debug, Clone, Default)]
pub struct CognitionStatus {
    pub predictions: Predictions,
    pub beliefs: Vec<Belief>,
    /// Failures by cause.
    pub errors: BTreeMap<String, u64>,
    pub decisions: Vec<Autopsy>,
    pub memory: Memory,
    pub planner: Vec<PlannerNumbers>,
    pub attention: Attention,
    /// How far back predictions, errors and uses of memory are looked at; the rest is of all time.
    pub window_days: u64,
    pub sources: [(&'static str, &'static str); 7],
}

/// Which records each part is computed from.
const SOURCES: [(&str, &str); 7] = [
    (
        "predictions",
        "one per plan; made within the window, and scored within it when its mission ended under it, the newest 10000",
    ),
    ("beliefs", "settled attempts by capability, plugin version and agent, of all time"),
    (
        "errors",
        "causes of attempts that failed or were lost, of tasks the coordinator ended itself and of approvals that \
         expired, counted by day, within the window",
    ),
    ("decisions", "the newest scored predictions beside what happened"),
    ("memory", "missions, artifacts and indexed texts there are now; questions asked within the window"),
    ("planner", "goals each planner was asked about, with what it answered and cost, within the window"),
    (
        "attention",
        "what waits now; how many approvals were decided of all time, the time to decide of the newest 100",
    ),
];

/// Every number from records, within the windows named above.
pub async fn status(app: &App) -> Result<CognitionStatus> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let rows = read.scored_predictions(now - WINDOW, MOST_PREDICTIONS).await?;
    let since_day = (now - WINDOW).as_micros() / DAY_MICROS;
    let mut errors = BTreeMap::<String, u64>::new();
    for row in read.cause_counts(since_day).await? {
        *errors.entry(row.cause).or_default() += count(row.count);
    }
    let missions: BTreeMap<_, _> = super::missions::counts(app, &mut read)
        .await?
        .into_iter()
        .map(|row| (row.status, count(row.count)))
        .collect();
    let totals = async {
        let made = read.predictions_made(now - WINDOW).await?;
        Ok::<_, Error>([made, read.document_count().await?, read.artifact_count().await?])
    };
    let [made, documents, artifacts] = app.totals.get(&*app.clock, totals).await?.map(count);
    let beliefs = beliefs(app, &mut read).await?;
    let decisions = autopsies(&mut read, &rows).await?;
    let summary = scored(made, &rows);
    let remembered = read.memory_counts().await?;
    let asked = windows::memory_asked(&mut read, since_day).await?;
    let attention = attention(&mut read, &missions).await?;
    let total: u64 = missions.values().sum();
    Ok(CognitionStatus {
        predictions: summary,
        beliefs,
        errors,
        decisions,
        memory: Memory {
            missions: total,
            artifacts,
            documents_indexed: documents,
            remembered: remembered
                .iter()
                .map(|row| (row.kind.as_str().to_owned(), count(row.kept)))
                .collect(),
            forgotten: remembered.iter().map(|row| count(row.forgotten)).sum(),
            asked,
        },
        window_days: WINDOW.as_secs() / (24 * 3600),
        sources: SOURCES,
        planner: super::planning::numbers(&mut read, now - WINDOW).await?,
        attention,
    })
}

/// What waits for the operator, and how fast the operator answers.
pub(super) async fn attention(
    read: &mut Connection,
    missions: &BTreeMap<MissionStatus, u64>,
) -> Result<Attention> {
    let (waiting, mean_seconds_to_decide, decided) = read.approval_attention().await?;
    let uncertain = read.tasks_needing_attention(MOST_WAITING).await?;
    Ok(Attention {
        approvals_waiting: count(waiting),
        reviews_waiting: read.open_review_count().await.map(count)?,
        uncertain_tasks: uncertain.iter().filter(|task| task.state == TaskStatus::Uncertain).count() as u64,
        needs_plan: missions.get(&MissionStatus::NeedsPlan).copied().unwrap_or(0),
        mean_seconds_to_decide,
        decided: count(decided),
    })
}

fn scored(made: u64, rows: &[PredictionRow]) -> Predictions {
    let outcomes: Vec<_> = rows.iter().filter_map(outcome).collect();
    let score = score(&outcomes);
    Predictions {
        made,
        scored: score.count,
        brier: score.brier,
        calibration: score
            .calibration
            .iter()
            .map(|bin| CalibrationBin {
                from: bin.from,
                to: bin.to,
                predictions: bin.count,
                mean_predicted: bin.mean_predicted,
                observed: bin.observed,
            })
            .collect(),
        duration_error: score.duration_error,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds shown as seconds")]
pub(super) fn outcome(row: &PredictionRow) -> Option<Outcome> {
    Some(Outcome {
        predicted_success: row.probability,
        succeeded: row.succeeded?,
        predicted_seconds: row.duration_ms as f64 / 1000.0,
        actual_seconds: row.actual_ms? as f64 / 1000.0,
    })
}

async fn beliefs(app: &App, read: &mut Connection) -> Result<Vec<Belief>> {
    let names = app.fleet.get();
    let counts = read.trust_counts().await?;
    Ok(counts
        .into_iter()
        .map(|row| {
            let (successes, failures) = (count(row.successes), count(row.failures));
            Belief {
                capability: row.capability.to_string(),
                plugin_version: row.plugin_version,
                agent: names.names.get(&row.agent).cloned().unwrap_or_else(|| row.agent.to_string()),
                successes,
                failures,
                trust: Beta { successes, failures }.mean(),
            }
        })
        .collect())
}

async fn autopsies(read: &mut Connection, scored: &[PredictionRow]) -> Result<Vec<Autopsy>> {
    let newest: Vec<_> = scored.iter().take(SHOWN).collect();
    let ids: Vec<_> = newest.iter().map(|row| row.mission).collect();
    let goals: BTreeMap<_, _> =
        read.missions(&ids).await?.into_iter().map(|mission| (mission.id, mission.goal)).collect();
    Ok(newest
        .into_iter()
        .filter_map(|row| {
            let outcome = outcome(row)?;
            Some(Autopsy {
                mission: row.mission.to_string(),
                goal: goals.get(&row.mission).cloned().unwrap_or_default(),
                predicted_success: outcome.predicted_success,
                succeeded: outcome.succeeded,
                predicted_seconds: outcome.predicted_seconds,
                actual_seconds: outcome.actual_seconds,
            })
        })
        .collect())
}

/// A count of rows, which is never negative.
pub(super) fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

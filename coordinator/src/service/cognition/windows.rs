//! The same numbers at length, over a window the asker names: predictions one by one, failures day by day, and how well
//! memory answers.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_core::prediction::score;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use serde_json::Value;

use super::super::beliefs::{date, day};
use super::{MOST_PREDICTIONS, Predictions, count, outcome, scored as summary};
use crate::app::App;
use crate::error::{Error, Result};

/// The furthest back anybody may look.
const MOST_DAYS: u32 = 365;

/// How far back, in days: 1 to a year.
fn window(days: Option<u32>) -> Result<u32> {
    match days {
        None => Ok(30),
        Some(days) if (1..=MOST_DAYS).contains(&days) => Ok(days),
        Some(_) => Err(Error::field("?days", "out_of_range", format!("must be from 1 to {MOST_DAYS}"))),
    }
}

fn long(days: u32) -> Duration {
    Duration::from_hours(24) * days
}

/// A prediction that came true or did not.
#[derive(Debug, Clone)]
pub struct Judged {
    pub mission: MissionId,
    pub goal: String,
    pub rank: Rank,
    pub predicted_success: f64,
    pub succeeded: bool,
    /// Squared error of the probability: what it adds to the Brier score.
    pub error: f64,
    pub predicted_seconds: f64,
    pub actual_seconds: f64,
    /// What it rested on.
    pub basis: String,
    pub made_at: Timestamp,
    pub scored_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct PredictionsAtLength {
    pub days: u32,
    pub since: Timestamp,
    /// Looked at; `complete` is false where there were more in the window.
    pub complete: bool,
    pub summary: Predictions,
    /// Newest first.
    pub outcomes: Vec<Judged>,
}

/// Every prediction scored in the window, the newest of them one by one.
pub async fn predictions(app: &App, days: Option<u32>, limit: u32) -> Result<PredictionsAtLength> {
    let days = window(days)?;
    let since = app.clock.now() - long(days);
    let mut read = app.store.read().await?;
    let rows = read.scored_predictions(since, MOST_PREDICTIONS).await?;
    let made = count(read.predictions_made(since).await?);
    let shown: Vec<_> = rows.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    let ids: Vec<_> = shown.iter().map(|row| row.mission).collect();
    let goals: BTreeMap<_, _> =
        read.missions(&ids).await?.into_iter().map(|mission| (mission.id, mission.goal)).collect();
    let outcomes = shown
        .into_iter()
        .filter_map(|row| {
            let came = outcome(row)?;
            let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
            let alone = score(&[came]);
            Some(Judged {
                mission: row.mission,
                goal: goals.get(&row.mission).cloned().unwrap_or_default(),
                rank: row.rank,
                predicted_success: came.predicted_success,
                succeeded: came.succeeded,
                error: alone.brier.unwrap_or(0.0),
                predicted_seconds: came.predicted_seconds,
                actual_seconds: came.actual_seconds,
                basis: evidence["basis"].as_str().unwrap_or_default().to_owned(),
                made_at: row.made_at,
                scored_at: row.scored_at?,
            })
        })
        .collect();
    let complete = rows.len() < MOST_PREDICTIONS as usize;
    Ok(PredictionsAtLength { days, since, complete, summary: summary(made, &rows), outcomes })
}

/// Failures of one cause and capability on one day.
#[derive(Debug, Clone)]
pub struct FailureCount {
    /// `2026-11-23`, UTC.
    pub day: String,
    pub cause: String,
    pub capability: String,
    pub count: u64,
}

#[derive(Debug, Clone)]
pub struct Errors {
    pub days: u32,
    /// The first day that is looked at.
    pub since: String,
    pub total: u64,
    /// Most frequent first.
    pub by_cause: Vec<(String, u64)>,
    pub by_capability: Vec<(String, u64)>,
    /// Oldest day first.
    pub by_day: Vec<FailureCount>,
}

/// Failures by cause over the days of the window.
pub async fn errors(app: &App, days: Option<u32>) -> Result<Errors> {
    let days = window(days)?;
    let first = day(app.clock.now()) - i64::from(days) + 1;
    let mut rows = app.store.read().await?.cause_counts(first).await?;
    rows.sort_by(|left, right| {
        (left.day, &left.cause, &left.capability).cmp(&(right.day, &right.cause, &right.capability))
    });
    let mut by_cause = BTreeMap::<String, u64>::new();
    let mut by_capability = BTreeMap::<String, u64>::new();
    for row in &rows {
        *by_cause.entry(row.cause.clone()).or_default() += count(row.count);
        *by_capability.entry(row.capability.to_string()).or_default() += count(row.count);
    }
    Ok(Errors {
        days,
        since: date(first),
        total: by_cause.values().sum(),
        by_cause: ranked(by_cause),
        by_capability: ranked(by_capability),
        by_day: rows
            .into_iter()
            .map(|row| FailureCount {
                day: date(row.day),
                cause: row.cause,
                capability: row.capability.to_string(),
                count: count(row.count),
            })
            .collect(),
    })
}

fn ranked(counts: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    counts
}

/// How memory was asked, for one purpose.
#[derive(Debug, Clone)]
pub struct MemoryAsked {
    /// `planning`, `answer`, `search`.
    pub purpose: String,
    pub asked: u64,
    pub hits: u64,
    pub used: u64,
    /// Hits of what was asked; `None` where nothing was.
    pub hit_rate: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
pub(super) async fn memory_asked(
    read: &mut nexusmon_store::Connection,
    since_day: i64,
) -> Result<Vec<MemoryAsked>> {
    let mut found = BTreeMap::<String, (u64, u64, u64)>::new();
    for row in read.memory_uses(since_day).await? {
        let sum = found.entry(row.purpose).or_default();
        *sum = (sum.0 + count(row.asked), sum.1 + count(row.hits), sum.2 + count(row.used));
    }
    let rate = |asked: u64, hits: u64| (asked > 0).then(|| hits as f64 / asked as f64);
    let rows = found.into_iter().map(|(purpose, (asked, hits, used))| MemoryAsked {
        purpose,
        asked,
        hits,
        used,
        hit_rate: rate(asked, hits),
    });
    Ok(rows.collect())
}

//! How planning went, as people see it: of one mission, and of each planner.

use std::collections::BTreeMap;
use std::time::Duration;

use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, PlanningCount, PlanningOutcome, PlanningRow};
use serde_json::Value;

use super::super::beliefs::date;
use super::{Help, Kind};
use crate::error::Result;

/// Which planners were asked for a mission, and what would help where none has a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanningView {
    /// Whose plan it is; `None` where nobody had one.
    pub planner: Option<String>,
    pub said: String,
    /// `playbook name@version`, or the mission it was recalled from.
    pub source: Option<String>,
    pub differs: Vec<String>,
    /// A planner asks for what is in `help`.
    pub asks: bool,
    pub help: Vec<Help>,
    pub steps: Vec<PlanningStep>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PlanningStep {
    pub planner: String,
    /// `planned`, `asked`, `passed`, `failed`, `barred`.
    pub outcome: String,
    pub said: String,
    pub model: Option<String>,
    pub prompt: Option<String>,
    pub calls: u64,
    pub tokens: u64,
    pub cost_usd: f64,
    pub cached: bool,
    pub at: Timestamp,
    pub seconds: f64,
}

/// What planners of one kind did.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannerNumbers {
    pub kind: String,
    /// Goals it was asked about.
    pub asked: u64,
    pub planned: u64,
    /// Asked a question back.
    pub questions: u64,
    /// Left to the next.
    pub fell_through: u64,
    pub outcomes: BTreeMap<String, u64>,
    /// Of a model.
    pub calls: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cost_usd: f64,
    pub cached: u64,
    pub mean_seconds: Option<f64>,
    /// Oldest first; days on which it was not asked are not listed.
    pub by_day: Vec<PlannerDay>,
}

/// What planners of one kind did on one day.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannerDay {
    /// `2026-11-23`, UTC.
    pub day: String,
    pub asked: u64,
    pub planned: u64,
    pub calls: u64,
    pub tokens: u64,
    pub cost_usd: f64,
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn usd(micro: i64) -> f64 {
    micro as f64 / 1e6
}

/// The newest round of asking; `None` where planners were never asked.
pub(in crate::service) async fn planning_of(
    read: &mut Connection,
    mission: MissionId,
) -> Result<Option<PlanningView>> {
    let rows = read.plannings(mission).await?;
    // A round begins with the first planner.
    let begin = rows.iter().rposition(|row| row.planner == Kind::Playbook.as_str()).unwrap_or(0);
    let Some(last) = rows.last() else { return Ok(None) };
    let planned = last.outcome == PlanningOutcome::Planned;
    let asks = last.outcome == PlanningOutcome::Asked;
    let detail = detail(last);
    let mut help: Vec<Help> = match (planned, asks) {
        (true, _) => Vec::new(),
        (_, true) => helps(last),
        _ => rows[begin..].iter().flat_map(helps).collect(),
    };
    if !planned {
        help.push(Help::plan());
    }
    let texts = |value: &Value| {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    Ok(Some(PlanningView {
        planner: planned.then(|| last.planner.clone()),
        said: last.said.clone(),
        source: detail["source"].as_str().map(str::to_owned),
        differs: texts(&detail["differs"]),
        asks,
        help,
        steps: rows.iter().map(step).collect(),
    }))
}

fn detail(row: &PlanningRow) -> Value {
    serde_json::from_str(&row.detail).unwrap_or_default()
}

fn helps(row: &PlanningRow) -> Vec<Help> {
    serde_json::from_value(detail(row)["help"].take()).unwrap_or_default()
}

fn step(row: &PlanningRow) -> PlanningStep {
    PlanningStep {
        planner: row.planner.clone(),
        outcome: row.outcome.as_str().to_owned(),
        said: row.said.clone(),
        model: row.model.clone(),
        prompt: row.prompt.clone(),
        calls: count(row.calls),
        tokens: count(row.tokens_in.saturating_add(row.tokens_out)),
        cost_usd: usd(row.cost),
        cached: row.cached > 0,
        at: row.at,
        seconds: Duration::from_millis(count(row.took_ms)).as_secs_f64(),
    }
}

/// Each kind of planner since then, in the order they are asked.
pub(in crate::service) async fn numbers(
    read: &mut Connection,
    since: Timestamp,
) -> Result<Vec<PlannerNumbers>> {
    let counts = read.planning_counts(since).await?;
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let of_kind: Vec<_> = counts.iter().filter(|row| row.planner == kind.as_str()).collect();
        let sum = |of: fn(&PlanningCount) -> i64| of_kind.iter().map(|row| of(row)).sum::<i64>();
        let mut outcomes = BTreeMap::<PlanningOutcome, u64>::new();
        for row in &of_kind {
            *outcomes.entry(row.outcome).or_default() += count(row.count);
        }
        let with =
            |wanted: &[PlanningOutcome]| wanted.iter().filter_map(|one| outcomes.get(one)).sum::<u64>();
        let asked = count(sum(|row| row.count));
        if kind == Kind::Companion && asked == 0 {
            continue;
        }
        all.push(PlannerNumbers {
            kind: kind.as_str().to_owned(),
            asked,
            planned: with(&[PlanningOutcome::Planned]),
            questions: with(&[PlanningOutcome::Asked]),
            fell_through: with(&[PlanningOutcome::Passed, PlanningOutcome::Failed, PlanningOutcome::Barred]),
            outcomes: outcomes
                .iter()
                .map(|(outcome, number)| (outcome.as_str().to_owned(), *number))
                .collect(),
            calls: count(sum(|row| row.calls)),
            tokens_in: count(sum(|row| row.tokens_in)),
            tokens_out: count(sum(|row| row.tokens_out)),
            cost_usd: usd(sum(|row| row.cost)),
            cached: count(sum(|row| row.cached)),
            mean_seconds: (asked > 0).then(|| sum(|row| row.took_ms) as f64 / 1000.0 / asked as f64),
            by_day: of_kind.chunk_by(|left, right| left.day == right.day).map(planner_day).collect(),
        });
    }
    Ok(all)
}

/// Rows of one day.
fn planner_day(rows: &[&PlanningCount]) -> PlannerDay {
    let sum = |of: fn(&PlanningCount) -> i64| rows.iter().map(|row| of(row)).sum::<i64>();
    let planned = rows.iter().filter(|row| row.outcome == PlanningOutcome::Planned);
    PlannerDay {
        day: date(rows.first().map_or(0, |row| row.day)),
        asked: count(sum(|row| row.count)),
        planned: planned.map(|row| count(row.count)).sum(),
        calls: count(sum(|row| row.calls)),
        tokens: count(sum(|row| row.tokens_in.saturating_add(row.tokens_out))),
        cost_usd: usd(sum(|row| row.cost)),
    }
}

//! How and when a mission came, and what it may use up: for policies that mind.

use nexusmon_shared::plan::Budget;
use nexusmon_shared::time::Timestamp;

/// Beside what is asked: by whom it was brought, when it was judged (UTC), its ceilings.
///
/// Questions that were asked before there was any have none: then each says nothing (an empty word, 0).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Circumstances {
    /// `api`, `cli`, `cockpit`, `schedule`, `webhook`, `event`, `system`.
    pub origin: String,
    /// 0 to 23.
    pub hour: u32,
    /// 1 is Monday, 7 Sunday.
    pub weekday: u32,
    pub budget_tasks: u32,
    pub budget_attempts: u32,
    pub budget_seconds: u64,
    pub budget_artifact_bytes: u64,
}

const SECONDS_OF_A_DAY: i64 = 24 * 3600;

impl Circumstances {
    pub fn of(origin: &str, at: Timestamp, budget: &Budget) -> Self {
        let seconds = at.as_micros().div_euclid(1_000_000);
        let hour = seconds.rem_euclid(SECONDS_OF_A_DAY) / 3600;
        // The first day of the count was a Thursday.
        let weekday = (seconds.div_euclid(SECONDS_OF_A_DAY) + 3).rem_euclid(7) + 1;
        Self {
            origin: origin.to_owned(),
            hour: u32::try_from(hour).unwrap_or(0),
            weekday: u32::try_from(weekday).unwrap_or(0),
            budget_tasks: budget.tasks,
            budget_attempts: budget.attempts,
            budget_seconds: budget.duration.0.as_secs(),
            budget_artifact_bytes: budget.artifact_bytes,
        }
    }

    pub(super) fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_weekdays_are_those_of_utc() {
        for (at, hour, weekday) in [
            ("1970-01-01T00:00:00Z", 0, 4),
            ("1969-12-31T23:59:59Z", 23, 3),
            ("2024-02-29T17:59:59.999999Z", 17, 4),
            ("2026-11-22T12:00:00Z", 12, 7),
            ("2026-11-23T00:00:00Z", 0, 1),
        ] {
            let found = Circumstances::of("api", at.parse().unwrap(), &Budget::default());
            assert_eq!((found.hour, found.weekday), (hour, weekday), "{at}");
        }
    }
}

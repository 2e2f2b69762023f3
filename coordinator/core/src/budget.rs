//! Ceilings of a mission: what has been spent, what would go over. Pausing is the mission state machine's.

use std::time::Duration;

use nexusmon_shared::plan::Budget;
use nexusmon_shared::time::Timestamp;

/// What a mission has used up so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Spent {
    pub tasks: u32,
    pub attempts: u32,
    /// When its first task was let loose.
    pub started_at: Option<Timestamp>,
    pub artifact_bytes: u64,
    pub log_bytes: u64,
}

/// A ceiling that is reached.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Exceeded {
    /// The budget's field: `tasks`, `attempts`, `duration`, `artifact_bytes`, `log_bytes`.
    pub budget: &'static str,
    pub limit: u64,
    pub spent: u64,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "budget `{}`: {} of {} spent", self.budget, self.spent, self.limit)
    }
}

/// The first ceiling that `spent` is over. `attempts` counts grants: a mission whose budget is n may be granted n times.
pub fn exceeded(budget: &Budget, spent: &Spent, now: Timestamp) -> Option<Exceeded> {
    let elapsed = spent.started_at.map_or(Duration::ZERO, |start| now.since(start)).as_secs();
    [
        ("tasks", u64::from(budget.tasks), u64::from(spent.tasks)),
        ("attempts", u64::from(budget.attempts), u64::from(spent.attempts)),
        ("duration", budget.duration.0.as_secs(), elapsed),
        ("artifact_bytes", budget.artifact_bytes, spent.artifact_bytes),
        ("log_bytes", budget.log_bytes, spent.log_bytes),
    ]
    .into_iter()
    .find(|(_, limit, spent)| spent > limit)
    .map(|(budget, limit, spent)| Exceeded { budget, limit, spent })
}

/// How many more grants the mission may have.
pub fn grants_left(budget: &Budget, spent: &Spent) -> u32 {
    budget.attempts.saturating_sub(spent.attempts)
}

/// Whether `more` tasks (the children of a `for_each`) still fit.
pub fn tasks_fit(budget: &Budget, spent: &Spent, more: u32) -> Result<(), Exceeded> {
    let wanted = u64::from(spent.tasks) + u64::from(more);
    if wanted <= u64::from(budget.tasks) {
        Ok(())
    } else {
        Err(Exceeded { budget: "tasks", limit: u64::from(budget.tasks), spent: wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn at_the_ceiling_is_not_over_it(tasks: u32, attempts: u32, artifact_bytes: u64, log_bytes: u64) {
            let budget = Budget { tasks, attempts, artifact_bytes, log_bytes, ..Budget::default() };
            let spent = Spent { tasks, attempts, started_at: None, artifact_bytes, log_bytes };
            prop_assert_eq!(exceeded(&budget, &spent, Timestamp::from_micros(0)), None);
            prop_assert_eq!(grants_left(&budget, &spent), 0);
            if let Some(over) = artifact_bytes.checked_add(1) {
                let spent = Spent { artifact_bytes: over, ..spent };
                let found = exceeded(&budget, &spent, Timestamp::from_micros(0)).unwrap();
                prop_assert_eq!((found.budget, found.spent), ("artifact_bytes", over));
            }
        }
    }

    #[test]
    fn time_runs_from_the_start() {
        let spent = Spent { started_at: Some(Timestamp::from_micros(0)), ..Spent::default() };
        let budget = Budget { duration: nexusmon_shared::time::Span::from_secs(60), ..Budget::default() };
        let at = |seconds| Timestamp::from_micros(0) + Duration::from_secs(seconds);
        assert_eq!(exceeded(&budget, &spent, at(60)), None);
        assert_eq!(exceeded(&budget, &spent, at(61)).map(|e| e.budget), Some("duration"));
        assert!(tasks_fit(&budget, &spent, 100_000).is_ok());
        assert!(tasks_fit(&budget, &spent, 100_001).is_err());
    }
}

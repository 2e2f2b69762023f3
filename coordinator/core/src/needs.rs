//! When a task's needs are decided, and what for.

use nexusmon_shared::outcome::Cause;
use nexusmon_shared::planted::planted;
use nexusmon_shared::task::{SkipReason, TaskState, TaskStatus};

/// How a need ended, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Not terminal yet.
    Open,
    Succeeded,
    /// Skipped by its own `if`, or added by an attempt that does not count: nobody wants it.
    SkippedByCondition,
    /// Failed, cancelled, or skipped since a need of its own failed.
    Unmet,
}

impl Need {
    pub const fn of(state: &TaskState) -> Self {
        match state {
            TaskState::Skipped { reason: SkipReason::Condition | SkipReason::Superseded } => {
                Self::SkippedByCondition
            }
            other => match other.status() {
                TaskStatus::Succeeded => Self::Succeeded,
                status if status.is_terminal() => Self::Unmet,
                _ => Self::Open,
            },
        }
    }
}

/// A task's `if`, as far as needs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    None,
    /// Asked after the needs are met.
    Asks,
    /// Names `tasks.x.state`: decides alone, whatever became of the needs. See
    /// [`crate::expression::References::names_states`].
    DecidesAlone,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A need is not terminal.
    Wait,
    Ready,
    /// All needs are decided and the `if` has the word: evaluate it and call [`by_condition`].
    Evaluate,
    Skip(SkipReason),
    /// The `if` does not evaluate.
    Fail(Cause),
}

/// Decides once all needs are terminal. Without an `if`: all succeeded or were skipped by their own `if` → ready, else
/// skipped. An `if` that names states decides alone; any other is asked only where the needs are met.
pub fn decide(needs: impl IntoIterator<Item = Need>, condition: Condition) -> Decision {
    let (mut open, mut unmet) = (false, false);
    for need in needs {
        match need {
            Need::Open => open = true,
            Need::Unmet => unmet = true,
            Need::Succeeded | Need::SkippedByCondition => {}
        }
    }
    match condition {
        _ if open => Decision::Wait,
        Condition::DecidesAlone => Decision::Evaluate,
        _ if unmet && !planted("failed-need-unlocks") => Decision::Skip(SkipReason::NeedFailed),
        Condition::Asks => Decision::Evaluate,
        Condition::None => Decision::Ready,
    }
}

/// What an evaluated `if` decides.
pub fn by_condition(answer: Result<bool, crate::expression::ExpressionError>) -> Decision {
    match answer {
        Ok(true) => Decision::Ready,
        Ok(false) => Decision::Skip(SkipReason::Condition),
        Err(error) => Decision::Fail(Cause::BadParameters { detail: format!("`if`: {error}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn need() -> impl Strategy<Value = Need> {
        prop::sample::select(vec![Need::Open, Need::Succeeded, Need::SkippedByCondition, Need::Unmet])
    }

    proptest! {
        #[test]
        fn nothing_is_decided_while_a_need_is_open(needs in prop::collection::vec(need(), 0..6)) {
            for condition in [Condition::None, Condition::Asks, Condition::DecidesAlone] {
                let decision = decide(needs.iter().copied(), condition);
                prop_assert_eq!(decision == Decision::Wait, needs.contains(&Need::Open));
            }
        }

        #[test]
        fn without_an_if_only_met_needs_make_ready(needs in prop::collection::vec(need(), 0..6)) {
            let decision = decide(needs.iter().copied(), Condition::None);
            let met = needs.iter().all(|need| matches!(need, Need::Succeeded | Need::SkippedByCondition));
            prop_assert_eq!(decision == Decision::Ready, met);
        }

        #[test]
        fn naming_a_state_always_leads_to_the_question(needs in prop::collection::vec(need(), 0..6)) {
            prop_assume!(!needs.contains(&Need::Open));
            prop_assert_eq!(decide(needs, Condition::DecidesAlone), Decision::Evaluate);
        }
    }
}

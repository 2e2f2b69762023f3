//! What came of the uses of a trait, and when that suspends it.

use std::fmt::Write as _;
use std::time::Duration;

use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::{MissionFailure, MissionState};
use nexusmon_shared::outcome::Cause;

/// How many uses are looked back at.
pub const USES: usize = 10;
/// Failures among them that suspend.
pub const FAILURES: usize = 3;
/// Rejected reviews within [`REJECTED_WITHIN`] that suspend.
pub const REJECTIONS: usize = 2;
pub const REJECTED_WITHIN: Duration = Duration::from_hours(168);

/// What came of a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    Succeeded,
    Failed,
    /// It ended, and not by the trait's doing: a machine was lost, somebody cancelled it.
    Void,
}

/// Whether a failure speaks against whoever decided to do the work, rather than against the machine it ran on.
pub const fn is_own_fault(cause: &Cause) -> bool {
    matches!(cause, Cause::ExitStatus { .. } | Cause::VerifyFailed { .. } | Cause::BadParameters { .. })
}

/// What the end of its mission says about a use; `None` while the mission goes on.
pub fn came_of(state: &MissionState) -> Option<Came> {
    match state {
        MissionState::Succeeded => Some(Came::Succeeded),
        MissionState::Failed { cause: MissionFailure::Task { cause, .. } } if is_own_fault(cause) => {
            Some(Came::Failed)
        }
        state if state.status().is_terminal() => Some(Came::Void),
        _ => None,
    }
}

/// A use that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub came: Came,
    /// What it was used for, and the cause of a failure, in words.
    pub subject: String,
    pub cause: Option<String>,
}

/// The evidence that suspends a trait, if there is enough of it. `uses` are those since it was suspended last, newest
/// first; `rejected` the missions it began whose reviews were rejected within [`REJECTED_WITHIN`] and since then.
pub fn suspension(uses: &[Use], rejected: &[MissionId]) -> Option<String> {
    let recent = &uses[..uses.len().min(USES)];
    let failed: Vec<&Use> = recent.iter().filter(|one| one.came == Came::Failed).collect();
    if failed.len() >= FAILURES {
        let mut text = format!("{} of its last {} uses failed:", failed.len(), recent.len());
        for (place, one) in failed.iter().enumerate() {
            let cause = one.cause.as_deref().unwrap_or("failed");
            let comma = if place == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma} {} ({cause})", one.subject);
        }
        return Some(text);
    }
    if rejected.len() >= REJECTIONS {
        let names: Vec<String> = rejected.iter().map(ToString::to_string).collect();
        return Some(format!("reviews of {} were rejected within seven days", names.join(" and ")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(came: Came) -> Use {
        Use { came, subject: "x".to_owned(), cause: None }
    }

    #[test]
    fn a_lost_machine_is_nobodys_fault() {
        let failed =
            |cause| MissionState::Failed { cause: MissionFailure::Task { task: "t".to_owned(), cause } };
        assert_eq!(came_of(&failed(Cause::ExitStatus { code: 1 })), Some(Came::Failed));
        assert_eq!(came_of(&failed(Cause::LostAgent)), Some(Came::Void));
        assert_eq!(came_of(&failed(Cause::Timeout)), Some(Came::Void));
        let over = MissionState::Failed { cause: MissionFailure::Budget { budget: "attempts".to_owned() } };
        assert_eq!(came_of(&over), Some(Came::Void));
        assert_eq!(came_of(&MissionState::Ready), None);
    }

    #[test]
    fn the_evidence_names_what_happened() {
        let bad =
            Use { cause: Some("exit_status".to_owned()), subject: "mis_1".to_owned(), ..one(Came::Failed) };
        let uses = [bad.clone(), one(Came::Succeeded), bad.clone(), bad];
        let text = suspension(&uses, &[]).unwrap();
        assert_eq!(
            text,
            "3 of its last 4 uses failed: mis_1 (exit_status), mis_1 (exit_status), mis_1 (exit_status)"
        );
        let rejected = [MissionId::from_bits(1), MissionId::from_bits(2)];
        assert!(suspension(&[], &rejected).unwrap().contains(&rejected[1].to_string()));
        assert_eq!(suspension(&uses[..3], &rejected[..1]), None);
    }

    proptest! {
        #[test]
        fn only_the_last_ten_count(came in prop::collection::vec(prop::sample::select(vec![Came::Succeeded, Came::Failed, Came::Void]), 0..40)) {
            let uses: Vec<Use> = came.iter().map(|came| one(*came)).collect();
            let failures = came.iter().take(USES).filter(|came| **came == Came::Failed).count();
            prop_assert_eq!(suspension(&uses, &[]).is_some(), failures >= FAILURES);
        }
    }
}

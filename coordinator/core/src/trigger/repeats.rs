//! The loop breaker: the same work with the same inputs coming to the same end again and again is no progress.

use std::collections::HashMap;
use std::time::Duration;

use nexusmon_shared::digest::Digest;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::time::Timestamp;

/// The window in which repetitions are counted.
pub const WINDOW: Duration = Duration::from_hours(1);
/// How many there may be in it unless somebody says otherwise.
pub const MOST: u32 = 10;
/// The most that somebody may say.
pub const MAX: u32 = 1_000;

/// A mission that began by itself and is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub shape: Option<Digest>,
    pub inputs: Option<Digest>,
    pub status: MissionStatus,
    pub ended_at: Timestamp,
}

/// What came more often than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    pub times: u32,
    pub status: MissionStatus,
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { times, status } = self;
        let minutes = WINDOW.as_secs() / 60;
        write!(
            f,
            "{times} missions of the same shape with the same inputs ended `{}` within {minutes} minutes",
            status.as_str()
        )
    }
}

/// The work that ended in the same way more than `most` times within the window before `now`, the most frequent if there
/// are several. What has no plan has no shape, and is told apart by nothing: it counts as the same.
pub fn repeated(runs: &[Run], most: u32, now: Timestamp) -> Option<Repeated> {
    let since = now - WINDOW;
    let mut counts = HashMap::<(Option<Digest>, Option<Digest>, MissionStatus), u32>::new();
    for run in runs.iter().filter(|run| run.ended_at >= since) {
        let count = counts.entry((run.shape, run.inputs, run.status)).or_default();
        *count = count.saturating_add(1);
    }
    counts
        .into_iter()
        .map(|((_, _, status), times)| Repeated { times, status })
        .filter(|found| found.times > most)
        .max_by_key(|found| found.times)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(shape: u8, inputs: u8, failed: bool, second: i64) -> Run {
        Run {
            shape: Some(Digest::of(&[shape])),
            inputs: (inputs > 0).then(|| Digest::of(&[inputs])),
            status: if failed { MissionStatus::Failed } else { MissionStatus::Succeeded },
            ended_at: Timestamp::from_micros(second * 1_000_000),
        }
    }

    proptest! {
        #[test]
        fn only_what_is_the_same_in_everything_and_recent_counts(
            runs in prop::collection::vec((0_u8..3, 0_u8..3, any::<bool>(), 0_i64..8000), 0..60), most in 0_u32..6,
        ) {
            let now = Timestamp::from_micros(8_000_000_000);
            let all: Vec<Run> = runs.iter().map(|(s, i, f, at)| run(*s, *i, *f, *at)).collect();
            let mut highest = 0;
            for (s, i, f, _) in &runs {
                let same = runs.iter().filter(|(a, b, c, at)| (a, b, c) == (s, i, f) && *at >= 8000 - 3600);
                highest = highest.max(u32::try_from(same.count()).unwrap());
            }
            let found = repeated(&all, most, now).map(|found| found.times);
            prop_assert_eq!(found, (highest > most).then_some(highest));
        }
    }
}
